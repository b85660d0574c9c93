//! Policies that contradict themselves: each gives an error that names the field and the bound.

use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter, LONGEST, SHORTEST};
use dtu_net::breaker::{
    Breaker, BreakerConfig, BreakerState, CONSECUTIVE_MAX, FailureRate, MIN_CALLS_MAX, PROBES_MAX, WINDOW_MIN,
};
use dtu_net::policy::{BackoffSpec, Bound, BreakerSpec, FACTOR_MAX, Field, PolicyError, RateSpec, RetrySpec};
use dtu_net::retry::Policy;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const TOO_LONG: Bound = Bound::NoLongerThan(LONGEST);
const TOO_SHORT: Bound = Bound::NoShorterThan(SHORTEST);

fn backoff(change: impl FnOnce(&mut BackoffSpec)) -> Result<Backoff, (Field, Bound)> {
    let mut spec = BackoffSpec::default();
    change(&mut spec);
    spec.build().map_err(parts)
}

fn breaker(change: impl FnOnce(&mut BreakerSpec)) -> Result<BreakerConfig, (Field, Bound)> {
    let mut spec = BreakerSpec::default();
    change(&mut spec);
    spec.build().map_err(parts)
}

fn retry(change: impl FnOnce(&mut RetrySpec)) -> Result<Policy, (Field, Bound)> {
    let mut spec = RetrySpec::default();
    change(&mut spec);
    spec.build().map_err(parts)
}

fn parts(error: PolicyError) -> (Field, Bound) {
    (error.field, error.bound)
}

#[test]
fn the_defaults_are_the_presets() {
    assert_eq!(backoff(|_| {}), Ok(Backoff::RECONNECT));
    assert_eq!(breaker(|_| {}), Ok(BreakerConfig::DEFAULT));
    assert_eq!(retry(|_| {}), Ok(Policy::EXPONENTIAL_WITH_JITTER));
}

#[test]
fn every_field_of_a_backoff_arrives() {
    let built = backoff(|spec| {
        *spec = BackoffSpec {
            base_ms: 200,
            factor: 1.2345,
            cap_ms: 9_000,
            jitter: Jitter::Proportional(1000),
            max_attempts: Some(1),
            max_elapsed_ms: Some(200),
            stable_after_ms: 1,
        }
    });
    let ms = Duration::from_millis;
    let expected = Backoff::exponential(ms(200), 1_235, ms(9_000)).jitter(Jitter::Proportional(1000));
    assert_eq!(built, Ok(expected.max_attempts(1).max_elapsed(ms(200)).stable_after(ms(1))));
    let fixed = backoff(|spec| *spec = BackoffSpec { factor: 1.0, base_ms: DAY_MS, cap_ms: DAY_MS, ..*spec });
    assert_eq!(fixed, Ok(Backoff::fixed(LONGEST)));
    assert!(backoff(|spec| spec.factor = f64::from(FACTOR_MAX)).is_ok());
}

#[test]
fn a_backoff_names_the_field_that_contradicts() {
    assert_eq!(backoff(|spec| spec.base_ms = 0), Err((Field::Base, TOO_SHORT)));
    assert_eq!(backoff(|spec| spec.base_ms = DAY_MS + 1), Err((Field::Base, TOO_LONG)));
    assert_eq!(backoff(|spec| spec.base_ms = u64::MAX), Err((Field::Base, TOO_LONG)));
    assert_eq!(backoff(|spec| spec.base_ms = 30_001), Err((Field::Base, Bound::AtMostField(Field::Cap))));
    assert_eq!(backoff(|spec| spec.cap_ms = 999), Err((Field::Base, Bound::AtMostField(Field::Cap))));
    assert_eq!(backoff(|spec| spec.cap_ms = 0), Err((Field::Cap, TOO_SHORT)));
    assert_eq!(backoff(|spec| spec.cap_ms = DAY_MS + 1), Err((Field::Cap, TOO_LONG)));
    for factor in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(backoff(|spec| spec.factor = factor), Err((Field::Factor, Bound::Finite)), "{factor}");
    }
    for factor in [0.999, 0.0, -0.0, -2.0, f64::MIN] {
        assert_eq!(backoff(|spec| spec.factor = factor), Err((Field::Factor, Bound::AtLeast(1))), "{factor}");
    }
    for factor in [1000.5, f64::MAX] {
        assert_eq!(backoff(|spec| spec.factor = factor), Err((Field::Factor, Bound::AtMost(FACTOR_MAX))), "{factor}");
    }
    let jitter = backoff(|spec| spec.jitter = Jitter::Proportional(1001));
    assert_eq!(jitter, Err((Field::Jitter, Bound::AtMost(1000))));
    assert_eq!(backoff(|spec| spec.max_attempts = Some(0)), Err((Field::MaxAttempts, Bound::AtLeast(1))));
    let elapsed = backoff(|spec| spec.max_elapsed_ms = Some(999));
    assert_eq!(elapsed, Err((Field::Base, Bound::AtMostField(Field::MaxElapsed))));
    assert_eq!(backoff(|spec| spec.stable_after_ms = 0), Err((Field::StableAfter, TOO_SHORT)));
    assert_eq!(backoff(|spec| spec.stable_after_ms = DAY_MS + 1), Err((Field::StableAfter, TOO_LONG)));
}

