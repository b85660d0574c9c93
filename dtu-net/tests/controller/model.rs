//! A count of what a scheduler may do, kept beside it through random operations and restarts.

use crate::bench::{SECOND, start};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::controller::{
    Budget, Disposition, Ending, Event, Failure, FailureClass, JobId, NewJob, Outcome, Policies, Policy, RetryContext,
    Scheduler, SchedulerConfig, Snapshot, StopCause, TargetConfig, Why,
};
use std::collections::BTreeMap;
use std::time::Instant;

pub(crate) const TARGETS: [&str; 3] = ["a", "b", "c"];
pub(crate) const OPERATIONS: [&str; 2] = ["read", "write"];
const IN_FLIGHT: usize = 5;
const TARGET_IN_FLIGHT: usize = 3;
const WRITES: usize = 1;
/// A tenth of the traffic, and one each 30 s.
const SHARE: u64 = 100;
const TRICKLE: Duration = Duration::from_secs(30);
const BURST: u64 = 4;
const MAX_ATTEMPTS: u32 = 4;

struct Known {
    target: usize,
    operation: usize,
    repeatable: bool,
    attempts: u32,
    /// What the last attempt left behind allows another.
    may_repeat: bool,
    deadline: Option<Instant>,
    /// No attempt before a timeout at or after this.
    due: Option<Instant>,
    /// The outcomes that are possible now, beside those that follow from the deadline.
    expected: Option<Outcome>,
}

/// An attempt that takes a slot.
struct Running {
    target: usize,
    generation: u64,
    operation: usize,
}

/// Retries against first attempts.
struct Share {
    since: Instant,
    /// The time before the last restart.
    carried: Duration,
    firsts: u64,
    retries: u64,
}

pub(crate) struct Model {
    scheduler: Scheduler<u32>,
    pub(crate) now: Instant,
    /// The latest that the scheduler was ever told.
    latest: Instant,
    latest_timeout: Instant,
    seed: u64,
    known: BTreeMap<JobId, Known>,
    running: BTreeMap<(JobId, u32), Running>,
    /// The targets that are there, each with its generation.
    present: BTreeMap<usize, u64>,
    generations: u64,
    shares: BTreeMap<Option<u64>, Share>,
    pub(crate) ended: u64,
    submitted: u64,
    rejected: u64,
}

fn budget() -> Budget {
    Budget::new(SHARE as u16, BURST as u32).unwrap().trickle(TRICKLE).unwrap()
}

fn target_config() -> TargetConfig {
    TargetConfig::DEFAULT.max_in_flight(TARGET_IN_FLIGHT as u32).budget(budget())
}

