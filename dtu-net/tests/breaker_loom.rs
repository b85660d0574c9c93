//! The circuit breaker under every interleaving of a few threads, by loom. Nothing without `--cfg loom`:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p dtu-net --release --no-default-features --test breaker_loom
//! ```
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use core::time::Duration;
use dtu_net::breaker::{Breaker, BreakerConfig, BreakerState, FailureRate, OPEN_FOR, PROBE_DEADLINE, Permit};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

fn config(failures: u32, probes: u32) -> BreakerConfig {
    BreakerConfig::DEFAULT.consecutive(failures).unwrap().probes(probes).unwrap()
}

/// A breaker that has opened at `now`.
fn opened(config: BreakerConfig, now: Instant) -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::new(config, now));
    while let Ok(permit) = breaker.acquire(now) {
        permit.fail(now);
    }
    breaker
}

fn spawn<T: 'static>(breaker: &Arc<Breaker>, run: impl FnOnce(&Arc<Breaker>) -> T + 'static) -> JoinHandle<T> {
    let breaker = Arc::clone(breaker);
    thread::spawn(move || run(&breaker))
}

/// How many more calls are admitted now; they are held until all are counted.
fn room(breaker: &Arc<Breaker>, now: Instant) -> usize {
    let most = 8;
    let held: Vec<_> =
        core::iter::repeat_with(|| breaker.acquire(now).ok()).take(most).map_while(|permit| permit).collect();
    held.into_iter().map(core::mem::forget).count()
}

fn is_open(breaker: &Breaker, now: Instant) -> bool {
    matches!(breaker.state(now), BreakerState::Open { .. })
}

#[test]
fn threads_that_ask_at_once_get_exactly_the_set_probes() {
    for probes in [1, 2] {
        loom::model(move || {
            let began = start();
            let (breaker, now) = (opened(config(1, probes), began), began + OPEN_FOR);
            let ask = move |breaker: &Arc<Breaker>| breaker.acquire_owned(now).ok();
            let threads = [spawn(&breaker, ask), spawn(&breaker, ask)];
            let mine = ask(&breaker);
            let admitted: Vec<Permit<_>> =
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).chain(mine).collect();
            assert_eq!(admitted.len(), probes as usize);
            assert!(admitted.iter().all(Permit::is_probe));
        });
    }
}

#[test]
fn a_probe_that_comes_back_is_given_out_once() {
    loom::model(|| {
        let began = start();
        let (breaker, now) = (opened(config(1, 1), began), began + OPEN_FOR);
        let probe = breaker.acquire_owned(now).unwrap();
        let back = spawn(&breaker, move |_| drop(probe));
        let ask = move |breaker: &Arc<Breaker>| breaker.acquire_owned(now).ok();
        let other = spawn(&breaker, ask);
        let mine = ask(&breaker);
        back.join().unwrap();
        let other = other.join().unwrap();
        let held = [mine.is_some(), other.is_some()].into_iter().filter(|held| *held).count();
        assert!(held <= 1);
        assert_eq!(held + room(&breaker, now), 1);
    });
}

#[test]
fn two_probes_that_end_at_once_close_it_or_open_it_and_are_counted_once() {
    for (first, second) in [(true, true), (true, false), (false, false)] {
        loom::model(move || {
            let began = start();
            let (breaker, now) = (opened(config(1, 2), began), began + OPEN_FOR);
            let probes = [first, second].map(|succeeds| (breaker.acquire_owned(now).unwrap(), succeeds));
            let end = move |(permit, succeeds): (Permit<Arc<Breaker>>, bool)| {
                if succeeds { permit.succeed(now) } else { permit.fail(now) }
            };
            let threads = probes.map(|probe| spawn(&breaker, move |_| end(probe)));
            let between = breaker.acquire(now).is_ok_and(|permit| permit.is_probe());
            assert!(!between, "two were out or done");
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            if first && second {
                assert_eq!(breaker.state(now), BreakerState::Closed);
            } else {
                assert!(is_open(&breaker, now));
            }
        });
    }
}

#[test]
fn results_of_before_do_nothing_to_a_probe() {
    for old_succeeds in [true, false] {
        loom::model(move || {
            let began = start();
            let breaker = Arc::new(Breaker::new(config(1, 1), began));
            let old = [(); 2].map(|()| breaker.acquire_owned(began).unwrap());
            breaker.acquire(began).unwrap().fail(began);
            let now = began + OPEN_FOR;
            let [verdict, dropped] = old;
            let threads = [
                spawn(&breaker, move |_| if old_succeeds { verdict.succeed(now) } else { verdict.fail(now) }),
                spawn(&breaker, move |_| drop(dropped)),
            ];
            let probe = breaker.acquire(now).unwrap();
            assert!(breaker.acquire(now).is_err());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
            probe.succeed(now);
            assert_eq!((breaker.state(now), breaker.counters().stale), (BreakerState::Closed, 1));
        });
    }
}

