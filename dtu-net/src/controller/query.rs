//! What waits, since when, and why.

use super::job::{Job, JobId, JobState, RetryContext, Scope, Why};
use super::scheduler::Scheduler;
use super::target::Target;
use core::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

impl<T> Scheduler<T> {
    /// Where a job stands; `None` when it has ended, or never was.
    #[must_use]
    pub fn query(&self, now: Instant, id: JobId) -> Option<RetryContext> {
        self.jobs.get(&id).map(|job| self.context(now, id, job))
    }

    /// Where the jobs after `after` stand, in the order of their numbers; all with `None`. To look at many in parts, go on
    /// after the last one seen.
    pub fn queries(&self, now: Instant, after: Option<JobId>) -> impl Iterator<Item = RetryContext> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((first, Bound::Unbounded)).map(move |(id, job)| self.context(now, *id, job))
    }

    /// The names of the targets, each with its number of jobs.
    pub fn targets(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.names.iter().map(|(name, id)| (name, self.targets.get(id).map_or(0, |target| target.jobs.len())))
    }

    fn context(&self, now: Instant, id: JobId, job: &Job<T>) -> RetryContext {
        let target = self.targets.get(&job.target).expect("a target is there for as long as its jobs");
        let (why, next_attempt) = match &job.state {
            JobState::InFlight { .. } => (Why::InFlight, None),
            JobState::Backoff { due } => (Why::Backoff, Some(*due)),
            JobState::Ready { .. } => self.why_ready(now, job, target),
        };
        job.context(id, Arc::clone(&target.name), why, next_attempt)
    }

    /// In the order in which `poll_start` looks.
    fn why_ready(&self, now: Instant, job: &Job<T>, target: &Target) -> (Why, Option<Instant>) {
        let limits = [
            (self.in_flight >= self.max_in_flight(), Scope::Process),
            (target.is_full(), Scope::Target),
            (target.is_lane_full(&self.policies, &job.operation), Scope::Operation),
        ];
        if self.is_closed {
            return (Why::Closed, None);
        }
        if let Some((_, scope)) = limits.into_iter().find(|(is_full, _)| *is_full) {
            return (Why::Concurrency(scope), None);
        }
        if job.attempts > 0 {
            for (tokens, scope) in [(target.tokens, Scope::Target), (self.tokens, Scope::Process)] {
                // Of a copy: a look changes nothing.
                let mut tokens = tokens;
                if !tokens.is_ready(now) {
                    return (Why::Budget(scope), tokens.next_token());
                }
            }
        }
        match target.refused_until {
            Some(until) => (Why::BreakerOpen, Some(until)),
            None => (Why::Turn, None),
        }
    }
}
