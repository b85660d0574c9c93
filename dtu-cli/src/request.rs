//! `dtu request`: one request to the serial line behind a device, and its reply.

pub(crate) mod ask;
mod direct;
pub(crate) mod framing;
pub(crate) mod profile;
mod remote;
pub(crate) mod words;

use anyhow::Context;
use ask::{Answer, Ask, Outcome};
use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::process::ExitCode;
use words::{Words, checksum, exception};

/// There is no reply in time.
const NO_REPLY: u8 = 3;

/// The reply is an exception.
const EXCEPTION: u8 = 4;

/// Sends one request to the serial line behind a device, and prints the reply.
///
/// With --server it goes through a running `dtu serve --control ADDR` to any of its devices, native or transparent, in turn with the
/// others of that line. With --listen this command is the server itself, for a transparent DTU: it waits until that has come and said
/// who it is, asks, and ends.
///
/// The reply is known by what is on the line: for Modbus by address, function and count, otherwise it is the next frame. It is printed
/// as hex, and for Modbus RTU in words on the next line.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("way").args(["server", "listen"]).required(true),
    after_help = "\
Exit code:
  0  the reply is there; or the request was for all devices of the line,
     and has none
  1  it could not be asked: no such device, no server, no request
  2  the arguments are wrong
  3  no reply in time, no turn in time, or a connection broke. The device may
     have done what it was told
  4  the reply is an exception of Modbus

Examples:
  dtu request --server 127.0.0.1:55128 13900000002 --crc '03 03 0000 0002'
  dtu request --server 127.0.0.1:55128 13900000000 010300000002C40B --json
  dtu request --listen '[::]:55127' --profile ddp 13912345678 --crc 010300000002

A server, and devices to ask:
  dtu serve --transparent 127.0.0.1:55127 --profile plain \\
      --control 127.0.0.1:55128
  dtu sim 127.0.0.1:55127 --profile plain --devices 3"
)]
pub(crate) struct Args {
    /// The device, as it has said who it is.
    #[arg(value_name = "DEVICE")]
    device: String,
    /// The request in hex digits; blanks may stand between them.
    #[arg(value_name = "HEX", value_parser = ask::bytes)]
    // Its full path, or it would be taken for an argument that comes several times.
    request: ::std::vec::Vec<u8>,
    /// The control address of a `dtu serve`.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    server: Option<SocketAddr>,
    /// The address to wait for the device on, a transparent DTU.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on, requires = "profile")]
    listen: Option<SocketAddr>,
    /// How it behaves: plain, prefix, ddp, or a file (docs/transparent.md).
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "server")]
    profile: Option<String>,
    /// Appends the CRC of Modbus RTU.
    #[arg(long)]
    crc: bool,
    /// How long the reply may take from when the request has left, in seconds. With --listen the device has a minute to
    /// come, besides.
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    timeout: Duration,
    /// Prints the answer as one line of JSON, whatever it is.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    let most = ask::TIMEOUT_MAX;
    let time = Duration::try_from_secs_f64(seconds).ok();
    time.filter(|time| (Duration::from_millis(1)..=most).contains(time))
        .ok_or_else(|| format!("not from 0.001 to {}", most.as_secs()))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut request = args.request.clone();
    if args.crc {
        request.extend(checksum(&request));
    }
    let ask = Ask {
        device: args.device.clone(),
        hex: dtu_proto::hex::Hex(&request).to_string(),
        channel: None,
        timeout_ms: u64::try_from(args.timeout.as_millis()).context("--timeout is too long")?,
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let answer = match (args.server, args.listen, &args.profile) {
        (Some(server), _, _) => runtime.block_on(remote::ask(server, &ask)),
        (None, Some(listen), Some(profile)) => runtime.block_on(direct::ask(listen, profile, &ask)),
        (None, _, _) => Err(anyhow::anyhow!("there is neither a server nor an address to listen on")),
    }?;
    tell(args.json, &request, &answer)
}

/// Prints the answer. Without --json, what went wrong goes to stderr.
fn tell(json: bool, request: &[u8], answer: &Answer) -> anyhow::Result<ExitCode> {
    let code = match (answer.outcome, answer.exception) {
        (Outcome::Replied, None) | (Outcome::Sent, _) => 0,
        (Outcome::Replied, Some(_)) => EXCEPTION,
        (Outcome::TimedOut | Outcome::Expired | Outcome::LineGone, _) => NO_REPLY,
        (Outcome::UnknownDevice | Outcome::Full | Outcome::BadRequest, _) => 1,
    };
    let mut out = std::io::stdout().lock();
    let printed = match &answer.hex {
        _ if json => writeln!(out, "{}", serde_json::to_string(answer)?),
        Some(hex) => {
            let reply = ask::bytes(hex).map_err(anyhow::Error::msg).context("the server's reply")?;
            match Words::of(request, &reply) {
                Some(words) => writeln!(out, "{hex}\n{words}"),
                None => writeln!(out, "{hex}"),
            }
        }
        None => Ok(()),
    };
    printed.and_then(|()| out.flush()).context("cannot write the reply to stdout")?;
    if !json {
        if let Some(text) = &answer.text {
            eprintln!("dtu: {}: {text}", answer.device);
        }
        if let Some(code) = answer.exception {
            eprintln!("dtu: {}: exception {code:02X}, {}", answer.device, exception(code));
        }
    }
    Ok(code.into())
}
