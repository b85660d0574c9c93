//! What runs when.

use super::failure::{Failure, FailureClass};
use super::job::{JobId, JobState, RetryContext, Why};
use super::outcome::{Disposition, Outcome, StopCause};
use super::scheduler::{Scheduler, Timer};
use super::target::{Ready, TargetId};
use super::{BREAKER_RECHECK, TIMERS_PER_CALL};
use crate::backoff::SHORTEST;
use crate::retry::Verdict;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

/// An attempt to begin now. Tell its end by [`Scheduler::handle_outcome`], once, whatever happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start<'a, T> {
    /// Where the job stands; `attempts` is the number of this attempt.
    pub context: RetryContext,
    /// When the attempt will have to be stopped: its own time is over, or the job's deadline has come.
    pub until: Instant,
    /// What was submitted.
    pub payload: &'a T,
}

impl<T> Scheduler<T> {
    /// The next attempt to begin, as far as limits, breakers and budgets allow one.
    #[must_use]
    pub fn poll_start(&mut self, now: Instant) -> Option<Start<'_, T>> {
        let id = self.next_start(now)?;
        let (context, until) = self.begin(now, id);
        let payload = &self.jobs.get(&id).expect("it has just begun").payload;
        Some(Start { context, until, payload })
    }

    /// Whose turn it is. Its state holds the permit already.
    fn next_start(&mut self, now: Instant) -> Option<JobId> {
        loop {
            if self.is_closed || self.in_flight >= self.max_in_flight() {
                return None;
            }
            // Besides the ring, so that traffic without end does not hold up those who wait for a token.
            if self.tokens.is_ready(now)
                && let Some(waiter) = self.process_waiters.pop_front()
            {
                self.target(waiter).waits_for_process = false;
                self.wake(waiter);
            }
            let id = self.ring.pop_front()?;
            self.target(id).is_queued = false;
            if let Some(job) = self.try_target(now, id) {
                self.wake(id);
                return Some(job);
            }
        }
    }

    /// Something of the target that may begin, with its permit; otherwise the target leaves the ring until what it waits
    /// for has come.
    fn try_target(&mut self, now: Instant, id: TargetId) -> Option<JobId> {
        loop {
            let target = self.targets.get_mut(&id).expect("what is in the ring exists");
            if target.is_full() {
                return None;
            }
            let first = target.first_head();
            let retry = target.retry_head();
            let has_token = retry.is_some() && target.tokens.is_ready(now) && self.tokens.is_ready(now);
            let job = match (first, retry.filter(|_| has_token)) {
                (Some(first), Some(retry)) => first.min(retry).1,
                (Some((_, job)), None) | (None, Some((_, job))) => job,
                (None, None) => {
                    if retry.is_some() {
                        self.wait_for_token(now, id);
                    }
                    return None;
                }
            };
            if self.job(job).is_expired(now) {
                self.end(now, job, Outcome::Expired);
                continue;
            }
            let target = self.target(id);
            return match target.breaker.acquire_owned(now) {
                Ok(permit) => {
                    let job_state = &mut self.job(job).state;
                    let before = core::mem::replace(job_state, JobState::InFlight { until: now, permit });
                    let JobState::Ready { turn } = before else { unreachable!("what stands in a lane is ready") };
                    let is_retry = self.job(job).attempts > 0;
                    self.leave_lane(job, Ready { turn, id: job, is_retry });
                    Some(job)
                }
                Err(refused) => {
                    let again = now + refused.retry_after.clamp(SHORTEST, BREAKER_RECHECK);
                    target.refused_until = Some(again);
                    self.set_target_timer(id, Some(again));
                    None
                }
            };
        }
    }

    fn leave_lane(&mut self, id: JobId, ready: Ready) {
        let job = self.jobs.get(&id).expect("it has just been chosen");
        let target = self.targets.get_mut(&job.target).expect("a target is there for as long as its jobs");
        // The slot first, so that the lane stays.
        target.take_slot(&self.policies, &job.operation);
        target.remove_ready(&self.policies, &job.operation, ready);
        self.in_flight += 1;
    }

    fn wait_for_token(&mut self, now: Instant, id: TargetId) {
        let target = self.target(id);
        if !target.tokens.is_ready(now) {
            let at = target.tokens.next_token();
            self.set_target_timer(id, at);
        } else if !target.waits_for_process {
            target.waits_for_process = true;
            self.process_waiters.push_back(id);
        }
    }

    /// Counts the attempt, and gives it its time.
    fn begin(&mut self, now: Instant, id: JobId) -> (RetryContext, Instant) {
        let job = self.jobs.get_mut(&id).expect("it has just been chosen");
        let target = self.targets.get_mut(&job.target).expect("a target is there for as long as its jobs");
        if job.attempts == 0 {
            self.ledger.first_attempts += 1;
            target.tokens.deposit();
            self.tokens.deposit();
        } else {
            self.ledger.retries += 1;
            target.tokens.withdraw();
            self.tokens.withdraw();
        }
        job.attempts += 1;
        job.since = now;
        if let JobState::InFlight { until, .. } = &mut job.state {
            *until = now + self.policies.of(&target.name, &job.operation).attempt_timeout;
        }
        let context = job.context(id, Arc::clone(&target.name), Why::InFlight, None);
        let until = job.wake().expect("an attempt has a time");
        self.set_job_timer(id);
        (context, until)
    }

    /// An attempt has ended: it succeeded, failed, or was stopped. Whoever began one calls this once for it; after a
    /// [`Stop`](super::Stop) the result counts for nothing, and the call frees the slot.
    pub fn handle_outcome(
        &mut self,
        now: Instant,
        id: JobId,
        attempt: u32,
        result: Result<(), Failure>,
    ) -> Disposition {
        if self.stopped(id, attempt) || !self.is_running(id, attempt) {
            self.ledger.stale += 1;
            return Disposition::Stale;
        }
        let job = self.job(id);
        let (target, operation) = (job.target, Arc::clone(&job.operation));
        self.verdict(now, id, result.map_or_else(Failure::verdict, |()| Verdict::Answered));
        self.free_slot(target, &operation);
        match result {
            Ok(()) => {
                self.end(now, id, Outcome::Done);
                Disposition::Ended(Outcome::Done)
            }
            Err(failure) => self.failed(now, id, failure),
        }
    }

    fn is_running(&self, id: JobId, attempt: u32) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.attempts == attempt && matches!(job.state, JobState::InFlight { .. }))
    }

    /// Takes the permit out of the job, and tells the breaker what the attempt says about the target.
    fn verdict(&mut self, now: Instant, id: JobId, verdict: Verdict) {
        let before = core::mem::replace(&mut self.job(id).state, JobState::Backoff { due: now });
        let JobState::InFlight { permit, .. } = before else { unreachable!("the caller has seen it in flight") };
        match verdict {
            Verdict::Answered => permit.succeed(now),
            Verdict::Failed => permit.fail(now),
            Verdict::None => drop(permit),
        }
    }

    /// The job waits for its next attempt, or ends.
    pub(super) fn failed(&mut self, now: Instant, id: JobId, failure: Failure) -> Disposition {
        let job = self.jobs.get_mut(&id).expect("whoever names a job has seen it");
        job.last_failure = Some(failure.class());
        let hint = match failure.class() {
            FailureClass::RetryAfter(pause) => pause,
            FailureClass::Permanent | FailureClass::Panicked => return self.ended(now, id, Outcome::Failed),
            FailureClass::Transient | FailureClass::TimedOut | FailureClass::Interrupted => Duration::ZERO,
        };
        if !job.repeatable && !failure.is_unsent() {
            return self.ended(now, id, Outcome::InDoubt);
        }
        if job.attempts >= job.max_attempts {
            return self.ended(now, id, Outcome::Exhausted);
        }
        let Some(delay) = job.delays.next_at_least(now, hint, &mut self.rng) else {
            return self.ended(now, id, Outcome::Exhausted);
        };
        let due = now + delay;
        if job.is_expired(due) {
            return self.ended(now, id, Outcome::Expired);
        }
        job.since = now;
        self.wait_until(id, due);
        Disposition::Again { due }
    }

    pub(super) fn wait_until(&mut self, id: JobId, due: Instant) {
        self.job(id).state = JobState::Backoff { due };
        self.set_job_timer(id);
    }

    fn ended(&mut self, now: Instant, id: JobId, outcome: Outcome) -> Disposition {
        self.end(now, id, outcome);
        Disposition::Ended(outcome)
    }

    /// Does what is due. Early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..TIMERS_PER_CALL {
            match self.timers.first() {
                Some((at, _)) if *at <= now => {}
                Some(_) | None => return,
            }
            match self.timers.pop_first() {
                Some((_, Timer::Job(id))) => {
                    self.job(id).timer = None;
                    self.job_is_due(now, id);
                }
                Some((_, Timer::Target(id))) => {
                    self.target(id).timer = None;
                    self.wake(id);
                }
                None => return,
            }
        }
    }

    fn job_is_due(&mut self, now: Instant, id: JobId) {
        let job = self.job(id);
        if job.is_expired(now) {
            self.stop(id, StopCause::Expired);
            return self.end(now, id, Outcome::Expired);
        }
        match job.state {
            JobState::Ready { .. } => self.set_job_timer(id),
            JobState::Backoff { .. } => self.make_ready(id, now),
            JobState::InFlight { .. } => {
                self.stop(id, StopCause::TimedOut);
                self.verdict(now, id, Verdict::Failed);
                let _told_by_events = self.failed(now, id, Failure::TIMED_OUT);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_start`](Self::poll_start) have something to do next, if
    /// nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let can_start = !self.is_closed && self.in_flight < self.max_in_flight();
        let token = if can_start && !self.process_waiters.is_empty() { self.tokens.next_token() } else { None };
        self.timers.first().map(|(at, _)| *at).into_iter().chain(token).min()
    }

    /// The job waits for its turn.
    pub(super) fn make_ready(&mut self, id: JobId, since: Instant) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let job = self.jobs.get_mut(&id).expect("whoever names a job has seen it");
        job.state = JobState::Ready { turn };
        job.since = since;
        let target = self.targets.get_mut(&job.target).expect("a target is there for as long as its jobs");
        let ready = Ready { turn, id, is_retry: job.attempts > 0 };
        target.insert_ready(&self.policies, &job.operation, ready);
        let target = job.target;
        self.set_job_timer(id);
        self.wake(target);
    }

    /// The target may have something to start.
    pub(super) fn wake(&mut self, id: TargetId) {
        self.set_target_timer(id, None);
        let target = self.target(id);
        target.refused_until = None;
        if !target.is_queued {
            target.is_queued = true;
            self.ring.push_back(id);
        }
    }

    fn set_job_timer(&mut self, id: JobId) {
        let job = self.jobs.get_mut(&id).expect("whoever names a job has seen it");
        let wake = job.wake();
        let before = core::mem::replace(&mut job.timer, wake);
        if before == wake {
            return;
        }
        if let Some(at) = before {
            self.timers.remove(&(at, Timer::Job(id)));
        }
        if let Some(at) = wake {
            self.timers.insert((at, Timer::Job(id)));
        }
    }

    fn set_target_timer(&mut self, id: TargetId, at: Option<Instant>) {
        let before = core::mem::replace(&mut self.target(id).timer, at);
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Target(id)));
        }
        if let Some(at) = at {
            self.timers.insert((at, Timer::Target(id)));
        }
    }
}
