//! What a link tells its owner.

use crate::error::{Ended, SkipCause};
use bytes::Bytes;
use core::time::Duration;
use dtu_proto::counters::Counters;

/// Something that happened on a link, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// To a server: a device wants in. Answer with `welcome` or `refuse`.
    Register(Registration),
    /// To a device: the server let it in.
    Welcomed {
        /// How long the device may be silent.
        heartbeat: Duration,
        /// How many DATA it may have unacknowledged.
        window: u16,
    },
    /// Bytes for a serial port, or from one. Each number comes once, in ascending order; `commit(seq + 1)` once you have taken
    /// responsibility for it.
    Data {
        /// The number in the peer's stream.
        seq: u32,
        /// Which serial port.
        channel: u8,
        /// The bytes.
        body: Bytes,
        /// How many numbers before this one did not come. They were damaged on the way, and are not acknowledged: from
        /// here on the acknowledged number stands still.
        missing: u32,
    },
    /// The peer says that the numbers below `next` will not come. Acknowledged by `commit(next)`.
    Skip {
        /// The lowest number that still may come.
        next: u32,
    },
    /// The peer has taken responsibility for everything sent below `receive_next`.
    Acked {
        /// One above the highest number acknowledged.
        receive_next: u32,
        /// How many DATA this newly acknowledges.
        count: u32,
    },
    /// Bytes of the stream that carried nothing. Neighbours of one cause are added up.
    Skipped {
        /// How many.
        bytes: u64,
        /// Why; of several added up, the first one.
        cause: SkipCause,
    },
    /// The link has ended; the last event.
    Closed {
        /// Why.
        cause: Ended,
        /// What the peer said about it for people; empty when it said nothing.
        reason: Box<str>,
        /// What the link has carried.
        counters: Box<LinkCounters>,
    },
}

/// What a device said in its REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who it is: 1 to 64 bytes.
    pub device: Box<str>,
    /// What the server may ask for besides; may be empty.
    pub token: Bytes,
    /// The id of the stream in which it sends.
    pub stream: u64,
}

/// What a link has carried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Frames received and bytes skipped, by cause.
    pub line: Counters,
    /// DATA delivered to the application.
    pub data_received: u64,
    /// Numbers of the peer's stream that did not come.
    pub data_missing: u64,
    /// DATA that came again.
    pub data_repeated: u64,
    /// DATA sent.
    pub data_sent: u64,
    /// DATA sent and not acknowledged.
    pub data_unacknowledged: u32,
    /// Round-trip time of the newest PING that was answered.
    pub round_trip: Option<Duration>,
}

/// Which deadline [`poll_timeout`](crate::Link::poll_timeout) names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timer {
    /// The peer has to identify itself.
    Identify,
    /// A candidate waits for its next byte.
    InterByte,
    /// The peer has to give a sign of life, or a device to ask for one.
    Silence,
    /// The window has to open.
    Stall,
}
