//! Events as lines of JSON.

use super::data_line;
use super::unit_line::UnitLine;
use crate::sink::{Batch, Item, Key};
use core::convert::Infallible;
use dtu_net::driver::{LinkEvent, RefusedEvent};
use dtu_net::{Cause, Event, Received, State};
use serde::{Serialize, Serializer};
use std::sync::Arc;
use std::time::SystemTime;

/// Writes the lines of items. It remembers what the lines of a moment have in common.
#[derive(Debug, Default)]
pub(crate) struct Renderer {
    time: Time,
    /// A device id as text of JSON.
    device: Vec<u8>,
}

impl Renderer {
    /// Appends the lines of an item that was handed over at `at`, if it has any.
    pub(crate) fn append(&mut self, at: SystemTime, item: &Item, batch: &mut Batch) {
        let time = self.time.text(at);
        match item {
            Item::Received { session, received } => {
                data_line::text(session.device(), &mut self.device);
                for received in received {
                    Self::received(time, &self.device, session.device(), received, batch);
                }
            }
            Item::Told(LinkEvent::Link { device, epoch, event }) => {
                if let Some(line) = Line::link(device, epoch.number(), event) {
                    push(Some(device), line.event(), time, &line, batch);
                }
            }
            Item::Told(LinkEvent::Refused(refused)) => {
                let line = Line::refused(refused);
                push(refused.device.as_ref(), line.event(), time, &line, batch);
            }
            Item::Told(LinkEvent::AcceptFailed(_) | _) | Item::Flush(_) => {}
            Item::Closed { session, change } => {
                let counters = session.counters();
                let line = Line::Closed {
                    device: session.device(),
                    epoch: change.epoch.number(),
                    why: Why::new(change.cause.as_ref(), &change.reason),
                    connections: counters.connected,
                    data: counters.received,
                    missing: counters.skipped,
                    repeated: counters.repeated,
                };
                push(Some(session.device()), line.event(), time, &line, batch);
            }
            Item::Missed(events) => {
                let line = Line::Missed { events: *events };
                push(None, line.event(), time, &line, batch);
            }
            Item::Unit(item) => {
                if let Some(line) = UnitLine::of(item) {
                    push(item.device(), line.event(), time, &line, batch);
                }
            }
        }
    }

    /// What a device has sent. `text` is its id as text of JSON.
    fn received(time: &str, text: &[u8], device: &Arc<str>, received: &Received, batch: &mut Batch) {
        match received {
            Received::Data { stream, seq, channel, body } => {
                let key = Key { stream: *stream, seq: *seq };
                let write = |out: &mut Vec<u8>| {
                    data_line::append(out, time, text, key, *channel, body);
                    Ok::<(), Infallible>(())
                };
                let Ok(()) = batch.push(Some(device), "data", Some(key), write);
            }
            Received::Skip { stream, from, next } => {
                let line = Line::Skip { device, stream: StreamId(*stream), from: *from, next: *next };
                push(Some(device), line.event(), time, &line, batch);
            }
        }
    }
}

/// A moment as text: RFC 3339, UTC, milliseconds. Of neighbours in one millisecond only the first is written.
#[derive(Debug)]
struct Time {
    /// The moment, in milliseconds since 1970.
    millis: u128,
    text: String,
}

impl Default for Time {
    fn default() -> Self {
        Self { millis: u128::MAX, text: String::new() }
    }
}

impl Time {
    fn text(&mut self, at: SystemTime) -> &str {
        let millis = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        if millis != self.millis {
            self.millis = millis;
            self.text = humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string();
        }
        &self.text
    }
}

/// A line with what each begins with.
#[derive(Serialize)]
struct Stamped<'a, T> {
    event: &'static str,
    time: &'a str,
    #[serde(flatten)]
    fields: &'a T,
}

fn push(device: Option<&Arc<str>>, event: &'static str, time: &str, fields: &impl Serialize, batch: &mut Batch) {
    let line = Stamped { event, time, fields };
    batch
        .push(device, event, None, |out| serde_json::to_writer(out, &line))
        .expect("a line is made of texts and numbers, and memory takes it");
}

