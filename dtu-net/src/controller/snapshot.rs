//! What outlives the process: all jobs, those whose end nobody has fetched, the ledger and the budgets.
//!
//! Instants mean nothing in another process, so all times are durations before or after the snapshot's moment, in
//! nanoseconds.

use super::DEADLINE_MAX;
use super::failure::FailureClass;
use super::job::{Ending, Job, JobId, JobState};
use super::outcome::{Ledger, Outcome};
use super::scheduler::Scheduler;
use crate::backoff::{HINT_MAX, LONGEST};
use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// The version of snapshots that are written, and read.
pub const VERSION: u32 = 1;

/// The longest delay that a backoff gives, by its cap or by a hint.
pub(super) const DELAY_MAX: Duration =
    if LONGEST.as_nanos() > HINT_MAX.as_nanos() * 2 { LONGEST } else { HINT_MAX.saturating_mul(2) };

/// A scheduler at one moment. With the feature `serde` it can be written and read, in any format of serde's that names
/// fields; it begins with its version. One of another version is read as such, and
/// [`restore`](Scheduler::restore) gives it back with [`SnapshotError::Version`].
///
/// Targets, policies, and the state of breakers are not in it: the first two are configuration, and a breaker finds out
/// anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<T> {
    pub(super) version: u32,
    /// `None` in one of another version.
    pub(super) body: Option<Box<Body<T>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Body<T> {
    /// By the wall clock, since 1970.
    pub(super) taken_at_ns: u64,
    pub(super) next_job: u64,
    pub(super) ledger: Ledger,
    /// Those of the process, in thousandths of a retry.
    pub(super) tokens: u64,
    /// How many endings there are: in a format that marks no end, those that are cut off would not be missed.
    pub(super) untold: u64,
    pub(super) targets: Vec<TargetRecord>,
    pub(super) jobs: Vec<JobRecord<T>>,
    pub(super) endings: Vec<EndingRecord<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct TargetRecord {
    pub(super) name: String,
    pub(super) tokens: u64,
}

/// What jobs and endings have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Head {
    pub(super) id: JobId,
    pub(super) target: String,
    pub(super) operation: String,
    pub(super) repeatable: bool,
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    /// Since it was submitted.
    pub(super) age_ns: u64,
    /// Since it began to wait, or its attempt began, or it ended.
    pub(super) since_ns: u64,
    /// Zero for one that has passed.
    pub(super) deadline_in_ns: Option<u64>,
    pub(super) last_failure: Option<FailureClass>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct JobRecord<T> {
    pub(super) head: Head,
    pub(super) delays: DelaysRecord,
    pub(super) state: StateRecord,
    pub(super) payload: T,
}

/// Where a job stands in its backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct DelaysRecord {
    pub(super) given: u32,
    pub(super) previous_ns: u64,
    /// Since the first delay was asked for.
    pub(super) elapsed_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) enum StateRecord {
    Ready { turn: u64 },
    Backoff { due_in_ns: u64 },
    InFlight,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct EndingRecord<T> {
    pub(super) head: Head,
    pub(super) outcome: Outcome,
    pub(super) payload: T,
}

impl<T> Snapshot<T> {
    /// The version that it was written with.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// How many jobs are in it that have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.jobs.len())
    }

    /// Whether all jobs in it have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the wall clock showed when it was taken, the time since 1970; zero for one of another version.
    #[must_use]
    pub fn taken_at(&self) -> Duration {
        self.body.as_ref().map_or(Duration::ZERO, |body| Duration::from_nanos(body.taken_at_ns))
    }

    /// How long ago it was taken, by a wall clock that shows `wall`, the time since 1970.
    ///
    /// # Errors
    /// [`SnapshotError::TakenAt`] when that is before [`taken_at`](Self::taken_at): one of the two clocks was wrong, and how
    /// much of the deadlines has passed is not known. Whoever takes up the jobs all the same lets none of it have passed.
    pub fn down(&self, wall: Duration) -> Result<Duration, SnapshotError> {
        let taken_at = self.taken_at();
        wall.checked_sub(taken_at).ok_or(SnapshotError::TakenAt { ahead: taken_at.saturating_sub(wall) })
    }

    /// The same with other payloads.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> Snapshot<U> {
        let body = self.body.map(|body| {
            let body = *body;
            Box::new(Body {
                taken_at_ns: body.taken_at_ns,
                next_job: body.next_job,
                ledger: body.ledger,
                tokens: body.tokens,
                untold: body.untold,
                targets: body.targets,
                jobs: body
                    .jobs
                    .into_iter()
                    .map(|JobRecord { head, delays, state, payload }| JobRecord {
                        head,
                        delays,
                        state,
                        payload: change(payload),
                    })
                    .collect(),
                endings: body
                    .endings
                    .into_iter()
                    .map(|EndingRecord { head, outcome, payload }| EndingRecord {
                        head,
                        outcome,
                        payload: change(payload),
                    })
                    .collect(),
            })
        });
        Snapshot { version: self.version, body }
    }
}

