//! How the sinks are, for whoever asks: health checks, counters, the last word of the gateway.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use metrics::{counter, gauge, histogram};
use std::sync::{Mutex, PoisonError};

/// What is known of each sink, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) sinks: Vec<SinkBook>,
}

/// What is known of one sink.
#[derive(Debug)]
pub(crate) struct SinkBook {
    /// The name of its kind; the second of a kind has `-2` behind it.
    pub(crate) name: String,
    is_down: AtomicBool,
    is_breaker_open: AtomicBool,
    records: AtomicU64,
    failures: AtomicU64,
    /// What it said when it failed last.
    said: Mutex<String>,
}

impl Books {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut books = Self::default();
        for name in names {
            let before = books.sinks.iter().filter(|sink| sink.kind() == name).count();
            let name = if before == 0 { name.to_owned() } else { format!("{name}-{}", before + 1) };
            books.sinks.push(SinkBook::new(name));
        }
        books
    }

    /// Those of one sink that is down.
    #[cfg(test)]
    pub(crate) fn failing(name: &str, text: &str) -> Self {
        let books = Self::new([name].into_iter());
        books.sinks[0].failed(text);
        books
    }

    /// What is known of each sink.
    pub(crate) fn sinks(&self) -> &[SinkBook] {
        &self.sinks
    }

    /// Those that do not keep what they are given, and why: `file: no space left on device; nats: …`. `None` when all do.
    pub(crate) fn down(&self) -> Option<String> {
        let down: Vec<String> = self.sinks.iter().filter(|sink| sink.is_down()).map(SinkBook::to_string).collect();
        (!down.is_empty()).then(|| down.join("; "))
    }
}

impl SinkBook {
    fn new(name: String) -> Self {
        let book = Self {
            name,
            is_down: AtomicBool::new(false),
            is_breaker_open: AtomicBool::new(false),
            records: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            said: Mutex::default(),
        };
        gauge!("dtu_sink_up", "sink" => book.name.clone()).set(1.0);
        gauge!("dtu_sink_breaker_open", "sink" => book.name.clone()).set(0.0);
        book
    }

    fn kind(&self) -> &str {
        self.name.split_once('-').map_or(&self.name, |(kind, _)| kind)
    }

    /// Whether it did not keep what it was given last.
    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Whether it is left alone for a while.
    pub(crate) fn is_breaker_open(&self) -> bool {
        self.is_breaker_open.load(Ordering::Relaxed)
    }

    /// Records that it has kept.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Batches that it did not keep, each time they came.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What it said when it failed last; empty while it did not.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a batch that was kept. Returns whether it was down before.
    pub(super) fn kept(&self, records: usize, took: Duration) -> bool {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.records.fetch_add(records, Ordering::Relaxed);
        counter!("dtu_sink_records_total", "sink" => self.name.clone()).increment(records);
        histogram!("dtu_sink_store_seconds", "sink" => self.name.clone()).record(took);
        let was_down = self.is_down.swap(false, Ordering::Relaxed);
        if was_down {
            gauge!("dtu_sink_up", "sink" => self.name.clone()).set(1.0);
        }
        was_down
    }

    /// Notes a batch that was not kept. Returns whether it was up before.
    pub(super) fn failed(&self, text: &str) -> bool {
        text.clone_into(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.failures.fetch_add(1, Ordering::Relaxed);
        counter!("dtu_sink_store_failures_total", "sink" => self.name.clone()).increment(1);
        gauge!("dtu_sink_up", "sink" => self.name.clone()).set(0.0);
        !self.is_down.swap(true, Ordering::Relaxed)
    }

    /// Notes whether it is left alone.
    pub(super) fn breaker(&self, is_open: bool) {
        if self.is_breaker_open.swap(is_open, Ordering::Relaxed) != is_open {
            gauge!("dtu_sink_breaker_open", "sink" => self.name.clone()).set(if is_open { 1.0 } else { 0.0 });
        }
    }
}

impl fmt::Display for SinkBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.said())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sink_has_a_name_of_its_own_and_those_that_are_down_say_why() {
        let books = Books::new(["file", "nats", "file", "file"].into_iter());
        let names: Vec<&str> = books.sinks().iter().map(|sink| &sink.name[..]).collect();
        assert_eq!(names, ["file", "nats", "file-2", "file-3"]);
        assert_eq!(books.down(), None);
        assert!(books.sinks()[2].failed("no space") && !books.sinks()[2].failed("no space left"));
        books.sinks()[1].failed("no servers");
        assert_eq!(books.down().as_deref(), Some("nats: no servers; file-2: no space left"));
        assert!(books.sinks()[2].kept(3, Duration::ZERO) && !books.sinks()[2].kept(2, Duration::ZERO));
        assert_eq!((books.sinks()[2].records(), books.sinks()[2].failures()), (5, 2));
        assert_eq!(books.down().as_deref(), Some("nats: no servers"));
    }
}
