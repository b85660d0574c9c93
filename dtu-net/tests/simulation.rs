//! Two machines on a virtual clock, over a pipe that delays, cuts, stalls, loses, doubles and damages what they say, with
//! applications that are slow and processes that end. Everything follows from one seed.
//!
//! `DTU_SIM_SEED=n` runs one seed and prints what happens; `DTU_SIM_SEEDS=n` changes how many there are.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]
#![cfg(test)]

mod simulation {
    pub(crate) mod books;
    pub(crate) mod config;
    pub(crate) mod invariants;
    pub(crate) mod process;
    pub(crate) mod random;
    pub(crate) mod scene;
    pub(crate) mod side;
    pub(crate) mod store;
    pub(crate) mod trace;
    pub(crate) mod world;
}

use core::ops::Range;
use simulation::config::Config;
use simulation::world::{Report, World};
use std::{panic, thread};

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

fn run(config: Config, printed: bool) -> Report {
    let seed = config.seed;
    if printed {
        println!("{config:#?}");
    }
    let said = format!("{config:?}");
    match panic::catch_unwind(|| World::new(config, printed).run()) {
        Ok(report) => report,
        Err(cause) => {
            println!("seed {seed} failed; DTU_SIM_SEED={seed} shows it. {said}");
            panic::resume_unwind(cause)
        }
    }
}

/// Runs seeds on two threads and returns how many DATA were acknowledged and how many connections there were.
fn run_all(seeds: Range<u64>) -> (u64, u64) {
    let half = |odd: u64| {
        seeds.clone().filter(|seed| seed % 2 == odd).map(|seed| run(Config::new(seed), false)).fold((0, 0), add)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let even = half(0);
        let odd = other.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
        (even.0 + odd.0, even.1 + odd.1)
    })
}

const fn add((acked, connected): (u64, u64), report: Report) -> (u64, u64) {
    (acked + report.acked, connected + report.connected)
}

#[test]
fn invariants_hold_under_a_thousand_seeds() {
    if let Some(seed) = from_environment("DTU_SIM_SEED") {
        println!("{:?}", run(Config::new(seed), true));
        return;
    }
    let count = from_environment("DTU_SIM_SEEDS").unwrap_or(1_000);
    let (acked, connected) = run_all(0..count);
    println!("{count} seeds: {acked} acknowledged on {connected} connections");
    assert!(acked > 10 * count && connected > count, "the runs did something: {acked} on {connected}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in (0..1_000).step_by(50) {
        assert_eq!(run(Config::new(seed), false), run(Config::new(seed), false), "seed {seed}");
    }
}

#[test]
fn memory_is_bounded_while_the_applications_stand_still() {
    for seed in 0..20 {
        let mut config = Config::new(seed);
        (config.stop, config.stop_most, config.deadline, config.cut_mean) = (1_000, config.quiet_at, 0, 0);
        (config.send_mean, config.piece, config.connect_fails, config.refuse, config.drop) =
            ([150_000; 2], 40, 0, 0, 0);
        (config.server_restart_mean, config.device_restart_mean) = (0, 0);
        for (limits, frames) in config.limits.iter_mut().zip([30, 200]) {
            (limits.receive, limits.window, limits.max_payload) = (300, 64, 300);
            (limits.outbox.frames, limits.outbox.bytes) = (frames, 100_000);
        }
        run(config, false);
    }
}

#[test]
#[ignore = "takes minutes; for a release build"]
fn invariants_hold_under_a_hundred_thousand_seeds() {
    let seeds = 0..100_000;
    let (acked, connected) = run_all(seeds.clone());
    println!("seeds {seeds:?}: {acked} acknowledged on {connected} connections");
}
