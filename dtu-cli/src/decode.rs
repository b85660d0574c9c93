//! `dtu decode`.

mod capture;
mod decisions;
mod hex;
mod input;
mod json;
mod nesting;
mod opening;
mod output;
mod packet;
mod reading;
mod reassembly;
mod streams;
mod tally;
mod text;
mod walk;
mod ways;
mod words;

use crate::framings::{AUTO, NATIVE, Plan, Selection, Way, choose};
use anyhow::bail;
use input::{Chosen, Input, Stop};
use output::Output;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Output:
  Every byte of the input is in exactly one line: a frame, or skipped bytes with the cause.
  Causes: magic (noise), length_guard, over_limit, checksum, abandoned (cut off at the end).
  With --json:
    {\"offset\":N,\"frame\":LEN,\"payload\":\"hex\",\"message\":{\"kind\":\"DATA\",...}}
    {\"offset\":N,\"frame\":LEN,\"payload\":\"hex\",\"message\":null,\"error\":{\"name\":\"...\",\"text\":\"...\"}}
    {\"offset\":N,\"skipped\":LEN,\"cause\":\"...\"}
  Without --json a summary goes to standard error.

Captures (pcap, pcapng):
  Recognised by their first bytes. Each direction of a TCP connection is a stream, each UDP
  datagram is one of its own, whose frame begins with the device's stream id. Lines begin with
    \"stream\":\"10.0.0.1:1234 -> 10.0.0.2:9\",\"transport\":\"tcp\",\"packet\":N,\"time\":SECONDS
  and the offset counts the stream's bytes. A further connection between the same ends has \" #2\"
  behind its stream. Bytes that the capture does not have are {...,\"offset\":N,\"gap\":LEN}: they
  count, and no frame reaches across them. IP fragments are counted and left out.

Exit status: 0 when the input was read to its end, however dirty it is; 1 when it cannot be read.

Examples:
  dtu decode line.bin                   the dump of a recorded line
  tail -c +1 -f line.bin | dtu decode   the same while it grows
  echo 'D7 55 00 02 FF FD 68 69 75 BE 17 06' | dtu decode --hex
  dtu decode --json --port 9000 fleet.pcapng | jq -c 'select(.cause == \"checksum\")'
  tcpdump -i any -U -w - port 9000 | dtu decode";

/// Shows the frames, messages and skipped bytes of a recording, hex text or a packet capture.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How the bytes are framed: a name that `dtu framings` lists, a file with a declaration, or `auto`
    #[arg(long, short, value_name = "NAME|FILE.toml|auto", default_value = NATIVE)]
    framing: String,
    /// How what the frames carry is framed: the data in a vendor's envelope, the body of native DATA
    #[arg(long, value_name = "NAME|FILE.toml|auto")]
    nested: Option<String>,
    /// Which way the bytes go, for a framing that differs by it; of a capture, those of who opened the connection
    #[arg(long, value_name = "WAY")]
    direction: Option<Way>,
    /// What to decode; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The input is hex text: two digits a byte; white space, commas, `0x` and colons do not matter
    #[arg(long)]
    hex: bool,
    /// The input is raw bytes, even where it begins like a capture
    #[arg(long, conflicts_with = "hex")]
    raw: bool,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    /// Shows long payloads to their end instead of their first 256 bytes
    #[arg(long, conflicts_with = "json")]
    full: bool,
    /// Skips frames whose payload is longer, as a receiver with this limit does
    ///
    /// Only of the native framing; 65535 if not given
    #[arg(long, value_name = "BYTES")]
    max_payload: Option<u16>,
    /// Of a capture, takes only what comes from or goes to this port; may be given more than once
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let outer = choose_limited(&args.framing, args.max_payload)?;
    let inner = args.nested.as_deref().map(|inner| choose(inner, u16::MAX)).transpose()?;
    let outer_candidates = outer.candidates();
    let inner_candidates = inner.as_ref().map_or_else(Vec::new, Selection::candidates);
    let input = Input::open(&args.file)?;
    let live = input.is_live();
    let mut out = if args.json { Output::json(live) } else { Output::text(args.full, live) };
    let plan = Plan {
        outer: outer.source(&outer_candidates),
        inner: inner.as_ref().map(|inner| inner.source(&inner_candidates)),
    };
    let chosen = Chosen { plan, way: args.direction };
    let decoded = if args.hex {
        input.decode_hex(chosen, &mut out)
    } else if args.raw {
        input.decode_raw(chosen, &mut out)
    } else {
        input.decode(chosen, &args.port, &mut out)
    };
    let (notes, broken) = match decoded {
        Ok(notes) => (notes, None),
        Err(Stop::Input(error, notes)) => (notes, Some(error)),
        Err(Stop::Output(error)) => return output_failed(error),
    };
    if let Err(error) = out.flush() {
        return output_failed(error);
    }
    // Nobody may be reading standard error any more; that is no reason to fail.
    if out.is_text() && !(broken.is_some() && out.tally().is_empty()) {
        let _ = writeln!(io::stderr(), "dtu: {}", out.tally());
    }
    if !out.decisions().is_empty() {
        let _ = writeln!(io::stderr(), "dtu: framing: {}", out.decisions());
    }
    if let Some(notes) = notes.filter(|notes| !notes.is_empty()) {
        let _ = writeln!(io::stderr(), "dtu: capture: {notes}");
    }
    broken.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// What is decoded, with the limit that the native framing alone has.
fn choose_limited(framing: &str, max_payload: Option<u16>) -> anyhow::Result<Selection> {
    if max_payload.is_some() && ![NATIVE, AUTO].contains(&framing) {
        bail!("--max-payload limits the native framing, not {framing}");
    }
    choose(framing, max_payload.unwrap_or(u16::MAX))
}

/// A reader that has seen enough, like `head`, is no failure.
fn output_failed(error: io::Error) -> anyhow::Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow::Error::new(error).context("standard output"))
}
