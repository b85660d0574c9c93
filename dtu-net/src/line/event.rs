//! What a line tells its owner, and its books.

use super::frame::FrameBuf;
use super::request::{Outcome, RequestId};
use dtu_proto::Malformed;

/// Something that happened on a line, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineEvent {
    /// A request has reached its outcome.
    Settled {
        /// Which.
        id: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// A frame that is no reply to what waits.
    Unsolicited {
        /// The frame.
        frame: FrameBuf,
        /// What is known of it.
        kind: Unsolicited,
    },
    /// A token was taken out.
    Token {
        /// Its index in the set that the line was given.
        index: usize,
    },
    /// Bytes that belong to no frame. Neighbours of one cause are added up.
    Skipped {
        /// How many.
        bytes: usize,
        /// Why; of several added up, the first one.
        cause: Malformed,
    },
}

/// What is known of a frame that nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsolicited {
    /// It came while no request was on the line.
    Idle,
    /// It came while a request was on the line, and is not its reply.
    Mismatched,
    /// It is, or can be, the reply to a request whose time was up.
    Late {
        /// Which.
        id: RequestId,
    },
}

impl Unsolicited {
    /// The kind as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Mismatched => "mismatched",
            Self::Late { .. } => "late",
        }
    }
}

/// Every request asked of a line: `asked` is the sum of all the others, at every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LineLedger {
    /// Handed to [`request`](super::Line::request), refused ones included.
    pub asked: u64,
    /// [`Outcome::Replied`].
    pub replied: u64,
    /// [`Outcome::Sent`].
    pub sent: u64,
    /// [`Outcome::TimedOut`].
    pub timed_out: u64,
    /// Not taken: [`RequestError`](super::RequestError).
    pub refused: u64,
    /// [`Outcome::Expired`].
    pub expired: u64,
    /// [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// [`Outcome::LineGone`].
    pub line_gone: u64,
    /// In the queue or on the line.
    pub pending: u64,
}

impl LineLedger {
    /// Whether the books balance.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.asked
            == self.replied
                + self.sent
                + self.timed_out
                + self.refused
                + self.expired
                + self.cancelled
                + self.line_gone
                + self.pending
    }

    pub(super) const fn settle(&mut self, outcome: &Outcome) {
        self.pending -= 1;
        let count = match outcome {
            Outcome::Replied(_) => &mut self.replied,
            Outcome::Sent => &mut self.sent,
            Outcome::TimedOut { .. } => &mut self.timed_out,
            Outcome::Expired => &mut self.expired,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::LineGone => &mut self.line_gone,
        };
        *count += 1;
    }
}

/// What a line has seen besides its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LineCounters {
    /// Requests put on the line, repeats included.
    pub attempts: u64,
    /// Frames that came while no request was on the line.
    pub idle: u64,
    /// Frames that were not the reply to the request on the line.
    pub mismatched: u64,
    /// Frames that were, or could be, the reply to a request whose time was up.
    pub late: u64,
    /// Bytes of requests that the line gave back.
    pub echo_bytes: u64,
    /// Bytes that belong to no frame.
    pub skipped_bytes: u64,
}
