//! What an idle session costs a server in memory, and a heartbeat of it in processor time. For `benches/memory.sh`, which raises the
//! limit of open files.

use clap::Parser;
use core::fmt;
use core::time::Duration;
use dtu_benches::load::Registered;
use dtu_benches::process::{Memory, ServerProcess, serve};
use dtu_benches::servers::Server;
use std::io;
use std::path::{Path, PathBuf};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// How often memory is read, and the most readings until two in a row are the same.
const SETTLE: Duration = Duration::from_millis(200);
const MAX_READINGS: usize = 25;

/// How often devices have their turn to send a PING.
const TURN: Duration = Duration::from_millis(10);

/// How long the PINGs of a fleet that was just registered are spread.
const FIRST: Duration = Duration::from_secs(1);

/// Measures the resident bytes of an idle session, and the processor time of its heartbeats.
#[derive(Parser)]
struct Args {
    /// The servers, one after the other.
    #[arg(default_value = "plain")]
    servers: Vec<Server>,
    /// Measures `dtu serve` of this program besides.
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
    /// How many sessions are open at the first reading.
    #[arg(long, default_value_t = 2_000)]
    few: usize,
    /// How many at the second.
    #[arg(long, default_value_t = 18_000)]
    many: usize,
    /// Then takes the processor time of so many heartbeats of all of them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    heartbeats: u32,
    /// The heartbeat, in seconds.
    #[arg(long, value_name = "S", default_value_t = 30)]
    heartbeat: u64,
    /// How often each server has its turn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

/// A server that is measured.
#[derive(Clone, Copy)]
enum Contestant<'a> {
    Server(Server),
    Gateway(&'a Path),
}

impl Contestant<'_> {
    fn start(self) -> io::Result<ServerProcess> {
        match self {
            Self::Server(server) => ServerProcess::start(server),
            Self::Gateway(path) => ServerProcess::start_gateway(path),
        }
    }
}

impl fmt::Display for Contestant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Gateway(_) => f.pad("dtu serve"),
        }
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        return serve(server);
    }
    if args.few >= args.many {
        return Err(io::Error::other("there must be more sessions at the second reading than at the first"));
    }
    let servers = args.servers.iter().map(|server| Contestant::Server(*server));
    let mut figures: Vec<_> =
        servers.chain(args.gateway.as_deref().map(Contestant::Gateway)).map(|server| (server, Vec::new())).collect();
    println!("server       sessions   resident bytes   anonymous bytes");
    for _ in 0..args.rounds {
        for (server, figures) in &mut figures {
            figures.push(measure(*server, &args)?);
        }
    }
    let median = |figures: &[Figures], of: fn(&Figures) -> f64| {
        let mut figures: Vec<f64> = figures.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    let first = figures.first().map(|(server, figures)| (*server, median(figures, |figures| figures.processor)));
    for (server, figures) in &figures {
        let median = |of| median(figures, of);
        println!(
            "{server}: {:.0} resident bytes a session, {:.0} of them anonymous; {:.0} of all that came since the start",
            median(|figures| figures.resident),
            median(|figures| figures.anonymous),
            median(|figures| figures.since_start)
        );
        if let Some((peer, time)) = first.filter(|(_, time)| *time > 0.0) {
            let own = median(|figures| figures.processor);
            println!("{server}: {:.2} µs of processor time a heartbeat, {:.2} of {peer}", own * 1e6, own / time);
        }
    }
    Ok(())
}

struct Figures {
    /// Bytes a session: the slope between the two readings.
    resident: f64,
    anonymous: f64,
    /// The same against the process without a session.
    since_start: f64,
    /// Seconds of processor time a heartbeat.
    processor: f64,
}

fn measure(server: Contestant<'_>, args: &Args) -> io::Result<Figures> {
    let process = server.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sessions = Vec::with_capacity(args.many);
        let at_start = settled(&process).await?;
        let mut readings = [args.few, args.many].map(|count| (count, at_start));
        for (count, memory) in &mut readings {
            let known = sessions.len();
            for number in known..*count {
                sessions.push(Registered::connect(process.address(), number).await?);
            }
            // A session that has answered a heartbeat is what is idle.
            beat(sessions.get(known..).unwrap_or_default(), FIRST).await?;
            *memory = settled(&process).await?;
            println!("{server:<12} {count:>8} {:>16} {:>17}", memory.resident, memory.anonymous);
        }
        let mut processor = 0.0;
        if args.heartbeats > 0 {
            let before = process.processor_time()?;
            for _ in 0..args.heartbeats {
                beat(&sessions, Duration::from_secs(args.heartbeat)).await?;
            }
            let time = process.processor_time()? - before;
            println!("{server:<12} {:>8} {time:?} of processor time", args.many);
            processor = time.as_secs_f64() / (f64::from(args.heartbeats) * args.many as f64);
        }
        let gone = sessions.iter().filter(|session| !session.is_idle()).count();
        if gone > 0 {
            return Err(io::Error::other(format!("{gone} of {} sessions were not open and silent", args.many)));
        }
        let [(few, at_few), (many, at_many)] = readings;
        let slope = |before: u64, after: u64, sessions: usize| (after as f64 - before as f64) / sessions as f64;
        Ok(Figures {
            resident: slope(at_few.resident, at_many.resident, many - few),
            anonymous: slope(at_few.anonymous, at_many.anonymous, many - few),
            since_start: slope(at_start.resident, at_many.resident, many),
            processor,
        })
    })
}

/// Each of the devices sends one PING, evenly over `spread`, and has its PONG.
async fn beat(devices: &[Registered], spread: Duration) -> io::Result<()> {
    let began = Instant::now();
    let mut ticks = interval(TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while sent < devices.len() {
        ticks.tick().await;
        let part = (began.elapsed().as_secs_f64() / spread.as_secs_f64()).min(1.0);
        let due = (part * devices.len() as f64).ceil() as usize;
        devices.get(sent..due).unwrap_or_default().iter().try_for_each(Registered::ping)?;
        sent = sent.max(due);
    }
    sleep_until(began + spread).await;
    for device in devices {
        device.take_pong().await?;
    }
    Ok(())
}

/// The server's memory once it has stopped to change.
async fn settled(process: &ServerProcess) -> io::Result<Memory> {
    let mut last = process.memory()?;
    for _ in 0..MAX_READINGS {
        sleep(SETTLE).await;
        let memory = process.memory()?;
        if memory.resident == last.resident {
            return Ok(memory);
        }
        last = memory;
    }
    Err(io::Error::other(format!("the memory of the server still changes: {} bytes", last.resident)))
}
