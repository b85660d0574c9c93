//! `dtu connect`: the device side, between a serial port or stdin and a server.

mod carrier;
mod line;
mod serial;

use anyhow::{Context, bail};
use carrier::Carrier;
use core::time::Duration;
use dtu_net::driver::{ClientConfig, TcpClient};
use dtu_proto::message::{DeviceId, MessageError};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Plays the device side: carries a serial port or stdin to a server.
///
/// What is read goes out as DATA; what comes down is written to the port, or to stdout. A serial line has no ends of
/// frames, only pauses: a frame is cut where the line was quiet for the gap, or where it reaches the longest payload.
/// At the end of stdin, and on SIGINT or SIGTERM, what was read is sent, and the command ends with success once all of it
/// is acknowledged. A port that vanishes and a server that goes end it with an error; there is no second try.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dtu connect gateway.example:55125 --id meter-7 --serial /dev/ttyUSB0 --baud 9600
  dtu connect gateway.example:55125 --id meter-7 --serial /dev/ttyS1 --baud 2400 --parity even --gap 50
  printf '\\001\\003\\000\\000\\000\\002\\304\\013' | dtu connect 127.0.0.1:55125 --id test")]
pub(crate) struct Args {
    /// The server, as HOST:PORT.
    addr: String,
    /// Who this device is, 1 to 64 bytes.
    #[arg(long, value_name = "ID", value_parser = device_id)]
    id: String,
    /// What the server may ask for besides; at most 255 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    token: String,
    /// The serial port; without it stdin is carried, in the pieces in which it comes.
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    #[command(flatten)]
    settings: serial::Settings,
    /// The channel number that the DATA carry.
    #[arg(long, value_name = "N", default_value_t = 0)]
    channel: u8,
    /// The longest payload sent, in bytes; it should not be over the server's.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(512..))]
    max_payload: u16,
    /// How long to wait at the end for the acknowledgements that are still missing, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    drain: u32,
}

fn device_id(text: &str) -> Result<String, MessageError> {
    DeviceId::new(text).map(|id| id.as_str().to_owned())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(connect(args));
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn connect(args: &Args) -> anyhow::Result<()> {
    let mut stop = crate::stop::signal()?;
    let mut config = ClientConfig::new(args.id.as_str());
    config.token = args.token.as_bytes().to_vec();
    config.limits.max_payload = args.max_payload;
    let max_body = config.limits.max_body();
    // The port is opened first: without it there is nothing to register for.
    let line = match &args.serial {
        Some(path) => serial::open(path, &args.settings, max_body)?,
        None => line::stdio(max_body),
    };
    let dialled = TcpClient::connect(args.addr.as_str(), &config, CancellationToken::new());
    let client = tokio::select! {
        dialled = dialled => dialled.with_context(|| format!("cannot connect to {}", args.addr))?,
        () = &mut stop => bail!("stopped before there was a connection to {}", args.addr),
    };
    let drain = Duration::from_secs(u64::from(args.drain));
    let carrier = Carrier::new(client, line, args.channel);
    carrier.run(&mut stop, drain).await
}
