//! A server that is offered a multiple of what it can register, by devices that ask nobody whether it is able to.
//!
//! `cargo run --release -p dtu-benches --example overload`; how it is measured is in `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::{Busy, Registered};
use dtu_benches::process::{ServerProcess, own_processor_time, raise_open_files, serve_on};
use dtu_benches::servers::start_sessions;
use dtu_net::driver::ServerConfig;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a device waits, for the connection and for WELCOME together.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often connections are dialled that are due.
const TICK: Duration = Duration::from_millis(1);

/// Devices that come one after the other while the capacity is measured: as many as a server always lets wait.
const CALM: usize = 64;

/// Different devices, fewer than a server has sessions for. The next after them is the first again.
const DEVICES: usize = 60_000;

/// Files that a process opens besides its sockets.
const OTHER_FILES: u64 = 100;

/// Measures what a server is able to register, and what it does when a multiple of that is offered.
#[derive(Parser)]
struct Args {
    /// Microseconds of processor time that the admission of a device takes besides.
    #[arg(long, default_value_t = 2_000)]
    burn: u32,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How many times the capacity is offered.
    #[arg(long, default_value_t = 10.0)]
    factor: f64,
    /// For how long it is offered.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// For how long the capacity is measured before.
    #[arg(long, default_value_t = 10)]
    calm: u32,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if args.serve {
        let mut config = ServerConfig::default();
        let cost = Duration::from_micros(args.burn.into());
        config.admission = Some(Arc::new(move |_| {
            burn(cost);
            Ok(())
        }));
        let runtime = Builder::new_multi_thread().worker_threads(args.workers).enable_all().build()?;
        return serve_on(runtime, async { start_sessions(config) });
    }
    let sockets = usize::try_from(raise_open_files()?.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    let process = ServerProcess::start_as(&[
        "--serve",
        "--burn",
        &args.burn.to_string(),
        "--workers",
        &args.workers.to_string(),
    ])?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        println!("{} us besides for each, {} threads", args.burn, args.workers);
        let begin = Mark::now(&process)?;
        let let_in = calm(&process, Duration::from_secs(args.calm.into())).await?;
        let (capacity, took) = (begin.rates(&process, let_in)?, begin.began.elapsed());
        println!("capacity: {capacity}, {let_in} in {:.1} s", took.as_secs_f64());

        let rate = capacity.wall * args.factor;
        let begin = Mark::now(&process)?;
        let (mut seen, goodput) = flood(&process, rate, args.seconds, sockets, &begin).await?;
        println!("overload: {rate:.0} a second offered for {} s", args.seconds);
        println!("  goodput                 {goodput}");
        println!(
            "  goodput / capacity      {:.3} by the clock, {:.3} by processor time",
            goodput.wall / capacity.wall,
            goodput.processor / capacity.processor
        );
        println!("  let in, of {:<12} {}", seen.dialled, seen.let_in.len());
        for (end, count) in &seen.ends {
            println!("  {end:<23} {count}");
        }
        let percentile = |of: usize, waits: &[Duration]| {
            waits.get(waits.len().saturating_sub(1) * of / 1000).map_or(0.0, Duration::as_secs_f64)
        };
        seen.let_in.sort_unstable();
        let [median, late, last] = [500, 990, 1000].map(|of| percentile(of, &seen.let_in));
        println!("  until WELCOME           p50 {median:.2} s, p99 {late:.2} s, max {last:.2} s");
        println!("  load's processor time   {:.1} s", seen.load.as_secs_f64());
        println!("  peak of the server      {:.1} MB", process.memory()?.peak as f64 / 1e6);
        Ok(())
    })
}

/// Takes `cost` of this thread's processor time.
fn burn(cost: Duration) {
    let spent = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::MAX, Duration::from);
    let until = spent().saturating_add(cost);
    while spent() < until {}
}

/// The clocks when something began.
struct Mark {
    began: Instant,
    processor: Duration,
}

