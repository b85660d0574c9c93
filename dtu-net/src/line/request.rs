//! What is asked of a line, and what becomes of it.

use super::frame::FrameBuf;
use super::matcher::Matcher;
use crate::backoff::{Backoff, SHORTEST};
use crate::retry::{Plan, Policy};
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// How long a reply may take, unless set otherwise: a slow meter behind a cellular link.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request may take with its wait in the queue and all its repeats, unless set otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The number of a request on one line, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

impl RequestId {
    /// The number itself.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who goes first on a line; of one priority it is who came first. The higher ones starve the lower, whose deadlines end that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// What can wait, as a poll for a history.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// What somebody waits for, as a command.
    High,
}

/// Bytes for the line, and by what their reply is known.
///
/// # Examples
///
/// ```
/// use dtu_net::line::{Matcher, Priority, Request};
/// use dtu_net::retry::Policy;
/// use std::time::Duration;
///
/// let read = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
/// let request = Request::new(read, Matcher::modbus_rtu(&read)?)
///     .timeout(Duration::from_millis(800))
///     .policy(Policy::FIXED_INTERVAL.idempotent())
///     .priority(Priority::High);
/// # Ok::<(), dtu_net::line::MatcherError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) bytes: Bytes,
    pub(super) matcher: Matcher,
    pub(super) timeout: Duration,
    pub(super) deadline: Duration,
    policy: Policy,
    pub(super) priority: Priority,
    pub(super) echo: bool,
}

impl Request {
    /// A request that is sent once, with [`TIMEOUT`] and [`DEADLINE`]. `bytes` leave as they are.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>, matcher: Matcher) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(bytes.as_ref()),
            matcher,
            timeout: TIMEOUT,
            deadline: DEADLINE,
            policy: Policy::new(Backoff::fixed(SHORTEST).max_attempts(0)),
            priority: Priority::Normal,
            echo: false,
        }
    }

    /// How long each attempt waits for its reply, from when its bytes leave the machine. Of a request without a reply: how long
    /// the line is left alone after it.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long everything together may take, from when it is asked for.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Repeats by this policy what it declares [idempotent](Policy::idempotent), when no reply came or the connection broke.
    /// Its timeout and its deadline do not count here.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Goes before requests of a lower priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The line gives back what is sent on it, as an RS-485 adapter does that hears itself: the request's own bytes are taken out
    /// before the reply is looked for.
    #[must_use]
    pub fn echoed(self) -> Self {
        Self { echo: true, ..self }
    }

    /// The bytes that leave.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn plan(&self, now: Instant) -> Plan {
        Plan::new(self.policy.deadline(self.deadline).attempt_timeout(self.timeout), now)
    }
}

/// A reply, and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The reply.
    pub frame: FrameBuf,
    /// How often the request was sent.
    pub attempts: u32,
    /// From when the last attempt left to when the reply was there.
    pub round_trip: Duration,
    /// It came after the timeout of its attempt, and before the request was sent again.
    pub is_late: bool,
}

/// What became of a request that a line has taken. Each ends in exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its reply came.
    Replied(Reply),
    /// It was sent, and has no reply.
    Sent,
    /// It was sent so often, and no reply came in time. It may have been carried out.
    TimedOut {
        /// How often it was sent, at least once.
        attempts: u32,
    },
    /// Its deadline came before it could be sent.
    Expired,
    /// Its owner does not want it any more. If it was sent, it may have been carried out.
    Cancelled,
    /// The connection or the line ended, and it was not to be repeated. If it was sent, it may have been carried out.
    LineGone,
}

impl Outcome {
    /// The outcome as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Replied(_) => "replied",
            Self::Sent => "sent",
            Self::TimedOut { .. } => "timed_out",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::LineGone => "line_gone",
        }
    }
}

/// Why a line has not taken a request. Counted as refused in its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// As many wait as may.
    Full {
        /// The bound, [`LineLimits::queue`](super::LineLimits::queue).
        limit: usize,
    },
    /// It has no bytes, or too many.
    Length {
        /// How many.
        len: usize,
        /// The bound, [`LineLimits::max_request`](super::LineLimits::max_request).
        limit: usize,
    },
    /// The line is closed.
    Closed,
}

impl RequestError {
    /// The cause as one word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Length { .. } => "length",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "the queue of the line is full: {limit} wait"),
            Self::Length { len, limit } => write!(f, "a request of {len} bytes; it has to have 1 to {limit}"),
            Self::Closed => f.write_str("the line is closed"),
        }
    }
}

impl core::error::Error for RequestError {}
