//! `dtu sim --virtual`: a fleet of the same machines on a virtual clock, and what becomes of it after an outage.
//!
//! ```text
//!   Link<Device> ── bytes ──> SYN, listen queue ──> Door ──> Handshake ──> Link<Server>       100 000 times
//!        └──────────────── one wheel of what comes next, one thread, one seed ────────┘
//! ```

mod backlog;
mod device;
mod event;
mod model;
mod places;
mod policy;
mod report;
mod seeds;
mod server;
mod tally;
mod wheel;
mod world;

use crate::progress::OwnLine;
use anyhow::ensure;
use core::time::Duration;
use model::{Measures, Model};
use policy::Policy;
use report::Report;
use seeds::Seeds;
use std::time::Instant;
use world::World;

/// The longest time that is simulated after an outage, and the longest outage.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest heartbeat.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3600);

/// What only the virtual fleet takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --virtual")]
pub(crate) struct FleetArgs {
    /// How many registrations the server is able to do in a second of its processor's time.
    #[arg(long, value_name = "R", default_value_t = 500, conflicts_with = "servers",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    accept_rate: u32,
    /// How many connections the system keeps for the server to accept.
    #[arg(long, value_name = "B", default_value_t = 4096, conflicts_with = "servers",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    backlog: u32,
    /// When a device comes again: by this library, or by the delays of another one.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Policy::Dtu, conflicts_with = "servers")]
    policy: Policy,
    /// Whether the backoff is capped at 30 s; without, it grows to an hour.
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on, action = clap::ArgAction::Set,
          conflicts_with = "servers")]
    cap: bool,
    /// Whether the server refuses who would wait too long. Without, all wait in the listen queue.
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on, action = clap::ArgAction::Set,
          conflicts_with = "servers")]
    queue_bound: bool,
    /// Whether who is refused is told when to come again.
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on, action = clap::ArgAction::Set,
          conflicts_with = "servers")]
    hints: bool,
    /// Whether a connection that its device has left is thrown away unserved.
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on, action = clap::ArgAction::Set,
          conflicts_with = "servers")]
    discard: bool,
    /// Runs so many seeds, from --seed on, and tells the worst and the median.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "servers",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
}

/// What the fleet on real sockets takes, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common {
    pub(crate) devices: u32,
    pub(crate) outage: Duration,
    pub(crate) heartbeat: Duration,
    /// How long to go on after the outage; by default until everybody is back and stays.
    pub(crate) after: Option<Duration>,
    pub(crate) seed: u64,
}

/// Runs it, and returns what to print.
pub(crate) fn run(args: &FleetArgs, common: Common, json: bool) -> anyhow::Result<String> {
    ensure!(common.devices > 0, "--devices must not be 0");
    ensure!(common.outage <= LONGEST, "--outage must not be longer than a day");
    ensure!(common.after.is_none_or(|after| after <= LONGEST), "--seconds must not be longer than a day");
    let heartbeats = dtu_net::limits::HEARTBEAT_MIN..=HEARTBEAT_MAX;
    ensure!(heartbeats.contains(&common.heartbeat), "--heartbeat must be from 0.1 to 3600 seconds");
    let measures = Measures { cap: args.cap, bound: args.queue_bound, hints: args.hints, discard: args.discard };
    let mut runs = Vec::new();
    let mut line = OwnLine::start();
    for number in 0..args.seeds {
        let model = Model {
            devices: common.devices,
            outage: micros(common.outage),
            accept_rate: args.accept_rate,
            backlog: args.backlog,
            policy: args.policy,
            measures,
            heartbeat: micros(common.heartbeat),
            after: common.after.map(micros),
            seed: common.seed.wrapping_add(u64::from(number)),
        };
        let (began, before) = (Instant::now(), processor_time());
        let mut world = World::new(model);
        world.run(|world| line.draw(|| progress(world, number + 1, args.seeds)));
        let processor = processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        runs.push(Report::new(&world, began.elapsed(), processor));
    }
    line.end();
    Ok(match (&runs[..], json) {
        ([run], true) => serde_json::to_string(run)?,
        ([run], false) => run.to_string(),
        (_, true) => serde_json::to_string(&Seeds::new(runs))?,
        (_, false) => Seeds::new(runs).to_string(),
    })
}

/// How far a run is, in fewer than 70 columns.
fn progress(world: &World, run: u32, runs: u32) -> String {
    let simulated = world.now / model::SECOND;
    let text = format!("up {}/{}  simulated {simulated} s", world.tally.up(), world.model.devices);
    if runs > 1 { format!("{text}  run {run} of {runs}") } else { text }
}

/// How long this thread has had a processor, where the system tells: Linux does.
fn processor_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = told.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn on(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("neither `on` nor `off`".to_owned()),
    }
}

/// A time of days at most.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a day has few microseconds")
}