#[test]
fn a_breaker_names_the_field_that_contradicts() {
    let rate = RateSpec { window_ms: 10_000, permille: 500, min_calls: 10 };
    let with = |rate| breaker(|spec| spec.rate = Some(rate));
    assert!(with(rate).is_ok());
    let window = |window_ms| with(RateSpec { window_ms, ..rate });
    assert_eq!(window(99), Err((Field::RateWindow, Bound::NoShorterThan(WINDOW_MIN))));
    assert_eq!(window(DAY_MS + 1), Err((Field::RateWindow, TOO_LONG)));
    let permille = |permille| with(RateSpec { permille, ..rate });
    assert_eq!(permille(0), Err((Field::RatePermille, Bound::AtLeast(1))));
    assert_eq!(permille(1001), Err((Field::RatePermille, Bound::AtMost(1000))));
    let min_calls = |min_calls| with(RateSpec { min_calls, ..rate });
    assert_eq!(min_calls(0), Err((Field::RateMinCalls, Bound::AtLeast(1))));
    assert_eq!(min_calls(MIN_CALLS_MAX + 1), Err((Field::RateMinCalls, Bound::AtMost(MIN_CALLS_MAX))));

    let consecutive = |failures| breaker(|spec| spec.consecutive = Some(failures));
    assert_eq!(consecutive(0), Err((Field::Consecutive, Bound::AtLeast(1))));
    assert_eq!(consecutive(CONSECUTIVE_MAX + 1), Err((Field::Consecutive, Bound::AtMost(CONSECUTIVE_MAX))));
    assert_eq!(breaker(|spec| spec.open_for_ms = 0), Err((Field::OpenFor, TOO_SHORT)));
    assert_eq!(breaker(|spec| spec.open_for_ms = DAY_MS + 1), Err((Field::OpenFor, TOO_LONG)));
    assert_eq!(breaker(|spec| spec.probes = 0), Err((Field::Probes, Bound::AtLeast(1))));
    assert_eq!(breaker(|spec| spec.probes = PROBES_MAX + 1), Err((Field::Probes, Bound::AtMost(PROBES_MAX))));
    assert_eq!(breaker(|spec| spec.probe_deadline_ms = 0), Err((Field::ProbeDeadline, TOO_SHORT)));
    assert_eq!(breaker(|spec| spec.probe_deadline_ms = DAY_MS + 1), Err((Field::ProbeDeadline, TOO_LONG)));
    let nothing_opens_it = BreakerConfig::DEFAULT.without_consecutive().map_err(parts);
    assert_eq!(nothing_opens_it, Err((Field::Consecutive, Bound::RequiredWithout(Field::RatePermille))));
}

#[test]
fn every_field_of_a_breaker_arrives() {
    let ms = Duration::from_millis;
    let rate = FailureRate { window: ms(100), permille: 1000, min_calls: 1 };
    let full = BreakerSpec {
        consecutive: Some(2),
        rate: Some(RateSpec { window_ms: 100, permille: 1000, min_calls: 1 }),
        open_for_ms: 3,
        probes: 4,
        probe_deadline_ms: 5,
    };
    let common = |config: BreakerConfig| config.open_for(ms(3))?.probes(4)?.probe_deadline(ms(5));
    let both = BreakerConfig::DEFAULT.consecutive(2).unwrap().rate(rate).unwrap();
    assert_eq!(full.build(), common(both));
    // With a rate and no number of failures, only the rate counts.
    let only = BreakerConfig::DEFAULT.rate(rate).unwrap().without_consecutive().unwrap();
    assert_eq!(BreakerSpec { consecutive: None, ..full }.build(), common(only));
}

#[test]
fn a_retry_names_the_field_that_contradicts() {
    assert_eq!(retry(|spec| spec.backoff.factor = f64::NAN), Err((Field::Factor, Bound::Finite)));
    assert_eq!(retry(|spec| spec.deadline_ms = 0), Err((Field::Deadline, TOO_SHORT)));
    assert_eq!(retry(|spec| spec.deadline_ms = DAY_MS + 1), Err((Field::Deadline, TOO_LONG)));
    assert_eq!(retry(|spec| spec.attempt_timeout_ms = 0), Err((Field::AttemptTimeout, TOO_SHORT)));
    assert_eq!(retry(|spec| spec.attempt_timeout_ms = DAY_MS + 1), Err((Field::AttemptTimeout, TOO_LONG)));
    let over = retry(|spec| spec.deadline_ms = 29_999);
    assert_eq!(over, Err((Field::AttemptTimeout, Bound::AtMostField(Field::Deadline))));
    let built = retry(|spec| *spec = RetrySpec { deadline_ms: 5, attempt_timeout_ms: 5, ..*spec });
    let five = Duration::from_millis(5);
    assert_eq!(built, Ok(Policy::EXPONENTIAL_WITH_JITTER.deadline(five).attempt_timeout(five)));
}

