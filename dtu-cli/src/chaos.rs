//! `dtu chaos`: a proxy between any client and any server that breaks their links on purpose.
//!
//! ```text
//!   client ──read──> damage ──> hold (delay, jitter) ──> rate ──write──> upstream      each direction by itself,
//!   client <──write── rate <── hold (delay, jitter) <── damage <──read── upstream      cuts and stalls for both
//! ```

mod bucket;
mod counters;
mod damage;
mod draw;
pub(crate) mod duration;
mod hold;
mod plan;
mod proxy;
mod schedule;
mod summary;
mod tcp;
mod udp;

use anyhow::{Context, bail, ensure};
use core::net::SocketAddr;
use core::num::NonZeroU64;
use core::time::Duration;
pub(crate) use plan::{Plan, Stall};
pub(crate) use proxy::Proxy;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;
use summary::Summary;
use tokio_util::sync::CancellationToken;

/// Breaks links on purpose: a TCP or UDP proxy to put between any client and any server.
///
/// Without further options it passes everything on as it came. TCP connections keep the order of their bytes, and the end
/// of one direction is passed on by itself; UDP keeps the bounds of datagrams, and each client address is a link with a
/// port of its own to the upstream. On SIGINT or SIGTERM all links are closed and a summary is printed on stderr. In it,
/// for each direction, bytes read and duplicated are those passed, dropped and discarded.
///
/// Durations have a unit: us, ms, s, m or h, as in 150ms or 1.5s. Shares and rates of damage are probabilities from 0 to 1,
/// as in 0.01 or 1e-5. "About" a time is from half of it to one and a half, uniform.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Bounds:
  At most 16384 connections, or client addresses, at a time; those beyond are turned away.
  At most 262144 bytes and 4096 chunks are held in each direction of each. A full TCP direction
  is not read from, a full UDP direction loses datagrams. So with --delay D no more than that
  many bytes pass in the time D.
  An upstream has 10 s to accept a connection. A UDP link is forgotten after 300 s without a
  datagram.

Examples:
  dtu chaos --listen 127.0.0.1:6000 --upstream 127.0.0.1:55125 --delay 150ms --jitter 50ms
  dtu chaos --listen 127.0.0.1:6000 --upstream 127.0.0.1:55125 \\
    --cut-every 20s --half-close --stall 3s --corrupt 1e-4 --drop-bytes 1e-5 --seed 7
  dtu chaos --listen 127.0.0.1:6000 --upstream 127.0.0.1:55125 \\
    --udp --loss 0.1 --duplicate 0.05 --reorder 0.1 --cut-every 1m --json")]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    listen: SocketAddr,
    /// Where to carry what comes, as HOST:PORT; a name is looked up for each connection.
    #[arg(long, value_name = "ADDR")]
    upstream: String,
    /// Carries TCP. This is the default; with --udp, both are carried, on one port.
    #[arg(long)]
    tcp: bool,
    /// Carries UDP; without --tcp, nothing else.
    #[arg(long)]
    udp: bool,
    /// Holds each chunk of a stream, which is what one read gives, and each datagram, for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    delay: Duration,
    /// Varies the delay by up to this, up and down, uniformly; below 0 it is 0. A stream keeps its order, datagrams do
    /// not.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    jitter: Duration,
    /// Cuts each connection after about this time, both ways at once: connections 1, 3, 5, ... by RST, connections 2, 4,
    /// 6, ... by FIN. Over UDP the link goes on from another source port, as behind a NAT that has forgotten it, about
    /// every such time.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_some)]
    cut_every: Option<Duration>,
    /// Every second cut, by chance, tells one side only, drawn by chance too. The other is kept open for TIME, by default
    /// 90s: what it sends is swallowed and nothing is answered; then it is reset. TCP only.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_some, requires = "cut_every",
          num_args = 0..=1, require_equals = true, default_missing_value = "90s")]
    half_close: Option<Duration>,
    /// Now and then reads and writes nothing in either direction of a connection for this time; then everything goes on.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_some)]
    stall: Option<Duration>,
    /// About how long a connection passes bytes between two stalls.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse_some, requires = "stall")]
    stall_every: Duration,
    /// The probability, per byte, that one of its bits is flipped.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share)]
    corrupt: f64,
    /// The probability, per byte, that a run of 1 to 16 bytes is dropped from there on.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share)]
    drop_bytes: f64,
    /// The most bytes a second, in each direction of each connection; 100 ms of it may pass at once.
    #[arg(long, value_name = "BYTES")]
    rate: Option<NonZeroU64>,
    /// The share of datagrams that are lost.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share, requires = "udp")]
    loss: f64,
    /// The share of datagrams that come twice.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share, requires = "udp")]
    duplicate: f64,
    /// The share of datagrams that change places with the next one of their direction; when none comes within 1 s, they
    /// go on alone.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share, requires = "udp")]
    reorder: f64,
    /// Decides everything that is drawn, for each connection by its number and for each direction: the same bytes take the
    /// same damage. By default another one each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Prints the summary on stdout, too, as one line of JSON. What is not carried, TCP or UDP, is not in it.
    #[arg(long)]
    json: bool,
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not between 0 and 1".to_owned()) }
}

