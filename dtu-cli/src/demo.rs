//! `dtu demo`: a server and devices in one process, over real loopback sockets, through a proxy that breaks their links.
//!
//! ```text
//!   device end ──DATA──> Client ──TCP──> chaos proxy ──TCP──> Server ──DATA──> server end      and the same way back
//!       └──────────── what was sent, and its outcome ─── books ─── what was delivered ─────────────┘
//! ```

mod balance;
mod content;
mod end;
mod fleet;
mod harm;
mod live;

use anyhow::Context;
use balance::Balance;
use harm::HarmArgs;
use std::process::ExitCode;

/// Runs a server and devices in one process, breaks the links between them, and draws the balance.
///
/// Each device sends numbered frames to the server, and the server one for four of them back, through the proxy of
/// `dtu chaos`. At the end nothing more is sent, and while the proxy goes on everything gets the time to arrive. Ends with
/// success only when every frame that was sent is acknowledged and was delivered once, in order, and nothing else was. On
/// SIGINT or SIGTERM the devices stop sending at once, and the balance follows.
///
/// The seed decides what is sent and what the proxy draws; with --frames the content is the same in every run, told by its
/// digest.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each device takes four descriptors, and more for links that are kept half-open.

Examples:
  dtu demo
  dtu demo --seconds 60 --devices 200
  dtu demo --udp --loss 0.1
  dtu demo --cut-every 300ms --corrupt 1e-3 --seed 7
  dtu demo --calm --frames 1000 --rate 1000 --json")]
pub(crate) struct Args {
    /// How long the devices send, in seconds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4000))]
    devices: u32,
    /// How many frames a device sends a second, at most: fewer while its outbox is full.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Each device sends so many frames, however long it takes.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..))]
    frames: Option<u32>,
    /// Decides what is sent and what the proxy draws; by default another one each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Runs the links over UDP: a cut changes the port that a device comes from, and there are no half-open links.
    #[arg(long)]
    udp: bool,
    /// Prints the balance as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    harm: HarmArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("cannot draw a seed")?,
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let balance: Balance = runtime.block_on(fleet::run(args, seed))?;
    crate::summary::print(&balance, args.json)?;
    Ok(if balance.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
