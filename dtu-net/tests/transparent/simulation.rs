//! Modbus RTU through a unit, with replies that are cut, glued, noisy and late.

use super::bench::ms;
use super::world::{QUARANTINE, Result, Scene, TIMEOUT, World};
use core::time::Duration;

/// The requests of one world.
const REQUESTS: usize = 500;

fn run(first: u64, worlds: u64, scene: Scene) -> Result {
    let mut sum = Result::default();
    for seed in first..first + worlds {
        let caught = std::panic::catch_unwind(|| World::new(seed, scene).run());
        let result = caught.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        sum.replied += result.replied;
        sum.wrong += result.wrong;
        sum.late += result.late;
        sum.skipped += result.skipped;
        sum.heartbeats += result.heartbeats;
        sum.connections += result.connections;
        sum.attempts += result.attempts;
        sum.echoed += result.echoed;
    }
    sum
}

#[test]
fn of_a_hundred_thousand_requests_none_gets_the_reply_to_another() {
    let scene = Scene { requests: REQUESTS, latest: TIMEOUT + QUARANTINE, suspicion: ms(30_000), is_rough: true };
    let sum = run(0, 200, scene);
    println!("seeds 0 to 199, {REQUESTS} requests each: {sum:?}");
    assert_eq!(sum.wrong, 0);
    // It was rough, and most came through.
    assert!(sum.late > 3000 && sum.skipped > 10_000 && sum.heartbeats > 1000 && sum.echoed > 10_000, "{sum:?}");
    assert!(sum.connections > 500 && sum.replied > 85_000, "{sum:?}");
}

/// Replies later than timeout and quarantine cannot be told apart for certain; the second one behind them tells most of them.
#[test]
fn replies_later_than_the_quarantine_are_mostly_told_apart_by_the_one_behind_them() {
    let latest = TIMEOUT + QUARANTINE + ms(3000);
    let scene = Scene { requests: REQUESTS, latest, suspicion: ms(30_000), is_rough: false };
    let (with, without) = (run(0, 40, scene), run(0, 40, Scene { suspicion: Duration::ZERO, ..scene }));
    println!("seeds 0 to 39, {REQUESTS} requests each\nwith suspicion {with:?}\nwithout {without:?}");
    assert!(with.wrong * 10 < without.wrong, "{} wrong replies with suspicion, {} without", with.wrong, without.wrong);
}