impl<T> Scheduler<T> {
    /// All that has to outlive the process, at `now`; `wall` is what the wall clock shows, the time since 1970.
    ///
    /// For "no job lost, none run twice" it has to be the last that happens: after it, nothing is submitted, and no result
    /// comes in. One that is taken in passing stands for its own moment: what came later is not in it, and what ended later
    /// is in it still. Take it after `poll_start` and before the operations run, and a crash finds every attempt that
    /// could have taken effect marked as in flight.
    #[must_use]
    pub fn snapshot(&self, now: Instant, wall: Duration) -> Snapshot<T>
    where
        T: Clone,
    {
        let jobs = self.jobs.iter().map(|(id, job)| self.record(now, *id, job)).collect();
        let endings = self.endings.iter().map(|ending| ending_record(now, ending)).collect();
        let targets = self
            .targets
            .values()
            .map(|target| TargetRecord { name: (*target.name).to_owned(), tokens: target.tokens.thousandths() });
        let body = Body {
            taken_at_ns: nanos(wall),
            next_job: self.next_job,
            ledger: self.ledger,
            tokens: self.tokens.thousandths(),
            untold: self.endings.len() as u64,
            targets: targets.collect(),
            jobs,
            endings,
        };
        Snapshot { version: VERSION, body: Some(Box::new(body)) }
    }

    fn record(&self, now: Instant, id: JobId, job: &Job<T>) -> JobRecord<T>
    where
        T: Clone,
    {
        let target = self.targets.get(&job.target).expect("a target is there for as long as its jobs");
        let head = Head {
            id,
            target: (*target.name).to_owned(),
            operation: (*job.operation).to_owned(),
            repeatable: job.repeatable,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            age_ns: ago(now, job.submitted),
            since_ns: ago(now, job.since),
            deadline_in_ns: job.deadline.map(|deadline| ahead(now, deadline, DEADLINE_MAX)),
            last_failure: job.last_failure,
        };
        let state = match &job.state {
            JobState::Ready { turn } => StateRecord::Ready { turn: *turn },
            JobState::Backoff { due } => StateRecord::Backoff { due_in_ns: ahead(now, *due, DELAY_MAX) },
            JobState::InFlight { .. } => StateRecord::InFlight,
        };
        let (given, previous_ns, started) = job.delays.position();
        let delays = DelaysRecord { given, previous_ns, elapsed_ns: started.map(|started| ago(now, started)) };
        JobRecord { head, delays, state, payload: job.payload.clone() }
    }
}

fn ending_record<T: Clone>(now: Instant, ending: &Ending<T>) -> EndingRecord<T> {
    let context = &ending.context;
    let head = Head {
        id: context.id,
        target: (*context.target).to_owned(),
        operation: (*context.operation).to_owned(),
        repeatable: context.is_repeatable,
        attempts: context.attempts,
        max_attempts: context.max_attempts,
        age_ns: ago(now, context.submitted),
        since_ns: ago(now, context.since),
        deadline_in_ns: context.deadline.map(|deadline| ahead(now, deadline, DEADLINE_MAX)),
        last_failure: context.last_failure,
    };
    EndingRecord { head, outcome: ending.outcome, payload: ending.payload.clone() }
}

