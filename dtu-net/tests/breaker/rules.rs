use crate::{SECOND, start};
use core::time::Duration;
use dtu_net::breaker::{
    Breaker, BreakerConfig, BreakerState, Change, EVENTS, FailureRate, OPEN_FOR, PROBE_DEADLINE, PROBES_OUT, Permit,
    Refused, RefusedCause,
};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

const RATE: FailureRate = FailureRate { window: Duration::from_secs(10), permille: 500, min_calls: 10 };

fn fail(breaker: &Breaker, count: u32, now: Instant) {
    for _ in 0..count {
        breaker.acquire(now).unwrap().fail(now);
    }
}

/// A breaker that opened at `now`.
fn opened(config: BreakerConfig, now: Instant) -> Breaker {
    let breaker = Breaker::new(config, now);
    fail(&breaker, 5, now);
    assert_eq!(breaker.state(now), BreakerState::Open { until: now + OPEN_FOR });
    breaker
}

fn refusal(result: Result<Permit<&Breaker>, Refused>) -> (RefusedCause, Duration) {
    let refused = result.unwrap_err();
    (refused.cause, refused.retry_after)
}

fn changes(breaker: &Breaker) -> Vec<Change> {
    core::iter::from_fn(|| breaker.poll_event()).map(|event| event.change).collect()
}

#[test]
fn the_fifth_failure_in_a_row_opens_it_for_thirty_seconds() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT, now);
    fail(&breaker, 4, now);
    breaker.acquire(now).unwrap().succeed(now);
    fail(&breaker, 4, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now + SECOND);
    let until = now + SECOND + OPEN_FOR;
    assert_eq!(breaker.state(now + SECOND), BreakerState::Open { until });
    assert_eq!(refusal(breaker.acquire(until - SECOND)), (RefusedCause::Open, SECOND));
    assert_eq!(breaker.state(until - Duration::from_nanos(1)), BreakerState::Open { until });
    assert_eq!(breaker.state(until), BreakerState::HalfOpen);
    assert!(breaker.acquire(until).unwrap().is_probe());

    let event = breaker.poll_event().unwrap();
    assert_eq!((event.state, event.change), (BreakerState::Open { until }, Change::Consecutive { failures: 5 }));
    assert_eq!((event.at, event.missed), (now + SECOND, 0));
    assert_eq!(changes(&breaker), [Change::Recovering]);
}