fn scheduler(now: Instant, seed: u64) -> Scheduler<u32> {
    let policy = Policy::DEFAULT
        .backoff(Backoff::exponential(SECOND, 2_000, 8 * SECOND).jitter(Jitter::Full))
        .max_attempts(MAX_ATTEMPTS)
        .attempt_timeout(5 * SECOND)
        .without_deadline();
    let policies = Policies::new(policy).unwrap().operation("write", policy.concurrency(WRITES as u32)).unwrap();
    let config = SchedulerConfig::DEFAULT.max_jobs(40).max_in_flight(IN_FLIGHT as u32).budget(budget());
    Scheduler::new(config, policies, seed, now).unwrap()
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        let now = start();
        let mut model = Self {
            scheduler: scheduler(now, seed),
            now,
            latest: now,
            latest_timeout: now,
            seed,
            known: BTreeMap::new(),
            running: BTreeMap::new(),
            present: BTreeMap::new(),
            generations: 0,
            shares: BTreeMap::from([(None, Share { since: now, carried: Duration::ZERO, firsts: 0, retries: 0 })]),
            ended: 0,
            submitted: 0,
            rejected: 0,
        };
        (0..TARGETS.len()).for_each(|target| model.add_target(target));
        model
    }

    pub(crate) fn add_target(&mut self, target: usize) {
        let added = self.scheduler.add_target(self.now, TARGETS[target], target_config());
        assert_eq!(added.is_ok(), !self.present.contains_key(&target));
        if added.is_ok() {
            self.generations += 1;
            self.present.insert(target, self.generations);
            self.shares.insert(
                Some(self.generations),
                Share { since: self.now, carried: Duration::ZERO, firsts: 0, retries: 0 },
            );
        }
    }

    pub(crate) fn remove_target(&mut self, target: usize) {
        let was_there = self.present.remove(&target).is_some();
        self.expect_gone(target);
        assert_eq!(self.scheduler.remove_target(self.now, TARGETS[target]).is_some(), was_there);
    }

    /// Those of the target that have not ended yet end by its removal.
    fn expect_gone(&mut self, target: usize) {
        for (id, known) in self.known.iter_mut().filter(|(_, known)| known.target == target) {
            if self.scheduler.query(self.now, *id).is_some() {
                known.expected.get_or_insert(Outcome::TargetGone);
            }
        }
    }

    pub(crate) fn submit(&mut self, target: usize, operation: usize, repeatable: bool, deadline: Option<u64>) {
        let mut job = NewJob::new(TARGETS[target], OPERATIONS[operation], target as u32);
        if repeatable {
            job = job.repeatable();
        }
        let deadline = deadline.map(Duration::from_millis);
        if let Some(deadline) = deadline {
            job = job.deadline(deadline);
        }
        self.submitted += 1;
        match self.scheduler.submit(self.now, job) {
            Ok(id) => {
                let deadline = deadline.map(|deadline| self.now + deadline);
                let known = Known {
                    target,
                    operation,
                    repeatable,
                    attempts: 0,
                    may_repeat: true,
                    deadline,
                    due: None,
                    expected: None,
                };
                assert!(self.known.insert(id, known).is_none(), "the number was given out before");
            }
            Err(rejected) => {
                self.rejected += 1;
                assert!(!self.present.contains_key(&target) || self.known.len() >= 40, "{:?}", rejected.cause);
            }
        }
    }

    pub(crate) fn cancel(&mut self, nth: usize) {
        let Some(id) = nth_key(&self.known, nth) else { return };
        let known = self.known.get_mut(&id).unwrap();
        if self.scheduler.cancel(self.now, id) {
            assert_eq!(known.expected, None, "it had ended");
            known.expected = Some(Outcome::Cancelled);
        }
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.latest = self.latest.max(self.now);
    }

    pub(crate) fn go_back(&mut self, time: Duration) {
        self.now -= time;
    }

    pub(crate) fn timeout(&mut self) {
        self.latest_timeout = self.latest_timeout.max(self.now);
        self.scheduler.handle_timeout(self.now);
    }

    pub(crate) fn start(&mut self) -> bool {
        let Some(start) = self.scheduler.poll_start(self.now) else { return false };
        let (id, attempt) = (start.context.id, start.context.attempts);
        assert_eq!(start.context.why, Why::InFlight);
        let known = self.known.get_mut(&id).expect("it was submitted, and has not ended");
        assert_eq!((known.expected, known.attempts + 1), (None, attempt), "{id}");
        assert!(known.may_repeat, "{id} is not repeatable, and may have been done");
        assert!(attempt <= MAX_ATTEMPTS);
        assert_eq!(*start.payload, known.target as u32);
        assert!(known.deadline.is_none_or(|deadline| self.now < deadline), "{id} is late");
        assert!(known.due.is_none_or(|due| due <= self.latest_timeout), "{id} is early");
        (known.attempts, known.may_repeat) = (attempt, known.repeatable);
        let generation = self.present[&known.target];
        let running = Running { target: known.target, generation, operation: known.operation };
        for key in [None, Some(generation)] {
            let share = self.shares.get_mut(&key).unwrap();
            *if attempt == 1 { &mut share.firsts } else { &mut share.retries } += 1;
            let drops = ((self.latest - share.since + share.carried).as_nanos() / TRICKLE.as_nanos()) as u64;
            let most = 1000 * (BURST + drops) + SHARE * share.firsts;
            assert!(1000 * share.retries <= most, "{} retries, {} firsts", share.retries, share.firsts);
        }
        self.running.insert((id, attempt), running);
        let count = |of: &dyn Fn(&Running) -> bool| self.running.values().filter(|running| of(running)).count();
        assert!(count(&|_| true) <= IN_FLIGHT);
        assert!(count(&|running| running.generation == generation) <= TARGET_IN_FLIGHT);
        for target in 0..TARGETS.len() {
            let current = self.present.get(&target);
            let writes = |running: &Running| {
                running.target == target && current == Some(&running.generation) && running.operation == 1
            };
            assert!(count(&writes) <= WRITES);
        }
        true
    }

    pub(crate) fn finish(&mut self, nth: usize, result: Result<(), Failure>) {
        let Some((id, attempt)) = nth_key(&self.running, nth) else { return };
        self.running.remove(&(id, attempt));
        let disposition = self.scheduler.handle_outcome(self.now, id, attempt, result);
        let Some(known) = self.known.get_mut(&id) else {
            assert_eq!(disposition, Disposition::Stale);
            return;
        };
        match disposition {
            Disposition::Stale => {}
            Disposition::Ended(outcome) => {
                assert_eq!((known.expected, known.attempts), (None, attempt));
                let unsent = result.is_err_and(Failure::is_unsent);
                match outcome {
                    Outcome::Done => assert_eq!(result, Ok(())),
                    Outcome::Failed => assert_eq!(result.unwrap_err().class(), FailureClass::Permanent),
                    Outcome::InDoubt => assert!(!known.repeatable && !unsent),
                    Outcome::Exhausted => assert_eq!(attempt, MAX_ATTEMPTS),
                    Outcome::Expired => assert!(known.deadline.is_some()),
                    _ => panic!("{outcome}"),
                }
                known.expected = Some(outcome);
            }
            Disposition::Again { due } => {
                assert!(known.repeatable || result.is_err_and(Failure::is_unsent));
                (known.may_repeat, known.due) = (true, Some(due));
            }
            other => panic!("{other:?}"),
        }
        let again = self.scheduler.handle_outcome(self.now, id, attempt, Ok(()));
        assert_eq!(again, Disposition::Stale, "it was told before");
    }

    /// Fetches one event.
    pub(crate) fn event(&mut self) -> bool {
        match self.scheduler.poll_event() {
            Some(Event::Stop(stop)) => {
                assert!(self.running.contains_key(&(stop.id, stop.attempt)), "{stop:?} does not run");
                if stop.cause == StopCause::TimedOut
                    && let Some(known) = self.known.get_mut(&stop.id)
                    && known.attempts == stop.attempt
                {
                    known.due = self.scheduler.query(self.now, stop.id).and_then(|context| backoff(&context));
                }
                true
            }
            Some(Event::Ended(ending)) => {
                self.ending(&ending);
                true
            }
            Some(other) => panic!("{other:?}"),
            None => false,
        }
    }

    fn ending(&mut self, ending: &Ending<u32>) {
        let id = ending.context.id;
        let known = self.known.remove(&id).expect("a job ends once");
        assert_eq!((ending.payload, ending.context.attempts), (known.target as u32, known.attempts));
        let outcome = ending.outcome;
        match outcome {
            Outcome::Expired => assert!(known.deadline.is_some()),
            // By a timeout, or by a restart.
            Outcome::InDoubt if known.expected.is_none() => assert!(!known.repeatable && known.attempts > 0),
            Outcome::Exhausted if known.expected.is_none() => assert_eq!(known.attempts, MAX_ATTEMPTS),
            _ => assert_eq!(Some(outcome), known.expected),
        }
        self.ended += 1;
    }

    /// The process ends and another begins, without the targets of `gone`, after `down`.
    pub(crate) fn restart(&mut self, down: Duration, gone: Option<usize>) {
        let wall = Duration::from_secs(1_800_000_000);
        let bytes = serde_json::to_vec(&self.scheduler.snapshot(self.now, wall)).unwrap();
        self.now += down;
        // A new process has a clock of its own, even where that of the old one had gone back.
        for share in self.shares.values_mut() {
            share.carried += self.latest - share.since;
            share.since = self.now;
        }
        (self.latest, self.latest_timeout) = (self.now, self.now);
        self.seed += 1;
        self.running.clear();
        let mut next = scheduler(self.now, self.seed);
        for (id, known) in &mut self.known {
            let context = self.scheduler.query(self.now, *id);
            if context.is_some_and(|context| context.why == Why::InFlight) && !known.repeatable {
                known.expected = Some(Outcome::InDoubt);
            }
        }
        if let Some(gone) = gone {
            self.present.remove(&gone);
            self.expect_gone(gone);
        }
        for target in self.present.keys() {
            next.add_target(self.now, TARGETS[*target], target_config()).unwrap();
        }
        let snapshot: Snapshot<u32> = serde_json::from_slice(&bytes).unwrap();
        let passed = snapshot.down(wall + down).unwrap();
        assert_eq!(passed, down);
        next.restore(self.now, passed, snapshot).unwrap();
        self.scheduler = next;
        for (id, known) in &mut self.known {
            // Delays are drawn anew for what was in flight, and shorter by the time that passed for the rest.
            known.due = self.scheduler.query(self.now, *id).and_then(|context| backoff(&context));
            if known.due.is_some() {
                known.may_repeat = known.repeatable || known.may_repeat;
            }
            if let Some(deadline) = &mut known.deadline {
                *deadline =
                    self.scheduler.query(self.now, *id).and_then(|context| context.deadline).unwrap_or(*deadline);
            }
        }
    }

    /// What holds at any time.
    pub(crate) fn check(&self) {
        let ledger = self.scheduler.ledger();
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!((ledger.submitted, ledger.rejected), (self.submitted, self.rejected));
        assert_eq!(self.scheduler.in_flight() as usize, self.running.len());
        assert_eq!(ledger.submitted - ledger.rejected, self.known.len() as u64 + self.ended, "none is lost");
        let mut pending = 0;
        for context in self.scheduler.queries(self.now, None) {
            pending += 1;
            let known = &self.known[&context.id];
            assert_eq!((known.expected, context.attempts), (None, known.attempts));
            let is_running = self.running.contains_key(&(context.id, context.attempts));
            assert!(context.why != Why::InFlight || is_running, "{context:?}");
            assert!(context.attempts < MAX_ATTEMPTS || is_running, "{context:?}");
        }
        assert_eq!(ledger.pending, pending);
    }

    /// From here on all attempts succeed; in the end nothing is left.
    pub(crate) fn run_out(&mut self) {
        self.now = self.latest;
        for _ in 0..1000 {
            self.timeout();
            while self.event() {}
            while self.start() {}
            while !self.running.is_empty() {
                self.finish(0, Ok(()));
            }
            while self.event() {}
            self.check();
            while self.start() {}
            if self.running.is_empty() {
                match self.scheduler.poll_timeout() {
                    Some(wake) => {
                        assert!(wake > self.now, "a timer in the past spins");
                        self.advance(wake - self.now);
                    }
                    None => return assert!(self.known.is_empty(), "what waits has a time"),
                }
            }
        }
        panic!("{} jobs never end", self.known.len());
    }
}

/// The end of the delay in which it is.
fn backoff(context: &RetryContext) -> Option<Instant> {
    context.next_attempt.filter(|_| context.why == Why::Backoff)
}

fn nth_key<K: Copy + Ord, V>(map: &BTreeMap<K, V>, nth: usize) -> Option<K> {
    if map.is_empty() { None } else { map.keys().nth(nth % map.len()).copied() }
}