fn ago(now: Instant, then: Instant) -> u64 {
    nanos(now.saturating_duration_since(then))
}

/// A clock that went back makes nothing last longer than it was given.
fn ahead(now: Instant, then: Instant, longest: Duration) -> u64 {
    nanos(then.saturating_duration_since(now).min(longest))
}

/// Half a thousand years at most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A snapshot that is not restored. It is given back whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedSnapshot<T> {
    /// Why.
    pub error: SnapshotError,
    /// As it was handed in.
    pub snapshot: Snapshot<T>,
}

impl<T> fmt::Display for RejectedSnapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the snapshot is not restored: {}", self.error)
    }
}

impl<T: fmt::Debug> core::error::Error for RejectedSnapshot<T> {}

/// What is wrong with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is of another version.
    Version {
        /// Its version.
        found: u32,
        /// The one that is read.
        supported: u32,
    },
    /// The scheduler has taken jobs already.
    NotEmpty,
    /// There are more jobs in it than the scheduler may hold.
    TooMany {
        /// Jobs, with those whose end was not fetched.
        jobs: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Two jobs have the same number.
    Duplicate(JobId),
    /// A job has the number zero, or one that has not been given out.
    Number(JobId),
    /// `max_attempts` is zero.
    MaxAttempts(JobId),
    /// There were more attempts than there may be.
    AttemptsOverMax {
        /// Of this job.
        id: JobId,
        /// How many there were.
        attempts: u32,
        /// How many there may be.
        max_attempts: u32,
    },
    /// A job waits after an attempt, or is in flight, and has had no attempt.
    NoAttempt(JobId),
    /// The name of its target or operation is too long.
    NameLen(JobId),
    /// A deadline is further away than [`DEADLINE_MAX`](super::DEADLINE_MAX).
    Deadline(JobId),
    /// A backoff is longer than one can be, or lasts beyond the job's deadline.
    Backoff(JobId),
    /// There are more delays than attempts, or one longer than one can be.
    Delays(JobId),
    /// The ledger does not balance, or does not fit the jobs.
    Ledger,
    /// A target is there twice.
    Target,
    /// It has not as many ends that were not fetched as it says.
    Untold {
        /// How many there are.
        found: u64,
        /// How many it says.
        expected: u64,
    },
    /// It was taken later than now, by the wall clock.
    TakenAt {
        /// How much later.
        ahead: Duration,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found, supported } => write!(f, "its version is {found}, not {supported}"),
            Self::NotEmpty => f.write_str("the scheduler has taken jobs already"),
            Self::TooMany { jobs, limit } => write!(f, "there are {jobs} jobs in it, over the limit of {limit}"),
            Self::Duplicate(id) => write!(f, "there are two jobs {id}"),
            Self::Number(id) => write!(f, "no job can have the number {id}"),
            Self::MaxAttempts(id) => write!(f, "job {id}: `max_attempts` is zero"),
            Self::AttemptsOverMax { id, attempts, max_attempts } => {
                write!(f, "job {id}: `attempts` is {attempts}, over `max_attempts` of {max_attempts}")
            }
            Self::NoAttempt(id) => write!(f, "job {id}: `attempts` is zero, and `state` is after one"),
            Self::NameLen(id) => write!(f, "job {id}: the name of its target or operation is too long"),
            Self::Deadline(id) => write!(f, "job {id}: `deadline_in_ns` is out of range"),
            Self::Backoff(id) => write!(f, "job {id}: `due_in_ns` is out of range, or after the deadline"),
            Self::Delays(id) => write!(f, "job {id}: `delays` is out of range"),
            Self::Ledger => f.write_str("`ledger` does not balance, or does not fit the jobs"),
            Self::Target => f.write_str("`targets` has a name twice"),
            Self::Untold { found, expected } => write!(f, "`endings` has {found} jobs, and `untold` is {expected}"),
            Self::TakenAt { ahead } => write!(f, "`taken_at_ns` is {} ms ahead of the clock", ahead.as_millis()),
        }
    }
}

impl core::error::Error for SnapshotError {}
