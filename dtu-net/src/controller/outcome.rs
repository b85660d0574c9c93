//! How jobs end, why some do not get in, and the sums of both.

use super::failure::FailureClass;
use super::job::{Ending, JobId};
use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// How a job ended. Every job that was let in ends in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Outcome {
    /// An attempt succeeded.
    Done,
    /// An attempt failed for good: [`FailureClass::Permanent`] or [`FailureClass::Panicked`].
    Failed,
    /// The last attempt that the policy allows failed.
    Exhausted,
    /// Its deadline has passed, or would pass before the next attempt.
    Expired,
    /// It was cancelled. When an attempt was in flight, it is not known what that did.
    Cancelled,
    /// Its target was removed, or was not there after a restart.
    TargetGone,
    /// It may have taken effect or not, and was not declared repeatable, so it is not attempted again.
    InDoubt,
}

impl Outcome {
    /// A short name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::TargetGone => "target gone",
            Self::InDoubt => "in doubt",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a job was turned away at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectCause {
    /// As many jobs as allowed are there; those whose end was not fetched yet count.
    Full {
        /// How many are allowed.
        limit: usize,
    },
    /// There is no target of that name.
    UnknownTarget,
    /// The name of the operation is too long.
    OperationLen {
        /// Its bytes.
        len: usize,
        /// The bytes allowed.
        limit: usize,
    },
    /// Its deadline is zero, or longer than [`DEADLINE_MAX`](super::DEADLINE_MAX).
    Deadline {
        /// What was given.
        given: Duration,
    },
    /// The scheduler is closed.
    Closed,
}

impl RejectCause {
    /// A short name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::UnknownTarget => "unknown target",
            Self::OperationLen { .. } => "operation length",
            Self::Deadline { .. } => "deadline",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for RejectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "{limit} jobs are there already"),
            Self::UnknownTarget => f.write_str("there is no such target"),
            Self::OperationLen { len, limit } => {
                write!(f, "the operation's name has {len} bytes, over the limit of {limit}")
            }
            Self::Deadline { given } => write!(f, "the deadline of {given:?} is out of range"),
            Self::Closed => f.write_str("nothing is taken any more"),
        }
    }
}

impl core::error::Error for RejectCause {}

/// What became of a result that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// The job has ended.
    Ended(Outcome),
    /// It is attempted again, no sooner than this.
    Again {
        /// When its backoff is over.
        due: Instant,
    },
    /// It was of an old attempt, or of none, and counts for nothing.
    Stale,
}

/// What the caller has to know or to do; see [`poll_event`](super::Scheduler::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<T> {
    /// An attempt has to be stopped; its slot is taken until
    /// [`handle_outcome`](super::Scheduler::handle_outcome) tells that it has.
    Stop(Stop),
    /// A job has ended.
    Ended(Ending<T>),
}

/// An attempt that has to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// The job, which may have ended or may be attempted again.
    pub id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Why.
    pub cause: StopCause,
}

/// Why an attempt has to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopCause {
    /// It took longer than its policy allows.
    TimedOut,
    /// The job's deadline has passed.
    Expired,
    /// The job was cancelled.
    Cancelled,
    /// The target was removed.
    TargetGone,
}

impl StopCause {
    /// A short name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimedOut => FailureClass::TimedOut.name(),
            Self::Expired => Outcome::Expired.name(),
            Self::Cancelled => Outcome::Cancelled.name(),
            Self::TargetGone => Outcome::TargetGone.name(),
        }
    }
}

/// What became of all jobs so far, over restarts from snapshots too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Ledger {
    /// Calls of [`submit`](super::Scheduler::submit).
    pub submitted: u64,
    /// Turned away at the door.
    pub rejected: u64,
    /// See [`Outcome::Done`].
    pub done: u64,
    /// See [`Outcome::Failed`].
    pub failed: u64,
    /// See [`Outcome::Exhausted`].
    pub exhausted: u64,
    /// See [`Outcome::Expired`].
    pub expired: u64,
    /// See [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// See [`Outcome::TargetGone`].
    pub target_gone: u64,
    /// See [`Outcome::InDoubt`].
    pub in_doubt: u64,
    /// Without an outcome so far.
    pub pending: u64,
    /// First attempts that have begun. No part of the sum, as what follows.
    pub first_attempts: u64,
    /// Retries that have begun.
    pub retries: u64,
    /// Results that counted for nothing, because their attempt was over.
    pub stale: u64,
}

impl Ledger {
    /// Whether the sums balance.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.ended().and_then(|ended| ended.checked_add(self.rejected)?.checked_add(self.pending))
            == Some(self.submitted)
    }

    /// How many have ended; `None` beyond 2^64.
    pub(super) fn ended(&self) -> Option<u64> {
        [self.done, self.failed, self.exhausted, self.expired, self.cancelled, self.target_gone, self.in_doubt]
            .into_iter()
            .try_fold(0_u64, u64::checked_add)
    }

    pub(super) const fn end(&mut self, outcome: Outcome) {
        self.pending -= 1;
        let count = match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Failed => &mut self.failed,
            Outcome::Exhausted => &mut self.exhausted,
            Outcome::Expired => &mut self.expired,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::TargetGone => &mut self.target_gone,
            Outcome::InDoubt => &mut self.in_doubt,
        };
        *count += 1;
    }
}
