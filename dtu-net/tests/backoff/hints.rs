//! What a server asks for with `retry_after`.

use crate::{Constant, DRAWS, JITTERS, SECOND, assert_even, highest, lowest, ms, seeded, start};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays, HINT_MAX, Jitter};

#[test]
fn a_hint_is_a_lower_bound_that_is_spread_upwards_by_an_eighth() {
    let minute = 60 * SECOND;
    let expected = [
        (Jitter::None, 60_000),
        (Jitter::Full, 67_500),
        (Jitter::Equal, 67_500),
        (Jitter::Decorrelated, 67_500),
        (Jitter::Proportional(800), 67_500),
        (Jitter::Proportional(100), 66_000),
    ];
    for (jitter, longest) in expected {
        let plan = Backoff::RECONNECT.jitter(jitter);
        let at = |mut edge: Constant| Delays::new(plan).next_at_least(start(), minute, &mut edge).unwrap();
        assert_eq!(at(lowest())..=at(highest()), minute..=ms(longest), "{jitter:?}");
    }
    let mut rng = seeded(45);
    let mut draw = || Delays::new(Backoff::RECONNECT).next_at_least(start(), minute, &mut rng).unwrap().as_secs_f64();
    let seconds: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    assert_even("a hint of 60 s, seed 45", &seconds, 60.0, 67.5);
}

#[test]
fn a_hint_takes_the_place_of_a_longer_plan_but_for_its_shortest_delay() {
    let at_cap = |jitter, hint, mut edge: Constant| {
        let mut delays = Delays::new(Backoff::RECONNECT.jitter(jitter));
        for _ in 0..9 {
            assert!(delays.next(start(), &mut edge).is_some());
        }
        delays.next_at_least(start(), hint, &mut edge).unwrap()
    };
    let range = |jitter, hint| at_cap(jitter, hint, lowest())..=at_cap(jitter, hint, highest());
    assert_eq!(range(Jitter::DEFAULT, SECOND), 6 * SECOND..=ms(6_750));
    assert_eq!(range(Jitter::DEFAULT, 10 * SECOND), 10 * SECOND..=ms(11_250));
    // The cap holds where the hint does not reach over it.
    assert_eq!(range(Jitter::Proportional(50), SECOND), ms(28_500)..=ms(29_925));
    assert_eq!(range(Jitter::None, SECOND), 30 * SECOND..=30 * SECOND);
}

#[test]
fn no_hint_is_next() {
    for jitter in JITTERS {
        let (mut plain, mut hinted) = (seeded(46), seeded(46));
        let (mut without, mut with) =
            (Delays::new(Backoff::RECONNECT.jitter(jitter)), Delays::new(Backoff::RECONNECT.jitter(jitter)));
        for _ in 0..20 {
            assert_eq!(without.next(start(), &mut plain), with.next_at_least(start(), Duration::ZERO, &mut hinted));
        }
    }
}

#[test]
fn no_hint_parks_a_device() {
    let longest_in_the_field = ms(u32::MAX.into());
    for jitter in JITTERS {
        let mut delays = Delays::new(Backoff::RECONNECT.jitter(jitter));
        let hinted = delays.next_at_least(start(), longest_in_the_field, &mut highest()).unwrap();
        assert!((HINT_MAX..=HINT_MAX * 9 / 8).contains(&hinted), "{jitter:?}: {hinted:?}");
        // The hint does not stay in the plan.
        assert!(delays.next(start(), &mut highest()).unwrap() <= 9 * SECOND, "{jitter:?}");
    }
}
