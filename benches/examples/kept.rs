//! What keeping costs: the gateway with a file on the disk, beside a broker and beside a server that keeps nothing.
//!
//! `cargo build --release -p dtu-cli && cargo run --release -p dtu-benches --example kept`; how it is measured is in
//! `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::{Fleet, Outcome, Plan};
use dtu_benches::mqtt::Clients;
use dtu_benches::outside::{Outside, mosquitto_program};
use dtu_benches::process::{ServerProcess, serve};
use dtu_benches::servers::Server;
use dtu_benches::turns::{Contestant, in_turn, median};
use std::io;
use std::path::PathBuf;

/// Compares what is acknowledged a second: by the gateway with a file, by mosquitto, and by a plain server.
#[derive(Parser)]
struct Args {
    /// How many devices.
    #[arg(long, default_value_t = 200)]
    devices: usize,
    /// The length of a body in bytes.
    #[arg(long, default_value_t = 64)]
    body: usize,
    /// How many DATA, or publishes, a device has unacknowledged at the most.
    #[arg(long, default_value_t = 32)]
    window: u16,
    /// How many each device sends in a round.
    #[arg(long, default_value_t = 2_000)]
    frames: u32,
    /// How many turns each has.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The gateway; by default the one that was built beside this program.
    #[arg(long)]
    dtu: Option<PathBuf>,
    /// Is the plain server instead of measuring it.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Gateway,
    Mosquitto,
    Plain,
}

impl From<Who> for &'static str {
    fn from(who: Who) -> Self {
        match who {
            Who::Gateway => "gateway",
            Who::Mosquitto => "mosquitto",
            Who::Plain => "plain",
        }
    }
}

/// What was acknowledged a second, and nanoseconds of processor time for each.
#[derive(Debug, Clone, Copy)]
struct Turn {
    a_second: f64,
    nanoseconds: f64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        return serve(server);
    }
    let target = std::env::current_exe()?.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let dtu = args.dtu.clone().unwrap_or_else(|| target.join("dtu"));
    if !dtu.is_file() {
        return Err(io::Error::other(format!("there is no gateway at {}: build it, or give --dtu", dtu.display())));
    }
    let mut contestants = vec![Who::Gateway, Who::Plain];
    if mosquitto_program().is_some() {
        contestants.push(Who::Mosquitto);
    } else {
        println!("skipped: mosquitto is not installed");
    }
    let Args { devices, body, window, frames, .. } = args;
    let plan = Plan { devices, body, window, frames };
    println!("{devices} devices, bodies of {body} bytes, window {window}, {frames} a device and round");
    let directory = target.join(format!("kept-{}", std::process::id()));
    let turn = |who: Who| {
        let turn = match who {
            Who::Gateway => gateway(Outside::gateway(&dtu, directory.clone())?, &plan),
            Who::Mosquitto => mosquitto(Outside::mosquitto(directory.clone())?, &plan),
            Who::Plain => plain(ServerProcess::start(Server::Plain)?, &plan),
        }?;
        print(who.into(), &turn);
        Ok(turn)
    };
    let turns = in_turn(&contestants, args.rounds, turn, medians)?;
    println!("medians");
    turns.iter().for_each(|contestant| print(contestant.server, &contestant.median));
    if let Some((gateway, others)) = turns.split_first() {
        for other in others {
            ratio(gateway, other);
        }
    }
    Ok(())
}

fn gateway(server: Outside, plan: &Plan) -> io::Result<Turn> {
    let turn = runtime()?.block_on(async {
        let fleet = Fleet::register(server.address(), plan).await?;
        let before = server.processor_time()?;
        let outcome = fleet.run().await?;
        Ok::<_, io::Error>(Turn::new(outcome, server.processor_time()? - before))
    })?;
    let (kept, sent) = (server.data_lines()?, plan.devices as u64 * u64::from(plan.frames));
    if kept != sent {
        return Err(io::Error::other(format!("{sent} were acknowledged, and {kept} are in the file")));
    }
    Ok(turn)
}

fn mosquitto(server: Outside, plan: &Plan) -> io::Result<Turn> {
    runtime()?.block_on(async {
        let clients = Clients::connect(server.address(), plan).await?;
        let before = server.processor_time()?;
        let outcome = clients.run().await?;
        Ok(Turn::new(outcome, server.processor_time()? - before))
    })
}

fn plain(server: ServerProcess, plan: &Plan) -> io::Result<Turn> {
    runtime()?.block_on(async {
        let fleet = Fleet::register(server.address(), plan).await?;
        let before = server.processor_time()?;
        let outcome = fleet.run().await?;
        Ok(Turn::new(outcome, server.processor_time()? - before))
    })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Turn {
    fn new(outcome: Outcome, processor_time: Duration) -> Self {
        let count = outcome.frames as f64;
        Self {
            a_second: count / outcome.elapsed.as_secs_f64(),
            nanoseconds: processor_time.as_secs_f64() * 1e9 / count,
        }
    }
}

fn medians(turns: &[Turn]) -> Turn {
    Turn {
        a_second: median(turns.iter().map(|turn| turn.a_second)),
        nanoseconds: median(turns.iter().map(|turn| turn.nanoseconds)),
    }
}

fn print(name: &str, turn: &Turn) {
    println!(
        "{name:<10} {:>9.0} acknowledged a second, {:>6.0} ns of its processor time each",
        turn.a_second, turn.nanoseconds
    );
}

/// The median of the ratios of each round, and that of the medians.
fn ratio(gateway: &Contestant<Turn>, other: &Contestant<Turn>) {
    let rounds = gateway.turns.iter().zip(&other.turns).map(|(one, other)| one.a_second / other.a_second);
    println!(
        "gateway / {}: {:.2} (of the medians {:.2})",
        other.server,
        median(rounds),
        gateway.median.a_second / other.median.a_second
    );
}
