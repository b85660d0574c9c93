//! The scheduler: who gets in, and how jobs leave. What runs when is in `turns`.

use super::budget::{Budget, Tokens};
use super::job::{Ending, Job, JobId, JobState, NewJob, Rejected, Why};
use super::outcome::{Event, Ledger, Outcome, RejectCause, Stop, StopCause};
use super::policy::Policies;
use super::target::{Ready, Target, TargetConfig, TargetId};
use super::{DEADLINE_MAX, IN_FLIGHT, JOBS, NAME_LEN_MAX, TARGETS};
use crate::backoff::Delays;
use crate::breaker::Breaker;
use crate::policy::{Bound, Field, PolicyError};
use core::fmt;
use rand_core::SeedableRng;
use rand_pcg::Pcg32;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The limits of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerConfig {
    max_jobs: usize,
    max_targets: usize,
    max_in_flight: u32,
    budget: Budget,
}

impl SchedulerConfig {
    /// [`JOBS`], [`TARGETS`], [`IN_FLIGHT`] and [`Budget::PROCESS`].
    pub const DEFAULT: Self =
        Self { max_jobs: JOBS, max_targets: TARGETS, max_in_flight: IN_FLIGHT, budget: Budget::PROCESS };

    /// Holds so many jobs. Those whose end was not fetched yet count.
    #[must_use]
    pub const fn max_jobs(self, max_jobs: usize) -> Self {
        Self { max_jobs, ..self }
    }

    /// Holds so many targets.
    #[must_use]
    pub const fn max_targets(self, max_targets: usize) -> Self {
        Self { max_targets, ..self }
    }

    /// Runs so many attempts at a time.
    #[must_use]
    pub const fn max_in_flight(self, max_in_flight: u32) -> Self {
        Self { max_in_flight, ..self }
    }

    /// Allows so many retries, of all targets together.
    #[must_use]
    pub const fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        for (field, is_zero) in [
            (Field::MaxJobs, self.max_jobs == 0),
            (Field::MaxTargets, self.max_targets == 0),
            (Field::MaxInFlight, self.max_in_flight == 0),
        ] {
            if is_zero {
                return Err(PolicyError::new(field, Bound::AtLeast(1)));
            }
        }
        Ok(())
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a target was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// There is one of that name.
    Exists,
    /// As many targets as allowed are there.
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// Its name is too long.
    NameLen {
        /// Its bytes.
        len: usize,
        /// The bytes allowed.
        limit: usize,
    },
    /// Its `max_in_flight` is zero.
    MaxInFlight,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("there is a target of that name"),
            Self::TooMany { limit } => write!(f, "{limit} targets are there already"),
            Self::NameLen { len, limit } => write!(f, "the name has {len} bytes, over the limit of {limit}"),
            Self::MaxInFlight => f.write_str("`max_in_flight` is zero"),
        }
    }
}

impl core::error::Error for TargetError {}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Job(JobId),
    Target(TargetId),
}

/// An attempt that the caller has to stop, or has been told to.
#[derive(Debug)]
pub(super) struct Stopping {
    target: TargetId,
    operation: Arc<str>,
}

/// The machine; see the [module](super) for its loop and its rules.
#[derive(Debug)]
pub struct Scheduler<T> {
    pub(super) config: SchedulerConfig,
    pub(super) policies: Policies,
    pub(super) jobs: BTreeMap<JobId, Job<T>>,
    pub(super) targets: BTreeMap<TargetId, Target>,
    pub(super) names: BTreeMap<Arc<str>, TargetId>,
    pub(super) timers: BTreeSet<(Instant, Timer)>,
    /// The targets that may have something to start, in their turns.
    pub(super) ring: VecDeque<TargetId>,
    /// The targets with retries for which the process has no token.
    pub(super) process_waiters: VecDeque<TargetId>,
    pub(super) tokens: Tokens,
    /// With those that are being stopped.
    pub(super) in_flight: u32,
    /// The attempts that are over for the scheduler and still take a slot, until the caller tells their end.
    pub(super) stopping: BTreeMap<(JobId, u32), Stopping>,
    /// Those of `stopping` that the caller does not know of.
    untold: BTreeMap<(JobId, u32), StopCause>,
    pub(super) endings: VecDeque<Ending<T>>,
    pub(super) ledger: Ledger,
    pub(super) next_job: u64,
    next_target: u64,
    pub(super) next_turn: u64,
    pub(super) rng: Pcg32,
    pub(super) is_closed: bool,
}

