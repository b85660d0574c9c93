use crate::SECOND;
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter, LONGEST};
use dtu_net::retry::{ATTEMPT_TIMEOUT, Class, DEADLINE, End, Failure, Last, Plan, Policy, Verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand_core::SeedableRng;
use rand_pcg::Pcg32;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

fn rng() -> Pcg32 {
    Pcg32::seed_from_u64(7)
}

/// The delays in milliseconds when every attempt fails at once, and why it ends.
fn delays(policy: Policy, class: Class) -> (Vec<u128>, End) {
    let (began, mut rng) = (start(), rng());
    let (mut plan, mut now, mut delays) = (Plan::new(policy, began), began, vec![]);
    loop {
        let attempt = plan.begin(now).unwrap();
        assert_eq!(attempt.number as usize, delays.len() + 1);
        match plan.failed(class, false, now, &mut rng) {
            Ok(next) => {
                delays.push((next - now).as_millis());
                now = next;
            }
            Err(end) => return (delays, end),
        }
    }
}

#[test]
fn the_presets_wait_as_their_names_say() {
    let (fixed, end) = delays(Policy::FIXED_INTERVAL.idempotent(), Class::Transient);
    assert!(fixed.len() == 3 && fixed.iter().all(|delay| (1_600..=2_000).contains(delay)), "{fixed:?}");
    assert_eq!(end, End::AttemptsUsedUp);
    let (exponential, end) = delays(Policy::EXPONENTIAL.idempotent(), Class::Transient);
    assert_eq!((exponential, end), (vec![1_000, 2_000, 4_000, 8_000, 16_000], End::AttemptsUsedUp));
    let (jittered, _) = delays(Policy::EXPONENTIAL_WITH_JITTER.idempotent(), Class::Transient);
    assert_eq!(jittered.len(), 5);
    for (attempt, delay) in jittered.into_iter().enumerate() {
        let longest = 1_000 << attempt;
        assert!((longest / 5..=longest).contains(&delay), "{delay} ms after {attempt}");
    }
}

#[test]
fn a_hint_is_waited_for_and_one_beyond_the_deadline_ends_it() {
    let policy = Policy::EXPONENTIAL.idempotent();
    assert_eq!(delays(policy, Class::RetryAfter(10 * SECOND)).0, [10_000, 10_000, 10_000, 10_000, 16_000]);
    assert_eq!(delays(policy, Class::RetryAfter(DEADLINE)), (vec![], End::Deadline));
    let almost = DEADLINE - Duration::from_millis(1);
    assert_eq!(delays(policy, Class::RetryAfter(almost)), (vec![119_999], End::Deadline));
}

#[test]
fn permanent_ends_it_even_when_nothing_was_sent() {
    let mut plan = Plan::new(Policy::EXPONENTIAL.idempotent(), start());
    let _attempt = plan.begin(start()).unwrap();
    assert_eq!(plan.failed(Class::Permanent, true, start(), &mut rng()), Err(End::Permanent));
}

#[test]
fn only_what_is_idempotent_or_unsent_is_repeated() {
    for (policy, is_unsent, is_repeated) in [
        (Policy::EXPONENTIAL, false, false),
        (Policy::EXPONENTIAL, true, true),
        (Policy::EXPONENTIAL.idempotent(), false, true),
        (Policy::EXPONENTIAL.idempotent(), true, true),
    ] {
        for class in [Class::Transient, Class::RetryAfter(SECOND)] {
            let now = start();
            let mut plan = Plan::new(policy, now);
            let next = plan.failed(class, is_unsent, now, &mut rng());
            assert_eq!(next, if is_repeated { Ok(now + SECOND) } else { Err(End::NotRepeatable) });
        }
    }
}

#[test]
fn an_attempt_is_cut_off_by_whichever_comes_first() {
    let began = start();
    let mut plan = Plan::new(Policy::EXPONENTIAL, began);
    let first = plan.begin(began).unwrap();
    assert_eq!((first.until, first.is_last_chance), (began + ATTEMPT_TIMEOUT, false));
    let late = began + 100 * SECOND;
    let second = plan.begin(late).unwrap();
    assert_eq!((second.until, second.is_last_chance), (began + DEADLINE, true));
    assert_eq!(plan.begin(began + DEADLINE), Err(End::Deadline));
    assert_eq!((plan.attempts(), plan.elapsed(late)), (2, 100 * SECOND));
    let both = Plan::new(Policy::EXPONENTIAL.attempt_timeout(DEADLINE), began).begin(began).unwrap();
    assert!(both.is_last_chance);
}

#[test]
fn the_time_of_the_backoff_is_a_deadline_too() {
    let plan = Backoff::fixed(SECOND).jitter(Jitter::None).max_elapsed(3 * SECOND);
    assert_eq!(delays(Policy::new(plan).idempotent(), Class::Transient), (vec![1_000; 3], End::Deadline));
    let plan = plan.max_attempts(3);
    assert_eq!(delays(Policy::new(plan).idempotent(), Class::Transient), (vec![1_000; 3], End::AttemptsUsedUp));
}

#[test]
fn what_a_failure_says_about_the_peer() {
    let after = Failure::retry_after((), SECOND);
    assert_eq!((after.class(), after.verdict()), (Class::RetryAfter(SECOND), Verdict::Failed));
    assert_eq!(Failure::transient(()).verdict(), Verdict::Failed);
    assert_eq!(Failure::permanent(()).verdict(), Verdict::None);
    assert_eq!(Failure::transient(()).local().verdict(), Verdict::None);
    assert_eq!(Failure::permanent(()).answered().verdict(), Verdict::Answered);
    assert!(!after.is_unsent() && after.unsent().is_unsent());
    // What one says does not change the other.
    assert_eq!(after.unsent().local(), after.local().unsent());
    assert_ne!(Some(Last::Failed(())), Some(Last::TimedOut));
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0xE7), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_attempt_begins_or_lasts_beyond_the_deadline(
        deadline in prop_oneof![0_u64..200_000, Just(u64::MAX)], timeout in prop_oneof![0_u64..50_000, Just(u64::MAX)],
        takes in prop::collection::vec(0_u64..30_000, 1..20), hint in 0_u64..10_000, seed: u64,
    ) {
        let (began, mut rng) = (start(), Pcg32::seed_from_u64(seed));
        let [limit, timeout] = [deadline, timeout].map(Duration::from_millis);
        let policy = Policy::new(Backoff::REQUEST).deadline(limit).attempt_timeout(timeout).idempotent();
        let end = began + limit.min(LONGEST);
        let (mut plan, mut now) = (Plan::new(policy, began), began);
        for take in takes {
            let Ok(attempt) = plan.begin(now) else {
                prop_assert!(now >= end);
                break;
            };
            prop_assert!(now < end && attempt.until <= end && attempt.until - now <= timeout);
            now = attempt.until.min(now + Duration::from_millis(take));
            match plan.failed(Class::RetryAfter(Duration::from_millis(hint)), false, now, &mut rng) {
                Ok(next) => {
                    prop_assert!(next < end && next - now >= Duration::from_millis(hint));
                    now = next;
                }
                Err(why) => {
                    prop_assert_eq!(why, End::Deadline);
                    break;
                }
            }
        }
    }
}
