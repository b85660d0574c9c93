//! Delays on a clock of the test's own, with seeded draws.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod hints;

use core::convert::Infallible;
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays, HINT_MAX, Jitter, LONGEST, SHORTEST, STABLE_AFTER};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand_core::{Rng, SeedableRng, TryRng};
use rand_pcg::Pcg32;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const DRAWS: usize = 20_000;
const JITTERS: [Jitter; 5] =
    [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Proportional(800)];

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

fn seeded(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn properties(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

/// Always the same number.
#[derive(Clone, Copy)]
struct Constant(u64);

/// Draws the shortest delay that is possible.
const fn lowest() -> Constant {
    Constant(0)
}

/// Draws the longest.
const fn highest() -> Constant {
    Constant(u64::MAX)
}

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0 as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0 as u8);
        Ok(())
    }
}

#[test]
fn presets_grow_as_named() {
    let plan = Backoff::RECONNECT;
    let expected = [1_000_000, 1_500_000, 2_250_000, 3_375_000, 5_062_500, 7_593_750].map(Duration::from_micros);
    assert_eq!([0, 1, 2, 3, 4, 5].map(|attempts| plan.delay(attempts)), expected);
    assert!(plan.delay(8) < 30 * SECOND);
    assert_eq!([9, 10, 1000, u32::MAX].map(|attempts| plan.delay(attempts)), [30 * SECOND; 4]);

    let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs);
    assert_eq!([0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|attempts| Backoff::REQUEST.delay(attempts)), expected);

    let fixed: Vec<Duration> = Backoff::FIXED.jitter(Jitter::None).delays(seeded(1)).collect();
    assert_eq!(fixed, [2 * SECOND; 3]);
    assert!(Backoff::FIXED.delays(seeded(1)).all(|delay| (ms(1600)..=ms(2000)).contains(&delay)));
}

#[test]
fn contradictory_parameters_move_to_the_nearest_that_fit() {
    let zero = Backoff::exponential(Duration::ZERO, 0, Duration::ZERO).jitter(Jitter::None);
    assert_eq!([0, 7].map(|attempts| zero.delay(attempts)), [SHORTEST; 2]);
    let cap_below_base = Backoff::exponential(5 * SECOND, 2_000, SECOND);
    assert_eq!([0, 7].map(|attempts| cap_below_base.delay(attempts)), [5 * SECOND; 2]);
    let shrinking = Backoff::exponential(SECOND, 999, 5 * SECOND);
    assert_eq!([0, 7].map(|attempts| shrinking.delay(attempts)), [SECOND; 2]);
    let endless = Backoff::exponential(Duration::MAX, u32::MAX, Duration::MAX);
    assert_eq!([0, u32::MAX].map(|attempts| endless.delay(attempts)), [LONGEST; 2]);
    let over = Backoff::RECONNECT.jitter(Jitter::Proportional(u16::MAX));
    assert_eq!(over.interval(9), Backoff::RECONNECT.jitter(Jitter::Proportional(1000)).interval(9));
}

#[test]
fn the_table_of_the_documentation_is_true() {
    let us = Duration::from_micros;
    let expected = [
        (Jitter::None, [(1_000_000, 1_000_000), (5_062_500, 5_062_500), (30_000_000, 30_000_000)]),
        (Jitter::Full, [(100_000, 1_000_000), (100_000, 5_062_500), (100_000, 30_000_000)]),
        (Jitter::Equal, [(500_000, 1_000_000), (2_531_250, 5_062_500), (15_000_000, 30_000_000)]),
        (Jitter::Decorrelated, [(1_000_000, 3_000_000), (1_000_000, 30_000_000), (1_000_000, 30_000_000)]),
        (Jitter::Proportional(800), [(200_000, 1_000_000), (1_012_500, 5_062_500), (6_000_000, 30_000_000)]),
    ];
    for (jitter, rows) in expected {
        let plan = Backoff::RECONNECT.jitter(jitter);
        for (attempts, (shortest, longest)) in [0, 4, 9].into_iter().zip(rows) {
            assert_eq!(plan.interval(attempts), us(shortest)..=us(longest), "{jitter:?} after {attempts}");
            // What is drawn at the edges is the interval.
            let drawn = |edge| plan.delays(edge).nth(attempts as usize).unwrap();
            if jitter != Jitter::Decorrelated || attempts == 0 {
                assert_eq!(drawn(lowest())..=drawn(highest()), us(shortest)..=us(longest), "{jitter:?}");
            }
        }
    }
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
        (0_u16..=1200).prop_map(Jitter::Proportional),
    ]
}

