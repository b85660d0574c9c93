//! One rule a test.

use crate::bench::{Bench, PLAIN, SECOND, generous, start};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::breaker::{BreakerConfig, BreakerState};
use dtu_net::controller::{
    BREAKER_RECHECK, DEADLINE_MAX, Disposition, Event, Failure, FailureClass, NAME_LEN_MAX, NewJob, Outcome, Policies,
    Policy, RejectCause, Rejected, Scheduler, SchedulerConfig, Scope, StopCause, TIMERS_PER_CALL, TargetConfig,
    TargetError, Why,
};
use dtu_net::policy::{Bound, Field};
use dtu_net::retry;

#[test]
fn a_job_is_attempted_until_it_succeeds_and_told_once() {
    let mut bench = Bench::new(PLAIN);
    let id = bench.submit(NewJob::new("a", "read", 7).repeatable());
    for attempt in 1..=3 {
        assert_eq!(bench.starts(), [(id, attempt)]);
        if attempt < 3 {
            let again = bench.finish((id, attempt), Err(Failure::TRANSIENT));
            assert_eq!(again, Disposition::Again { due: bench.now + SECOND });
            assert_eq!(bench.scheduler.poll_timeout(), Some(bench.now + SECOND));
            bench.advance(SECOND - Duration::from_nanos(1));
            assert_eq!(bench.starts(), []);
            bench.advance(Duration::from_nanos(1));
        }
    }
    assert_eq!(bench.finish((id, 3), Ok(())), Disposition::Ended(Outcome::Done));
    let ending = bench.ending().unwrap();
    assert_eq!((ending.outcome, ending.payload, ending.context.attempts), (Outcome::Done, 7, 3));
    assert_eq!(ending.context.last_failure, Some(FailureClass::Transient));
    assert_eq!(bench.ending(), None);
    assert_eq!((bench.scheduler.query(bench.now, id), bench.scheduler.poll_timeout()), (None, None));
    let ledger = bench.scheduler.ledger();
    assert!(ledger.balances());
    assert_eq!((ledger.done, ledger.first_attempts, ledger.retries, ledger.pending), (1, 1, 2, 0));
}

#[test]
fn only_what_is_repeatable_or_provably_unsent_is_repeated() {
    let cases = [
        (false, Failure::TRANSIENT, Err(Outcome::InDoubt)),
        (false, Failure::TRANSIENT.unsent(), Ok(())),
        (false, Failure::retry_after(SECOND), Err(Outcome::InDoubt)),
        (false, Failure::retry_after(SECOND).unsent(), Ok(())),
        (false, Failure::INTERRUPTED, Err(Outcome::InDoubt)),
        (true, Failure::TRANSIENT, Ok(())),
        (true, Failure::INTERRUPTED, Ok(())),
        (true, Failure::PERMANENT, Err(Outcome::Failed)),
        (true, Failure::PERMANENT.unsent(), Err(Outcome::Failed)),
        (true, Failure::PANICKED, Err(Outcome::Failed)),
    ];
    for (repeatable, failure, expected) in cases {
        let mut bench = Bench::new(PLAIN);
        let job = NewJob::new("a", "write", 0);
        let id = bench.submit(if repeatable { job.repeatable() } else { job });
        assert_eq!(bench.starts(), [(id, 1)]);
        let disposition = bench.finish((id, 1), Err(failure));
        match expected {
            Ok(()) => assert_eq!(disposition, Disposition::Again { due: bench.now + SECOND }, "{failure:?}"),
            Err(outcome) => {
                assert_eq!(disposition, Disposition::Ended(outcome), "{failure:?}");
                assert_eq!(bench.outcome(), Some((id, outcome)));
            }
        }
    }
    // A timeout says nothing about what was done.
    let mut bench = Bench::new(PLAIN);
    let id = bench.submit(NewJob::new("a", "write", 0));
    assert_eq!(bench.starts(), [(id, 1)]);
    bench.advance(10 * SECOND);
    assert_eq!(bench.stop().unwrap().cause, StopCause::TimedOut);
    assert_eq!(bench.outcome(), Some((id, Outcome::InDoubt)));
}

