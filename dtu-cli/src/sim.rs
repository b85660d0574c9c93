//! `dtu sim`: a fleet of devices against a server, on real sockets or with its server on a virtual clock.

mod fleet;
pub(crate) mod machine;
mod network;
mod random;
mod real;
mod seconds;
mod transparent;

use crate::address::Servers;
use anyhow::{Context, ensure};
use core::time::Duration;
use std::io::Write;
use std::process::ExitCode;

/// How long the server of a virtual fleet is away, unless told otherwise.
const OUTAGE: Duration = Duration::from_secs(60);

/// How long a fleet on real sockets runs, unless told otherwise.
const SECONDS: Duration = Duration::from_secs(10);

/// Runs a fleet of devices from one process against a server, takes their network away, and tells how they came back.
///
/// With --virtual, devices, network and server are simulated on a virtual clock, with the same machines and the same bytes: the
/// server dies at time 0 and is back after --outage with nothing remembered. docs/storm.md has the model. The rest of this is
/// about real sockets.
///
/// Each device is one of `dtu connect`'s kind on a TCP connection of its own, and all dial at once at the beginning. They are
/// called sim-0, sim-1 and so on, without keys. After a third of the time, --outage takes the network away: every
/// connection breaks, and every dial fails at once, until it is over; then the devices come back by their own delays. A
/// server that is killed and started again meanwhile gives the same figures.
///
/// With --profile the devices are transparent DTUs instead, which register, beat and pass the bytes of a Modbus RTU meter through, at
/// 9600 baud: cut and glued by the unit and by the network. They run until --seconds are over, if there are any, or until a signal,
/// and end with success when every device is registered then.
///
/// Ends with success only when every device is connected at the end and the ledger balances. Before, the devices stop sending, and
/// what is under way gets up to 10 s for its acknowledgement. On SIGINT or SIGTERM that comes at once.
///
/// At a server on a loopback address every device comes from an address of its own in 127.0.0.0/8, where the system has them, so
/// that ports do not run out. Elsewhere they share the ports of this machine.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("kind").args(["is_virtual", "profile"]),
    override_usage = "dtu sim [OPTIONS] <HOST:PORT[,HOST:PORT]...>\n       dtu sim --profile <NAME> [OPTIONS] <HOST:PORT[,HOST:PORT]...>\n       dtu sim --virtual [OPTIONS]",
    after_help = "\
Figures:
  up          devices that were connected at the end
  first up    from the start to the first WELCOME
  recovery    from the loss of a link, as the device sees it, to the next
              WELCOME, outage included
  dials       of a device in the whole run, the first included
  to the ACK  from the call that sends DATA to its acknowledgement; what is
              acknowledged after the end is not in it
  round trip  as PINGs have measured it; a device sends one only in silence
  ledger      what became of the DATA: taken = acked + expired + refused +
              abandoned + pending. A device whose outbox of 64 is full refuses
              the next one

Transparent DTUs (--profile):
  plain       says REG:<id> and CR LF once, and PING and CR LF as its heartbeat
  prefix      #<id># at first and before every packet; its heartbeat is such a
              packet with HEART
  ddp         Hongdian's DDP on TCP: registration and heartbeat 01, which the
              server has to acknowledge with 81, and data in 09 and 89
  fourfaith   Four-Faith's PROT: a registration of 21 bytes, heartbeats FE, data
              with escapes
  The id of the first device is 13900000000, of the next one 13900000001. The
  meter behind device n has address 1 + n mod 247, 1000 holding and 1000 input
  registers, and functions 03, 04, 06 and 10. Holding register r has the value
  1000 n + r, input register r has 65535 less that, modulo 65536

Each device takes a descriptor, here and in the server. With --json the last
line is the summary; times of which there were none are null there.

Examples:
  dtu sim 127.0.0.1:55125
  dtu sim 127.0.0.1:55125 --devices 18000 --rate 0.1 --seconds 120 --outage 20
  dtu sim gateway.example:55125 --devices 500 --seconds 60 --json \\
      | tail -n 1 | jq .recovery_ms

  dtu sim gw-1.example:55125,gw-2.example:55125 --devices 2000 --seconds 60

  dtu sim 127.0.0.1:55127 --profile plain --devices 3
  dtu sim 127.0.0.1:55127 --profile ddp --devices 200 --heartbeat 10 \\
      --noise 0.05 --seconds 60

  dtu sim --virtual --devices 40000 --accept-rate 500 --outage 60 --backlog 4096
  dtu sim --virtual --devices 40000 --accept-rate 500 \\
      --policy aws-full-jitter --queue-bound off

A storm against a server that is killed and started again, while `dtu sim` runs
in a second terminal:
  dtu serve --listen 127.0.0.1:55125 --max-connections 20000 > /dev/null"
)]
pub(crate) struct Args {
    /// The server; or several, over which the devices are spread. A device whose dial comes to nothing goes to the next one.
    #[arg(value_name = "HOST:PORT[,HOST:PORT]...", required_unless_present = "is_virtual", conflicts_with = "is_virtual",
          value_parser = crate::address::servers)]
    servers: Option<Servers>,
    /// Simulates devices, network and server on a virtual clock.
    #[arg(long = "virtual")]
    is_virtual: bool,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// For how many seconds the network is away, beginning after a third of the time; with --virtual the server, 60 by default.
    #[arg(long, value_name = "T", value_parser = seconds::parse)]
    outage: Option<Duration>,
    /// How long it runs, in seconds; 10 by default, and with --profile until a signal. With --virtual, how long it goes on after the outage; by default until
    /// everybody is back and stays.
    #[arg(long, value_name = "S", value_parser = seconds::parse)]
    seconds: Option<Duration>,
    /// With --profile, how often a device sends its heartbeat, in seconds; with --virtual, how long it is silent before it asks for
    /// a sign of life.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds::parse, requires = "kind")]
    heartbeat: Duration,
    /// Decides the devices' delays and when each begins to send; by default another one each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Prints the summary as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    real: real::RealArgs,
    #[command(flatten)]
    fleet: fleet::FleetArgs,
    #[command(flatten)]
    transparent: transparent::TransparentArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("cannot draw a seed")?,
    };
    let Some(servers) = &args.servers else { return run_virtual(args, seed) };
    if args.transparent.is_meant() {
        return transparent::run(args, servers, seed);
    }
    real::run(args, servers, args.seconds.unwrap_or(SECONDS), seed)
}

fn run_virtual(args: &Args, seed: u64) -> anyhow::Result<ExitCode> {
    let outage = args.outage.unwrap_or(OUTAGE);
    let &Args { devices, heartbeat, .. } = args;
    let common = fleet::Common { devices, outage, heartbeat, after: args.seconds, seed };
    let text = fleet::run(&args.fleet, common, args.json)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).context("cannot write the result to stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// An outage has to be over before the time is.
fn check_outage(outage: Option<Duration>, seconds: Duration) -> anyhow::Result<()> {
    let Some(outage) = outage else { return Ok(()) };
    ensure!(
        outage < seconds - seconds / 3,
        "--outage {}: it begins after a third of --seconds {}, and would not be over before they are",
        outage.as_secs_f64(),
        seconds.as_secs_f64()
    );
    Ok(())
}
