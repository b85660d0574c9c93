//! A server that has no descriptor left and is dialled all the same: its share of a processor, and how soon it serves
//! again when some are free.
//!
//! `cargo run --release -p dtu-benches --example descriptors`; how it is measured is in `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::Registered;
use dtu_benches::process::{ServerProcess, limit_open_files, raise_open_files, serve};
use dtu_benches::servers::Server;
use std::io;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How long no device may have been let in before the server counts as full.
const QUIET: Duration = Duration::from_secs(1);

/// How long the server has to let in as many devices as were let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// Floods servers that may open few files.
#[derive(Parser)]
struct Args {
    /// The servers, one after the other.
    #[arg(default_value = "dtu-net")]
    servers: Vec<Server>,
    /// How many files a server may open.
    #[arg(long, default_value_t = 256)]
    files: u64,
    /// How many devices dial and stay.
    #[arg(long, default_value_t = 1_000)]
    devices: usize,
    /// How many connections a second are made besides, and dropped at once.
    #[arg(long, default_value_t = 500)]
    flood: u32,
    /// For how many seconds the processor time is taken.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        limit_open_files(args.files)?;
        return serve(server);
    }
    raise_open_files()?;
    println!("{} files, {} devices, {} connections a second besides", args.files, args.devices, args.flood);
    println!("server       let in   processor at the limit   first back ms   all back ms   let in again");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for &server in &args.servers {
        let Measured { let_in, share, first, all, again } = runtime.block_on(measure(server, &args))?;
        let (percent, first, all) = (share * 100.0, first.as_secs_f64() * 1e3, all.as_secs_f64() * 1e3);
        println!("{server:<12} {let_in:>6} {percent:>22.2} % {first:>15.0} {all:>13.0} {again:>14}");
    }
    Ok(())
}

struct Measured {
    /// Devices until the descriptors were used up.
    let_in: usize,
    /// Of one processor, while the descriptors are used up.
    share: f64,
    /// From when half of the devices let go to the first device that is let in in their place, and to the last.
    first: Duration,
    all: Duration,
    again: usize,
}

async fn measure(server: Server, args: &Args) -> io::Result<Measured> {
    let process = ServerProcess::start_with(server, &["--files", &args.files.to_string()])?;
    let address = process.address();
    let mut dialling: JoinSet<_> = (0..args.devices).map(|number| Registered::connect(address, number)).collect();
    let mut devices = Vec::new();
    while let Ok(Some(device)) = timeout(QUIET, dialling.join_next()).await {
        devices.push(device??);
    }
    if devices.len() >= args.devices {
        return Err(io::Error::other("the server has let in everyone: it is not at its limit"));
    }
    let flood = tokio::spawn(flood(address, args.flood));
    let (before, begin) = (process.processor_time()?, Instant::now());
    sleep(Duration::from_secs(args.seconds.into())).await;
    let share = (process.processor_time()? - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    let (let_in, freed) = (devices.len(), Instant::now());
    devices.truncate(let_in - let_in / 2);
    let (mut again, mut first, mut all) = (0, Duration::ZERO, Duration::ZERO);
    while again < let_in / 2 {
        let Ok(Some(device)) = timeout(PATIENCE, dialling.join_next()).await else { break };
        devices.push(device??);
        (again, all) = (again + 1, freed.elapsed());
        first = if again == 1 { all } else { first };
    }
    flood.abort();
    Ok(Measured { let_in, share, first, all, again })
}

/// Dials and lets go, so many times a second.
async fn flood(server: core::net::SocketAddr, rate: u32) {
    if rate == 0 {
        return;
    }
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        // When the queue of connections to accept is full, the dial waits; the next one does not.
        tokio::spawn(timeout(QUIET, TcpStream::connect(server)));
    }
}