#[test]
fn attempts_delays_and_deadlines_run_out() {
    let mut bench = Bench::new(PLAIN.max_attempts(2));
    let id = bench.repeatable("a");
    assert_eq!(bench.starts(), [(id, 1)]);
    bench.finish((id, 1), Err(Failure::TRANSIENT));
    bench.advance(SECOND);
    assert_eq!(bench.starts(), [(id, 2)]);
    assert_eq!(bench.finish((id, 2), Err(Failure::TRANSIENT)), Disposition::Ended(Outcome::Exhausted));

    // The limits of the backoff itself.
    let mut bench = Bench::new(PLAIN.backoff(Backoff::fixed(SECOND).max_attempts(0)));
    let id = bench.repeatable("a");
    assert_eq!(bench.starts(), [(id, 1)]);
    assert_eq!(bench.finish((id, 1), Err(Failure::TRANSIENT)), Disposition::Ended(Outcome::Exhausted));

    // A job that waits, one in flight, and one whose backoff would last too long.
    let short = |bench: &mut Bench| bench.submit(NewJob::new("a", "read", 0).repeatable().deadline(3 * SECOND));
    let mut bench = Bench::new(PLAIN.concurrency(1));
    let in_flight = short(&mut bench);
    assert_eq!(bench.starts(), [(in_flight, 1)]);
    let waits = short(&mut bench);
    bench.advance(3 * SECOND - Duration::from_nanos(1));
    assert_eq!(bench.ending(), None);
    bench.advance(Duration::from_nanos(1));
    assert_eq!(bench.stop().unwrap().cause, StopCause::Expired);
    assert_eq!(bench.outcome(), Some((in_flight, Outcome::Expired)));
    assert_eq!(bench.outcome(), Some((waits, Outcome::Expired)));
    assert_eq!(bench.finish((in_flight, 1), Ok(())), Disposition::Stale);
    let late = short(&mut bench);
    assert_eq!(bench.starts(), [(late, 1)]);
    bench.advance(2 * SECOND);
    assert_eq!(bench.finish((late, 1), Err(Failure::TRANSIENT)), Disposition::Ended(Outcome::Expired));
}

#[test]
fn no_attempt_begins_after_the_deadline_even_when_no_timer_was_done() {
    let mut bench = Bench::new(PLAIN);
    let id = bench.submit(NewJob::new("a", "read", 0).deadline(SECOND));
    bench.now += SECOND;
    assert_eq!(bench.starts(), []);
    assert_eq!(bench.outcome(), Some((id, Outcome::Expired)));
}

#[test]
fn a_pause_asked_for_is_kept() {
    let mut bench = Bench::new(PLAIN);
    let id = bench.repeatable("a");
    assert_eq!(bench.starts(), [(id, 1)]);
    let again = bench.finish((id, 1), Err(Failure::retry_after(20 * SECOND)));
    assert_eq!(again, Disposition::Again { due: bench.now + 20 * SECOND });
}

#[test]
fn results_of_old_attempts_do_nothing() {
    let mut bench = Bench::new(PLAIN);
    let id = bench.repeatable("a");
    assert_eq!(bench.finish((id, 1), Ok(())), Disposition::Stale, "it has not begun");
    assert_eq!(bench.starts(), [(id, 1)]);
    bench.advance(10 * SECOND);
    assert_eq!(bench.stop().map(|stop| (stop.attempt, stop.cause)), Some((1, StopCause::TimedOut)));
    bench.advance(SECOND);
    assert_eq!(bench.starts(), [(id, 2)]);
    assert_eq!(bench.scheduler.in_flight(), 2, "the first one still takes its slot");
    assert_eq!(bench.finish((id, 1), Ok(())), Disposition::Stale);
    assert_eq!(bench.scheduler.in_flight(), 1);
    assert_eq!(bench.finish((id, 1), Ok(())), Disposition::Stale);
    assert_eq!(bench.scheduler.in_flight(), 1);
    assert_eq!(bench.finish((id, 2), Ok(())), Disposition::Ended(Outcome::Done));
    assert_eq!(bench.finish((id, 2), Ok(())), Disposition::Stale);
    assert_eq!((bench.scheduler.ledger().stale, bench.scheduler.in_flight()), (4, 0));
}

#[test]
fn a_cancelled_job_ends_at_once_wherever_it_is() {
    let mut bench = Bench::new(PLAIN);
    let [ready, in_flight, waits] = [(); 3].map(|()| bench.repeatable("a"));
    bench.scheduler.cancel(bench.now, ready);
    assert_eq!(bench.starts(), [(in_flight, 1), (waits, 1)]);
    bench.finish((waits, 1), Err(Failure::TRANSIENT));
    for id in [in_flight, waits] {
        assert!(bench.scheduler.cancel(bench.now, id));
        assert!(!bench.scheduler.cancel(bench.now, id));
    }
    assert_eq!(bench.stop().map(|stop| (stop.id, stop.cause)), Some((in_flight, StopCause::Cancelled)));
    for id in [ready, in_flight, waits] {
        assert_eq!(bench.outcome(), Some((id, Outcome::Cancelled)));
    }
    assert_eq!(bench.scheduler.in_flight(), 1);
    bench.finish((in_flight, 1), Err(Failure::INTERRUPTED));
    assert_eq!((bench.scheduler.in_flight(), bench.scheduler.poll_timeout()), (0, None));
}