#[test]
fn half_open_admits_exactly_the_set_number_of_probes() {
    let began = start();
    for probes in 1..=4_u32 {
        let breaker = opened(BreakerConfig::DEFAULT.probes(probes).unwrap(), began);
        let now = began + OPEN_FOR;
        let mut out: Vec<_> = (0..probes).map(|_| breaker.acquire(now).unwrap()).collect();
        assert!(out.iter().all(Permit::is_probe));
        assert_eq!(refusal(breaker.acquire(now)), (RefusedCause::ProbesOut, PROBES_OUT));
        let last = out.pop().unwrap();
        for probe in out {
            probe.succeed(now);
            // One that has succeeded makes no room for another.
            assert_eq!(refusal(breaker.acquire(now)), (RefusedCause::ProbesOut, PROBES_OUT));
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        }
        last.succeed(now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert!(!breaker.acquire(now).unwrap().is_probe());
        assert_eq!(breaker.counters().probes, u64::from(probes));
        // Failures before it opened are forgotten.
        fail(&breaker, 4, now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }
}

#[test]
fn one_failed_probe_opens_it_again_and_the_others_count_for_nothing() {
    let began = start();
    let breaker = opened(BreakerConfig::DEFAULT.probes(3).unwrap(), began);
    let now = began + OPEN_FOR;
    let [first, second, third] = [(); 3].map(|()| breaker.acquire(now).unwrap());
    first.succeed(now);
    second.fail(now);
    let open = BreakerState::Open { until: now + OPEN_FOR };
    assert_eq!(breaker.state(now), open);
    third.succeed(now);
    assert_eq!((breaker.state(now), breaker.counters().stale), (open, 1));
    // The success of the round before does not count in the next.
    let now = now + OPEN_FOR;
    let round = [(); 3].map(|()| breaker.acquire(now).unwrap());
    assert!(breaker.acquire(now).is_err());
    drop(round);
}

#[test]
fn a_probe_that_is_dropped_frees_its_place_and_says_nothing() {
    let began = start();
    let breaker = opened(BreakerConfig::DEFAULT, began);
    let now = began + OPEN_FOR;
    for round in 1..=100_u32 {
        let probe = breaker.acquire(now).unwrap();
        assert!(breaker.acquire(now).is_err());
        drop(probe);
        assert_eq!((breaker.state(now), breaker.counters().returned), (BreakerState::HalfOpen, u64::from(round)));
    }
    // However long nobody calls then, a probe goes at once.
    breaker.acquire(now + 1000 * PROBE_DEADLINE).unwrap().succeed(now + 1000 * PROBE_DEADLINE);
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn a_call_that_is_dropped_is_no_failure_and_no_success() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT, now);
    for _ in 0..100 {
        drop(breaker.acquire(now).unwrap());
    }
    fail(&breaker, 4, now);
    drop(breaker.acquire(now).unwrap());
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now);
    assert_ne!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn a_leaked_probe_is_a_failure_at_its_deadline() {
    let began = start();
    let breaker = opened(BreakerConfig::DEFAULT.probes(2).unwrap(), began);
    let now = began + OPEN_FOR;
    core::mem::forget(breaker.acquire(now).unwrap());
    // The deadline runs from the last probe.
    let later = now + 10 * SECOND;
    let probe = breaker.acquire(later).unwrap();
    let deadline = later + PROBE_DEADLINE;
    let just_before = deadline - Duration::from_millis(1);
    assert_eq!(refusal(breaker.acquire(just_before)), (RefusedCause::ProbesOut, Duration::from_millis(1)));
    assert_eq!(breaker.state(just_before), BreakerState::HalfOpen);
    let until = deadline + OPEN_FOR;
    assert_eq!(breaker.state(deadline), BreakerState::Open { until });
    assert_eq!(refusal(breaker.acquire(deadline + SECOND)), (RefusedCause::Open, OPEN_FOR - SECOND));
    probe.succeed(deadline + SECOND);
    assert_eq!(breaker.state(until), BreakerState::HalfOpen);
    let round = [(); 2].map(|()| breaker.acquire(until).unwrap());
    round.into_iter().for_each(|probe| probe.succeed(until));
    assert_eq!(breaker.state(until), BreakerState::Closed);
    let expected = [
        Change::Consecutive { failures: 5 },
        Change::Recovering,
        Change::ProbeOverdue,
        Change::Recovering,
        Change::ProbesSucceeded,
    ];
    assert_eq!(changes(&breaker), expected);
}

#[test]
fn a_success_after_the_deadline_does_not_close_it_even_when_nobody_has_looked() {
    let began = start();
    let breaker = opened(BreakerConfig::DEFAULT, began);
    let now = began + OPEN_FOR;
    let probe = breaker.acquire(now).unwrap();
    let deadline = now + PROBE_DEADLINE;
    probe.succeed(deadline);
    assert_eq!(breaker.state(deadline), BreakerState::Open { until: deadline + OPEN_FOR });
    // Long after both, the next call is a probe at once.
    assert!(breaker.acquire(deadline + OPEN_FOR).unwrap().is_probe());
}

#[test]
fn results_of_an_older_generation_count_for_nothing() {
    let began = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT, began);
    let old: Vec<_> = (0..20).map(|_| breaker.acquire(began).unwrap()).collect();
    fail(&breaker, 5, began);
    let now = began + OPEN_FOR;
    let probe = breaker.acquire(now).unwrap();
    let mut old = old.into_iter();
    old.next().unwrap().succeed(now);
    old.next().unwrap().fail(now);
    assert_eq!(breaker.state(now), BreakerState::HalfOpen);
    drop(old.next());
    assert!(breaker.acquire(now).is_err(), "a call that is dropped frees no probe's place");
    probe.succeed(now);
    old.for_each(|permit| permit.fail(now));
    assert_eq!((breaker.state(now), breaker.counters().stale), (BreakerState::Closed, 19));
    // Neither do they take back a failure that counts.
    let old = breaker.acquire(now).unwrap();
    breaker.reset(now);
    fail(&breaker, 4, now);
    old.succeed(now);
    fail(&breaker, 1, now);
    assert_ne!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn a_rate_opens_it_once_there_are_enough_calls() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(RATE).unwrap().without_consecutive().unwrap(), now);
    fail(&breaker, 5, now);
    for _ in 0..4 {
        breaker.acquire(now).unwrap().succeed(now);
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
    // The tenth call makes it a rate, but no success opens a breaker.
    breaker.acquire(now).unwrap().succeed(now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now);
    assert_ne!(breaker.state(now), BreakerState::Closed);
    assert_eq!(changes(&breaker), [Change::Rate { failures: 6, calls: 11 }]);
    // With the next generation all is counted anew.
    breaker.reset(now);
    fail(&breaker, 9, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now);
    assert_ne!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn no_success_is_lost_among_many() {
    let now = start();
    let rate = FailureRate { min_calls: 140_000, ..RATE };
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(rate).unwrap().without_consecutive().unwrap(), now);
    for _ in 0..70_000 {
        breaker.acquire(now).unwrap().succeed(now);
    }
    fail(&breaker, 69_999, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now);
    assert_eq!(changes(&breaker), [Change::Rate { failures: 70_000, calls: 140_000 }]);
}