/// Devices let in.
#[derive(Clone, Copy)]
struct Rates {
    /// A second.
    wall: f64,
    /// A second of the server's processor time.
    processor: f64,
}

impl Mark {
    fn now(process: &ServerProcess) -> io::Result<Self> {
        Ok(Self { began: Instant::now(), processor: process.processor_time()? })
    }

    fn rates(&self, process: &ServerProcess, let_in: usize) -> io::Result<Rates> {
        let processor = (process.processor_time()? - self.processor).as_secs_f64();
        Ok(Rates { wall: let_in as f64 / self.began.elapsed().as_secs_f64(), processor: let_in as f64 / processor })
    }
}

impl core::fmt::Display for Rates {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { wall, processor } = self;
        write!(f, "{wall:.0} let in a second, {processor:.0} a second of the server's processor time")
    }
}

/// Lets a few devices come at a time, each of which leaves at once for the next; returns how many were let in.
async fn calm(process: &ServerProcess, time: Duration) -> io::Result<usize> {
    let (address, end) = (process.address(), Instant::now() + time);
    let mut coming: JoinSet<io::Result<usize>> = (0..CALM)
        .map(|first| async move {
            let mut let_in = 0;
            while Instant::now() < end {
                Registered::connect(address, (first + CALM * let_in) % DEVICES).await?;
                let_in += 1;
            }
            Ok(let_in)
        })
        .collect();
    let mut all = 0;
    while let Some(let_in) = coming.join_next().await {
        all += let_in??;
    }
    Ok(all)
}

/// What became of the devices that came in the overload.
#[derive(Default)]
struct Seen {
    dialled: usize,
    /// How long each had to wait that was let in.
    let_in: Vec<Duration>,
    /// The others, by what they met.
    ends: BTreeMap<String, usize>,
    load: Duration,
}

impl Seen {
    /// Takes what came of one device.
    fn note(&mut self, came: Result<io::Result<Duration>, tokio::time::error::Elapsed>) {
        let end = match came {
            Ok(Ok(waited)) => return self.let_in.push(waited),
            Ok(Err(error)) => match Busy::of(&error) {
                Some(busy) => format!("refused: {}", busy.bound),
                None => format!("failed: {error}"),
            },
            Err(_) => String::from("gave up"),
        };
        *self.ends.entry(end).or_default() += 1;
    }
}

/// Offers `rate` new devices a second, however many are answered. Who is let in leaves at once; who is refused does not come
/// again, so that the offer stays what it is. The goodput is taken at the end of the offer, and then all answers are awaited.
async fn flood(
    process: &ServerProcess,
    rate: f64,
    seconds: u32,
    sockets: usize,
    begin: &Mark,
) -> io::Result<(Seen, Rates)> {
    let (address, own) = (process.address(), own_processor_time()?);
    let (mut seen, mut coming) = (Seen::default(), JoinSet::new());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = begin.began + Duration::from_secs(seconds.into());
    while Instant::now() < end {
        tokio::select! {
            biased;
            Some(came) = coming.join_next() => seen.note(came?),
            _ = ticks.tick() => {
                let due = begin.began.elapsed().as_secs_f64() * rate;
                while (seen.dialled as f64) < due {
                    let number = seen.dialled % DEVICES;
                    seen.dialled += 1;
                    if coming.len() >= sockets {
                        *seen.ends.entry(String::from("no descriptor to dial")).or_default() += 1;
                        continue;
                    }
                    coming.spawn(timeout(PATIENCE, async move {
                        let start = Instant::now();
                        Registered::connect(address, number).await.map(|_| start.elapsed())
                    }));
                }
            }
        }
    }
    let goodput = begin.rates(process, seen.let_in.len())?;
    seen.load = own_processor_time()? - own;
    while let Some(came) = coming.join_next().await {
        seen.note(came?);
    }
    Ok((seen, goodput))
}
