//! From a snapshot back to a scheduler.

use super::failure::Failure;
use super::job::{Ending, Job, JobId, JobState, RetryContext, Why};
use super::outcome::{Ledger, Outcome};
use super::scheduler::Scheduler;
use super::snapshot::{
    Body, DELAY_MAX, EndingRecord, Head, JobRecord, RejectedSnapshot, Snapshot, SnapshotError, StateRecord, VERSION,
};
use super::target::TargetId;
use super::{DEADLINE_MAX, NAME_LEN_MAX};
use crate::backoff::Delays;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// No scheduler has counted so far; what goes on from here does not overflow.
const COUNT_MAX: u64 = u64::MAX / 2;

impl<T> Scheduler<T> {
    /// Takes up the jobs of a snapshot, after the targets were added and before any job is submitted. `down` is how long
    /// ago it was taken ([`Snapshot::down`]); it counts against deadlines and delays.
    ///
    /// | job in the snapshot | is now |
    /// |---|---|
    /// | waits | where it was, in its turn, with what is left of its delay |
    /// | in flight, and repeatable | a failed attempt, [`Interrupted`](super::FailureClass::Interrupted): it waits for its next, or has none left |
    /// | in flight, and not repeatable | ended, [`Outcome::InDoubt`] |
    /// | past its deadline | ended, [`Outcome::Expired`] |
    /// | of a target that is not there | ended, [`Outcome::TargetGone`] |
    /// | ended, and not fetched | comes again from [`poll_event`](Self::poll_event) |
    ///
    /// A job keeps the number of attempts and the deadline that it was taken with; all else is by the policies of now.
    ///
    /// # Errors
    /// Another version, contradictions, or too many jobs: nothing is taken up, and the snapshot is given back.
    pub fn restore(&mut self, now: Instant, down: Duration, snapshot: Snapshot<T>) -> Result<(), RejectedSnapshot<T>> {
        if let Err(error) = self.check(&snapshot) {
            return Err(RejectedSnapshot { error, snapshot });
        }
        let mut body = *snapshot.body.expect("it was found by the check");
        self.next_job = body.next_job;
        self.ledger = body.ledger;
        self.tokens.restore(body.tokens);
        for record in &body.targets {
            if let Some(id) = self.names.get(record.name.as_str()).copied() {
                self.target(id).tokens.restore(record.tokens);
            }
        }
        let clock = Clock { now, down };
        self.endings.extend(body.endings.drain(..).map(|record| clock.ending(record)));
        // What was ready comes in its order, before what becomes ready by the time that has passed.
        body.jobs.sort_by_key(|record| match record.state {
            StateRecord::Ready { turn } => (turn, 0),
            StateRecord::Backoff { due_in_ns } => (u64::MAX, due_in_ns),
            StateRecord::InFlight => (u64::MAX, u64::MAX),
        });
        for record in body.jobs {
            self.take_up(&clock, record);
        }
        Ok(())
    }

    fn take_up(&mut self, clock: &Clock, record: JobRecord<T>) {
        let now = clock.now;
        let JobRecord { head, delays, state, payload } = record;
        let id = head.id;
        let is_lost = matches!(state, StateRecord::InFlight) && !head.repeatable;
        let target = self.names.get(head.target.as_str()).copied();
        let outcome = match target {
            _ if is_lost => Err(Outcome::InDoubt),
            None => Err(Outcome::TargetGone),
            Some(target) => Ok(target),
        };
        let target: TargetId = match outcome {
            Ok(target) => target,
            Err(outcome) => {
                self.ledger.end(outcome);
                let context = RetryContext { since: now, ..clock.context(head) };
                self.endings.push_back(Ending { outcome, context, payload });
                return;
            }
        };
        let policy = self.policies.of(&head.target, &head.operation);
        let started = delays.elapsed_ns.map(|elapsed| clock.past(elapsed));
        let delays = Delays::at(policy.backoff, delays.given, delays.previous_ns, started);
        let context = clock.context(head);
        let job = Job {
            target,
            operation: context.operation,
            payload,
            repeatable: context.is_repeatable,
            max_attempts: context.max_attempts,
            attempts: context.attempts,
            delays,
            submitted: context.submitted,
            since: context.since,
            deadline: context.deadline,
            last_failure: context.last_failure,
            state: JobState::Backoff { due: now },
            timer: None,
        };
        self.insert(id, job);
        if self.job(id).is_expired(now) {
            return self.end(now, id, Outcome::Expired);
        }
        match state {
            StateRecord::InFlight => {
                let _told_by_events = self.failed(now, id, Failure::INTERRUPTED);
            }
            StateRecord::Ready { .. } => self.make_ready(id, context.since),
            StateRecord::Backoff { due_in_ns } => match clock.left(due_in_ns) {
                Duration::ZERO => self.make_ready(id, now),
                left => self.wait_until(id, now + left),
            },
        }
    }

