//! What the gateway as a whole has done.

use crate::fleet::{Census, Millis};
use crate::health::Health;
use crate::sink::{QUEUE_RECORDS, QueueGauge, SinkBook};
use dtu_net::driver::transparent::TransparentCount;
use dtu_net::driver::{Bound, ServerCounters, TurnedAway};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use utoipa::ToSchema;

/// Who this gateway is, and what its servers have counted.
#[derive(Debug)]
pub(crate) struct Status {
    id: String,
    started: Instant,
    since: Millis,
    queue: QueueGauge,
    /// By listener.
    doors: Mutex<BTreeMap<String, Door>>,
}

/// Who came to the server of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    connections: u64,
    open: usize,
    unidentified: usize,
    busy: TurnedAway,
    refused: u64,
    dropped_datagrams: u64,
}

impl From<ServerCounters> for Door {
    fn from(counters: ServerCounters) -> Self {
        let ServerCounters { connections, open, unidentified, busy, refused, dropped, .. } = counters;
        Self { connections, open, unidentified, busy, refused, dropped_datagrams: dropped }
    }
}

impl From<TransparentCount> for Door {
    fn from(count: TransparentCount) -> Self {
        let TransparentCount { connections, open, unidentified, busy, refused, .. } = count;
        Self { connections, open, unidentified, busy, refused, dropped_datagrams: 0 }
    }
}

/// The counters of the gateway since it started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counters {
    /// Which gateway.
    pub(crate) id: String,
    pub(crate) version: &'static str,
    /// When it started.
    pub(crate) since: Millis,
    pub(crate) uptime_ms: u64,
    /// Devices with a session, by whether they are there.
    pub(crate) devices: Devices,
    /// Connections that were accepted from the system.
    pub(crate) connections: u64,
    /// Of those, the ones there are now.
    pub(crate) open: usize,
    /// Of those, the ones that have not said who they are.
    pub(crate) unidentified: usize,
    /// Connections that were not let in, those for want of room not among them.
    pub(crate) refused: u64,
    /// Connections that were refused for want of room, by the bound that they met.
    pub(crate) busy: BTreeMap<&'static str, u64>,
    /// Datagrams that did nothing.
    pub(crate) dropped_datagrams: u64,
    /// What waits for the sinks.
    pub(crate) queue: QueueStatus,
    /// The sinks, in the order of the configuration.
    pub(crate) sinks: Vec<SinkStatus>,
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) reasons: Vec<String>,
}

/// How many devices have a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Devices {
    pub(crate) connected: usize,
    pub(crate) disconnected: usize,
}

/// What waits for the sinks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueStatus {
    /// Records that were taken from devices and are not acknowledged.
    pub(crate) records: u64,
    /// How many may; then devices are not read.
    pub(crate) capacity: u64,
}

/// How a sink is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SinkStatus {
    /// Its kind; the second of a kind has `-2` behind it.
    pub(crate) name: String,
    /// Whether it has kept what it was given last.
    pub(crate) up: bool,
    /// Whether it is left alone for a while.
    pub(crate) breaker_open: bool,
    /// Records that it has for good.
    pub(crate) records: u64,
    /// Batches that it did not keep, each time they came.
    pub(crate) failures: u64,
    /// What it says while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl SinkStatus {
    fn of(sink: &SinkBook) -> Self {
        Self {
            name: sink.name.clone(),
            up: !sink.is_down(),
            breaker_open: sink.is_breaker_open(),
            records: sink.records(),
            failures: sink.failures(),
            error: sink.is_down().then(|| sink.said()),
        }
    }
}

impl Status {
    pub(crate) fn new(id: impl Into<String>, queue: QueueGauge) -> Self {
        Self { id: id.into(), started: Instant::now(), since: Millis::now(), queue, doors: Mutex::default() }
    }

    /// What the server of a listener has counted by now.
    pub(crate) fn counted(&self, listener: &str, counters: impl Into<Door>) {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match doors.get_mut(listener) {
            Some(before) => *before = counters.into(),
            None => drop(doors.insert(listener.to_owned(), counters.into())),
        }
    }

    pub(crate) fn counters(&self, census: Census, health: &Health) -> Counters {
        let Census { connected, disconnected } = census;
        let reasons = health.reasons();
        let mut sums = Counters {
            id: self.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            since: self.since,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            devices: Devices { connected, disconnected },
            connections: 0,
            open: 0,
            unidentified: 0,
            refused: 0,
            busy: Bound::ALL.map(|bound| (bound.name(), 0)).into(),
            dropped_datagrams: 0,
            queue: QueueStatus { records: self.queue.pending(), capacity: QUEUE_RECORDS.into() },
            sinks: health.sinks().sinks().iter().map(SinkStatus::of).collect(),
            ready: reasons.is_empty(),
            reasons,
        };
        for door in self.doors.lock().unwrap_or_else(PoisonError::into_inner).values() {
            sums.connections += door.connections;
            sums.open += door.open;
            sums.unidentified += door.unidentified;
            sums.refused += door.refused;
            sums.dropped_datagrams += door.dropped_datagrams;
            for bound in Bound::ALL {
                *sums.busy.entry(bound.name()).or_default() += door.busy.by(bound);
            }
        }
        sums
    }
}
