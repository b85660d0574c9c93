//! `dtu demo`: a server and devices in one process, over real loopback sockets, with damage on the way.
//!
//! ```text
//!   device ──frames──> damager ──bytes──> TCP ──> link machine ──events──> books
//!                         └────────── what stayed whole ──────────────────────┘
//! ```

mod balance;
mod damage;
mod device;

use anyhow::Context;
use balance::{Balance, Live, Numbers};
use core::time::Duration;
use damage::{Draw, Rate};
use device::{DIGESTED, Digest, Plan, Report};
use dtu_net::driver::{ServerConfig, ServerEvent, TcpServer};
use dtu_net::{Event, SkipCause};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The longest payload that the demo's server takes, in bytes. A false header claims up to twice as much.
const MAX_PAYLOAD: u16 = 4096;

/// The system's buffers of each connection, in bytes: small, so that the demo ends soon after its devices have stopped.
const SOCKET_BUFFER: u32 = 16 * 1024;

/// How often the figures on a terminal are drawn again.
const REDRAW: Duration = Duration::from_millis(200);

/// Runs a server and devices in one process, damages the bytes between them, and draws the balance.
///
/// Some of the frames lose bytes, get some, have bits flipped, come twice, or stand behind garbage or behind a false header
/// that claims more bytes than it has. Ends with success only when every frame that stayed intact was delivered, once, and
/// nothing that was not sent. The same seed does the same damage to the same frames; with --frames the whole run is the
/// same.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dtu demo
  dtu demo --seconds 30 --devices 200 --rate 0.3
  dtu demo --frames 10000 --seed 7 --json")]
pub(crate) struct Args {
    /// How long the devices send, in seconds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Decides what is sent and what is damaged; by default another one each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The share of the frames that is damaged, from 0 to 1.
    #[arg(long, value_name = "R", default_value_t = 0.1, value_parser = share)]
    rate: f64,
    /// Each device sends so many frames, however long it takes.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    frames: Option<u32>,
    /// Prints the balance as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not between 0 and 1".to_owned()) }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("cannot draw a seed")?,
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let balance = runtime.block_on(demo(args, seed))?;
    let mut out = std::io::stdout().lock();
    let printed = if args.json {
        let line = serde_json::to_string(&balance)?;
        writeln!(out, "{line}")
    } else {
        writeln!(out, "{balance}")
    };
    printed.and_then(|()| out.flush()).context("cannot write the balance to stdout")?;
    Ok(if balance.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demo(args: &Args, seed: u64) -> anyhow::Result<Balance> {
    let mut config = ServerConfig::default();
    config.limits.max_payload = MAX_PAYLOAD;
    config.receive_buffer = Some(SOCKET_BUFFER);
    let loopback = core::net::SocketAddr::from((core::net::Ipv4Addr::LOCALHOST, 0));
    let server = TcpServer::bind(loopback, config, CancellationToken::new());
    let server = server.context("cannot listen on the loopback address")?;
    let addr = server.local_addr();
    let live = Arc::<Live>::default();
    let books = tokio::spawn(Books::new(seed, args.devices, Arc::clone(&live)).keep(server));
    let display = tokio::spawn(draw(Arc::clone(&live)));

    let begin = Instant::now();
    let stop = CancellationToken::new();
    let mut devices = JoinSet::new();
    for number in 0..args.devices {
        let (stop, live) = (stop.clone(), Arc::clone(&live));
        let plan = Plan { number, seed, rate: Rate::new(args.rate), frames: args.frames, stop, live };
        devices.spawn(async move { (number, plan.run(addr).await) });
    }
    let end = begin + Duration::from_secs(u64::from(args.seconds));
    let interrupted = crate::stop::signal()?;
    let timer = tokio::spawn(async move {
        // Who interrupts it gets the balance of what was sent until then.
        tokio::select! {
            () = tokio::time::sleep_until(end) => {}
            () = interrupted => {}
        }
        stop.cancel();
    });
    let mut reports = HashMap::new();
    while let Some(device) = devices.join_next().await {
        let (number, report) = device.context("a device is gone")?;
        reports.insert(number, report?);
    }
    timer.abort();
    let seconds = begin.elapsed().as_secs_f64();
    let books = books.await.context("the books are gone")?;
    display.abort();
    // Whether it was aborted or not, it draws no more.
    let _aborted = display.await;
    if std::io::stderr().is_terminal() {
        eprint!("{CLEAR_LINE}");
    }
    Ok(books.close(args, seconds, &reports))
}

/// Puts the cursor at the start of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Draws the figures on one line of the terminal, again and again.
async fn draw(live: Arc<Live>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let begin = Instant::now();
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let [sent, intact, delivered, bytes, skipped] =
            [&live.sent, &live.intact, &live.delivered, &live.line_bytes, &live.skipped_bytes].map(Live::read);
        let seconds = begin.elapsed().as_secs_f64();
        let [megabytes, skipped] = [bytes, skipped].map(|bytes| bytes as f64 / 1e6);
        // Fits 80 columns up to seven digits each: a line that wraps cannot be drawn over.
        eprint!(
            "{CLEAR_LINE}{seconds:4.1} s  sent {sent}  intact {intact}  delivered {delivered}  skipped {skipped:.0} MB  {:.0} MB/s",
            megabytes / seconds.max(0.001),
        );
    }
}

/// The server's side of the books.
struct Books {
    seed: u64,
    devices: u32,
    live: Arc<Live>,
    delivered: Vec<Numbers>,
    duplicated: u64,
    unexpected: u64,
    repeated: u64,
    skipped_bytes: u64,
}

impl Books {
    fn new(seed: u64, devices: u32, live: Arc<Live>) -> Self {
        let delivered = (0..devices).map(|_| Numbers::default()).collect();
        Self { seed, devices, live, delivered, duplicated: 0, unexpected: 0, repeated: 0, skipped_bytes: 0 }
    }