    fn check(&self, snapshot: &Snapshot<T>) -> Result<(), SnapshotError> {
        let version = SnapshotError::Version { found: snapshot.version, supported: VERSION };
        let body = snapshot.body.as_deref().filter(|_| snapshot.version == VERSION).ok_or(version)?;
        if self.ledger != Ledger::default() {
            return Err(SnapshotError::NotEmpty);
        }
        let jobs = body.jobs.len() + body.endings.len();
        if jobs > self.max_jobs() {
            return Err(SnapshotError::TooMany { jobs, limit: self.max_jobs() });
        }
        check_whole(body)?;
        let mut seen = BTreeSet::new();
        let heads = body.jobs.iter().map(|job| &job.head).chain(body.endings.iter().map(|ending| &ending.head));
        for head in heads {
            check_head(head, body.next_job)?;
            if !seen.insert(head.id) {
                return Err(SnapshotError::Duplicate(head.id));
            }
        }
        body.jobs.iter().try_for_each(check_job)
    }
}

/// What no single job shows.
fn check_whole<T>(body: &Body<T>) -> Result<(), SnapshotError> {
    let ledger = &body.ledger;
    let ended = ledger.ended().filter(|_| ledger.balances()).ok_or(SnapshotError::Ledger)?;
    let counts = [ledger.submitted, ledger.first_attempts, ledger.retries, ledger.stale];
    if counts.into_iter().any(|count| count > COUNT_MAX) {
        return Err(SnapshotError::Ledger);
    }
    let given_out = ledger.submitted - ledger.rejected;
    if ledger.pending != body.jobs.len() as u64
        || ended < body.endings.len() as u64
        || given_out.checked_add(1) != Some(body.next_job)
    {
        return Err(SnapshotError::Ledger);
    }
    let found = body.endings.len() as u64;
    if found != body.untold {
        return Err(SnapshotError::Untold { found, expected: body.untold });
    }
    let mut names = BTreeSet::new();
    if body.targets.iter().all(|target| names.insert(&target.name)) { Ok(()) } else { Err(SnapshotError::Target) }
}

fn check_head(head: &Head, next_job: u64) -> Result<(), SnapshotError> {
    let id = head.id;
    if id == JobId(0) || id.number() >= next_job {
        return Err(SnapshotError::Number(id));
    }
    if head.max_attempts == 0 {
        return Err(SnapshotError::MaxAttempts(id));
    }
    if head.attempts > head.max_attempts {
        let (attempts, max_attempts) = (head.attempts, head.max_attempts);
        return Err(SnapshotError::AttemptsOverMax { id, attempts, max_attempts });
    }
    if head.target.len() > NAME_LEN_MAX || head.operation.len() > NAME_LEN_MAX {
        return Err(SnapshotError::NameLen(id));
    }
    if head.deadline_in_ns.is_some_and(|left| Duration::from_nanos(left) > DEADLINE_MAX) {
        return Err(SnapshotError::Deadline(id));
    }
    Ok(())
}

fn check_job<T>(job: &JobRecord<T>) -> Result<(), SnapshotError> {
    let (head, delays) = (&job.head, &job.delays);
    let id = head.id;
    // Whoever waits for an attempt has one left; the one in flight may be the last.
    let least = match job.state {
        StateRecord::Ready { .. } => 0,
        StateRecord::Backoff { due_in_ns } => {
            let is_after_deadline = head.deadline_in_ns.is_some_and(|left| left < due_in_ns);
            if is_after_deadline || Duration::from_nanos(due_in_ns) > DELAY_MAX {
                return Err(SnapshotError::Backoff(id));
            }
            1
        }
        StateRecord::InFlight => 1,
    };
    if head.attempts < least {
        return Err(SnapshotError::NoAttempt(id));
    }
    if head.attempts == head.max_attempts && job.state != StateRecord::InFlight {
        let (attempts, max_attempts) = (head.attempts, head.max_attempts);
        return Err(SnapshotError::AttemptsOverMax { id, attempts, max_attempts });
    }
    if delays.given > head.attempts || Duration::from_nanos(delays.previous_ns) > DELAY_MAX {
        return Err(SnapshotError::Delays(id));
    }
    Ok(())
}

/// Turns durations around the snapshot's moment into instants.
struct Clock {
    now: Instant,
    down: Duration,
}

impl Clock {
    /// What was so long ago at the snapshot's moment. As far back as instants go.
    fn past(&self, ago_ns: u64) -> Instant {
        let ago = Duration::from_nanos(ago_ns).saturating_add(self.down);
        self.now.checked_sub(ago).unwrap_or(self.now)
    }

    fn left(&self, ahead_ns: u64) -> Duration {
        Duration::from_nanos(ahead_ns).saturating_sub(self.down)
    }

    fn context(&self, head: Head) -> RetryContext {
        RetryContext {
            id: head.id,
            target: head.target.into(),
            operation: Arc::from(head.operation),
            attempts: head.attempts,
            max_attempts: head.max_attempts,
            is_repeatable: head.repeatable,
            submitted: self.past(head.age_ns),
            deadline: head.deadline_in_ns.map(|left| self.now + self.left(left)),
            last_failure: head.last_failure,
            why: Why::Ended,
            since: self.past(head.since_ns),
            next_attempt: None,
        }
    }

    fn ending<T>(&self, record: EndingRecord<T>) -> Ending<T> {
        Ending { outcome: record.outcome, context: self.context(record.head), payload: record.payload }
    }
}
