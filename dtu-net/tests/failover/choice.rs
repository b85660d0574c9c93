//! Which endpoint is tried next.

use crate::{SECOND, TICK, in_order, plan, start};
use core::time::Duration;
use dtu_net::Cause;
use dtu_net::backoff::{Backoff, STABLE_AFTER};
use dtu_net::breaker::BreakerConfig;
use dtu_net::failover::{Failover, FailoverConfig, PAUSE, Verdict};
use dtu_proto::message::{CloseCode, RefuseCode};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Instant;

/// Chooses, and ends the try at once.
fn try_once(failover: &mut Failover, now: Instant, verdict: Verdict) -> usize {
    let chosen = failover.choose(now);
    failover.handle_lost(now, verdict);
    chosen
}

#[test]
fn the_lowest_priority_number_comes_first_wherever_it_stands() {
    let now = start();
    let mut failover = Failover::new(&plan(&[(7, 1), (3, 1), (5, 1)], FailoverConfig::DEFAULT), 1, now);
    let order: Vec<_> = (0..3).map(|_| try_once(&mut failover, now, Verdict::Failed)).collect();
    assert_eq!(order, [1, 2, 0]);
}

#[test]
fn an_endpoint_that_failed_is_not_chosen_before_its_own_delay() {
    for seed in 0..100 {
        let mut now = start();
        let mut failover = in_order(2, seed, now);
        for failures in 0..8_u32 {
            assert_eq!(try_once(&mut failover, now, Verdict::Failed), 0, "seed {seed}, {failures} failures");
            // The second one is busy for longer than all of this takes.
            if failures == 0 {
                assert_eq!(try_once(&mut failover, now, Verdict::Unwanted(Duration::from_secs(3_600))), 1);
            }
            let until = failover.available_at(now);
            let pause = until - now;
            let interval = PAUSE.interval(failures);
            // From the fifth failure on the breaker is open for 30 s, which a pause may exceed.
            let least = if failures >= 4 { (*interval.start()).max(30 * SECOND) } else { *interval.start() };
            assert!(pause >= least && pause <= (*interval.end()).max(least), "seed {seed}: {failures}, {pause:?}");
            now = until;
        }
    }
}

#[test]
fn with_all_in_a_pause_the_device_waits_for_the_earliest() {
    let now = start();
    let mut failover = in_order(3, 1, now);
    for (endpoint, seconds) in [(0, 300), (1, 100), (2, 200)] {
        assert_eq!(try_once(&mut failover, now, Verdict::Unwanted(Duration::from_secs(seconds))), endpoint);
    }
    let at = failover.available_at(now);
    assert!(at >= now + 100 * SECOND && at < now + 200 * SECOND, "{:?}", at - now);
    assert_eq!(failover.choose(now), 1, "who must try at once tries that one");
    failover.handle_lost(now, Verdict::None);
    assert_eq!(failover.choose(at), 1);
}

#[test]
fn a_busy_endpoint_is_left_alone_for_its_time_and_the_others_are_not() {
    let now = start();
    let mut failover = in_order(2, 1, now);
    assert_eq!(try_once(&mut failover, now, Verdict::Busy(600 * SECOND)), 0);
    assert_eq!(failover.available_at(now), now, "the second is free");
    assert_eq!(failover.choose(now), 1);
    failover.handle_answered(now);
    failover.handle_lost(now, Verdict::Failed);
    let free = failover.available_at(now);
    assert!(free < now + 6 * SECOND);
    assert_eq!(try_once(&mut failover, free, Verdict::Failed), 1, "the first is still busy");
}

#[test]
fn equals_share_the_devices_by_weight() {
    const DEVICES: u64 = 6_000;
    let now = start();
    let ranks = plan(&[(0, 1), (0, 2), (0, 3), (1, 60_000)], FailoverConfig::DEFAULT);
    let mut chosen = [0_u64; 4];
    for seed in 0..DEVICES {
        chosen[Failover::new(&ranks, seed, now).choose(now)] += 1;
    }
    for (index, share) in [1, 2, 3].into_iter().enumerate() {
        let expected = DEVICES * share / 6;
        assert!(chosen[index].abs_diff(expected) < expected / 8, "{chosen:?}");
    }
    assert_eq!(chosen[3], 0, "a greater number has no share");
    assert!((0..50).map(|_| Failover::new(&ranks, 9, now).choose(now)).collect::<BTreeSet<_>>().len() == 1);
}

