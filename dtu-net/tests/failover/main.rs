//! Failover without sockets: the choice among endpoints, probes, and links that move between servers, on a clock of the tests'
//! own.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod choice;
mod fail_back;
mod moves;
#[allow(dead_code, reason = "shared with the tests of the machine, which use all of it")]
#[path = "../machine/pair.rs"]
mod pair;
mod rules;

use core::time::Duration;
use dtu_net::failover::{FailBack, Failover, FailoverConfig, Plan, Rank};
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_nanos(1);

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

/// Endpoints of these priorities and weights.
fn plan(ranks: &[(u16, u16)], config: FailoverConfig) -> Plan {
    let ranks: Vec<_> =
        ranks.iter().map(|(priority, weight)| Rank { weight: *weight, ..Rank::new(*priority) }).collect();
    Plan::new(&ranks, config).unwrap()
}

/// Endpoints of priority 0, 1, … with the rules as they are unless changed.
fn in_order(count: u16, seed: u64, now: Instant) -> Failover {
    let ranks: Vec<_> = (0..count).map(|priority| (priority, 1)).collect();
    Failover::new(&plan(&ranks, FailoverConfig::DEFAULT), seed, now)
}

fn back(hold: Duration, spread: Duration, probe_every: Duration) -> FailoverConfig {
    let mut config = FailoverConfig::DEFAULT;
    config.fail_back = Some(FailBack { hold, spread, probe_every });
    config
}