impl Args {
    fn plan(&self, seed: u64) -> Plan {
        Plan {
            seed,
            delay: self.delay,
            jitter: self.jitter,
            cut_every: self.cut_every,
            half_open: self.half_close,
            stall: self.stall.map(|length| Stall { length, every: self.stall_every }),
            corrupt: self.corrupt,
            drop_bytes: self.drop_bytes,
            rate: self.rate,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("cannot draw a seed")?,
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let summary = runtime.block_on(carry(args, seed))?;
    eprint!("{summary}");
    if args.json {
        let mut out = std::io::stdout().lock();
        let line = serde_json::to_string(&summary)?;
        writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write the summary to stdout")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn carry(args: &Args, seed: u64) -> anyhow::Result<Summary> {
    let is_tcp = args.tcp || !args.udp;
    ensure!(
        is_tcp || args.half_close.is_none(),
        "--half-close is for TCP: UDP has no connection that could be half-open"
    );
    let mut stop = crate::stop::signal()?;
    // A wrong name is told now, not at the first connection.
    let found = tokio::net::lookup_host(&args.upstream).await;
    let found = found.with_context(|| format!("cannot find the upstream {}", args.upstream))?.next();
    if found.is_none() {
        bail!("cannot find the upstream {}: the name has no address", args.upstream);
    }
    let cancel = CancellationToken::new();
    let (upstream, plan) = (args.upstream.as_str(), args.plan(seed));
    let mut listen = args.listen;
    let cannot = |listen| move || format!("cannot listen on {listen}");
    let mut tcp = None;
    if is_tcp {
        let proxy = Proxy::tcp(listen, upstream, plan.clone(), cancel.clone()).with_context(cannot(listen))?;
        listen = proxy.local_addr();
        tcp = Some(proxy);
    }
    let mut udp = None;
    if args.udp {
        let proxy = Proxy::udp(listen, upstream, plan, cancel.clone()).with_context(cannot(listen))?;
        listen = proxy.local_addr();
        udp = Some(proxy);
    }
    let begin = Instant::now();
    eprintln!("listening on {listen}");
    if args.seed.is_none() {
        eprintln!("seed {seed}");
    }
    (&mut stop).await;
    cancel.cancel();
    let seconds = begin.elapsed().as_secs_f64();
    let tcp = match tcp {
        Some(proxy) => Some(proxy.shut_down().await),
        None => None,
    };
    let udp = match udp {
        Some(proxy) => Some(proxy.shut_down().await),
        None => None,
    };
    Ok(Summary { seed, seconds, tcp, udp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn the_help_states_the_bounds_that_hold() {
        let help = Args::augment_args(clap::Command::new("chaos")).render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(tcp::MAX_CONNECTIONS, udp::MAX_LINKS);
        for stated in [
            format!("At most {} connections", tcp::MAX_CONNECTIONS),
            format!("At most {} bytes and {} chunks", hold::HELD_BYTES, hold::HELD_CHUNKS),
            format!("has {} s to accept", tcp::CONNECT_TIMEOUT.as_secs()),
            format!("after {} s without", udp::IDLE.as_secs()),
            format!("a run of 1 to {} bytes", damage::MAX_RUN),
            format!("{} ms of it may pass", bucket::BURST.as_millis()),
            format!("none comes within {} s", udp::REORDER_WAIT.as_secs()),
        ] {
            assert!(help.contains(&stated), "`{stated}` in {help}");
        }
    }
}