#[test]
fn the_jobs_of_a_target_that_vanishes_are_told() {
    let mut bench = Bench::new(PLAIN);
    let [in_flight, waits, ready] = [(); 3].map(|()| bench.repeatable("a"));
    let other = bench.repeatable("b");
    // The targets take turns.
    for job in [in_flight, other, waits] {
        assert_eq!(bench.next_start(), Some((job, 1)));
    }
    bench.finish((waits, 1), Err(Failure::TRANSIENT));
    assert_eq!(bench.scheduler.remove_target(bench.now, "a"), Some(3));
    assert_eq!(bench.scheduler.remove_target(bench.now, "a"), None);
    assert_eq!(bench.stop().map(|stop| (stop.id, stop.cause)), Some((in_flight, StopCause::TargetGone)));
    for id in [in_flight, waits, ready] {
        assert_eq!(bench.outcome(), Some((id, Outcome::TargetGone)));
    }
    let rejected = bench.scheduler.submit(bench.now, NewJob::new("a", "read", 5)).unwrap_err();
    assert_eq!((rejected.cause, rejected.job.into_payload()), (RejectCause::UnknownTarget, 5));
    // One of the same name is another: the slot of the old attempt is not its own.
    bench.scheduler.add_target(bench.now, "a", TargetConfig::DEFAULT.max_in_flight(1)).unwrap();
    let again = bench.repeatable("a");
    assert_eq!(bench.starts(), [(again, 1)]);
    assert_eq!(bench.scheduler.in_flight(), 3);
    bench.finish((in_flight, 1), Ok(()));
    assert_eq!(bench.scheduler.in_flight(), 2);
    let blocked = bench.repeatable("a");
    assert_eq!(bench.starts(), []);
    assert_eq!(bench.query(blocked).why, Why::Concurrency(Scope::Target));
    assert!(bench.scheduler.ledger().balances());
}

#[test]
fn limits_of_concurrency_hold_and_say_so() {
    let config = SchedulerConfig::DEFAULT.max_in_flight(5);
    let policies = Policies::new(PLAIN).unwrap().operation("write", PLAIN.concurrency(1)).unwrap();
    let mut bench = Bench::with(config, policies, TargetConfig::DEFAULT.max_in_flight(3));
    let writes = [(); 2].map(|()| bench.submit(NewJob::new("a", "write", 0)));
    let reads = [(); 3].map(|()| bench.repeatable("a"));
    // The second write does not hold up the reads behind it.
    assert_eq!(bench.starts(), [writes[0], reads[0], reads[1]].map(|id| (id, 1)));
    assert_eq!(bench.query(reads[2]).why, Why::Concurrency(Scope::Target));
    let others = [(); 3].map(|()| bench.repeatable("b"));
    assert_eq!(bench.starts(), [(others[0], 1), (others[1], 1)]);
    assert_eq!(bench.query(others[2]).why, Why::Concurrency(Scope::Process));
    bench.finish((reads[0], 1), Ok(()));
    assert_eq!(bench.starts().len(), 1);
    for id in [others[0], others[1]] {
        bench.finish((id, 1), Ok(()));
    }
    bench.finish((reads[1], 1), Ok(()));
    let _fills = bench.starts();
    assert_eq!(bench.query(writes[1]).why, Why::Concurrency(Scope::Operation));
    bench.finish((writes[0], 1), Ok(()));
    assert_eq!(bench.starts(), [(writes[1], 1)]);
}

