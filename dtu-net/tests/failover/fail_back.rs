//! When a device goes back to a better endpoint.

use crate::{SECOND, back, in_order, plan, start};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::breaker::BreakerConfig;
use dtu_net::failover::{FailBack, Failover, FailoverConfig, PAUSE, PROBE_EVERY, Plan, Rank, Verdict};
use std::collections::BTreeSet;
use std::time::Instant;

/// A device that was welcomed by its second endpoint a moment after the first one failed.
fn on_backup(config: FailoverConfig, seed: u64, now: Instant) -> Failover {
    let mut failover = Failover::new(&plan(&[(0, 1), (1, 1)], config), seed, now);
    assert_eq!(failover.choose(now), 0);
    failover.handle_lost(now, Verdict::Failed);
    assert_eq!(failover.choose(now), 1);
    failover.handle_answered(now);
    failover
}

/// Makes the next probe when it is due, which takes no time.
fn probe(failover: &mut Failover, now: &mut Instant, answered: bool) -> Option<usize> {
    let due = failover.poll_timeout().unwrap();
    assert_eq!(failover.poll_probe(due - crate::TICK), None, "not before its time");
    *now = due;
    let probe = failover.poll_probe(*now).unwrap();
    assert_eq!(probe.endpoint, 0);
    assert_eq!((failover.poll_timeout(), failover.poll_probe(*now)), (None, None), "one at a time");
    failover.handle_probe(*now, probe, answered);
    failover.poll_fail_back()
}

#[test]
fn a_device_goes_back_after_every_probe_was_answered_for_the_hold_and_its_own_share_of_the_spread() {
    let (hold, spread) = (100 * SECOND, 50 * SECOND);
    let mut moves = Vec::new();
    for seed in 0..200 {
        let began = start();
        let mut now = began;
        let mut failover = on_backup(back(hold, spread, 10 * SECOND), seed, now);
        let (mut first, mut before) = (None, began);
        let moved = loop {
            let back_to = probe(&mut failover, &mut now, true);
            assert!(now - before >= 5 * SECOND, "seed {seed}: probes are half of the time apart at least");
            assert!(now - before <= 10 * SECOND, "seed {seed}");
            before = now;
            let first = *first.get_or_insert(now);
            if let Some(back_to) = back_to {
                assert_eq!(back_to, 0);
                break now - first;
            }
            assert!(now - first < hold + spread + 10 * SECOND, "seed {seed}: it goes back at last");
        };
        // The probe that the move follows upon may have to keep its distance from the one before.
        assert!(moved >= hold && moved < hold + spread + 5 * SECOND, "seed {seed}: {moved:?}");
        failover.handle_lost(now, Verdict::None);
        assert_eq!(failover.choose(now), 0);
        moves.push(moved);
    }
    moves.sort();
    let within =
        |from: u32, to: u32| moves.iter().filter(|at| (hold + from * SECOND..hold + to * SECOND).contains(*at)).count();
    // Each fifth of the spread has about a fifth of the devices.
    for from in [0, 10, 20, 30, 40] {
        assert!((20..=65).contains(&within(from, from + 10)), "from {from}: {}", within(from, from + 10));
    }
}

#[test]
fn one_probe_without_an_answer_begins_the_hold_anew_and_pauses_the_endpoint() {
    let mut now = start();
    let mut failover = on_backup(back(60 * SECOND, Duration::ZERO, 10 * SECOND), 1, now);
    for _ in 0..5 {
        assert_eq!(probe(&mut failover, &mut now, true), None);
    }
    assert_eq!(probe(&mut failover, &mut now, false), None);
    let failed = now;
    assert_eq!(probe(&mut failover, &mut now, true), None);
    let again = now;
    assert!(again - failed >= 5 * SECOND, "the next probe keeps its distance");
    let back_to = loop {
        if let Some(back_to) = probe(&mut failover, &mut now, true) {
            break back_to;
        }
    };
    assert_eq!(back_to, 0);
    assert!(now - again >= 60 * SECOND, "{:?}", now - again);
}

#[test]
fn probes_that_fail_come_as_seldom_as_the_endpoints_pause_and_breaker_say() {
    let mut now = start();
    let mut failover = on_backup(back(60 * SECOND, Duration::ZERO, SECOND), 1, now);
    let mut distances = Vec::new();
    for _ in 0..10 {
        let before = now;
        assert_eq!(probe(&mut failover, &mut now, false), None);
        distances.push(now - before);
    }
    assert!(distances.iter().all(|distance| *distance <= 60 * SECOND));
    // The first failure was that of the connection.
    for (failures, distance) in (0..4).zip(&distances) {
        assert!(PAUSE.interval(failures).contains(distance), "{distances:?}");
    }
    assert!(distances[5..].iter().all(|distance| *distance >= 30 * SECOND), "{distances:?}");
}

