//! Servers under load over loopback sockets: acknowledged frames a second, and the server's processor time a frame.
//!
//! `cargo run --release -p dtu-benches --example loopback`; how it is measured is in `benches/README.md`.

use clap::Parser;
use core::time::Duration;
use dtu_benches::load::{Fleet, Plan};
use dtu_benches::process::{ServerProcess, own_processor_time, serve};
use dtu_benches::servers::Server;
use dtu_benches::turns::{Contestant, in_turn, median};
use serde::Serialize;
use std::io;

/// Compares servers under load; each ratio is taken against the first.
#[derive(Parser)]
struct Args {
    /// The servers, in turn; a name that stands twice shows the noise.
    #[arg(default_value = "plain")]
    servers: Vec<Server>,
    /// How many devices.
    #[arg(long, default_value_t = 200)]
    devices: usize,
    /// The length of a body in bytes.
    #[arg(long, default_value_t = 64)]
    body: usize,
    /// How many DATA a device has unacknowledged at the most.
    #[arg(long, default_value_t = 32)]
    window: u16,
    /// How many DATA each device sends in a round.
    #[arg(long, default_value_t = 20_000)]
    frames: u32,
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

/// What a server did in one turn.
#[derive(Clone, Copy, Serialize)]
struct Turn {
    frames_per_second: f64,
    /// Nanoseconds of the server's processor time.
    server_ns_per_frame: f64,
    /// Nanoseconds of the devices' processor time.
    load_ns_per_frame: f64,
    peak_resident_bytes: u64,
}

/// A server against the first one: quotients of medians.
#[derive(Serialize)]
struct Ratio {
    server: &'static str,
    against: &'static str,
    frames_per_second: f64,
    server_ns_per_frame: f64,
}

#[derive(Serialize)]
struct Report {
    devices: usize,
    body: usize,
    window: u16,
    frames: u32,
    servers: Vec<Contestant<Turn>>,
    ratios: Vec<Ratio>,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if let Some(server) = args.serve {
        return serve(server);
    }
    let Args { devices, body, window, frames, .. } = args;
    let plan = Plan { devices, body, window, frames };
    if !args.json {
        println!("{devices} devices, bodies of {body} bytes, window {window}, {frames} frames a device and round");
        println!("{HEAD}");
    }
    let turn = |server: Server| {
        let turn = measure(server, &plan)?;
        if !args.json {
            print(server.name(), &turn);
        }
        Ok(turn)
    };
    let servers = in_turn(&args.servers, args.rounds, turn, medians)?;
    let report = Report { devices, body, window, frames, ratios: ratios(&servers), servers };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("medians");
    report.servers.iter().for_each(|contestant| print(contestant.server, &contestant.median));
    for ratio in &report.ratios {
        let Ratio { server, against, frames_per_second, server_ns_per_frame } = ratio;
        println!(
            "{server} / {against}: frames a second {frames_per_second:.3}, server's time a frame {server_ns_per_frame:.3}"
        );
    }
    Ok(())
}

/// Starts a server, registers the devices, and counts from their first DATA to the last ACK.
fn measure(server: Server, plan: &Plan) -> io::Result<Turn> {
    let process = ServerProcess::start(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fleet = Fleet::register(process.address(), plan).await?;
        let before = (process.processor_time()?, own_processor_time()?);
        let outcome = fleet.run().await?;
        let after = (process.processor_time()?, own_processor_time()?);
        let frames = outcome.frames as f64;
        let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / frames;
        Ok(Turn {
            frames_per_second: frames / outcome.elapsed.as_secs_f64(),
            server_ns_per_frame: nanoseconds(after.0 - before.0),
            load_ns_per_frame: nanoseconds(after.1 - before.1),
            peak_resident_bytes: process.memory()?.peak,
        })
    })
}

fn medians(turns: &[Turn]) -> Turn {
    let of = |value: fn(&Turn) -> f64| median(turns.iter().map(value));
    Turn {
        frames_per_second: of(|turn| turn.frames_per_second),
        server_ns_per_frame: of(|turn| turn.server_ns_per_frame),
        load_ns_per_frame: of(|turn| turn.load_ns_per_frame),
        peak_resident_bytes: turns.iter().map(|turn| turn.peak_resident_bytes).max().unwrap_or_default(),
    }
}

fn ratios(servers: &[Contestant<Turn>]) -> Vec<Ratio> {
    let Some((first, others)) = servers.split_first() else { return Vec::new() };
    let ratio = |other: &Contestant<Turn>| Ratio {
        server: other.server,
        against: first.server,
        frames_per_second: other.median.frames_per_second / first.median.frames_per_second,
        server_ns_per_frame: other.median.server_ns_per_frame / first.median.server_ns_per_frame,
    };
    others.iter().map(ratio).collect()
}

const HEAD: &str = "server         frames/s   server ns/frame   load ns/frame   peak resident MB";

fn print(server: &str, turn: &Turn) {
    let Turn { frames_per_second, server_ns_per_frame, load_ns_per_frame, peak_resident_bytes } = *turn;
    let megabytes = peak_resident_bytes as f64 / 1e6;
    println!(
        "{server:<12} {frames_per_second:>10.0} {server_ns_per_frame:>17.0} {load_ns_per_frame:>15.0} {megabytes:>18.1}"
    );
}