impl<T> Scheduler<T> {
    /// A scheduler without targets. The seed is for the jitter.
    ///
    /// # Errors
    /// A limit of `config` that is zero.
    pub fn new(config: SchedulerConfig, policies: Policies, seed: u64, now: Instant) -> Result<Self, PolicyError> {
        config.check()?;
        Ok(Self {
            config,
            policies,
            jobs: BTreeMap::new(),
            targets: BTreeMap::new(),
            names: BTreeMap::new(),
            timers: BTreeSet::new(),
            ring: VecDeque::new(),
            process_waiters: VecDeque::new(),
            tokens: Tokens::full(config.budget, now),
            in_flight: 0,
            stopping: BTreeMap::new(),
            untold: BTreeMap::new(),
            endings: VecDeque::new(),
            ledger: Ledger::default(),
            next_job: 1,
            next_target: 0,
            next_turn: 0,
            rng: Pcg32::seed_from_u64(seed),
            is_closed: false,
        })
    }

    /// Adds a target.
    ///
    /// # Errors
    /// The name is taken or too long, there are too many, or a limit is zero.
    pub fn add_target(&mut self, now: Instant, name: &str, config: TargetConfig) -> Result<(), TargetError> {
        if config.max_in_flight == 0 {
            return Err(TargetError::MaxInFlight);
        }
        if name.len() > NAME_LEN_MAX {
            return Err(TargetError::NameLen { len: name.len(), limit: NAME_LEN_MAX });
        }
        if self.names.contains_key(name) {
            return Err(TargetError::Exists);
        }
        if self.targets.len() >= self.config.max_targets {
            return Err(TargetError::TooMany { limit: self.config.max_targets });
        }
        let id = TargetId(self.next_target);
        self.next_target += 1;
        let name: Arc<str> = name.into();
        self.targets.insert(id, Target::new(Arc::clone(&name), config, now));
        self.names.insert(name, id);
        Ok(())
    }

    /// Removes a target; its jobs end in [`Outcome::TargetGone`]. Gives their number, or `None` without such a target.
    pub fn remove_target(&mut self, now: Instant, name: &str) -> Option<usize> {
        let id = *self.names.get(name)?;
        let jobs = core::mem::take(&mut self.target(id).jobs);
        for job in &jobs {
            self.stop(*job, StopCause::TargetGone);
            self.end(now, *job, Outcome::TargetGone);
        }
        self.names.remove(name);
        let target = self.targets.remove(&id).expect("a target that has a name exists");
        if let Some(at) = target.timer {
            self.timers.remove(&(at, Timer::Target(id)));
        }
        self.ring.retain(|other| *other != id);
        self.process_waiters.retain(|other| *other != id);
        Some(jobs.len())
    }

    /// The breaker of a target, for its state and its events. After a change by hand call [`look_again`](Self::look_again).
    #[must_use]
    pub fn breaker(&self, target: &str) -> Option<&Arc<Breaker>> {
        Some(&self.targets.get(self.names.get(target)?)?.breaker)
    }

    /// Asks the breaker of a target again at the next [`poll_start`](Self::poll_start), and not when it said it should be;
    /// for a breaker that was closed by hand.
    pub fn look_again(&mut self, target: &str) {
        if let Some(id) = self.names.get(target).copied() {
            self.wake(id);
        }
    }

    /// Takes a job.
    ///
    /// # Errors
    /// The cause, with the job. The scheduler is closed or full, the target is unknown, or a field is out of its range.
    pub fn submit(&mut self, now: Instant, job: NewJob<T>) -> Result<JobId, Rejected<T>> {
        self.ledger.submitted += 1;
        let target = match self.admit(&job) {
            Ok(target) => target,
            Err(cause) => {
                self.ledger.rejected += 1;
                return Err(Rejected { cause, job });
            }
        };
        self.ledger.pending += 1;
        let id = JobId(self.next_job);
        self.next_job += 1;
        let policy = self.policies.of(&job.target, &job.operation);
        let job = Job {
            target,
            operation: job.operation,
            payload: job.payload,
            repeatable: job.repeatable,
            max_attempts: policy.max_attempts,
            attempts: 0,
            delays: Delays::new(policy.backoff),
            submitted: now,
            since: now,
            deadline: job.deadline.or(policy.deadline).map(|deadline| now + deadline),
            last_failure: None,
            state: JobState::Backoff { due: now },
            timer: None,
        };
        self.insert(id, job);
        self.make_ready(id, now);
        Ok(id)
    }

