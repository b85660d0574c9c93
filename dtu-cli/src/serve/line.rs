//! Events as lines of JSON.

use dtu_net::driver::ServerEvent;
use dtu_net::{Event, LinkCounters};
use dtu_proto::hex::Hex;
use serde::Serialize;
use std::io::{self, Write};

/// Appends the line of `event`, if it has one.
pub(super) fn append(event: &ServerEvent, out: &mut Vec<u8>) -> io::Result<()> {
    let ServerEvent::Link { connection, peer, device, event, .. } = event else { return Ok(()) };
    let Some(what) = What::of(event) else { return Ok(()) };
    let line = Line { what, connection: *connection, peer: peer.to_string(), device: device.as_deref() };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    what: What<'a>,
    connection: u64,
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum What<'a> {
    Registered {
        stream: String,
    },
    Data {
        seq: u32,
        channel: u8,
        body: Hex<'a>,
        #[serde(skip_serializing_if = "is_zero")]
        missing: u32,
    },
    Skipped {
        bytes: u64,
        cause: &'static str,
        text: String,
    },
    /// The peer's own word that numbers will not come.
    Skip {
        next: u32,
    },
    Closed {
        cause: &'static str,
        text: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        reason: &'a str,
        frames: u64,
        data: u64,
        missing: u64,
        repeated: u64,
        skipped_bytes: u64,
    },
}

impl<'a> What<'a> {
    /// `None` for what only a device is told.
    fn of(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Register(registration) => {
                // Not the token: output is kept, and tokens are secrets.
                Self::Registered { stream: format!("{:016x}", registration.stream) }
            }
            Event::Data { seq, channel, body, missing } => {
                Self::Data { seq: *seq, channel: *channel, body: Hex(body), missing: *missing }
            }
            Event::Skip { next } => Self::Skip { next: *next },
            Event::Skipped { bytes, cause } => {
                Self::Skipped { bytes: *bytes, cause: cause.name(), text: cause.to_string() }
            }
            Event::Closed { cause, reason, counters } => Self::closed(cause, reason, counters),
            Event::Welcomed { .. } | Event::Acked { .. } | _ => return None,
        })
    }

    fn closed(cause: &dtu_net::Ended, reason: &'a str, counters: &LinkCounters) -> Self {
        Self::Closed {
            cause: cause.name(),
            text: cause.to_string(),
            reason,
            frames: counters.line.frames,
            data: counters.data_received,
            missing: counters.data_missing,
            repeated: counters.data_repeated,
            skipped_bytes: counters.line.skipped_bytes(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives the field by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
