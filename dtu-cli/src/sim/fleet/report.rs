//! What a run came to, for people and as JSON.

use super::model::{Model, SECOND};
use super::world::World;
use core::fmt;
use core::time::Duration;
use serde::Serialize;

/// Times in seconds from the server's return until this share of the fleet was back for good; none where it was not in the time
/// simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Recovery {
    pub(super) p50: Option<f64>,
    pub(super) p90: Option<f64>,
    pub(super) p999: Option<f64>,
    pub(super) all: Option<f64>,
}

/// How often a device dialled from the beginning of the outage on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Attempts {
    pub(super) mean: f64,
    pub(super) p99: u32,
    pub(super) max: u32,
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    devices: u32,
    outage_seconds: f64,
    accept_rate: u32,
    backlog: u32,
    policy: &'static str,
    cap: bool,
    queue_bound: bool,
    hints: bool,
    discard: bool,
    heartbeat_seconds: f64,
    /// What the server needs for all at its rate.
    ideal_seconds: f64,
    recovery: Recovery,
    /// `recovery.p999` in ideal times.
    pub(super) ratio: Option<f64>,
    /// Devices connected at the end.
    pub(super) back: usize,
    attempts: Attempts,
    /// Connections that were told to come again.
    refused: u64,
    /// Connections that were found dead and cost no registration.
    discarded: u64,
    registered: u64,
    /// Registrations of which no device has heard.
    wasted: u64,
    syn_dropped: u64,
    ack_dropped: u64,
    longest_listen_queue: usize,
    longest_door_queue: usize,
    pub(super) events: u64,
    pub(super) simulated_seconds: f64,
    /// Of the processor of who simulates.
    pub(super) seconds: f64,
    /// Simulated seconds a second.
    pub(super) speed: f64,
    /// Equal where the same events came in the same order.
    pub(super) trace: String,
}

impl Report {
    /// Of a world that has run for `took`.
    pub(super) fn new(world: &World, took: Duration) -> Self {
        let (model, tally): (&Model, _) = (&world.model, &world.tally);
        let (back, dials) = (tally.back(), tally.dials());
        let devices = dials.len();
        let until = |permille: usize| {
            let last = (devices * permille).div_ceil(1000).max(1) - 1;
            back.get(last).map(|since| since.saturating_sub(model.returns_at()) as f64 / SECOND as f64)
        };
        let recovery = Recovery { p50: until(500), p90: until(900), p999: until(999), all: until(1000) };
        let ideal_seconds = model.ideal_seconds();
        let simulated_seconds = world.now as f64 / SECOND as f64;
        let seconds = took.as_secs_f64();
        Self {
            seed: model.seed,
            devices: model.devices,
            outage_seconds: model.outage as f64 / SECOND as f64,
            accept_rate: model.accept_rate,
            backlog: model.backlog,
            policy: model.policy.name(),
            cap: model.measures.cap,
            queue_bound: model.measures.bound,
            hints: model.measures.hints,
            discard: model.measures.discard,
            heartbeat_seconds: model.heartbeat as f64 / SECOND as f64,
            ideal_seconds,
            ratio: recovery.p999.map(|p999| p999 / ideal_seconds),
            recovery,
            back: back.len(),
            attempts: Attempts {
                mean: dials.iter().map(|dials| f64::from(*dials)).sum::<f64>() / devices as f64,
                p99: dials[(devices * 99).div_ceil(100).max(1) - 1],
                max: dials[devices - 1],
            },
            refused: tally.refused,
            discarded: tally.discarded,
            registered: tally.registered,
            wasted: tally.registered.saturating_sub(tally.welcomed),
            syn_dropped: world.backlog.syn_drops,
            ack_dropped: world.backlog.ack_drops,
            longest_listen_queue: world.backlog.longest,
            longest_door_queue: world.process.longest,
            events: world.trace.events,
            simulated_seconds,
            seconds,
            speed: simulated_seconds / seconds,
            trace: format!("{:016x}", world.trace.hash),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on| if on { "on" } else { "off" };
        writeln!(
            f,
            "{} devices, {} registrations/s, {} s outage, backlog {}, policy {}, seed {}",
            self.devices, self.accept_rate, self.outage_seconds, self.backlog, self.policy, self.seed
        )?;
        writeln!(
            f,
            "cap {}, queue bound {}, hints {}, discard {}",
            on(self.cap),
            on(self.queue_bound),
            on(self.hints),
            on(self.discard)
        )?;
        row(f, "ideal", &format_args!("{:.1} s", self.ideal_seconds))?;
        let Recovery { p50, p90, p999, all } = self.recovery;
        for (name, time) in [("50 % back", p50), ("90 % back", p90), ("99.9 % back", p999), ("all back", all)] {
            match time {
                Some(time) => row(f, name, &format_args!("{time:.1} s"))?,
                None => row(f, name, &"not in this time")?,
            }
        }
        if let Some(ratio) = self.ratio {
            row(f, "99.9 % / ideal", &format_args!("{ratio:.3}"))?;
        }
        row(f, "back at the end", &self.back)?;
        let Attempts { mean, p99, max } = self.attempts;
        row(f, "attempts a device", &format_args!("mean {mean:.2}, p99 {p99}, max {max}"))?;
        row(f, "refused", &self.refused)?;
        row(f, "discarded dead", &self.discarded)?;
        row(f, "registrations", &format_args!("{}, wasted {}", self.registered, self.wasted))?;
        row(f, "dropped for want of room", &format_args!("SYN {}, ACK {}", self.syn_dropped, self.ack_dropped))?;
        let queues = format_args!("listen {}, door {}", self.longest_listen_queue, self.longest_door_queue);
        row(f, "longest queues", &queues)?;
        row(f, "events", &self.events)?;
        let Self { simulated_seconds, seconds, speed, .. } = self;
        row(f, "simulated", &format_args!("{simulated_seconds:.1} s in {seconds:.2} s, {speed:.0} times faster"))?;
        row(f, "trace", &self.trace)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, figure: &dyn fmt::Display) -> fmt::Result {
    writeln!(f, "  {name:<26}{figure}")
}