#[test]
fn errors_name_fields_as_they_stand_in_a_file() {
    let said = |spec: BackoffSpec| spec.build().unwrap_err().to_string();
    let default = BackoffSpec::default();
    assert_eq!(said(BackoffSpec { base_ms: 0, ..default }), "base_ms has to be at least 1 ms");
    assert_eq!(said(BackoffSpec { cap_ms: u64::MAX, ..default }), "cap_ms has to be at most 86400000 ms");
    assert_eq!(said(BackoffSpec { factor: 0.5, ..default }), "factor has to be at least 1");
    let jitter = BackoffSpec { jitter: Jitter::Proportional(2000), ..default };
    assert_eq!(said(jitter), "jitter.proportional_permille has to be at most 1000");
    let nothing = BreakerConfig::DEFAULT.without_consecutive().unwrap_err();
    assert_eq!(nothing.to_string(), "consecutive or rate.permille has to be there");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn every_breaker_that_can_be_built_opens() {
    let now = std::time::Instant::now();
    let strictest = breaker(|spec| spec.consecutive = Some(CONSECUTIVE_MAX)).unwrap();
    let rate = RateSpec { window_ms: DAY_MS, permille: 1000, min_calls: 1_000 };
    for config in [strictest, breaker(|spec| spec.rate = Some(rate)).unwrap()] {
        let breaker = Breaker::new(config, now);
        for _ in 0..CONSECUTIVE_MAX {
            breaker.acquire(now).into_iter().for_each(|permit| permit.fail(now));
        }
        assert_ne!(breaker.state(now), BreakerState::Closed);
    }
}

#[cfg(feature = "serde")]
mod file {
    use super::{BackoffSpec, BreakerSpec, Jitter, RateSpec, RetrySpec};

    #[test]
    fn what_is_written_is_read_back() {
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Proportional(5)] {
            let spec = RetrySpec {
                backoff: BackoffSpec { jitter, max_attempts: Some(3), ..BackoffSpec::default() },
                ..RetrySpec::default()
            };
            assert_eq!(toml::from_str::<RetrySpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
        }
        let rate = Some(RateSpec { window_ms: 1, permille: 2, min_calls: 3 });
        let spec = BreakerSpec { rate, consecutive: Some(9), ..BreakerSpec::default() };
        assert_eq!(toml::from_str::<BreakerSpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn names_and_defaults_are_as_documented() {
        assert_eq!(toml::from_str::<BackoffSpec>("").unwrap(), BackoffSpec::default());
        assert_eq!(toml::from_str::<BreakerSpec>("").unwrap(), BreakerSpec::default());
        assert_eq!(toml::from_str::<RetrySpec>("").unwrap(), RetrySpec::default());
        let text = "base_ms = 5\njitter = { proportional_permille = 300 }\nfactor = 2.5\nmax_elapsed_ms = 8";
        let expected = BackoffSpec {
            base_ms: 5,
            jitter: Jitter::Proportional(300),
            factor: 2.5,
            max_elapsed_ms: Some(8),
            ..BackoffSpec::default()
        };
        assert_eq!(toml::from_str::<BackoffSpec>(text).unwrap(), expected);
        let breaker: BreakerSpec =
            toml::from_str("probes = 2\n[rate]\nwindow_ms = 100\npermille = 1\nmin_calls = 1").unwrap();
        assert_eq!((breaker.probes, breaker.rate.unwrap().window_ms, breaker.consecutive), (2, 100, None));
    }

    #[test]
    fn what_no_field_can_hold_is_an_error_of_the_format() {
        for text in ["base_ms = -1", "base_ms = 1.5", "max_attempts = 4294967296", "bsae_ms = 1", "jitter = \"some\""] {
            assert!(toml::from_str::<BackoffSpec>(text).is_err(), "{text}");
        }
        assert!(toml::from_str::<BreakerSpec>("[rate]\nwindow_ms = 100").is_err(), "a rate has no defaults");
        assert!(toml::from_str::<RetrySpec>("idempotent = true").is_err(), "not for a file to say");
        for (text, name) in [("factor = nan", "factor"), ("factor = -inf", "factor"), ("cap_ms = 0", "cap_ms")] {
            let error = toml::from_str::<BackoffSpec>(text).unwrap().build().unwrap_err();
            assert_eq!(error.field.name(), name);
        }
    }
}