#[test]
fn a_breaker_that_opens_holds_back_its_target_and_lets_a_probe_through() {
    let mut bench = Bench::with(
        SchedulerConfig::DEFAULT,
        Policies::new(PLAIN.max_attempts(100)).unwrap(),
        TargetConfig::DEFAULT.budget(generous()),
    );
    let jobs: Vec<_> = (0..6).map(|_| bench.repeatable("a")).collect();
    assert_eq!(bench.starts().len(), 6);
    // Cancelled and local: no verdict.
    bench.scheduler.cancel(bench.now, jobs[5]);
    bench.finish((jobs[5], 1), Err(Failure::TRANSIENT));
    assert!(bench.outcome().is_some(), "an attempt that has ended need not be stopped");
    let state = |bench: &Bench| bench.scheduler.breaker("a").unwrap().state(bench.now);
    for id in &jobs[..4] {
        bench.finish((*id, 1), Err(Failure::TRANSIENT));
    }
    assert_eq!(state(&bench), BreakerState::Closed);
    bench.finish((jobs[4], 1), Err(Failure::TRANSIENT.local()));
    assert_eq!(state(&bench), BreakerState::Closed);
    bench.advance(SECOND);
    let fifth = bench.next_start().unwrap();
    bench.finish(fifth, Err(Failure::TRANSIENT));
    let opened = bench.now;
    assert_eq!(bench.starts(), []);
    assert_eq!(bench.query(jobs[4]).why, Why::BreakerOpen);
    assert_eq!(bench.query(jobs[4]).next_attempt, Some(opened + 30 * SECOND));
    // The one that failed last is still in its backoff, then it waits for the breaker as all do.
    bench.advance(SECOND);
    assert_eq!((bench.starts(), bench.query(fifth.0).why), (vec![], Why::BreakerOpen));
    assert_eq!(bench.scheduler.poll_timeout(), Some(opened + 30 * SECOND));
    bench.advance(29 * SECOND);
    let probe = bench.starts();
    assert_eq!(probe.len(), 1);
    bench.finish(probe[0], Ok(()));
    assert_eq!(state(&bench), BreakerState::Closed);
    assert_eq!(bench.starts().len(), 4);
}

#[test]
fn a_target_that_hangs_opens_its_breaker_by_timeouts_and_jobs_past_their_deadline_do_not() {
    for deadline in [None, Some(10 * SECOND)] {
        let mut bench = Bench::new(PLAIN);
        for _ in 0..5 {
            let job = NewJob::new("a", "read", 0).repeatable();
            bench.submit(deadline.map_or(job.clone(), |deadline| job.deadline(deadline)));
        }
        assert_eq!(bench.starts().len(), 5);
        bench.advance(10 * SECOND);
        let state = bench.scheduler.breaker("a").unwrap().state(bench.now);
        let opened = BreakerState::Open { until: bench.now + 30 * SECOND };
        assert_eq!(state, if deadline.is_none() { opened } else { BreakerState::Closed });
    }
}

#[test]
fn a_breaker_closed_by_hand_is_asked_again() {
    let mut bench = Bench::new(PLAIN);
    let breaker = std::sync::Arc::clone(bench.scheduler.breaker("a").unwrap());
    breaker.force_open(bench.now);
    let id = bench.repeatable("a");
    assert_eq!((bench.starts(), bench.query(id).why), (vec![], Why::BreakerOpen));
    breaker.reset(bench.now);
    assert_eq!(bench.starts(), []);
    bench.scheduler.look_again("a");
    assert_eq!((bench.query(id).why, bench.starts()), (Why::Turn, vec![(id, 1)]));

    // Without a word it is asked now and then, however long it wants to stay open.
    let long = BreakerConfig::DEFAULT.consecutive(1).unwrap().open_for(Duration::from_hours(1)).unwrap();
    let target = TargetConfig::DEFAULT.breaker(long);
    let mut bench = Bench::with(SchedulerConfig::DEFAULT, Policies::new(PLAIN).unwrap(), target);
    let id = bench.repeatable("a");
    assert_eq!(bench.starts(), [(id, 1)]);
    bench.finish((id, 1), Err(Failure::TRANSIENT));
    bench.advance(SECOND);
    assert_eq!((bench.starts(), bench.query(id).why), (vec![], Why::BreakerOpen));
    bench.scheduler.breaker("a").unwrap().reset(bench.now);
    assert_eq!(bench.scheduler.poll_timeout(), Some(bench.now + BREAKER_RECHECK));
    bench.advance(BREAKER_RECHECK);
    assert_eq!(bench.starts(), [(id, 2)]);
}