#[test]
fn a_window_forgets_by_tenths() {
    let began = start();
    let config = BreakerConfig::DEFAULT.rate(RATE).unwrap().without_consecutive().unwrap();
    for (pause, opens) in [(9, true), (10, false), (11, false), (1_000_000, false)] {
        let breaker = Breaker::new(config, began);
        fail(&breaker, 9, began);
        let now = began + pause * SECOND;
        fail(&breaker, 1, now);
        assert_eq!(breaker.state(now) != BreakerState::Closed, opens, "after {pause} s");
    }
}

#[test]
fn both_rules_hold_side_by_side() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(RATE).unwrap(), now);
    for _ in 0..4 {
        fail(&breaker, 1, now);
        breaker.acquire(now).unwrap().succeed(now);
    }
    fail(&breaker, 1, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    fail(&breaker, 1, now);
    assert_eq!(changes(&breaker), [Change::Rate { failures: 6, calls: 10 }]);
    breaker.reset(now);
    fail(&breaker, 5, now);
    assert_eq!(changes(&breaker), [Change::Reset, Change::Consecutive { failures: 5 }]);
}

#[test]
fn by_hand_it_opens_and_closes_whatever_is_in_flight() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT, now);
    let call = breaker.acquire(now).unwrap();
    breaker.force_open(now);
    breaker.force_open(now);
    call.succeed(now);
    let years = now + 100_000 * OPEN_FOR;
    assert_eq!(refusal(breaker.acquire(years)), (RefusedCause::ForcedOpen, OPEN_FOR));
    assert_eq!(breaker.state(years), BreakerState::ForcedOpen);
    breaker.reset(now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    assert_eq!(changes(&breaker), [Change::ForcedOpen, Change::Reset]);
    assert_eq!(breaker.counters().opened, 1);

    // Closed already, it forgets and has nothing to tell.
    fail(&breaker, 4, now);
    let old = breaker.acquire(now).unwrap();
    breaker.reset(now);
    fail(&breaker, 4, now);
    old.fail(now);
    assert_eq!((breaker.state(now), changes(&breaker)), (BreakerState::Closed, vec![]));

    // A probe in flight closes nothing that was opened by hand.
    fail(&breaker, 1, now);
    let probe = breaker.acquire(now + OPEN_FOR).unwrap();
    breaker.force_open(now + OPEN_FOR);
    probe.succeed(now + OPEN_FOR);
    assert_eq!(breaker.state(now + OPEN_FOR), BreakerState::ForcedOpen);
}