    /// Takes the server's events until every device has come and gone.
    async fn keep(mut self, mut server: TcpServer) -> Self {
        let (mut left, mut body) = (self.devices, Vec::new());
        while left > 0
            && let Some(event) = server.next_event().await
        {
            let ServerEvent::Link { device, session, event, .. } = event else { continue };
            match event {
                Event::Data { seq, body: came, .. } => {
                    self.delivered(device.as_deref(), seq, &came, &mut body);
                    session.commit(seq.wrapping_add(1));
                }
                Event::Skipped { cause: SkipCause::Repeated { .. }, .. } => {}
                Event::Skipped { bytes, .. } => Live::add(&self.live.skipped_bytes, bytes),
                Event::Closed { counters, .. } => {
                    self.repeated += counters.data_repeated;
                    self.skipped_bytes += counters.line.skipped_bytes();
                    left -= u32::from(device.is_some());
                }
                Event::Register(_) | Event::Welcomed { .. } | Event::Acked { .. } | Event::Skip { .. } | _ => {}
            }
        }
        server.shut_down().await;
        self
    }

    /// Holds a frame that was delivered against what its device sends under that number.
    fn delivered(&mut self, device: Option<&str>, seq: u32, came: &[u8], body: &mut Vec<u8>) {
        let number = device.and_then(Plan::number_of);
        let place = number.and_then(|number| self.delivered.get_mut(usize::try_from(number).ok()?));
        let (Some(number), Some(delivered)) = (number, place) else {
            self.unexpected += 1;
            return;
        };
        Draw::new(self.seed, number, seq).body(body);
        if body != came {
            self.unexpected += 1;
        } else if delivered.insert(seq) {
            Live::add(&self.live.delivered, 1);
        } else {
            self.duplicated += 1;
        }
    }

    /// Puts both sides together.
    fn close(self, args: &Args, seconds: f64, reports: &HashMap<u32, Report>) -> Balance {
        let mut balance = Balance {
            seed: self.seed,
            seconds,
            devices: self.devices,
            rate: args.rate,
            sent: 0,
            intact: 0,
            delivered: 0,
            lost: 0,
            duplicated: self.duplicated,
            unexpected: self.unexpected,
            repeated: self.repeated,
            skipped_bytes: self.skipped_bytes,
            line_bytes: Live::read(&self.live.line_bytes),
            damage: String::new(),
            damage_frames: DIGESTED,
        };
        let mut digest = Digest::default();
        for (number, delivered) in (0..self.devices).zip(&self.delivered) {
            let none = Report::default();
            let report = reports.get(&number).unwrap_or(&none);
            balance.sent += u64::from(report.sent);
            balance.intact += report.intact.count();
            balance.delivered += delivered.count();
            balance.lost += report.intact.without(delivered);
            balance.unexpected += delivered.without(&report.intact);
            digest.add(&report.digest.0.to_be_bytes());
        }
        balance.damage = format!("{:016x}", digest.0);
        balance
    }
}
