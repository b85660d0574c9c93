//! `dtu sim`: a fleet of devices.

mod fleet;

use anyhow::{Context, ensure};
use core::time::Duration;
use std::io::Write;
use std::process::ExitCode;

/// Simulates a fleet of devices, and what becomes of it after an outage of its server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Simulates devices, server and network on a virtual clock.
    #[arg(long = "virtual")]
    is_virtual: bool,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    devices: u32,
    /// How long the server is away.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    outage: u32,
    /// How long to go on after the outage.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,
    /// Decides everything that is drawn.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Prints the result as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    fleet: fleet::Args,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(args.is_virtual, "--virtual is missing");
    let common = fleet::Common {
        devices: args.devices,
        outage: Duration::from_secs(args.outage.into()),
        after: args.seconds.map(|seconds| Duration::from_secs(seconds.into())),
        seed: args.seed.unwrap_or(1),
    };
    let text = fleet::run(&args.fleet, common, args.json)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot write the result to stdout")?;
    Ok(ExitCode::SUCCESS)
}