#[test]
fn probes_that_fail_open_the_breaker() {
    let mut now = start();
    let mut config = back(60 * SECOND, Duration::ZERO, SECOND);
    config.pause = Backoff::fixed(SECOND);
    config.breaker = BreakerConfig::DEFAULT.consecutive(3).unwrap().open_for(100 * SECOND).unwrap();
    let mut failover = on_backup(config, 1, now);
    for _ in 0..2 {
        probe(&mut failover, &mut now, false);
    }
    let opened = now;
    probe(&mut failover, &mut now, true);
    assert_eq!(now - opened, 100 * SECOND);
    probe(&mut failover, &mut now, false);
    let failed = now;
    probe(&mut failover, &mut now, true);
    assert!(now - failed <= SECOND, "one that was answered has closed it");
}

#[test]
fn one_probe_is_under_way_at_a_time_and_the_better_endpoint_has_the_first() {
    let mut now = start();
    let mut failover = in_order(3, 1, now);
    for _ in 0..2 {
        failover.choose(now);
        failover.handle_lost(now, Verdict::Failed);
    }
    assert_eq!(failover.choose(now), 2);
    failover.handle_answered(now);
    now += 120 * SECOND;
    let first = failover.poll_probe(now).unwrap();
    assert_eq!((first.endpoint, failover.poll_timeout(), failover.poll_probe(now)), (0, None, None));
    failover.handle_probe(now, first, false);
    assert_eq!(failover.poll_probe(now).unwrap().endpoint, 1);
}

#[test]
fn the_probes_of_a_fleet_do_not_keep_step() {
    let now = start();
    let first = |seed| on_backup(FailoverConfig::DEFAULT, seed, now).poll_timeout().unwrap() - now;
    let firsts: BTreeSet<_> = (0..100).map(|seed| first(seed).as_secs()).collect();
    assert!(firsts.len() > 15 && firsts.iter().all(|first| (30..=60).contains(first)), "{firsts:?}");
}

#[test]
fn after_a_jump_of_the_clock_the_endpoint_has_to_hold_anew() {
    // Suspended for an hour, and for a little more than two probes: nobody has seen what was in between.
    for jump in [3_600 * SECOND, 21 * SECOND] {
        let mut now = start();
        let mut failover = on_backup(back(60 * SECOND, Duration::ZERO, 10 * SECOND), 1, now);
        assert_eq!(probe(&mut failover, &mut now, true), None);
        now += jump;
        let late = failover.poll_probe(now).unwrap();
        failover.handle_probe(now, late, true);
        assert_eq!(failover.poll_fail_back(), None);
        let jumped = now;
        while probe(&mut failover, &mut now, true).is_none() {}
        assert!(now - jumped >= 60 * SECOND, "{jump:?}");
    }
}

#[test]
fn a_connection_that_breaks_on_its_way_back_goes_back_all_the_same() {
    let mut now = start();
    let mut config = back(Duration::ZERO, Duration::ZERO, SECOND);
    config.pause = PAUSE.stable_after(Duration::ZERO);
    let mut failover = on_backup(config, 1, now);
    while probe(&mut failover, &mut now, true).is_none() {}
    failover.handle_lost(now, Verdict::Broke);
    assert_eq!(failover.choose(now), 0, "and not once more to the one that broke, though it had held");
}

/// Whether the next failure of the endpoint opens its breaker at once, as one that is half-open does; two open a closed one.
fn is_half_open(failover: &mut Failover, now: Instant, endpoint: usize) -> bool {
    failover.handle_lost(now, Verdict::None);
    while failover.choose(now) != endpoint {
        failover.handle_lost(now, Verdict::Failed);
    }
    failover.handle_lost(now, Verdict::Failed);
    failover.available_at(now + 2 * SECOND) > now + 2 * SECOND
}

/// Pauses of a second, and breakers that two failures open for 100 s.
fn with_breaker(mut config: FailoverConfig) -> FailoverConfig {
    config.pause = Backoff::fixed(SECOND);
    config.breaker = BreakerConfig::DEFAULT.consecutive(2).unwrap().open_for(100 * SECOND).unwrap();
    config
}

#[test]
fn a_try_that_says_nothing_gives_its_place_in_the_breaker_back() {
    for verdict in [Verdict::Local, Verdict::None, Verdict::Unwanted(SECOND)] {
        let mut now = start();
        let mut failover = Failover::new(&plan(&[(0, 1)], with_breaker(FailoverConfig::DEFAULT)), 1, now);
        for _ in 0..2 {
            failover.choose(now);
            failover.handle_lost(now, Verdict::Failed);
        }
        now += 100 * SECOND;
        failover.choose(now);
        failover.handle_lost(now, verdict);
        now += 3 * SECOND;
        failover.choose(now);
        failover.handle_answered(now);
        assert!(!is_half_open(&mut failover, now, 0), "{verdict:?}: WELCOME has closed it");
    }
}