#[test]
fn a_late_success_closes_nothing_and_a_leaked_probe_does_not_stick() {
    loom::model(|| {
        let began = start();
        let (breaker, now) = (opened(config(1, 2), began), began + OPEN_FOR);
        core::mem::forget(breaker.acquire(now).unwrap());
        let late = breaker.acquire_owned(now).unwrap();
        let deadline = now + PROBE_DEADLINE;
        let until = deadline + OPEN_FOR;
        let result = spawn(&breaker, move |_| late.succeed(deadline));
        let ask = move |breaker: &Arc<Breaker>| breaker.acquire_owned(until).ok();
        let other = spawn(&breaker, ask);
        let mine = ask(&breaker);
        result.join().unwrap();
        let other = other.join().unwrap();
        // Both are probes of a new round, and nothing is left of the old one.
        assert!([&mine, &other].into_iter().all(|permit| permit.as_ref().is_some_and(Permit::is_probe)));
        assert_eq!(room(&breaker, until), 0);
        mine.unwrap().succeed(until);
        assert_eq!(breaker.state(until), BreakerState::HalfOpen);
        other.unwrap().succeed(until);
        assert_eq!(breaker.state(until), BreakerState::Closed);
    });
}

#[test]
fn failures_at_once_are_all_counted() {
    loom::model(|| {
        let now = start();
        let breaker = Arc::new(Breaker::new(config(3, 1), now));
        let call = move |breaker: &Arc<Breaker>| breaker.acquire(now).unwrap().fail(now);
        let threads = [spawn(&breaker, call), spawn(&breaker, call)];
        call(&breaker);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(is_open(&breaker, now));
    });
}

#[test]
fn a_success_takes_back_failures_and_never_an_opening() {
    loom::model(|| {
        let now = start();
        let breaker = Arc::new(Breaker::new(config(2, 1), now));
        let calls = [(); 3].map(|()| breaker.acquire_owned(now).unwrap());
        let [first, second, good] = calls;
        let bad = spawn(&breaker, move |_| {
            first.fail(now);
            second.fail(now);
        });
        let good = spawn(&breaker, move |_| good.succeed(now));
        bad.join().unwrap();
        let was_open = is_open(&breaker, now);
        good.join().unwrap();
        assert!(!was_open || is_open(&breaker, now), "a success has closed it");
        if !is_open(&breaker, now) {
            // It came between the two, so one failure is counted.
            breaker.acquire(now).unwrap().fail(now);
            assert!(is_open(&breaker, now));
        }
    });
}

fn rate(permille: u16, min_calls: u32) -> BreakerConfig {
    let rate = FailureRate { window: Duration::from_secs(10), permille, min_calls };
    BreakerConfig::DEFAULT.rate(rate).unwrap().without_consecutive().unwrap()
}

/// All interleavings that take the processor from a running thread three times at most: those of a tally and a lock
/// together are too many.
fn with_three_preemptions(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn every_result_is_counted_once_in_a_rate() {
    for config in [rate(500, 4), rate(500, 4).consecutive(3).unwrap()] {
        with_three_preemptions(move || {
            let now = start();
            let breaker = Arc::new(Breaker::new(config, now));
            let succeed = move |breaker: &Arc<Breaker>| breaker.acquire(now).unwrap().succeed(now);
            let fail = move |breaker: &Arc<Breaker>| breaker.acquire(now).unwrap().fail(now);
            let threads = [spawn(&breaker, succeed), spawn(&breaker, fail)];
            succeed(&breaker);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            // Two of four open it; of three, or two of five, would not.
            assert_eq!(breaker.state(now), BreakerState::Closed);
            fail(&breaker);
            assert!(is_open(&breaker, now));
        });
    }
}

#[test]
fn a_success_of_before_does_not_count_in_a_rate() {
    with_three_preemptions(|| {
        let now = start();
        let breaker = Arc::new(Breaker::new(rate(1000, 1), now));
        let old = [(); 2].map(|()| breaker.acquire_owned(now).unwrap());
        let threads = old.map(|permit| spawn(&breaker, move |_| permit.succeed(now)));
        breaker.reset(now);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        breaker.acquire(now).unwrap().fail(now);
        assert!(is_open(&breaker, now));
    });
}

#[test]
fn successes_are_counted_while_the_window_moves_on() {
    with_three_preemptions(|| {
        let began = start();
        let breaker = Arc::new(Breaker::new(rate(500, 4), began));
        let later = began + Duration::from_secs(1);
        let threads =
            [began, later].map(|now| spawn(&breaker, move |breaker| breaker.acquire(now).unwrap().succeed(now)));
        breaker.acquire(later).unwrap().fail(later);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        breaker.acquire(later).unwrap().fail(later);
        assert!(is_open(&breaker, later));
    });
}

#[test]
fn what_was_opened_by_hand_no_result_closes() {
    loom::model(|| {
        let began = start();
        let (breaker, now) = (opened(config(1, 1), began), began + OPEN_FOR);
        let probe = breaker.acquire_owned(now).unwrap();
        let result = spawn(&breaker, move |_| probe.succeed(now));
        let asking =
            spawn(&breaker, move |breaker| breaker.acquire_owned(now).map(|permit| permit.succeed(now)).is_ok());
        breaker.force_open(now);
        assert!(breaker.acquire(now).is_err(), "who has opened it sees it open");
        result.join().unwrap();
        asking.join().unwrap();
        assert_eq!(breaker.state(now), BreakerState::ForcedOpen);
        breaker.reset(now);
        assert!(breaker.acquire(now).is_ok());
    });
}
