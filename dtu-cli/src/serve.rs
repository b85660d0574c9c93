//! `dtu serve`: accepts devices and prints what they send, one JSON line an event.
//!
//! ```text
//!   session ── DATA ──> task ─┐                    ┌──> sinks
//!   session ── DATA ──> task ─┼── bounded queue ── keeper ── commit ──> ACK
//!   server ── events ─> task ─┘
//! ```
//!
//! Sinks write in threads of their own, so that a reader that does not read holds up neither the sockets nor the
//! signals. DATA is acknowledged when its line is kept: on stdout, when it is written and flushed.

mod busy;
mod control;
mod data_line;
mod line;
mod tasks;
mod unit_line;
mod units;
mod who;

pub(crate) use line::Renderer;
pub(crate) use unit_line::UnitItem;

use crate::sink::{self, FileSettings, FileSink, Sink, StdoutSink};
use anyhow::Context;
use busy::Busy;
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::driver::{Listen, Server, ServerConfig};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use units::Units;

/// How long printing, and then the last bytes, may take after a signal, before what is left is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Accepts devices and prints what they send, one JSON line an event.
///
/// Every line has `event` and `time` (RFC 3339, UTC: when it was taken here), and all but `missed` have `device`, where it is known. The lines of one session are in order, but
/// `data`, `skip` and `closed` come by another way than the rest, and may stand a little before or behind it.
///
/// DATA is acknowledged after its line is written; when it cannot be written, nothing is, and the server ends. A device
/// that comes again goes on in its session. (`device`, `stream`, `seq`) is the same for every repeat, and repeats come only
/// where the session was forgotten: after a restart of this server, or after --retention. It only receives: nothing is
/// sent down.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Events:
  connected     epoch (the number of the connection), resumed.receiving,
                resumed.sending: whether the streams go on
  data          stream, seq, channel, body in hex
  skip          stream, from, next: the device has dropped these numbers, or let
                them expire
  skipped       epoch, bytes, cause, text: bytes or frames that carried nothing
  disconnected  epoch, cause, text, reason: the session waits for its device
  closed        the same, and connections, data, missing, repeated: the session
                is over
  refused       peer, device, cause, text: a connection that was not let in. For
                want of room there may be no line, but on stderr how many there
                were, each 10 s and at the end
  missed        events: so many other than data, skip and closed have no line,
                as what keeps them was behind

Events of transparent DTUs (--transparent; disconnected, closed, refused and
skipped as above):
  identified    epoch, registration in hex: who has come, or come again
  frame         epoch, kind, bytes in hex: a frame that no request waited for
                (idle, mismatched, late)
  heartbeat     epoch
  control       epoch, kind: an envelope of another kind
  lost          epoch, what (frame, request, answer), bytes: there was no room
                for it

Causes:
  skipped       magic, length_guard, over_limit, checksum, abandoned: bytes that
                are no frame; message, unknown_kind, repeated, no_room: whole
                frames that give no event; of transparent DTUs the causes of
                `dtu decode`
  disconnected  disconnected, transport, silent, replaced, peer_closed; or the
                rule the peer broke: gap, over_limit, beyond_window, ping_flood,
                registered_twice, unexpected_message, ack_ahead, other_device
  closed        peer_closed (with DONE), closed, away
  refused       not_identified, too_much_before_register, unknown_device,
                wrong_proof, taken, turned_away, transport, disconnected;
                said_nothing: it left without a byte, as devices do that look
                whether they can come back, and load balancers; or the rule:
                first_message, first_message_malformed, version, no_stream

Examples:
  dtu serve --listen 127.0.0.1:55125
  dtu serve --listen '[::]:55125' --udp '[::]:55125' --keys keys
  dtu serve --listen '[::]:55125' --keys keys --max-payload 1024 --heartbeat 60
  dtu serve --listen '[::]:55125' --keys keys \\
      --tls-cert server.pem --tls-key server.key
  dtu serve --listen '[::]:55125' --keys keys --drain 60
  dtu serve --listen '[::]:55125' --keys keys --file /var/lib/dtu/data.jsonl
  dtu serve --listen '[::]:55125' --transparent '[::]:55127' \\
      --profile plain --control 127.0.0.1:55128
  dtu serve --listen 127.0.0.1:0 | jq -r 'select(.event == \"data\") | .body'

A key for a device:
  (openssl rand -hex 32 | tr '\\n' ' '; echo meter-7) >> keys; chmod o= keys")]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    listen: SocketAddr,
    /// The address to listen on for datagrams besides. TLS does not cover them: give --keys.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    udp: Option<SocketAddr>,
    /// The longest payload taken, in bytes; a longer frame is skipped.
    #[arg(long, value_name = "N", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(512..))]
    max_payload: u16,
    /// How long a device may be silent before it sends a PING, in seconds; after twice that its connection is given up.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    heartbeat: u32,
    /// How many DATA a device may have unacknowledged.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How long the session of a device that is away is kept, in seconds.
    #[arg(long, value_name = "S", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    retention: u32,
    /// How many connections are held at a time; who comes beyond is refused as busy.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// How many sessions are kept at a time, of devices that are there and that are away.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_sessions: u32,
    /// How many connections may be unidentified at a time; by default as many as all together. Of those, as many wait as can be
    /// served within 2 s; the others are told when to come.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_unidentified: Option<u32>,
    /// How many connections one address may hold at a time; by default as many as all together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_per_address: Option<u32>,
    /// How many MiB of DATA all sessions may hold before nobody else is taken.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_memory: u32,
    /// At the end, the sessions are closed one after the other over so many seconds, so that the devices do not come all at once
    /// to where they go next. A second signal ends it at once.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    drain: u32,
    /// Keeps the lines in this file instead of printing them, each on the disk before it is acknowledged. The directory has to be there.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    units: units::UnitArgs,
    #[command(flatten)]
    who: who::WhoMayIn,
}

