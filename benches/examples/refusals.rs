//! A fleet that comes at once to a server without room: what each REFUSE takes of the server's processor time.
//!
//! `cargo run --release -p dtu-benches --example refusals`; how it is measured is in `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::{Busy, Registered};
use dtu_benches::process::{ServerProcess, raise_open_files, serve_on};
use dtu_benches::servers::start_sessions;
use dtu_benches::turns::median;
use dtu_net::driver::ServerConfig;
use std::io;
use std::time::Instant;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a fleet may take; a server that has stopped to answer must not stop the benchmark.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets fleets come to a server that has no room for anybody.
#[derive(Parser)]
struct Args {
    /// How many devices come at once.
    #[arg(long, default_value_t = 18_000)]
    devices: usize,
    /// How many fleets, each to a server of its own.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if args.serve {
        let mut config = ServerConfig::default();
        config.door.max_unidentified = 0;
        return serve_on(Builder::new_multi_thread().enable_all().build()?, async { start_sessions(config) });
    }
    raise_open_files()?;
    println!("{} devices at once, all refused", args.devices);
    println!("server us/REFUSE   wall s   heard   reset");
    let mut costs = Vec::with_capacity(args.rounds);
    for _ in 0..args.rounds.max(1) {
        let turn = Builder::new_current_thread().enable_all().build()?.block_on(measure(args.devices))?;
        let Turn { cost, seconds, heard, reset } = turn;
        println!("{cost:>16.2} {seconds:>8.2} {heard:>7} {reset:>7}");
        costs.push(cost);
    }
    println!("median {:.2} us", median(costs.into_iter()));
    Ok(())
}

struct Turn {
    /// Microseconds of the server's processor time for each connection.
    cost: f64,
    /// From the first dial to the last refusal.
    seconds: f64,
    /// Devices that read the REFUSE.
    heard: usize,
    /// Devices whose connection was reset before they had read it.
    reset: usize,
}

async fn measure(devices: usize) -> io::Result<Turn> {
    let process = ServerProcess::start_as(&["--serve"])?;
    let address = process.address();
    let (before, start) = (process.processor_time()?, Instant::now());
    let mut coming: JoinSet<_> = (0..devices).map(|number| Registered::connect(address, number)).collect();
    let (mut heard, mut reset) = (0, 0);
    let all = async {
        while let Some(came) = coming.join_next().await {
            match came? {
                Ok(_) => return Err(io::Error::other("the server has let a device in")),
                Err(error) if Busy::of(&error).is_some() => heard += 1,
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    reset += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    timeout(PATIENCE, all).await??;
    let (seconds, took) = (start.elapsed().as_secs_f64(), process.processor_time()? - before);
    Ok(Turn { cost: took.as_secs_f64() * 1e6 / devices as f64, seconds, heard, reset })
}