/// All lines but those of DATA, which [`data_line`] writes.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Connected {
        device: &'a str,
        epoch: u32,
        resumed: Resumed,
    },
    /// The peer's own word that numbers will not come.
    Skip {
        device: &'a str,
        stream: StreamId,
        from: u32,
        next: u32,
    },
    Skipped {
        device: &'a str,
        epoch: u32,
        bytes: u64,
        cause: &'static str,
        text: String,
    },
    Disconnected {
        device: &'a str,
        epoch: u32,
        #[serde(flatten)]
        why: Why<'a>,
    },
    Closed {
        device: &'a str,
        epoch: u32,
        #[serde(flatten)]
        why: Why<'a>,
        connections: u64,
        data: u64,
        missing: u64,
        repeated: u64,
    },
    Refused {
        peer: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<&'a str>,
        cause: &'static str,
        text: String,
    },
    Missed {
        events: u64,
    },
}

#[derive(Serialize)]
struct Resumed {
    receiving: bool,
    sending: bool,
}

#[derive(Serialize)]
pub(super) struct Why<'a> {
    cause: &'static str,
    text: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

impl<'a> Why<'a> {
    pub(super) fn new(cause: Option<&Cause>, reason: &'a str) -> Self {
        Self { cause: cause.map_or("", Cause::name), text: cause.map(Cause::to_string).unwrap_or_default(), reason }
    }
}

/// 16 hex digits: JSON readers round numbers of 64 bits.
struct StreamId(u64);

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'a> Line<'a> {
    /// The name of the event.
    const fn event(&self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::Skip { .. } => "skip",
            Self::Skipped { .. } => "skipped",
            Self::Disconnected { .. } => "disconnected",
            Self::Closed { .. } => "closed",
            Self::Refused { .. } => "refused",
            Self::Missed { .. } => "missed",
        }
    }

    fn link(device: &'a str, epoch: u32, event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Resumed(resumption) => {
                let resumed = Resumed { receiving: resumption.receiving, sending: resumption.sending };
                Self::Connected { device, epoch, resumed }
            }
            Event::State(change) => match change.state {
                State::Disconnected => {
                    Self::Disconnected { device, epoch, why: Why::new(change.cause.as_ref(), &change.reason) }
                }
                // A server has no doubts. How the streams go on is told beside `Connected`, and the session's own task tells `Closed`, behind
                // its DATA.
                State::Connecting | State::Registering | State::Connected | State::Suspect | State::Closed => {
                    return None;
                }
            },
            Event::Skipped { bytes, cause } => {
                Self::Skipped { device, epoch, bytes: *bytes, cause: cause.name(), text: cause.to_string() }
            }
            Event::Settled { .. } | _ => return None,
        })
    }

    fn refused(refused: &'a RefusedEvent) -> Self {
        Self::Refused {
            peer: refused.peer.to_string(),
            device: refused.device.as_deref(),
            cause: refused.cause.name(),
            text: refused.cause.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn time_is_utc_with_milliseconds_and_one_text_for_each_of_them() {
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let mut time = Time::default();
        assert_eq!(time.text(at(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time.text(at(1_795_633_532_042_999)), "2026-11-25T19:05:32.042Z");
        assert_eq!(time.text(at(1_795_633_532_043_000)), "2026-11-25T19:05:32.043Z");
        assert_eq!(time.text(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_line_begins_with_its_event_and_its_time() {
        let (mut batch, mut renderer) = (Batch::default(), Renderer::default());
        renderer.append(SystemTime::UNIX_EPOCH, &Item::Missed(3), &mut batch);
        let (record, line) = batch.records().next().unwrap();
        assert_eq!((record.event, record.device.as_deref(), record.key), ("missed", None, None));
        assert_eq!(line, br#"{"event":"missed","time":"1970-01-01T00:00:00.000Z","events":3}"#);
    }

    #[test]
    fn a_line_with_a_reason_has_its_fields_in_their_order() {
        let mut batch = Batch::default();
        let why = Why { cause: "transport", text: "reset".into(), reason: "\"because\"" };
        let line = Line::Disconnected { device: "m\u{e9}ter", epoch: 2, why };
        push(Some(&Arc::from("m\u{e9}ter")), line.event(), "T", &line, &mut batch);
        let expected = r#"{"event":"disconnected","time":"T","device":"méter","epoch":2,"cause":"transport","text":"reset","reason":"\"because\""}"#;
        assert_eq!(batch.lines(), format!("{expected}\n").as_bytes());
    }
}
