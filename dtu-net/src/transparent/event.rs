//! What the session of a unit tells its owner.

use super::pattern::Captures;
use crate::event::{Epoch, StateChange};
use crate::line::{FrameBuf, Outcome, RequestId, Unsolicited};
use dtu_proto::Malformed;
use dtu_proto::encode::EncodeError;

/// Something that happened in the session of a unit, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransparentEvent {
    /// The state changed.
    State(StateChange),
    /// The unit has said who it is, on a new connection.
    Identified {
        /// The connection.
        epoch: Epoch,
        /// What it said.
        registration: Captures,
    },
    /// A request has reached its outcome.
    Settled {
        /// Which.
        id: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// A heartbeat of the unit.
    Heartbeat {
        /// Which of the profile's; none where it is the registration of an envelope, repeated.
        index: Option<usize>,
    },
    /// Bytes of the line, or of the envelope around it, that belong to no frame.
    Skipped {
        /// How many.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
    /// An envelope of a kind that the profile does not name.
    Control {
        /// The kind.
        kind: u8,
    },
    /// The application was too far behind: the oldest frame that waited for it is gone.
    Overrun {
        /// The length of the frame in bytes.
        bytes: usize,
    },
    /// The envelope cannot carry what was asked of the line: nothing of it was sent.
    Unsendable {
        /// How many bytes.
        bytes: usize,
        /// Why.
        error: EncodeError,
    },
    /// The unit takes too little: an answer to it was not sent.
    ReplyDropped {
        /// The length of the answer in bytes.
        bytes: usize,
    },
}

/// A frame of the line that is no reply to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heard {
    /// The frame.
    pub frame: FrameBuf,
    /// What is known of it.
    pub kind: Unsolicited,
    /// The connection on which it came.
    pub epoch: Epoch,
}

/// What a session has seen besides its requests, on all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransparentCounters {
    /// Connections so far.
    pub connections: u64,
    /// Those of them that took the place of one that was not over.
    pub replaced: u64,
    /// Bytes that came, of all kinds.
    pub received_bytes: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Registrations that stood before packets.
    pub prefixes: u64,
    /// Frames that were lost to the application.
    pub overruns: u64,
    /// Answers that were not sent.
    pub replies_dropped: u64,
    /// Requests that the envelope could not carry; nothing of them was sent.
    pub unsendable: u64,
    /// Bytes of envelopes, and around them, that carried nothing.
    pub envelope_skipped_bytes: u64,
}