#[test]
fn among_equals_a_device_stays_where_it_was() {
    for seed in 0..50 {
        let mut now = start();
        let mut failover = Failover::new(&plan(&[(0, 1); 4], FailoverConfig::DEFAULT), seed, now);
        let first = failover.choose(now);
        for _ in 0..5 {
            failover.handle_answered(now);
            // Neither a move nor a break after a stable time is a reason to go elsewhere.
            now += STABLE_AFTER;
            failover.handle_lost(now, Verdict::Broke);
            assert_eq!(failover.choose(now), first, "seed {seed}");
            failover.handle_lost(now, Verdict::None);
            assert_eq!(failover.choose(now), first, "seed {seed}");
        }
        failover.handle_lost(now, Verdict::Failed);
        assert_ne!(failover.choose(now), first, "seed {seed}");
    }
}

#[test]
fn a_backup_whose_connection_held_is_tried_once_more_before_the_primary() {
    let mut now = start();
    let mut failover = in_order(2, 1, now);
    try_once(&mut failover, now, Verdict::Failed);
    assert_eq!(failover.choose(now), 1);
    failover.handle_answered(now);
    now += 3_600 * SECOND;
    failover.handle_lost(now, Verdict::Broke);
    assert_eq!(try_once(&mut failover, now, Verdict::Broke), 1, "once more");
    assert_eq!(failover.choose(now), 0, "and then the primary, whose pause is long over");
}

#[test]
fn a_connection_that_broke_too_early_is_a_failure() {
    let mut now = start();
    let mut failover = in_order(2, 1, now);
    failover.choose(now);
    failover.handle_answered(now);
    now += STABLE_AFTER - TICK;
    failover.handle_lost(now, Verdict::Broke);
    assert_eq!(failover.choose(now), 1);
}

#[test]
fn a_server_that_welcomes_and_drops_is_left_alone_for_longer_each_time() {
    let mut now = start();
    let mut failover = in_order(2, 1, now);
    let mut pauses = Vec::new();
    for round in 0..4 {
        assert_eq!(failover.choose(now), 0, "{round}");
        failover.handle_answered(now);
        failover.handle_lost(now, Verdict::Broke);
        if round == 0 {
            assert_eq!(try_once(&mut failover, now, Verdict::Unwanted(Duration::from_secs(3_600))), 1);
        }
        let until = failover.available_at(now);
        pauses.push(until - now);
        now = until;
    }
    assert!(pauses.is_sorted() && pauses[3] >= 20 * SECOND, "{pauses:?}");
}

#[test]
fn an_open_breaker_is_passed_over_although_the_pause_is_short() {
    let mut now = start();
    let mut config = FailoverConfig::DEFAULT;
    config.pause = Backoff::fixed(SECOND);
    config.breaker = BreakerConfig::DEFAULT.consecutive(2).unwrap().open_for(100 * SECOND).unwrap();
    let mut failover = Failover::new(&plan(&[(0, 1), (1, 1)], config), 1, now);
    for _ in 0..2 {
        assert_eq!(try_once(&mut failover, now, Verdict::Failed), 0);
        now += SECOND;
    }
    let opened = now - SECOND;
    for _ in 0..20 {
        assert_eq!(try_once(&mut failover, now, Verdict::None), 1, "two failures opened it");
        now += SECOND;
    }
    assert_eq!(try_once(&mut failover, opened + 100 * SECOND - TICK, Verdict::None), 1);
    assert_eq!(failover.choose(opened + 100 * SECOND), 0, "its time is over: this is the probe");
    failover.handle_answered(opened + 100 * SECOND);
}

#[test]
fn errors_of_this_side_open_no_breaker() {
    let mut now = start();
    let mut config = FailoverConfig::DEFAULT;
    config.pause = Backoff::fixed(SECOND);
    config.breaker = BreakerConfig::DEFAULT.consecutive(1).unwrap().open_for(100 * SECOND).unwrap();
    for verdict in [Verdict::Local, Verdict::Unwanted(SECOND)] {
        let mut failover = Failover::new(&plan(&[(0, 1)], config), 1, now);
        for _ in 0..10 {
            try_once(&mut failover, now, verdict);
            let until = failover.available_at(now);
            assert!(until - now < 3 * SECOND, "{verdict:?}");
            now = until;
        }
        try_once(&mut failover, now, Verdict::Failed);
        assert_eq!(failover.available_at(now), now + 100 * SECOND);
    }
}

