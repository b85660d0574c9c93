//! Events as lines of JSON.

use super::printer::Item;
use super::unit_line::UnitLine;
use dtu_net::driver::{LinkEvent, RefusedEvent};
use dtu_net::{Cause, Event, Received, State};
use dtu_proto::hex::Hex;
use serde::{Serialize, Serializer};
use std::io::{self, Write};

/// Appends the line of `item`, if it has one.
pub(super) fn append(item: &Item, out: &mut Vec<u8>) -> io::Result<()> {
    if let Item::Unit(item) = item {
        return UnitLine::of(item).map_or(Ok(()), |line| write(&line, out));
    }
    Line::of(item).map_or(Ok(()), |line| write(&line, out))
}

fn write(line: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Connected {
        device: &'a str,
        epoch: u32,
        resumed: Resumed,
    },
    Data {
        device: &'a str,
        stream: StreamId,
        seq: u32,
        channel: u8,
        body: Hex<'a>,
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
    fn of(item: &'a Item) -> Option<Self> {
        Some(match item {
            Item::Received { session, received } => Self::received(session.device(), received),
            Item::Told(LinkEvent::Link { device, epoch, event }) => {
                return Self::link(device, epoch.number(), event);
            }
            Item::Told(LinkEvent::Refused(refused)) => Self::refused(refused),
            Item::Told(LinkEvent::AcceptFailed(_) | _) | Item::Flush(_) | Item::Unit(_) => return None,
            Item::Closed { session, change } => {
                let counters = session.counters();
                Self::Closed {
                    device: session.device(),
                    epoch: change.epoch.number(),
                    why: Why::new(change.cause.as_ref(), &change.reason),
                    connections: counters.connected,
                    data: counters.received,
                    missing: counters.skipped,
                    repeated: counters.repeated,
                }
            }
            Item::Missed(events) => Self::Missed { events: *events },
        })
    }

    fn received(device: &'a str, received: &'a Received) -> Self {
        match received {
            Received::Data { stream, seq, channel, body } => {
                Self::Data { device, stream: StreamId(*stream), seq: *seq, channel: *channel, body: Hex(body) }
            }
            Received::Skip { stream, from, next } => {
                Self::Skip { device, stream: StreamId(*stream), from: *from, next: *next }
            }
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
