//! `dtu replay`: plays one side of a capture again, with the cuts and pauses that it had.

mod pace;
mod play;
mod player;
mod recording;
mod report;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use core::time::Duration;
use pace::Pace;
use play::Scene;
use player::Player;
use recording::Recording;
use report::{Report, Summary};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Plays one side of a capture again, with the cuts and pauses that it had.
///
/// The capture (pcap or pcapng) may be one of `dtu serve --capture`, or any other with TCP or UDP in it. Each connection in it becomes a
/// connection to ADDR, at its time; what one segment carried is one write, after the pause that was in front of it. Repetitions on the
/// network are left out. What the other side answers is read and counted, and not looked at.
///
/// It is a recording: what answers to something new in it is wrong. A server that asks for keys gives a new challenge each time, so a
/// recorded proof is refused. A server that remembers the session drops recorded DATA as repeated; a fresh one takes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Output, a line a connection, with --json:
  {\"connection\":1,\"transport\":\"tcp\",\"device\":\"ADDR\",\"server\":\"ADDR\",
   \"outcome\":\"played\",\"text\":\"...\",\"writes\":N,\"of\":N,\"sent\":N,\"received\":N,
   \"answered\":N,\"missing\":N}
  sent, received: bytes; answered: the bytes the other side sent in the capture;
  missing: bytes that are not in the capture; what follows them is played
Outcomes:
  played        all of it
  left          the other side has ended the connection before
  unreachable   there was no connection
  stalled       the other side has read nothing for 30 s
  stopped       by a signal
  unplayable    the server's side of datagrams
The exit status is 1 if any was not played in full.

Examples:
  dtu replay capture.pcapng 127.0.0.1:55125
  dtu replay capture.pcapng 127.0.0.1:55125 --speed 10 --max-pause 1
  dtu replay field.pcap 127.0.0.1:55127 --port 9000 --json
  dtu replay field.pcap 127.0.0.1:9000 --side server

A gateway that is recorded, and played back to another one:
  dtu serve --listen 127.0.0.1:55125 --capture captured
  dtu serve --listen 127.0.0.1:55126 &
  dtu replay captured/*.pcapng 127.0.0.1:55126")]
pub(crate) struct Args {
    /// The capture.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The server to connect to; with `--side server`, the address to listen on.
    #[arg(value_name = "HOST:PORT")]
    addr: String,
    /// Who is played: who dialled in the capture, or who was dialled.
    #[arg(long, value_enum, default_value_t = Side::Device)]
    side: Side,
    /// How many times as fast.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// The longest pause, in seconds; longer ones are cut to it, for all connections at once.
    #[arg(long, value_name = "S", value_parser = seconds)]
    max_pause: Option<f64>,
    /// Only connections whose server had this port in the capture. It also says who was dialled where the capture does not have the
    /// beginning.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How long to wait for answers at the end of a connection, in seconds.
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    wait: f64,
    /// JSON on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Who dialled: the device.
    Device,
    /// Who was dialled.
    Server,
}

fn speed(text: &str) -> anyhow::Result<f64> {
    let speed: f64 = text.parse().context("it has to be a number")?;
    ensure!((0.001..=1_000_000.0).contains(&speed), "it may be 0.001 to 1000000");
    Ok(speed)
}

fn seconds(text: &str) -> anyhow::Result<f64> {
    let seconds: f64 = text.parse().context("it has to be a number of seconds")?;
    ensure!((0.0..=86_400.0).contains(&seconds), "it may be 0 to 86400");
    Ok(seconds)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let addr = match args.side {
        Side::Device => crate::address::parse(&args.addr)?,
        Side::Server => crate::address::to_listen_on(&args.addr)?.to_string(),
    };
    let recording = Recording::read(&args.file, args.side, args.port)?;
    recording.notes().iter().for_each(|note| eprintln!("dtu: {note}"));
    let count = u32::try_from(recording.conversations.len()).unwrap_or(u32::MAX);
    ensure!(count > 0, "{}: there is nothing to play in it", args.file.display());
    crate::sim::machine::make_room_for(count)?;
    let pace = Pace::new(recording.times(), args.speed, args.max_pause);
    let scene = Scene { addr, side: args.side, pace, wait: Duration::from_secs_f64(args.wait) };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let summary = runtime.block_on(replay(args, scene, recording))?;
    runtime.shutdown_background();
    crate::summary::print(&summary, args.json)?;
    Ok(if summary.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn replay(args: &Args, scene: Scene, recording: Recording) -> anyhow::Result<Summary> {
    let stop = crate::stop::signal()?;
    let cancel = CancellationToken::new();
    let (told, mut reports) = mpsc::unbounded_channel::<Report>();
    let mut summary = Summary::default();
    let player = Player { scene: Arc::new(scene), cancel: cancel.clone(), told };
    tokio::spawn(async move {
        stop.await;
        cancel.cancel();
    });
    player.start(recording.conversations).await?;
    while let Some(report) = reports.recv().await {
        summary.add(&report);
        crate::summary::print(&report, args.json)?;
    }
    Ok(summary)
}