fn any_plan() -> impl Strategy<Value = Backoff> {
    (1_u64..5_000, prop_oneof![1_000_u32..1_010, 1_010_u32..4_000], 1_u64..60_000, any_jitter())
        .prop_map(|(base, factor, cap, jitter)| Backoff::exponential(ms(base), factor, ms(cap)).jitter(jitter))
}

proptest! {
    #![proptest_config(properties(0xB0))]

    #[test]
    fn no_parameter_and_no_attempt_overflows(
        base: u64, nanos in 0_u32..1_000_000_000, factor: u32, cap: u64, attempts: u32, permille: u16, hint: u64,
    ) {
        let plan = Backoff::exponential(Duration::new(base, nanos), factor, Duration::from_secs(cap));
        let delay = plan.delay(attempts);
        prop_assert!((plan.delay(0)..=plan.delay(u32::MAX)).contains(&delay));
        prop_assert!(delay >= SHORTEST && delay <= LONGEST && delay <= plan.delay(attempts.saturating_add(1)));
        let plan = plan.jitter(Jitter::Proportional(permille)).stable_after(Duration::new(cap, nanos));
        prop_assert!(*plan.interval(attempts).start() > Duration::ZERO);
        let drawn = Delays::new(plan).next_at_least(start(), Duration::from_secs(hint), &mut highest()).unwrap();
        prop_assert!(drawn <= LONGEST.max(HINT_MAX * 9 / 8));
    }

    #[test]
    fn jitter_stays_below_the_cap_and_above_the_floor(plan in any_plan(), seed: u64) {
        let cap = plan.cap();
        for (attempts, delay) in (0..).zip(plan.delays(seeded(seed)).take(200)) {
            prop_assert!(delay <= cap && delay >= plan.floor() && delay > Duration::ZERO, "{delay:?} after {attempts}");
            prop_assert!(plan.interval(attempts).contains(&delay), "{delay:?} after {attempts}");
        }
    }

    #[test]
    fn every_jitter_spreads_the_first_delay_and_the_cap(plan in any_plan()) {
        let spread = |attempts| plan.delays(lowest()).nth(attempts) < plan.delays(highest()).nth(attempts);
        let fixed = plan.cap() == plan.delay(0);
        let narrow = plan == plan.jitter(Jitter::None) || plan == plan.jitter(Jitter::Proportional(0))
            || (fixed && plan == plan.jitter(Jitter::Decorrelated));
        prop_assert_eq!(spread(0), !narrow);
        prop_assert_eq!(spread(100), !narrow);
    }
}

