//! `dtu serve`: accepts devices and prints what they send, one JSON line an event.
//!
//! The printer is a thread of its own, so that a reader that does not read holds up neither the sockets nor the
//! signals. DATA is acknowledged when its line is written and flushed, not before.

mod line;

use anyhow::Context;
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::driver::{ServerConfig, ServerEvent, Session, TcpServer};
use dtu_net::{Event, Limits};
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Events that are printed with one write, when as many wait.
const BATCH: usize = 256;

/// How long the sessions have to end after a signal, before what is left is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Accepts devices and prints what they send, one JSON line an event.
///
/// Every line has `event`, `connection` (numbered from 1) and `peer`, and `device` once it is known. The events are
/// `registered`, `data` (`seq`, `channel`, `body` in hex, `missing` where numbers before it did not come), `skipped`
/// (`bytes`, `cause`, `text`) and `closed` (`cause`, `text`, `reason` and counters). DATA is acknowledged after its line is
/// written; when it cannot be written, nothing is, and the server ends. It only receives so far: nothing is sent down.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Causes:
  skipped  magic, length_guard, over_limit, checksum, abandoned: bytes that are no frame;
           message, unknown_kind, repeated: whole frames that give no event
  closed   closed, peer_closed, turned_away, disconnected, transport, not_identified,
           too_much_before_register, silent, stalled, not_read; or the rule the peer broke: first_message,
           first_message_malformed, version, registered_twice, unexpected_message, ack_ahead

Examples:
  dtu serve --listen 127.0.0.1:55125
  dtu serve --listen '[::1]:55125' --max-payload 1024 --heartbeat 60
  dtu serve --listen 127.0.0.1:0 | jq -r 'select(.event == \"data\") | .body'")]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The longest payload taken, in bytes; a longer frame is skipped.
    #[arg(long, value_name = "N", default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(512..))]
    max_payload: u16,
    /// How long a device may be silent before it sends a PING, in seconds; after twice that it is given up.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    heartbeat: u32,
    /// How many DATA a device may have unacknowledged.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How many connections are held at a time; who comes beyond is refused as busy.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
}

impl Args {
    fn config(&self) -> ServerConfig {
        let mut limits = Limits::default();
        limits.max_payload = self.max_payload;
        limits.heartbeat = Duration::from_secs(u64::from(self.heartbeat));
        limits.window = self.window;
        let mut config = ServerConfig::default();
        config.limits = limits;
        config.max_connections = usize::try_from(self.max_connections).unwrap_or(usize::MAX);
        config
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(args));
    // A printer that is stuck in a write would be waited for; its line is not acknowledged, so it may be cut.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let mut stop = crate::stop::signal()?;
    let cancel = CancellationToken::new();
    let server = TcpServer::bind(args.listen, args.config(), cancel.clone())
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    eprintln!("listening on {}", server.local_addr());
    let (done, mut printed) = oneshot::channel();
    let printer = std::thread::Builder::new().name("printer".into());
    printer
        .spawn(move || {
            let mut server = server;
            let outcome = print(&mut server, &mut io::stdout());
            // Whoever waits for the word may have given up waiting.
            let _unheard = done.send((server, outcome));
        })
        .context("cannot start the printer")?;
    let printed = tokio::select! {
        printed = &mut printed => printed,
        () = &mut stop => {
            cancel.cancel();
            match timeout(GRACE, printed).await {
                Ok(printed) => printed,
                Err(_) => anyhow::bail!("stopped with events that nobody read from stdout; they are not acknowledged"),
            }
        }
    };
    let (server, outcome) = printed.context("the printer ended without a word")?;
    if server.untold() > 0 {
        eprintln!("dtu: {} connections turned away or failed without a line, as stdout was behind", server.untold());
    }
    // Sessions that are still open are told; one that does not listen is cut off.
    let _cut_off = timeout(GRACE, server.shut_down()).await;
    outcome.context("cannot write events to stdout")
}

/// Prints events until the server has ended. Ends at the first line that cannot be written: nothing can be
/// acknowledged from there on.
fn print(server: &mut TcpServer, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    let mut commits: Vec<(Session, u32)> = Vec::new();
    while let Some(first) = server.blocking_next_event() {
        lines.clear();
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(event) = next else { break };
            take(event, &mut lines, &mut commits)?;
            next = server.try_next_event();
        }
        if let Some(event) = next {
            take(event, &mut lines, &mut commits)?;
        }
        out.write_all(&lines)?;
        out.flush()?;
        for (session, next) in commits.drain(..) {
            session.commit(next);
        }
    }
    Ok(())
}

/// Appends the event's line, and what is to be acknowledged once it is written.
fn take(event: ServerEvent, lines: &mut Vec<u8>, commits: &mut Vec<(Session, u32)>) -> io::Result<()> {
    line::append(&event, lines)?;
    match event {
        ServerEvent::AcceptFailed(error) => eprintln!("dtu: cannot accept a connection: {error}"),
        ServerEvent::Link { session, event: Event::Data { seq, .. }, .. } => {
            commits.push((session, seq.wrapping_add(1)));
        }
        ServerEvent::Link { session, event: Event::Skip { next }, .. } => commits.push((session, next)),
        ServerEvent::Link { .. } | _ => {}
    }
    Ok(())
}
