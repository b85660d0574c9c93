//! A scheduler and its clock.

use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::controller::{
    Budget, Disposition, Ending, Event, Failure, JobId, NewJob, Outcome, Policies, Policy, RetryContext, Scheduler,
    SchedulerConfig, Stop, TargetConfig,
};
use std::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// One second between attempts, five of them, of 10 s at most, without a deadline.
pub(crate) const PLAIN: Policy = Policy::DEFAULT
    .backoff(Backoff::fixed(SECOND).jitter(Jitter::None))
    .max_attempts(5)
    .attempt_timeout(Duration::from_secs(10))
    .without_deadline();

pub(crate) struct Bench {
    pub(crate) scheduler: Scheduler<u32>,
    pub(crate) now: Instant,
}

impl Bench {
    /// With the targets `a` and `b`.
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with(SchedulerConfig::DEFAULT, Policies::new(policy).unwrap(), TargetConfig::DEFAULT)
    }

    pub(crate) fn with(config: SchedulerConfig, policies: Policies, target: TargetConfig) -> Self {
        let now = start();
        let mut scheduler = Scheduler::new(config, policies, 1, now).unwrap();
        for name in ["a", "b"] {
            scheduler.add_target(now, name, target).unwrap();
        }
        Self { scheduler, now }
    }

    pub(crate) fn submit(&mut self, job: NewJob<u32>) -> JobId {
        self.scheduler.submit(self.now, job).unwrap()
    }

    pub(crate) fn repeatable(&mut self, target: &str) -> JobId {
        self.submit(NewJob::new(target, "read", 0).repeatable())
    }

    pub(crate) fn next_start(&mut self) -> Option<(JobId, u32)> {
        self.scheduler.poll_start(self.now).map(|start| (start.context.id, start.context.attempts))
    }

    pub(crate) fn starts(&mut self) -> Vec<(JobId, u32)> {
        core::iter::from_fn(|| self.next_start()).collect()
    }

    pub(crate) fn finish(&mut self, (id, attempt): (JobId, u32), result: Result<(), Failure>) -> Disposition {
        self.scheduler.handle_outcome(self.now, id, attempt, result)
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.scheduler.handle_timeout(self.now);
    }

    pub(crate) fn ending(&mut self) -> Option<Ending<u32>> {
        match self.scheduler.poll_event()? {
            Event::Ended(ending) => Some(ending),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn outcome(&mut self) -> Option<(JobId, Outcome)> {
        self.ending().map(|ending| (ending.context.id, ending.outcome))
    }

    pub(crate) fn stop(&mut self) -> Option<Stop> {
        match self.scheduler.poll_event()? {
            Event::Stop(stop) => Some(stop),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn query(&self, id: JobId) -> RetryContext {
        self.scheduler.query(self.now, id).unwrap()
    }
}

pub(crate) fn generous() -> Budget {
    Budget::new(1000, 1000).unwrap()
}
