//! Retries against first attempts.

use crate::bench::{Bench, PLAIN, SECOND};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::controller::{Budget, Failure, JobId, Policies, SchedulerConfig, Scope, TargetConfig, Why};

fn bench(process: Budget, target: Budget) -> Bench {
    let policy = PLAIN
        .backoff(Backoff::fixed(Duration::from_millis(1)).jitter(Jitter::None))
        .max_attempts(u32::MAX)
        .concurrency(1000);
    let config = SchedulerConfig::DEFAULT.budget(process);
    Bench::with(config, Policies::new(policy).unwrap(), TargetConfig::DEFAULT.budget(target).max_in_flight(1000))
}

/// All attempts fail, without a verdict on the target, in so many rounds.
fn fail_all(bench: &mut Bench, rounds: usize) {
    for _ in 0..rounds {
        for attempt in bench.starts() {
            bench.finish(attempt, Err(Failure::TRANSIENT.local()));
        }
        bench.advance(Duration::from_millis(1));
    }
}

#[test]
fn retries_keep_to_their_share_of_the_traffic_per_target_and_for_the_process() {
    let wide = Budget::new(1000, 1000).unwrap();
    let narrow = Budget::new(100, 5).unwrap();
    for (process, target, scope) in [(wide, narrow, Scope::Target), (narrow, wide, Scope::Process)] {
        let mut bench = bench(process, target);
        let mut last = None;
        for _ in 0..200 {
            last = Some(bench.repeatable("a"));
            fail_all(&mut bench, 3);
        }
        assert_eq!(bench.starts(), []);
        let ledger = bench.scheduler.ledger();
        // The first deposit finds the bucket full.
        assert_eq!((ledger.first_attempts, ledger.retries), (200, 5 + 199 / 10), "{scope:?}");
        let context = bench.query(last.unwrap());
        assert_eq!((context.why, context.next_attempt), (Why::Budget(scope), None));
        // Nothing to do until somebody comes: no timer that spins.
        assert_eq!(bench.scheduler.poll_timeout(), None);
    }
}

#[test]
fn a_retry_without_a_token_holds_up_no_first_attempt() {
    let mut bench = bench(Budget::PROCESS, Budget::new(0, 1).unwrap());
    let [one, two] = [(); 2].map(|()| bench.repeatable("a"));
    fail_all(&mut bench, 1);
    assert_eq!(bench.starts(), [(one, 2)]);
    assert_eq!(bench.query(two).why, Why::Budget(Scope::Target));
    let three = bench.repeatable("a");
    assert_eq!(bench.starts(), [(three, 1)]);
}

#[test]
fn a_retry_with_a_token_takes_its_turn_among_first_attempts() {
    let wide = Budget::new(1000, 1000).unwrap();
    let mut bench = bench(wide, wide);
    let [one, two, three] = [(); 3].map(|()| bench.repeatable("a"));
    let start = bench.next_start().unwrap();
    bench.finish(start, Err(Failure::TRANSIENT.local()));
    let start = bench.next_start().unwrap();
    bench.finish(start, Err(Failure::TRANSIENT.local()));
    bench.advance(Duration::from_millis(1));
    let four = bench.repeatable("a");
    assert_eq!(bench.starts(), [(three, 1), (one, 2), (two, 2), (four, 1)]);
}

#[test]
fn a_token_that_comes_while_all_slots_are_taken_makes_no_timer_that_spins() {
    let wide = Budget::new(1000, 1000).unwrap();
    let slow = Budget::new(0, 1).unwrap().trickle(SECOND).unwrap();
    let config = SchedulerConfig::DEFAULT.budget(slow).max_in_flight(2);
    let target = TargetConfig::DEFAULT.budget(wide);
    let mut bench = Bench::with(config, Policies::new(PLAIN).unwrap(), target);
    let failed = [(); 2].map(|()| bench.repeatable("a"));
    for start in bench.starts() {
        bench.finish(start, Err(Failure::TRANSIENT.local()));
    }
    bench.advance(SECOND);
    assert_eq!(bench.starts(), [(failed[0], 2)]);
    let other = bench.repeatable("b");
    assert_eq!(bench.starts(), [(other, 1)]);
    bench.advance(5 * SECOND);
    assert_eq!(bench.starts(), []);
    // What comes next is the end of an attempt's time.
    assert!(bench.scheduler.poll_timeout().unwrap() > bench.now);
    bench.finish((other, 1), Ok(()));
    assert_eq!(bench.starts(), [(failed[1], 2)]);
}

#[test]
fn the_trickle_wakes_those_who_wait_one_by_one_and_in_turns() {
    let wide = Budget::new(1000, 1000).unwrap();
    let slow = Budget::new(0, 1).unwrap().trickle(SECOND).unwrap();
    for (process, target) in [(slow, wide), (wide, slow)] {
        let mut bench = bench(process, target);
        let jobs = [bench.repeatable("a"), bench.repeatable("b")];
        fail_all(&mut bench, 3);
        assert_eq!(bench.starts(), []);
        let mut retried = Vec::new();
        for _ in 0..8 {
            let wake = bench.scheduler.poll_timeout().unwrap();
            assert!(wake > bench.now, "a timer in the past spins");
            bench.advance(wake - bench.now);
            for (id, attempt) in bench.starts() {
                retried.push(id);
                bench.finish((id, attempt), Err(Failure::TRANSIENT.local()));
            }
            assert_eq!(bench.starts(), []);
        }
        let of = |id| retried.iter().filter(|other| **other == id).count();
        assert!(of(jobs[0]).abs_diff(of(jobs[1])) <= 1 && retried.len() >= 4, "{retried:?}");
    }
}

#[test]
fn those_who_wait_for_the_process_are_not_held_up_by_traffic_without_end() {
    let process = Budget::new(500, 1).unwrap();
    let mut bench = bench(process, Budget::new(1000, 1000).unwrap());
    let waits = bench.repeatable("a");
    fail_all(&mut bench, 3);
    assert_eq!((bench.starts(), bench.query(waits).why), (vec![], Why::Budget(Scope::Process)));
    // The other target always has something ready.
    bench.repeatable("b");
    let begun: Vec<JobId> = (0..10)
        .map(|_| {
            bench.repeatable("b");
            let start = bench.next_start().unwrap();
            bench.finish(start, Ok(()));
            start.0
        })
        .collect();
    assert!(begun.contains(&waits), "{begun:?}");
}
