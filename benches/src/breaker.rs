//! A circuit breaker that is closed: a call is admitted, does next to nothing and succeeds; one thread, no contention.

use crate::contest::{Entry, Job, Tally};
use crate::stream::Size;
use core::hint::black_box;
use core::time::Duration;
use dtu_net::breaker::{Breaker, BreakerConfig, FailureRate};
use failsafe::{CircuitBreaker, Config, backoff, failure_policy};
use recloser::Recloser;
use std::time::Instant;

/// The groups of this module: by failures in a row, and by a rate of failures within a window.
pub const GROUPS: [&str; 2] = ["breaker", "breaker_rate"];

/// Calls in a run.
const CALLS: usize = 1000;

/// How long every breaker would stay open.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// The window of a rate, and how many calls it needs.
const WINDOW: Duration = Duration::from_secs(10);
const MIN_CALLS: u32 = 20;

/// The job of that name.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn job(group: &str) -> Job {
    let expected = Tally { frames: CALLS, bytes: 0, mark: (0..CALLS as u32).sum() };
    let (group, config, failsafe) = match group {
        "breaker" => {
            let policy = failure_policy::consecutive_failures(5, backoff::constant(OPEN_FOR));
            let breaker = Config::new().failure_policy(policy).build();
            (GROUPS[0], BreakerConfig::DEFAULT, Entry::peer("failsafe", expected, calls(move |n| call(&breaker, n))))
        }
        "breaker_rate" => {
            let (rate, pause) = (0.5, backoff::constant(OPEN_FOR));
            let policy = failure_policy::success_rate_over_time_window(rate, MIN_CALLS, WINDOW, pause);
            let breaker = Config::new().failure_policy(policy).build();
            let rate = FailureRate { window: WINDOW, permille: 500, min_calls: MIN_CALLS };
            let config = BreakerConfig::DEFAULT.rate(rate).and_then(BreakerConfig::without_consecutive);
            let config = config.expect("the rate is within its bounds");
            (GROUPS[1], config, Entry::peer("failsafe", expected, calls(move |n| call(&breaker, n))))
        }
        _ => panic!("no group is called {group}"),
    };
    let entries = vec![
        Entry::ours("breaker", expected, given_time(config)),
        Entry::ours("breaker_and_clock", expected, read_time(config)),
        Entry::peer("recloser", expected, recloser()),
        failsafe,
    ];
    Job { group, size: Size::Bytes(0), frames: CALLS, bytes: 0, entries }
}

/// Takes the time that the caller has anyway.
fn given_time(config: BreakerConfig) -> impl FnMut() -> Tally {
    let now = Instant::now();
    let breaker = Breaker::new(config, now);
    calls(move |n| {
        let permit = breaker.acquire(now).ok()?;
        let value = black_box(n);
        permit.succeed(now);
        Some(value)
    })
}

/// Reads the clock before and after each call.
fn read_time(config: BreakerConfig) -> impl FnMut() -> Tally {
    let breaker = Breaker::new(config, Instant::now());
    calls(move |n| {
        let permit = breaker.acquire(Instant::now()).ok()?;
        let value = black_box(n);
        permit.succeed(Instant::now());
        Some(value)
    })
}

fn recloser() -> impl FnMut() -> Tally {
    let breaker = Recloser::custom().error_rate(0.5).open_wait(OPEN_FOR).build();
    calls(move |n| breaker.call(|| Ok::<_, ()>(black_box(n))).ok())
}

fn call(breaker: &impl CircuitBreaker, n: u32) -> Option<u32> {
    breaker.call(|| Ok::<_, ()>(black_box(n))).ok()
}

/// Counts the calls that were admitted.
fn calls(mut call: impl FnMut(u32) -> Option<u32>) -> impl FnMut() -> Tally {
    move || {
        let mut tally = Tally::default();
        for n in 0..CALLS as u32 {
            if let Some(value) = call(n) {
                tally.frames += 1;
                tally.mark += value;
            }
        }
        tally
    }
}