#[test]
fn the_door_turns_away_with_the_cause_and_the_job() {
    let config = SchedulerConfig::DEFAULT.max_jobs(2);
    let mut bench = Bench::with(config, Policies::new(PLAIN).unwrap(), TargetConfig::DEFAULT);
    let mut refused = |job: NewJob<u32>| bench.scheduler.submit(bench.now, job).unwrap_err().cause;
    let long = "x".repeat(NAME_LEN_MAX + 1);
    assert_eq!(refused(NewJob::new("c", "read", 0)), RejectCause::UnknownTarget);
    let len = NAME_LEN_MAX + 1;
    assert_eq!(refused(NewJob::new("a", long, 0)), RejectCause::OperationLen { len, limit: NAME_LEN_MAX });
    for given in [Duration::ZERO, DEADLINE_MAX + SECOND] {
        assert_eq!(refused(NewJob::new("a", "read", 0).deadline(given)), RejectCause::Deadline { given });
    }
    let ids = [(); 2].map(|()| bench.repeatable("a"));
    let full = RejectCause::Full { limit: 2 };
    let submit = |bench: &mut Bench| bench.scheduler.submit(bench.now, NewJob::new("a", "read", 9));
    assert_eq!(submit(&mut bench), Err(Rejected { cause: full, job: NewJob::new("a", "read", 9) }));
    // A job that has ended takes its place until that is fetched.
    bench.scheduler.cancel(bench.now, ids[0]);
    assert_eq!(submit(&mut bench).unwrap_err().cause, full);
    assert_eq!(bench.outcome(), Some((ids[0], Outcome::Cancelled)));
    assert!(submit(&mut bench).is_ok());
    bench.scheduler.close();
    assert_eq!(submit(&mut bench).unwrap_err().cause, RejectCause::Closed);
    assert_eq!((bench.starts(), bench.query(ids[1]).why), (vec![], Why::Closed));
    let ledger = bench.scheduler.ledger();
    assert!(ledger.balances());
    assert_eq!((ledger.submitted, ledger.rejected, ledger.cancelled, ledger.pending), (10, 7, 1, 2));
}

#[test]
fn targets_have_limits_and_names() {
    let mut bench = Bench::with(SchedulerConfig::DEFAULT.max_targets(3), Policies::default(), TargetConfig::DEFAULT);
    let mut add = |name: &str, config| bench.scheduler.add_target(bench.now, name, config);
    let (plain, len) = (TargetConfig::DEFAULT, NAME_LEN_MAX + 1);
    assert_eq!(add("a", plain), Err(TargetError::Exists));
    assert_eq!(add(&"x".repeat(len), plain), Err(TargetError::NameLen { len, limit: NAME_LEN_MAX }));
    assert_eq!(add("c", plain.max_in_flight(0)), Err(TargetError::MaxInFlight));
    assert_eq!(add("c", plain), Ok(()));
    assert_eq!(add("d", plain), Err(TargetError::TooMany { limit: 3 }));
    let names: Vec<_> = bench.scheduler.targets().map(|(name, jobs)| (name.to_string(), jobs)).collect();
    assert_eq!(names, [("a".to_owned(), 0), ("b".to_owned(), 0), ("c".to_owned(), 0)]);
}

#[test]
fn policies_that_contradict_themselves_name_the_field() {
    let second = SECOND;
    let cases = [
        (Policy::DEFAULT.max_attempts(0), Field::MaxAttempts),
        (Policy::DEFAULT.concurrency(0), Field::Concurrency),
        (Policy::DEFAULT.attempt_timeout(Duration::ZERO), Field::AttemptTimeout),
        (Policy::DEFAULT.attempt_timeout(DEADLINE_MAX + second).without_deadline(), Field::AttemptTimeout),
        (Policy::DEFAULT.deadline(DEADLINE_MAX + second), Field::Deadline),
        (Policy::DEFAULT.attempt_timeout(2 * second).deadline(second), Field::AttemptTimeout),
    ];
    for (policy, field) in cases {
        assert_eq!(policy.check().unwrap_err().field, field);
        assert_eq!(Policies::new(policy).unwrap_err().field, field);
        for set in [
            Policies::default().operation("read", policy),
            Policies::default().target("a", policy),
            Policies::default().pair("a", "read", policy),
        ] {
            assert_eq!(set.unwrap_err().field, field);
        }
    }
    let long = "x".repeat(NAME_LEN_MAX + 1);
    let error = Policies::default().pair("a", &long, Policy::DEFAULT).unwrap_err();
    assert_eq!((error.field, error.bound), (Field::NameLen, Bound::AtMost(255)));
    for (config, field) in [
        (SchedulerConfig::DEFAULT.max_jobs(0), Field::MaxJobs),
        (SchedulerConfig::DEFAULT.max_targets(0), Field::MaxTargets),
        (SchedulerConfig::DEFAULT.max_in_flight(0), Field::MaxInFlight),
    ] {
        let error = Scheduler::<u32>::new(config, Policies::default(), 1, start()).unwrap_err();
        assert_eq!(error.field, field);
    }
}

