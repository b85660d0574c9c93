//! A fleet that comes at once: registered sessions that a server accepts in a second of its processor time.
//!
//! `cargo run --release -p dtu-benches --example accepts`; how it is measured is in `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::arrival::at_once;
use dtu_benches::process::{ServerProcess, own_processor_time, raise_open_files, serve};
use dtu_benches::servers::Server;
use dtu_benches::turns::{Contestant, in_turn, median};
use serde::Serialize;
use std::io;
use std::time::Instant;

/// Files that a process opens besides its sockets.
const OTHER_FILES: u64 = 100;

/// Compares servers at which a fleet registers at once; the last has its ratio to each of the others.
#[derive(Parser)]
struct Args {
    /// The servers, in turn; a name that stands twice shows the noise.
    #[arg(default_values = ["plain", "plain-deep", "dtu-net"])]
    servers: Vec<Server>,
    /// How many devices.
    #[arg(long, default_value_t = 18_000)]
    devices: u32,
    /// How many turns each server has.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Prints one JSON document instead of the table.
    #[arg(long)]
    json: bool,
    /// Is the server instead of measuring it.
    #[arg(long, hide = true)]
    serve: Option<Server>,
}

/// What a server did in one turn, in which every device was let in.
#[derive(Clone, Copy, Serialize)]
struct Turn {
    /// Sessions a second of the server's processor time.
    sessions_per_server_second: f64,
    /// Microseconds of the server's processor time.
    server_us_per_session: f64,
    /// Microseconds of the devices' processor time.
    load_us_per_session: f64,
    /// From the first dial to the last WELCOME.
    seconds: f64,
    /// Devices that were let in and not let go since: all of them.
    kept: usize,
    /// How often devices were told to come again.
    again: u64,
    peak_resident_bytes: u64,
}

/// The last server against another: the quotient of medians.
#[derive(Serialize)]
struct Ratio {
    server: &'static str,
    against: &'static str,
    sessions_per_server_second: f64,
}

#[derive(Serialize)]
struct Report {
    devices: u32,
    servers: Vec<Contestant<Turn>>,
    ratios: Vec<Ratio>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        return serve(server);
    }
    let (limit, devices) = (raise_open_files()?, args.devices);
    if u64::from(devices) + OTHER_FILES > limit {
        return Err(io::Error::other(format!("a process may open {limit} files: too few for {devices} devices")));
    }
    if !args.json {
        println!("{devices} devices at once");
        println!("{HEAD}");
    }
    let turn = |server: Server| {
        let turn = measure(server, devices)?;
        if !args.json {
            print(server.name(), &turn);
        }
        Ok(turn)
    };
    let servers = in_turn(&args.servers, args.rounds, turn, medians)?;
    let report = Report { devices, ratios: ratios(&servers), servers };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("medians");
    report.servers.iter().for_each(|contestant| print(contestant.server, &contestant.median));
    for Ratio { server, against, sessions_per_server_second } in &report.ratios {
        println!("{server} / {against}: sessions a second of the server's time {sessions_per_server_second:.3}");
    }
    Ok(())
}

/// Starts a server, and counts from the first dial to the last WELCOME.
fn measure(server: Server, devices: u32) -> io::Result<Turn> {
    let process = ServerProcess::start(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (before, start) = ((process.processor_time()?, own_processor_time()?), Instant::now());
        let arrived = at_once(process.address(), devices.try_into().map_err(io::Error::other)?).await?;
        let (after, elapsed) = ((process.processor_time()?, own_processor_time()?), start.elapsed());
        let fleet = arrived.devices;
        let kept = fleet.iter().filter(|device| device.is_idle()).count();
        if kept < fleet.len() {
            return Err(io::Error::other(format!("{server} let go of {} of {devices} devices", fleet.len() - kept)));
        }
        let peak_resident_bytes = process.memory()?.peak;
        // The server goes first: letting go of a fleet is not what is measured, and would take longer.
        drop(process);
        drop(fleet);
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(devices);
        Ok(Turn {
            sessions_per_server_second: f64::from(devices) / (after.0 - before.0).as_secs_f64(),
            server_us_per_session: microseconds(after.0 - before.0),
            load_us_per_session: microseconds(after.1 - before.1),
            seconds: elapsed.as_secs_f64(),
            kept,
            again: arrived.again,
            peak_resident_bytes,
        })
    })
}

fn medians(turns: &[Turn]) -> Turn {
    let of = |value: fn(&Turn) -> f64| median(turns.iter().map(value));
    Turn {
        sessions_per_server_second: of(|turn| turn.sessions_per_server_second),
        server_us_per_session: of(|turn| turn.server_us_per_session),
        load_us_per_session: of(|turn| turn.load_us_per_session),
        seconds: of(|turn| turn.seconds),
        kept: turns.iter().map(|turn| turn.kept).min().unwrap_or_default(),
        again: turns.iter().map(|turn| turn.again).max().unwrap_or_default(),
        peak_resident_bytes: turns.iter().map(|turn| turn.peak_resident_bytes).max().unwrap_or_default(),
    }
}

fn ratios(servers: &[Contestant<Turn>]) -> Vec<Ratio> {
    let Some((last, others)) = servers.split_last() else { return Vec::new() };
    let ratio = |other: &Contestant<Turn>| Ratio {
        server: last.server,
        against: other.server,
        sessions_per_server_second: last.median.sessions_per_server_second / other.median.sessions_per_server_second,
    };
    others.iter().map(ratio).collect()
}

const HEAD: &str =
    "server       sessions/server s  server us/session  load us/session  wall s    kept   again   peak MB";

fn print(server: &str, turn: &Turn) {
    let Turn { sessions_per_server_second, server_us_per_session, load_us_per_session, seconds, .. } = *turn;
    let (kept, again, megabytes) = (turn.kept, turn.again, turn.peak_resident_bytes as f64 / 1e6);
    println!(
        "{server:<12} {sessions_per_server_second:>17.0} {server_us_per_session:>18.2} {load_us_per_session:>16.2} \
         {seconds:>7.2} {kept:>7} {again:>7} {megabytes:>9.1}"
    );
}