#[test]
fn however_many_are_dead_the_one_that_lives_is_found() {
    const COUNT: u16 = 16;
    for seed in 0..50 {
        let mut now = start();
        let mut failover = in_order(COUNT, seed, now);
        let mut tries = 0;
        while failover.choose(now) + 1 < usize::from(COUNT) {
            failover.handle_lost(now, Verdict::Failed);
            tries += 1;
            // What the link's backoff would leave at least, with the first of its delays.
            now = failover.available_at(now).max(now + SECOND);
            assert!(tries < 200, "seed {seed}");
        }
    }
}

#[test]
fn an_endpoint_is_never_given_up() {
    let mut now = start();
    let mut config = FailoverConfig::DEFAULT;
    config.pause = Backoff::fixed(SECOND).max_attempts(1);
    let mut failover = Failover::new(&plan(&[(0, 1)], config), 1, now);
    for _ in 0..3 {
        try_once(&mut failover, now, Verdict::Failed);
        let until = failover.available_at(now);
        assert!(until > now && until <= now + SECOND);
        now = until;
    }
}

#[test]
fn a_welcome_counts_as_a_success_and_ends_the_pause() {
    let now = start();
    let mut config = FailoverConfig::DEFAULT;
    config.pause = Backoff::fixed(SECOND);
    config.breaker = BreakerConfig::DEFAULT.consecutive(2).unwrap().open_for(100 * SECOND).unwrap();
    let mut failover = Failover::new(&plan(&[(0, 1)], config), 1, now);
    try_once(&mut failover, now, Verdict::Failed);
    failover.choose(now);
    failover.handle_answered(now);
    failover.handle_lost(now, Verdict::None);
    assert_eq!(failover.available_at(now), now);
    try_once(&mut failover, now, Verdict::Failed);
    assert!(failover.available_at(now) <= now + SECOND, "these were not two failures in a row");
    try_once(&mut failover, now, Verdict::Failed);
    assert_eq!(failover.available_at(now), now + 100 * SECOND, "and these were");
}

#[test]
fn after_a_connection_that_held_the_pauses_begin_anew() {
    let mut now = start();
    let mut failover = in_order(1, 1, now);
    for _ in 0..4 {
        try_once(&mut failover, now, Verdict::Failed);
        now = failover.available_at(now);
    }
    failover.choose(now);
    failover.handle_answered(now);
    now += STABLE_AFTER;
    failover.handle_lost(now, Verdict::Failed);
    assert!(failover.available_at(now) <= now + *PAUSE.interval(0).end());
}

#[test]
fn a_try_before_its_time_that_fails_does_not_shorten_the_time_that_was_asked_for() {
    let now = start();
    let mut failover = in_order(1, 1, now);
    try_once(&mut failover, now, Verdict::Busy(600 * SECOND));
    try_once(&mut failover, now, Verdict::Failed);
    assert!(failover.available_at(now) >= now + 600 * SECOND);
}

#[test]
fn causes_are_judged_as_the_table_says() {
    let unwanted = 60 * SECOND;
    let refused = |code, retry_after| Cause::Refused { code, retry_after };
    let table = [
        (Cause::Disconnected, Verdict::Broke),
        (Cause::Transport(ErrorKind::ConnectionReset), Verdict::Broke),
        (Cause::Transport(ErrorKind::ConnectionRefused), Verdict::Broke),
        (Cause::Transport(ErrorKind::AddrNotAvailable), Verdict::Local),
        (Cause::Transport(ErrorKind::NetworkDown), Verdict::Local),
        (Cause::Silent { limit: SECOND }, Verdict::Failed),
        (Cause::NotConnected { limit: SECOND }, Verdict::Failed),
        (Cause::NotIdentified { limit: SECOND }, Verdict::Failed),
        (Cause::PeerClosed(CloseCode::GOING_DOWN), Verdict::Failed),
        (Cause::PeerClosed(CloseCode::REPLACED), Verdict::None),
        (Cause::MovedBack { endpoint: 0 }, Verdict::None),
        (refused(RefuseCode::BUSY, 7 * SECOND), Verdict::Busy(7 * SECOND)),
        (refused(RefuseCode::UNAUTHORIZED, 7 * SECOND), Verdict::Unwanted(unwanted)),
        (refused(RefuseCode::UNAUTHORIZED, 70 * SECOND), Verdict::Unwanted(70 * SECOND)),
        (Cause::NoKey, Verdict::Unwanted(unwanted)),
    ];
    for (cause, expected) in table {
        assert_eq!(Verdict::of(&cause, unwanted), expected, "{cause}");
    }
}