#[test]
fn queries_say_what_waits_since_when_and_why() {
    let mut bench = Bench::new(PLAIN);
    let began = bench.now;
    let [first, second] = [(); 2].map(|()| bench.repeatable("a"));
    assert_eq!(bench.query(first).why, Why::Turn);
    assert_eq!(bench.next_start(), Some((first, 1)));
    bench.advance(2 * SECOND);
    bench.finish((first, 1), Err(Failure::TRANSIENT));
    let context = bench.query(first);
    assert_eq!((context.why, context.submitted, context.since), (Why::Backoff, began, began + 2 * SECOND));
    assert_eq!((context.attempts, context.max_attempts), (1, 5));
    assert_eq!((context.next_attempt, context.last_failure), (Some(began + 3 * SECOND), Some(FailureClass::Transient)));
    let all: Vec<_> = bench.scheduler.queries(bench.now, None).map(|context| (context.id, context.since)).collect();
    assert_eq!(all, [(first, began + 2 * SECOND), (second, began)]);
    let rest: Vec<_> = bench.scheduler.queries(bench.now, Some(first)).map(|context| context.id).collect();
    assert_eq!(rest, [second]);
}

#[test]
fn early_and_repeated_timeouts_do_nothing_and_many_are_done_in_parts() {
    let jobs = TIMERS_PER_CALL + 44;
    let mut bench = Bench::new(PLAIN);
    for _ in 0..jobs {
        bench.submit(NewJob::new("a", "read", 0).deadline(SECOND));
    }
    (0..10).for_each(|_| bench.scheduler.handle_timeout(bench.now));
    assert_eq!(bench.ending(), None);
    let due = bench.scheduler.poll_timeout();
    assert_eq!(due, Some(bench.now + SECOND));
    let count = |bench: &mut Bench| core::iter::from_fn(|| bench.outcome()).count();
    bench.advance(SECOND);
    assert_eq!(count(&mut bench), TIMERS_PER_CALL);
    assert_eq!(bench.scheduler.poll_timeout(), due, "there is more");
    bench.advance(Duration::ZERO);
    assert_eq!((count(&mut bench), bench.scheduler.poll_timeout()), (44, None));
}

#[test]
fn a_clock_that_jumps_or_goes_back_loses_nothing_and_makes_no_burst() {
    let mut bench = Bench::with(
        SchedulerConfig::DEFAULT.max_in_flight(4),
        Policies::new(PLAIN).unwrap(),
        TargetConfig::DEFAULT.budget(dtu_net::controller::Budget::new(0, 2).unwrap()),
    );
    let jobs: Vec<_> = (0..10).map(|_| bench.repeatable("a")).collect();
    for failed in [4, 3] {
        for attempt in bench.starts().into_iter().take(failed) {
            bench.finish(attempt, Err(Failure::TRANSIENT.local()));
        }
    }
    // Ten days: all of them are due, four may begin, and no more than two are retries.
    bench.advance(Duration::from_hours(240));
    while let Some(event) = bench.scheduler.poll_event() {
        if let Event::Stop(stop) = event {
            bench.finish((stop.id, stop.attempt), Err(Failure::INTERRUPTED));
        }
    }
    let begun = bench.starts();
    assert!(begun.len() <= 4 && begun.iter().filter(|(_, attempt)| *attempt > 1).count() <= 2, "{begun:?}");
    // Back by an hour.
    bench.now -= Duration::from_hours(1);
    bench.scheduler.handle_timeout(bench.now);
    for attempt in begun {
        bench.finish(attempt, Ok(()));
    }
    let pending = bench.scheduler.ledger().pending;
    assert_eq!(bench.scheduler.queries(bench.now, None).count() as u64, pending);
    assert!(bench.scheduler.ledger().balances() && pending >= 6 && jobs.len() == 10);
}

#[test]
fn a_failure_of_a_retry_becomes_one_of_a_job() {
    let failure = Failure::from(retry::Failure::retry_after((), SECOND).unsent().answered());
    assert_eq!(failure, Failure::retry_after(SECOND).unsent().answered());
    assert_eq!(Failure::from(retry::Failure::permanent(0)), Failure::PERMANENT);
    assert_eq!(Failure::from(retry::Failure::transient(0).local()), Failure::TRANSIENT.local());
}