#[test]
fn events_that_nobody_polls_are_bounded_and_counted() {
    let now = start();
    let breaker = Breaker::new(BreakerConfig::DEFAULT, now);
    for _ in 0..EVENTS {
        breaker.force_open(now);
        breaker.reset(now);
    }
    let events: Vec<_> = core::iter::from_fn(|| breaker.poll_event()).collect();
    assert_eq!(events.len(), EVENTS);
    assert_eq!(breaker.counters().missed, EVENTS as u64);
    assert_eq!(events.iter().map(|event| event.missed).collect::<Vec<_>>(), {
        let mut missed = vec![0; EVENTS];
        missed[0] = EVENTS as u64;
        missed
    });
    assert_eq!(events.last().unwrap().state, BreakerState::Closed);
    breaker.force_open(now);
    assert_eq!(breaker.poll_event().unwrap().missed, 0);
}

#[test]
fn a_clock_that_goes_back_makes_no_wait_longer_than_it_was_set() {
    let early = start();
    let late = early + 1_000_000 * SECOND;
    let breaker = opened(BreakerConfig::DEFAULT, late);
    assert_eq!(breaker.state(early), BreakerState::Open { until: early + OPEN_FOR });
    assert_eq!(refusal(breaker.acquire(early)), (RefusedCause::Open, OPEN_FOR));
    let now = early + OPEN_FOR;
    // A probe that went before the clock did.
    let breaker = opened(BreakerConfig::DEFAULT, late);
    core::mem::forget(breaker.acquire(late + OPEN_FOR).unwrap());
    assert!(breaker.acquire(now).is_err());
    assert_eq!(breaker.state(now + PROBE_DEADLINE), BreakerState::Open { until: now + PROBE_DEADLINE + OPEN_FOR });
    // Calls in a window.
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(RATE).unwrap().without_consecutive().unwrap(), early);
    fail(&breaker, 9, late);
    fail(&breaker, 9, early);
    assert_eq!(breaker.state(early), BreakerState::Closed, "what the other clock counted is gone");
    fail(&breaker, 1, early);
    assert_ne!(breaker.state(early), BreakerState::Closed);
    // A whole window back is a jump already.
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(RATE).unwrap().without_consecutive().unwrap(), early);
    fail(&breaker, 9, early + RATE.window);
    fail(&breaker, 9, early);
    assert_eq!(breaker.state(early), BreakerState::Closed);
    // One that comes slightly late counts.
    let breaker = Breaker::new(BreakerConfig::DEFAULT.rate(RATE).unwrap().without_consecutive().unwrap(), early);
    fail(&breaker, 9, early + 5 * SECOND);
    fail(&breaker, 1, early);
    assert_ne!(breaker.state(early), BreakerState::Closed);
}

#[test]
fn an_owned_permit_outlives_the_borrow() {
    let now = start();
    let breaker = Arc::new(opened(BreakerConfig::DEFAULT, now));
    let now = now + OPEN_FOR;
    let permit = breaker.acquire_owned(now).unwrap();
    let other = Arc::clone(&breaker);
    thread::spawn(move || permit.succeed(now)).join().unwrap();
    assert_eq!(other.state(now), BreakerState::Closed);
    drop(breaker.acquire_owned(now).unwrap());
    assert_eq!(Arc::strong_count(&other), 2, "a permit that has ended holds nothing");
}

#[test]
fn threads_that_all_ask_at_once_get_the_set_number_of_probes() {
    const THREADS: usize = 8;
    let began = start();
    let breaker = opened(BreakerConfig::DEFAULT.probes(3).unwrap(), began);
    let mut now = began;
    for _ in 0..200 {
        now += OPEN_FOR;
        let barrier = Barrier::new(THREADS);
        let admitted = thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                breaker.acquire(now).ok()
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(admitted.len(), 3);
        admitted.into_iter().for_each(|probe| probe.fail(now));
    }
}