#[test]
fn a_probe_that_is_forgotten_gives_its_place_in_the_breaker_back() {
    let mut now = start();
    let mut failover = on_backup(with_breaker(back(60 * SECOND, Duration::ZERO, SECOND)), 1, now);
    assert_eq!(probe(&mut failover, &mut now, false), None);
    // The breaker of the first is open, and the probe after its time is the one that it admits.
    now = failover.poll_timeout().unwrap();
    let under_way = failover.poll_probe(now).unwrap();
    failover.handle_lost(now, Verdict::Failed);
    failover.handle_probe(now, under_way, true);
    assert_eq!(failover.choose(now), 0);
    failover.handle_answered(now);
    failover.handle_lost(now, Verdict::None);
    assert_eq!(failover.choose(now), 0);
    failover.handle_lost(now, Verdict::Failed);
    now += 2 * SECOND;
    assert_eq!(failover.choose(now), 0, "one failure does not open what WELCOME has closed");
}

#[test]
fn answers_that_take_longer_than_the_time_between_probes_lead_back_all_the_same() {
    let mut now = start();
    let mut failover = on_backup(back(5 * SECOND, Duration::ZERO, SECOND), 1, now);
    let mut first = None;
    loop {
        now = failover.poll_timeout().unwrap();
        let probe = failover.poll_probe(now).unwrap();
        // As over TLS on a slow network.
        now += 4 * SECOND;
        failover.handle_probe(now, probe, true);
        let first = *first.get_or_insert(now);
        if failover.poll_fail_back() == Some(0) {
            assert!(now - first >= 5 * SECOND, "{:?}", now - first);
            return;
        }
        assert!(now - first < 20 * SECOND, "it goes back at last");
    }
}

#[test]
fn only_better_endpoints_that_can_be_probed_are() {
    let mut now = start();
    let udp = Rank { is_probed: false, ..Rank::new(0) };
    let ranks = [udp, Rank::new(1), Rank::new(2), Rank::new(2), Rank::new(3)];
    let mut failover = Failover::new(&Plan::new(&ranks, FailoverConfig::DEFAULT).unwrap(), 1, now);
    for expected in [0, 1] {
        assert_eq!(failover.choose(now), expected);
        failover.handle_lost(now, Verdict::Failed);
    }
    assert!([2, 3].contains(&failover.choose(now)));
    failover.handle_answered(now);
    for _ in 0..20 {
        now = failover.poll_timeout().unwrap();
        let probe = failover.poll_probe(now).unwrap();
        assert_eq!(probe.endpoint, 1);
        failover.handle_probe(now, probe, false);
    }
}

#[test]
fn on_the_best_endpoint_and_without_fail_back_nothing_is_probed() {
    let now = start();
    let mut failover = in_order(2, 1, now);
    failover.choose(now);
    failover.handle_answered(now);
    assert_eq!(failover.poll_timeout(), None);
    let mut never = FailoverConfig::DEFAULT;
    never.fail_back = None;
    assert_eq!(on_backup(never, 1, now).poll_timeout(), None);
    let first = on_backup(FailoverConfig::DEFAULT, 1, now).poll_timeout().unwrap();
    assert!(first >= now + PROBE_EVERY / 2 && first <= now + PROBE_EVERY);
    assert_eq!(FailoverConfig::DEFAULT.fail_back, Some(FailBack::DEFAULT));
}

#[test]
fn a_probe_of_an_older_connection_does_nothing() {
    let mut now = start();
    let mut failover = on_backup(back(Duration::ZERO, Duration::ZERO, SECOND), 1, now);
    now = failover.poll_timeout().unwrap();
    let old = failover.poll_probe(now).unwrap();
    failover.handle_lost(now, Verdict::Failed);
    assert_eq!(failover.poll_timeout(), None, "nothing is probed without a connection");
    now += 3_600 * SECOND;
    // The first is free by now, and fails again.
    assert_eq!(failover.choose(now), 0);
    failover.handle_lost(now, Verdict::Failed);
    assert_eq!(failover.choose(now), 1);
    failover.handle_answered(now);
    failover.handle_probe(now, old, true);
    assert_eq!(failover.poll_fail_back(), None);
    assert_eq!(probe(&mut failover, &mut now, true), Some(0), "without a hold the first answer is enough");
}

#[test]
fn a_primary_that_answers_probes_and_fails_all_the_same_is_left_for_the_backup() {
    let mut now = start();
    let mut failover = on_backup(back(10 * SECOND, Duration::ZERO, SECOND), 1, now);
    while probe(&mut failover, &mut now, true).is_none() {}
    failover.handle_lost(now, Verdict::None);
    assert_eq!(failover.choose(now), 0);
    failover.handle_lost(now, Verdict::Failed);
    assert_eq!(failover.choose(now), 1, "the backup was left in order, and is free");
}