    fn admit(&self, job: &NewJob<T>) -> Result<TargetId, RejectCause> {
        if self.is_closed {
            return Err(RejectCause::Closed);
        }
        if job.operation.len() > NAME_LEN_MAX {
            return Err(RejectCause::OperationLen { len: job.operation.len(), limit: NAME_LEN_MAX });
        }
        if let Some(given) = job.deadline
            && (given.is_zero() || given > DEADLINE_MAX)
        {
            return Err(RejectCause::Deadline { given });
        }
        let target = *self.names.get(&job.target).ok_or(RejectCause::UnknownTarget)?;
        if self.jobs.len() + self.endings.len() >= self.config.max_jobs {
            return Err(RejectCause::Full { limit: self.config.max_jobs });
        }
        Ok(target)
    }

    /// Ends a job, in [`Outcome::Cancelled`]. Returns whether there was one of that number.
    pub fn cancel(&mut self, now: Instant, id: JobId) -> bool {
        if !self.jobs.contains_key(&id) {
            return false;
        }
        self.stop(id, StopCause::Cancelled);
        self.end(now, id, Outcome::Cancelled);
        true
    }

    /// Takes no more jobs and begins no more attempts. What is in flight may end, and deadlines hold.
    pub const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether it was closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What the caller has to stop, then what has ended, each in no more than one event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        if let Some(((id, attempt), cause)) = self.untold.pop_first() {
            return Some(Event::Stop(Stop { id, attempt, cause }));
        }
        self.endings.pop_front().map(Event::Ended)
    }

    /// What became of all jobs so far.
    #[must_use]
    pub const fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// How many attempts take a slot: those in flight, and those that are being stopped.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) const fn max_in_flight(&self) -> u32 {
        self.config.max_in_flight
    }

    pub(super) const fn max_jobs(&self) -> usize {
        self.config.max_jobs
    }

    pub(super) fn insert(&mut self, id: JobId, job: Job<T>) {
        self.target(job.target).jobs.insert(id);
        self.jobs.insert(id, job);
    }

    pub(super) fn job(&mut self, id: JobId) -> &mut Job<T> {
        self.jobs.get_mut(&id).expect("whoever names a job has seen it")
    }

    pub(super) fn target(&mut self, id: TargetId) -> &mut Target {
        self.targets.get_mut(&id).expect("a target is there for as long as its jobs")
    }

    /// If an attempt of the job is in flight, it is over; without a verdict on the target.
    pub(super) fn stop(&mut self, id: JobId, cause: StopCause) {
        let job = self.job(id);
        if matches!(job.state, JobState::InFlight { .. }) {
            let stopping = Stopping { target: job.target, operation: Arc::clone(&job.operation) };
            let attempt = (id, job.attempts);
            self.stopping.insert(attempt, stopping);
            self.untold.insert(attempt, cause);
        }
    }

    /// The caller tells the end of an attempt that was over. Returns whether it was one.
    pub(super) fn stopped(&mut self, id: JobId, attempt: u32) -> bool {
        let Some(Stopping { target, operation }) = self.stopping.remove(&(id, attempt)) else { return false };
        self.untold.remove(&(id, attempt));
        self.free_slot(target, &operation);
        true
    }

    pub(super) fn free_slot(&mut self, target: TargetId, operation: &Arc<str>) {
        self.in_flight -= 1;
        // A target that was removed has no slots any more.
        if let Some(known) = self.targets.get_mut(&target) {
            known.free_slot(&self.policies, operation);
            self.wake(target);
        }
    }

    /// The job leaves; the slot of its attempt is the caller's to free.
    pub(super) fn end(&mut self, now: Instant, id: JobId, outcome: Outcome) {
        let mut job = self.jobs.remove(&id).expect("a job ends once");
        if let Some(at) = job.timer {
            self.timers.remove(&(at, Timer::Job(id)));
        }
        let target = self.targets.get_mut(&job.target).expect("a target is there for as long as its jobs");
        target.jobs.remove(&id);
        if let JobState::Ready { turn } = job.state {
            let ready = Ready { turn, id, is_retry: job.attempts > 0 };
            target.remove_ready(&self.policies, &job.operation, ready);
        }
        self.ledger.end(outcome);
        job.since = now;
        let context = job.context(id, Arc::clone(&target.name), Why::Ended, None);
        self.endings.push_back(Ending { outcome, context, payload: job.payload });
    }
}