impl Args {
    /// Where the lines go.
    fn sink(&self) -> anyhow::Result<Box<dyn Sink>> {
        let Some(path) = &self.file else {
            let stdout = StdoutSink::new().context("cannot start the thread that writes to stdout")?;
            return Ok(Box::new(stdout));
        };
        let settings = FileSettings { path: path.clone(), rotate_size: None, rotate_every: None, keep: None };
        Ok(Box::new(FileSink::open(settings).context("cannot use --file")?))
    }

    fn config(&self) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::default();
        config.limits.max_payload = self.max_payload;
        config.limits.heartbeat = Duration::from_secs(u64::from(self.heartbeat));
        config.limits.window = self.window;
        config.limits.retention = Duration::from_secs(u64::from(self.retention));
        config.max_connections = usize::try_from(self.max_connections).unwrap_or(usize::MAX);
        config.max_per_address = self.max_per_address.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let max_unidentified = self.max_unidentified.unwrap_or(self.max_connections);
        config.door.max_unidentified = usize::try_from(max_unidentified).unwrap_or(usize::MAX);
        config.max_memory = usize::try_from(self.max_memory).unwrap_or(usize::MAX).saturating_mul(1024 * 1024);
        config.max_sessions = usize::try_from(self.max_sessions).unwrap_or(usize::MAX);
        self.who.apply(&mut config, self.udp.is_some())?;
        Ok(config)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args));
    // A sink that is stuck in a write would be waited for; its lines are not acknowledged, so they may be cut.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut stop = crate::stop::signal()?;
    let plan = args.units.plan()?;
    let sink = args.sink()?;
    let listen = Listen { tcp: Some(args.listen), udp: args.udp };
    let mut server =
        Server::listen(listen, args.config()?, CancellationToken::new()).with_context(|| match args.udp {
            Some(udp) => format!("cannot listen on {} and, for datagrams, on {udp}", args.listen),
            None => format!("cannot listen on {}", args.listen),
        })?;
    let (queue, mut keeper) = sink::start(vec![sink]);
    let (stopping, ended, sessions) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    let teller = tokio::spawn(tasks::tell(server.events(), queue.clone(), ended.clone()));
    let mut units = Units::start(plan, &queue).await?;
    if let Some(udp) = server.udp_addr() {
        eprintln!("datagrams on {udp}");
    }
    eprintln!("listening on {}", server.local_addr());
    let (mut busy, mut ticks) = (Busy::default(), interval(busy::EVERY));
    let (spread, mut drain) = (Duration::from_secs(u64::from(args.drain)), None);
    let early = loop {
        tokio::select! {
            Some(session) = server.accept() => {
                sessions.spawn(tasks::carry(session, queue.clone(), stopping.clone()));
            }
            () = Units::accept(&mut units) => {}
            ended = keeper.ended() => break Some(ended),
            _ = ticks.tick() => busy.tell(server.counters().busy),
            () = &mut stop => {
                if drain.is_some() || spread.is_zero() {
                    break None;
                }
                eprintln!("closing the sessions over {spread:?}");
                drain = Some(Box::pin(server.drain(spread, GRACE)));
                stop = crate::stop::signal()?;
            }
            () = async { if let Some(drain) = &mut drain { drain.await } }, if drain.is_some() => break None,
        }
    };
    stopping.cancel();
    sessions.close();
    let units_end = async {
        if let Some(units) = units {
            units.end().await;
        }
    };
    let handed_over = async { tokio::join!(sessions.wait(), units_end) };
    let in_time = early.is_some() || timeout(GRACE, handed_over).await.is_ok();
    busy.tell(server.counters().busy);
    // A peer that takes no last word is cut off.
    let _cut_off = timeout(GRACE, server.shut_down(Duration::ZERO)).await;
    ended.cancel();
    let unkept = || {
        let down = keeper.books().down().map(|down| format!("; down: {down}")).unwrap_or_default();
        format!("stopped with {} records that are not kept and not acknowledged{down}", queue.pending())
    };
    anyhow::ensure!(in_time, unkept());
    let missed = timeout(GRACE, teller).await.with_context(unkept)?.context("the teller ended without a word")?;
    if missed > 0 {
        eprintln!("dtu: {missed} events have no line, as the sinks were behind");
    }
    let ended = match early {
        Some(ended) => ended,
        None => {
            let unkept = unkept();
            drop(queue);
            timeout(GRACE, keeper.ended()).await.context(unkept)?
        }
    };
    Ok(ended.context("the keeper ended without a word")??)
}