/// Mean, standard deviation and chi-square over 20 cells of an even distribution on `low..=high`.
fn assert_even(name: &str, seconds: &[f64], low: f64, high: f64) {
    const CELLS: usize = 20;
    /// The 99.9 % point of chi-square with 19 degrees of freedom.
    const CHI_SQUARE: f64 = 43.82;

    let count = seconds.len() as f64;
    let mean = seconds.iter().sum::<f64>() / count;
    let deviation = (seconds.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let expected = (high - low) / 12_f64.sqrt();
    assert!((mean - (low + high) / 2.0).abs() < 5.0 * expected / count.sqrt(), "{name}: mean {mean}");
    assert!((deviation / expected - 1.0).abs() < 0.02, "{name}: deviation {deviation}, not {expected}");

    let mut cells = [0_u32; CELLS];
    for value in seconds {
        let place = (value - low) / (high - low);
        assert!((0.0..=1.0).contains(&place), "{name}: {value} is outside");
        cells[((place * CELLS as f64) as usize).min(CELLS - 1)] += 1;
    }
    let each = count / CELLS as f64;
    let chi_square: f64 = cells.iter().map(|cell| (f64::from(*cell) - each).powi(2) / each).sum();
    assert!(chi_square < CHI_SQUARE, "{name}: chi-square {chi_square}, {cells:?}");
}

/// What a fleet draws after so many attempts, in seconds.
fn fleet(plan: Backoff, attempts: usize, seed: u64) -> Vec<f64> {
    let mut rng = seeded(seed);
    (0..DRAWS).map(|_| plan.delays(&mut rng).nth(attempts).unwrap().as_secs_f64()).collect()
}

#[test]
fn a_fleet_is_spread_evenly_at_the_first_delay_at_the_fifth_and_at_the_cap() {
    let expected = [
        (Jitter::Full, [(0.1, 1.0), (0.1, 5.0625), (0.1, 30.0)]),
        (Jitter::Equal, [(0.5, 1.0), (2.53125, 5.0625), (15.0, 30.0)]),
        (Jitter::Proportional(800), [(0.2, 1.0), (1.0125, 5.0625), (6.0, 30.0)]),
        (Jitter::Proportional(100), [(0.9, 1.0), (4.55625, 5.0625), (27.0, 30.0)]),
    ];
    for (jitter, rows) in expected {
        for (attempts, (low, high)) in [0, 4, 12].into_iter().zip(rows) {
            let name = format!("{jitter:?} after {attempts}, seed 41");
            assert_even(&name, &fleet(Backoff::RECONNECT.jitter(jitter), attempts, 41), low, high);
        }
    }
    let decorrelated = Backoff::RECONNECT.jitter(Jitter::Decorrelated);
    assert_even("Decorrelated, first, seed 42", &fleet(decorrelated, 0, 42), 1.0, 3.0);
}

#[test]
fn decorrelated_draws_evenly_up_to_three_times_the_delay_before() {
    let mut previous = 1.0;
    let mut places = Vec::new();
    let mut at_cap = 0;
    for delay in Backoff::RECONNECT.jitter(Jitter::Decorrelated).delays(seeded(43)).take(DRAWS) {
        let delay = delay.as_secs_f64();
        let high = f64::min(30.0, 3.0 * previous);
        at_cap += usize::from(high == 30.0);
        places.push((delay - 1.0) / (high - 1.0));
        previous = delay;
    }
    assert_even("Decorrelated, seed 43", &places, 0.0, 1.0);
    assert!(at_cap > DRAWS / 4 && at_cap < DRAWS, "{at_cap} of {DRAWS} reached up to the cap");
}

#[test]
fn attempts_are_limited_and_counted() {
    for limit in [0, 1, 3] {
        let mut delays = Delays::new(Backoff::RECONNECT.max_attempts(limit));
        let (now, mut rng) = (start(), seeded(1));
        for given in 0..limit {
            assert_eq!(delays.attempts(), given);
            assert!(delays.next(now, &mut rng).is_some());
        }
        assert_eq!([delays.next(now, &mut rng), delays.next(now, &mut rng)], [None; 2]);
        assert_eq!(delays.attempts(), limit);
        delays.reset();
        assert_eq!(delays.attempts(), 0);
        assert_eq!(delays.next(now, &mut rng).is_some(), limit > 0);
        assert_eq!(Backoff::RECONNECT.max_attempts(limit).delays(rng).count(), limit as usize);
    }
}

#[test]
fn no_delay_ends_after_the_elapsed_time_that_is_allowed() {
    let plan = Backoff::REQUEST.jitter(Jitter::None);
    for (allowed, given) in [(ms(6_999), 2), (ms(7_000), 3), (ms(14_999), 3), (ms(15_000), 4), (Duration::ZERO, 0)] {
        let plan = plan.max_elapsed(allowed);
        assert_eq!(plan.delays(seeded(1)).count(), given, "{allowed:?}");

        let (began, mut rng) = (start(), seeded(1));
        let (mut now, mut delays) = (began, Delays::new(plan));
        while let Some(delay) = delays.next(now, &mut rng) {
            now += delay;
            assert!(now - began <= allowed);
        }
        assert_eq!(delays.attempts() as usize, given, "{allowed:?}");
    }
    // The time that an attempt takes counts too, and the time before the first failure does not.
    let (now, mut rng) = (start() + 100 * SECOND, seeded(1));
    let mut delays = Delays::new(plan.max_elapsed(10 * SECOND));
    assert_eq!(delays.next(now, &mut rng), Some(SECOND));
    assert_eq!(delays.next(now + 9 * SECOND, &mut rng), None);
    assert_eq!(delays.next(now + 8 * SECOND, &mut rng), Some(2 * SECOND));
    // A hint that asks for more than is left ends it.
    assert_eq!(delays.next_at_least(now, 11 * SECOND, &mut rng), None);
    // After a reset the time runs anew.
    delays.reset();
    assert_eq!(delays.next(now + 60 * SECOND, &mut rng), Some(SECOND));
}

#[test]
fn the_iterator_gives_what_the_state_gives_and_stays_ended() {
    for jitter in JITTERS {
        let plan = Backoff::RECONNECT.jitter(jitter).max_attempts(50).max_elapsed(200 * SECOND);
        let mut iterator = plan.delays(seeded(44));
        let (mut now, mut rng, mut delays) = (start(), seeded(44), Delays::new(plan));
        while let Some(delay) = delays.next(now, &mut rng) {
            assert_eq!(iterator.next(), Some(delay), "{jitter:?}");
            now += delay;
        }
        assert!((1..50).contains(&delays.attempts()));
        assert!((0..100).all(|_| iterator.next().is_none()), "{jitter:?}");
    }
}

#[test]
fn attempts_begin_anew_only_after_an_answer_and_a_stable_time() {
    let (now, mut rng) = (start(), lowest());
    let climbed = || {
        let mut delays = Delays::new(Backoff::RECONNECT.jitter(Jitter::None));
        for _ in 0..5 {
            assert!(delays.next(now, &mut lowest()).is_some());
        }
        delays
    };
    // A link that nobody answered on, for however long it was open.
    let mut silent = climbed();
    assert_eq!(silent.next(now + 1000 * SECOND, &mut rng), Some(ms(7_593) + Duration::from_micros(750)));

    let mut dropped = climbed();
    dropped.answered(now);
    let almost = now + STABLE_AFTER - Duration::from_nanos(1);
    assert!(dropped.next(almost, &mut rng).unwrap() > SECOND);
    assert_eq!(dropped.attempts(), 6);
    // The answer on the link before does not count for the next one.
    assert!(dropped.next(almost + STABLE_AFTER, &mut rng).unwrap() > SECOND);

    let mut stable = climbed();
    stable.answered(now);
    // Later answers on the same link take nothing away.
    stable.answered(now + STABLE_AFTER - ms(1));
    assert_eq!(stable.next(now + STABLE_AFTER, &mut rng), Some(SECOND));
    assert_eq!(stable.attempts(), 1);

    // A plan that had ended lives again, and its elapsed time is counted anew.
    let mut ended = Delays::new(Backoff::RECONNECT.max_attempts(1).max_elapsed(SECOND));
    assert!(ended.next(now, &mut rng).is_some());
    assert!(ended.next(now, &mut rng).is_none());
    ended.answered(now + SECOND);
    assert!(ended.next(now + SECOND + STABLE_AFTER, &mut rng).is_some());

    // An answer from the future, after a clock that went back, is no stable link.
    let mut back = climbed();
    back.answered(now + 100 * SECOND);
    assert!(back.next(now, &mut rng).unwrap() > SECOND);
}

/// What a server does to one connect, in milliseconds.
#[derive(Debug, Clone, Copy)]
enum Treatment {
    Refuse { hint: u64 },
    AcceptAndDrop { after: u64 },
    AnswerAndDrop { answer: u64, after: u64 },
}

fn any_treatment() -> impl Strategy<Value = Treatment> {
    prop_oneof![
        4 => Just(Treatment::Refuse { hint: 0 }),
        1 => (0_u64..5_000).prop_map(|hint| Treatment::Refuse { hint }),
        1 => (0_u64..30_000).prop_map(|after| Treatment::AcceptAndDrop { after }),
        2 => (0_u64..100, 0_u64..12_000).prop_map(|(answer, after)| Treatment::AnswerAndDrop { answer, after }),
        1 => Just(Treatment::AnswerAndDrop { answer: 0, after: 10_000 }),
    ]
}

/// When a device connects under a schedule that repeats, from zero on, until `end`.
fn connects(plan: Backoff, schedule: &[Treatment], end: Duration, rng: &mut impl Rng) -> Vec<Duration> {
    let began = start();
    let (mut now, mut delays, mut connects) = (began, Delays::new(plan), Vec::new());
    for treatment in schedule.iter().cycle() {
        if now - began > end {
            break;
        }
        connects.push(now - began);
        let mut hint = 0;
        match *treatment {
            Treatment::Refuse { hint: asked } => hint = asked,
            Treatment::AcceptAndDrop { after } => now += ms(after),
            Treatment::AnswerAndDrop { answer, after } => {
                delays.answered(now + ms(answer));
                now += ms(answer + after);
            }
        }
        now += delays.next_at_least(now, ms(hint), rng).unwrap();
    }
    connects
}

/// The most connects in any window of this length.
fn busiest(connects: &[Duration], window: Duration) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in connects.iter().enumerate() {
        while *at - connects[first] > window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most as u64
}

proptest! {
    #![proptest_config(properties(0xB1))]

    #[test]
    fn no_schedule_makes_a_device_connect_more_often_than_the_bound(
        (base, factor, cap, jitter) in (10_u64..5_000, prop_oneof![1 => Just(1_000_u32), 4 => 1_010_u32..4_000], 10_u64..60_000, any_jitter()),
        stable_after in prop_oneof![Just(10_000_u64), 0_u64..20_000],
        schedule in prop::collection::vec(any_treatment(), 1..30),
        seed: u64,
    ) {
        let plan = Backoff::exponential(ms(base), factor, ms(cap)).jitter(jitter).stable_after(ms(stable_after));
        let end = (300 * SECOND).min(plan.floor() * 2_000);
        let windows = [0, 1, 200, 1_000, 9_999, 10_000, 10_200, 60_000, 300_000].map(ms);
        let bounds = windows.map(|window| plan.max_attempts_within(window));
        for connects in [
            connects(plan, &schedule, end, &mut lowest()),
            connects(plan, &schedule, end, &mut seeded(seed)),
        ] {
            for (window, bound) in windows.into_iter().zip(bounds) {
                let seen = busiest(&connects, window);
                prop_assert!(seen <= bound, "{seen} connects in {window:?}, the bound is {bound}");
            }
        }
    }
}

#[test]
fn the_bound_is_hardly_above_what_the_worst_server_can_do() {
    // Refuses until the delays have grown so far that a stable link, which brings short ones again, pays.
    let worst = |refusals| {
        let mut schedule = vec![Treatment::Refuse { hint: 0 }; refusals];
        schedule.push(Treatment::AnswerAndDrop { answer: 0, after: 10_000 });
        schedule
    };
    let hour = 3600 * SECOND;
    let seen = (0..12)
        .map(|refusals| busiest(&connects(Backoff::RECONNECT, &worst(refusals), hour, &mut lowest()), hour))
        .max()
        .unwrap();
    let bound = Backoff::RECONNECT.max_attempts_within(hour);
    assert_eq!(bound, 1538);
    assert!(seen <= bound && bound - seen <= 10, "{seen} connects, the bound is {bound}");

    // Within a window too short for a reset it is exact: the shortest delays are 0.2 s, 0.3 s and 0.45 s.
    let exact = [0, 199, 200, 499, 500, 949, 950].map(|window| Backoff::RECONNECT.max_attempts_within(ms(window)));
    assert_eq!(exact, [1, 1, 2, 2, 3, 3, 4]);

    // A server that accepts, answers and drops at once: the delays grow as if it had refused.
    let dropped = [Treatment::AnswerAndDrop { answer: 0, after: 0 }];
    let seen = busiest(&connects(Backoff::RECONNECT, &dropped, hour, &mut lowest()), hour);
    // Ten connects with nine delays below the cap, of 15.0 s in sum, then one each 6 s.
    assert_eq!(seen, 10 + (3600 - 15) / 6);
}
