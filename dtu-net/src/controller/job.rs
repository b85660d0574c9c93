//! A job, from the door to its end.

use super::failure::FailureClass;
use super::outcome::{Outcome, RejectCause};
use super::target::TargetId;
use crate::backoff::Delays;
use crate::breaker::{Breaker, Permit};
use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

/// The number of a job; no two jobs of a scheduler have the same, over restarts from snapshots too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct JobId(pub(super) u64);

impl JobId {
    /// The number that a caller has kept.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number alone.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A job to submit: an operation on a target, and whatever the operation needs. How much memory the payload may take is
/// the caller's to bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob<T> {
    pub(super) target: Arc<str>,
    pub(super) operation: Arc<str>,
    pub(super) payload: T,
    pub(super) repeatable: bool,
    pub(super) deadline: Option<Duration>,
}

impl<T> NewJob<T> {
    /// A job that is not repeatable, with the deadline of its policy.
    #[must_use]
    pub fn new(target: impl Into<Arc<str>>, operation: impl Into<Arc<str>>, payload: T) -> Self {
        Self { target: target.into(), operation: operation.into(), payload, repeatable: false, deadline: None }
    }

    /// Declares that doing it twice is as good as once (it is idempotent), so that it may be attempted again when it is not
    /// known whether an attempt took effect.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// Ends it after this time, whatever it waits for, instead of after the deadline of its policy.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Takes the payload out.
    pub fn into_payload(self) -> T {
        self.payload
    }

    #[cfg(feature = "tokio")]
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> NewJob<U> {
        NewJob {
            target: self.target,
            operation: self.operation,
            payload: change(self.payload),
            repeatable: self.repeatable,
            deadline: self.deadline,
        }
    }
}

/// A job that was turned away at the door. It is given back, and has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected<T> {
    /// Why.
    pub cause: RejectCause,
    /// What was to be submitted.
    pub job: NewJob<T>,
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the job is turned away: {}", self.cause)
    }
}

impl<T: fmt::Debug> core::error::Error for Rejected<T> {}

/// Where a job stands. An operation gets it with each attempt, and queries give it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryContext {
    /// The number of the job.
    pub id: JobId,
    /// What it is done to.
    pub target: Arc<str>,
    /// What is done.
    pub operation: Arc<str>,
    /// Attempts that have begun, the one in flight included.
    pub attempts: u32,
    /// How many there may be.
    pub max_attempts: u32,
    /// Whether it was declared repeatable.
    pub is_repeatable: bool,
    /// When it was submitted.
    pub submitted: Instant,
    /// When it ends at the latest.
    pub deadline: Option<Instant>,
    /// How the last attempt failed.
    pub last_failure: Option<FailureClass>,
    /// What it does now.
    pub why: Why,
    /// Since when it waits, or is in flight.
    pub since: Instant,
    /// When the next attempt can begin at the earliest, as far as that is known.
    pub next_attempt: Option<Instant>,
}

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Nothing: an attempt runs.
    InFlight,
    /// The delay after a failure.
    Backoff,
    /// The breaker of the target is open, or its probes are out.
    BreakerOpen,
    /// There is no token for a retry.
    Budget(Scope),
    /// As many attempts run as may.
    Concurrency(Scope),
    /// Its turn: [`poll_start`](super::Scheduler::poll_start) will give it out.
    Turn,
    /// Nothing is begun any more: the scheduler is closed.
    Closed,
    /// Nothing: it has ended.
    Ended,
}

impl Why {
    /// A short name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in flight",
            Self::Backoff => "backoff",
            Self::BreakerOpen => "breaker open",
            Self::Budget(_) => "budget",
            Self::Concurrency(_) => "concurrency",
            Self::Turn => "turn",
            Self::Closed => "closed",
            Self::Ended => "ended",
        }
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// That of one operation on one target.
    Operation,
    /// That of the target.
    Target,
    /// That of the process.
    Process,
}

/// A job that has ended, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending<T> {
    /// How.
    pub outcome: Outcome,
    /// Where it stood.
    pub context: RetryContext,
    /// What was submitted.
    pub payload: T,
}

#[derive(Debug)]
pub(super) struct Job<T> {
    pub(super) target: TargetId,
    pub(super) operation: Arc<str>,
    pub(super) payload: T,
    pub(super) repeatable: bool,
    pub(super) max_attempts: u32,
    pub(super) attempts: u32,
    pub(super) delays: Delays,
    pub(super) submitted: Instant,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) last_failure: Option<FailureClass>,
    pub(super) state: JobState,
    /// Its entry in the scheduler's timers.
    pub(super) timer: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum JobState {
    /// In a lane of its target, in the order of turns.
    Ready {
        turn: u64,
    },
    Backoff {
        due: Instant,
    },
    /// `until` is when the attempt's own time is over; the job's deadline may come before.
    InFlight {
        until: Instant,
        permit: Permit<Arc<Breaker>>,
    },
}

impl<T> Job<T> {
    /// When something has to be done about it.
    pub(super) fn wake(&self) -> Option<Instant> {
        let own = match &self.state {
            JobState::Ready { .. } => None,
            JobState::Backoff { due } => Some(*due),
            JobState::InFlight { until, .. } => Some(*until),
        };
        own.into_iter().chain(self.deadline).min()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn context(&self, id: JobId, target: Arc<str>, why: Why, next_attempt: Option<Instant>) -> RetryContext {
        RetryContext {
            id,
            target,
            operation: Arc::clone(&self.operation),
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            is_repeatable: self.repeatable,
            submitted: self.submitted,
            deadline: self.deadline,
            last_failure: self.last_failure,
            why,
            since: self.since,
            next_attempt,
        }
    }
}
