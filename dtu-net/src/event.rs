//! What a link tells its owner.

use crate::adaptive::{Learned, Network};
use crate::error::{Cause, SkipCause};
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use dtu_proto::counters::Counters;
use std::time::Instant;

/// The number of a connection of one link, from 1. What comes from an older one does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub(crate) u32);

impl Epoch {
    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a link stands. See the table in the documentation of [`link`](crate::link).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No connection: a device waits for its next try, a server for its device.
    Disconnected,
    /// A device dials.
    Connecting,
    /// A device has said who it is and awaits WELCOME.
    Registering,
    /// DATA flows.
    Connected,
    /// As connected, but a PING of the device has stayed without an answer.
    Suspect,
    /// The end: the link was closed and connects no more.
    Closed,
}

impl State {
    /// The state as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Registering => "registering",
            Self::Connected => "connected",
            Self::Suspect => "suspect",
            Self::Closed => "closed",
        }
    }

    /// Whether DATA flows: connected or suspect.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Connected | Self::Suspect)
    }
}

/// A link has changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// The new state.
    pub state: State,
    /// Why, where the change is a loss: the connection broke, was refused, or was closed.
    pub cause: Option<Cause>,
    /// What the peer, or the transport, said about it for people; empty when there is nothing.
    pub reason: Box<str>,
    /// When.
    pub at: Instant,
    /// The connection that the change is about.
    pub epoch: Epoch,
}

/// How the streams of both sides go on after a connect. Both are `false` on the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumption {
    /// This side goes on in a stream that it remembers. Otherwise what comes may repeat what came before, if there was a
    /// before: this side has forgotten, or the peer has.
    pub receiving: bool,
    /// The peer goes on in this side's stream. Otherwise it takes everything that is not acknowledged as new.
    pub sending: bool,
}

/// What became of DATA that was handed to `send`. Each ends in exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The peer's application has taken responsibility for it.
    Acked,
    /// Its time ran out first. It may have been sent, and may even have arrived.
    Expired,
    /// The outbox was full, and this was the one to go.
    Refused,
    /// The link was closed first. It may have been sent, and may even have arrived.
    Abandoned,
}

impl Outcome {
    /// The outcome as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Something that happened on a link, in the order in which it happened. What the peer sent for the application is not
/// among it: see [`Received`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state changed.
    State(StateChange),
    /// After a connect: how the streams go on.
    Resumed(Resumption),
    /// A device with several endpoints dials another one than before, or its first one.
    Endpoint {
        /// Which one, from 0.
        index: usize,
        /// The one before.
        before: Option<usize>,
    },
    /// `count` numbers from `first` on have reached their outcome.
    Settled {
        /// The first of them.
        first: u32,
        /// How many, at least 1.
        count: u32,
        /// What became of them.
        outcome: Outcome,
    },
    /// Bytes or whole frames that carried nothing. Neighbours of one cause are added up.
    Skipped {
        /// How many bytes.
        bytes: u64,
        /// Why; of several added up, the first one.
        cause: SkipCause,
    },
    /// A device's search for its heartbeat has come to know its network better.
    HeartbeatLearned(Learned),
    /// There were too many networks to remember: what was learned of this one is forgotten.
    NetworkForgotten {
        /// Which.
        network: Network,
    },
}

/// A place in a peer's stream: everything before it. What [`commit`](crate::Link::commit) takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The id of the peer's stream.
    pub stream: u64,
    /// One above the last number that is meant.
    pub next: u32,
}

/// What the peer sent for the application, in order and each number once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Bytes for a serial port, or from one.
    Data {
        /// The id of the peer's stream. With the device and `seq` it is the key of this DATA, the same for every repeat.
        stream: u64,
        /// The number in it.
        seq: u32,
        /// Which serial port.
        channel: u8,
        /// The bytes.
        body: Bytes,
    },
    /// The peer says that the numbers from `from` up to `next`, without it, will not come: they expired, or were dropped.
    Skip {
        /// The id of the peer's stream.
        stream: u64,
        /// The first number that does not come.
        from: u32,
        /// The first that may come again.
        next: u32,
    },
}

impl Received {
    /// The place behind it; committed, this and everything before it is acknowledged.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        match *self {
            Self::Data { stream, seq, .. } => Mark { stream, next: seq.wrapping_add(1) },
            Self::Skip { stream, next, .. } => Mark { stream, next },
        }
    }

    /// The bytes of its body.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Data { body, .. } => body.len(),
            Self::Skip { .. } => 0,
        }
    }
}

/// The books of an outbox: `taken = acked + expired + refused + abandoned + pending`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// DATA handed to `send` and not turned away as wrong.
    pub taken: u64,
    /// See [`Outcome::Acked`].
    pub acked: u64,
    /// See [`Outcome::Expired`].
    pub expired: u64,
    /// See [`Outcome::Refused`].
    pub refused: u64,
    /// See [`Outcome::Abandoned`].
    pub abandoned: u64,
    /// Without an outcome so far.
    pub pending: u64,
    /// Outcomes that the outbox's store did not take; each may cause a repeat after a restart. No part of the sum.
    pub unkept: u64,
}

impl Ledger {
    /// Whether the sums balance.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.taken == self.acked + self.expired + self.refused + self.abandoned + self.pending
    }
}

/// What a link has carried so far, over all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Frames received and bytes skipped, by cause; of the connection of now, or the last one.
    pub line: Counters,
    /// What became of the DATA sent.
    pub ledger: Ledger,
    /// Connections that were welcomed.
    pub connected: u64,
    /// At a server: those of them that took the place of one that was not over.
    pub replaced: u64,
    /// DATA delivered to the application, each number once.
    pub received: u64,
    /// Numbers that the peer said will not come.
    pub skipped: u64,
    /// DATA that came again and was held back.
    pub repeated: u64,
    /// DATA sent once more.
    pub resent: u64,
    /// The smoothed round-trip time (RFC 6298), once there is one.
    pub round_trip: Option<Duration>,
}

/// Which deadline [`poll_timeout`](crate::Link::poll_timeout) names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timer {
    /// The device may dial again.
    Reconnect,
    /// The connection has to come about.
    Connect,
    /// The peer has to identify itself, or a refusal may leave.
    Identify,
    /// The device's REGISTER or PROOF goes out again, on datagrams.
    Repeat,
    /// A candidate waits for its next byte.
    InterByte,
    /// A frame has to be whole.
    Frame,
    /// The peer has to give a sign of life, or a device to ask for one.
    Silence,
    /// DATA without acknowledgement goes out again.
    Resend,
    /// The time of DATA in the outbox runs out.
    Expiry,
    /// A link that closes has to be done.
    Drain,
    /// The session of a device that is away ends.
    Retention,
    /// A better endpoint than the one in use is probed.
    Probe,
    /// The device goes back to it, although not everything is acknowledged.
    Move,
}
