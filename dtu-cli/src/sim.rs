//! `dtu sim`: a fleet of devices against a server.

mod real;
mod seconds;

use anyhow::Context;
use core::time::Duration;
use std::process::ExitCode;

/// Runs a fleet of devices from one process against a server, takes their network away, and tells how they came back.
///
/// Each device is one of `dtu connect`'s kind on a TCP connection of its own, and all dial at once at the beginning. They are
/// called sim-0, sim-1 and so on, without keys. After a third of the time, --outage takes the network away: every
/// connection breaks, and every dial fails at once, until it is over; then the devices come back by their own delays. A
/// server that is killed and started again meanwhile gives the same figures.
///
/// Ends with success only when every device is connected at the end and the ledger balances. Before, the devices stop sending, and
/// what is under way gets up to 10 s for its acknowledgement. On SIGINT or SIGTERM that comes at once.
///
/// At a server on a loopback address every device comes from an address of its own in 127.0.0.0/8, where the system has them, so
/// that ports do not run out. Elsewhere they share the ports of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Figures:
  up          devices that were connected at the end
  first up    from the start to the first WELCOME
  recovery    from the loss of a link, as the device sees it, to the next WELCOME, outage included
  dials       of a device in the whole run, the first included
  to the ACK  from the call that sends DATA to its acknowledgement; what is acknowledged after the end
              is not in it
  round trip  as PINGs have measured it; a device sends one only in silence
  ledger      what became of the DATA: taken = acked + expired + refused + abandoned + pending. A device
              whose outbox of 64 is full refuses the next one

Each device takes a descriptor, here and in the server. With --json the last line is the summary.

Examples:
  dtu sim 127.0.0.1:55125
  dtu sim 127.0.0.1:55125 --devices 18000 --rate 0.1 --seconds 120 --outage 20
  dtu sim gateway.example:55125 --devices 500 --seconds 60 --json | tail -n 1 | jq .recovery_ms

A storm against a server that is killed and started again:
  dtu serve --listen 127.0.0.1:55125 --max-connections 20000 > /dev/null")]
pub(crate) struct Args {
    /// The server, as `host:port`.
    #[arg(value_name = "ADDR")]
    addr: String,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// For how many seconds the network is away, beginning after a third of the time.
    #[arg(long, value_name = "T", value_parser = seconds::parse)]
    outage: Option<Duration>,
    /// Decides the devices' delays and when each begins to send; by default another one each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Prints the summary as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    real: real::RealArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("cannot draw a seed")?,
    };
    real::run(args, seed)
}
