//! `dtu decode`.

pub(crate) mod capture;
mod decisions;
mod hex;
mod input;
mod json;
mod nesting;
mod opening;
mod output;
pub(crate) mod packet;
mod reading;
pub(crate) mod reassembly;
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
  Every byte of the input is in exactly one line: a frame, or skipped bytes with
  the cause. With --json:
    {\"offset\":N,\"frame\":LEN,\"payload\":\"hex\",\"message\":{\"kind\":\"DATA\",...}}
    {\"offset\":N,\"frame\":LEN,\"payload\":\"hex\",\"message\":null,
     \"error\":{\"name\":\"...\",\"text\":\"...\"}}
    {\"offset\":N,\"skipped\":LEN,\"cause\":\"...\"}
  and of other framings than the native one, the payload without its escapes:
    {\"offset\":N,\"frame\":LEN,\"framing\":\"ubx\",\"header\":\"hex\",\"payload\":\"hex\",
     \"trailer\":\"hex\"}
  Without --json a summary goes to standard error.

Causes:
  magic         no frame starts here: noise
  length        the length is none
  length_guard  the length's repeat differs
  over_limit    the length is over the limit
  marker        a marker is not there
  escape        an escape that is none
  unknown       a function of unknown length
  checksum      the checksum does not fit
  abandoned     cut off at the end
  fill          preamble, flags between frames
  no_framing    with auto: nothing fits

Framings:
  `dtu framings` lists the names. A file has the keys that docs/tool.md lists:
    start = [\"68\"]
    length = { at = 1, width = 1, adjust = 4 }
    check = { algo = \"CRC-16/MODBUS\", place = 2, endian = \"le\" }
    max_len = 200
  `auto` looks at the first 4096 bytes of each stream, or as many as it takes. A
  line says what it found, and so does standard error:
    {\"offset\":0,\"framing\":\"ubx\",\"score\":BITS,\"lead\":BITS}
    {\"offset\":0,\"framing\":null,\"best\":[{\"framing\":\"...\",\"score\":BITS},...]}
  With --nested, lines of what the frames carry have \"layer\":\"inner\", and
  \"channel\" where they are in native DATA; their offsets count the bytes
  carried.

Direction, for modbus_rtu and fourfaith_prot (otherwise it makes no difference):
  up is from the device (replies), down is towards it (requests).
  Not in a capture, without --direction: requests and replies are both taken,
  and each frame of modbus_rtu says its \"direction\"; fourfaith_prot is taken for
  up.
  In a capture, each direction of a connection has its own. Who opened it sends
  up, because a DTU dials its server, and the server asks; but down to port 502,
  where a master dials a gateway. --direction says what who opened it sends, if
  that is wrong. Without its SYN in the capture, and for UDP, the end with the
  higher port counts as who opened it.

Captures (pcap, pcapng):
  Recognised by their first bytes. Each direction of a TCP connection is a
  stream, each UDP datagram is one of its own; one of the native framing begins
  with the device's stream id. Lines begin with
    \"stream\":\"10.0.0.1:1234 -> 10.0.0.2:9\",\"transport\":\"tcp\",\"packet\":N,
    \"time\":SECONDS
  and the offset counts the stream's bytes. A further connection between the
  same ends has \" #2\" behind its stream. Bytes that the capture does not have
  are {...,\"offset\":N,\"gap\":LEN}: they count, and no frame reaches across them.
  IP fragments are counted and left out.

Exit status: 0 when the input was read to its end, however dirty it is; 1 when
it cannot be read, or when there is no such framing; 2 when the arguments are
wrong.

Examples:
  dtu decode line.bin                   the dump of a recorded line
  tail -c +1 -f line.bin | dtu decode   the same while it grows
  echo 'D7 55 00 02 FF FD 68 69 75 BE 17 06' | dtu decode --hex
  dtu decode --json --port 9000 fleet.pcapng \\
      | jq -c 'select(.cause == \"checksum\")'
  tcpdump -i any -U -w - port 9000 | dtu decode
  dtu decode -f modbus_rtu bus.bin      requests and replies of an RS-485 bus
  dtu decode -f hongdian_ddp_tcp --nested modbus_rtu --port 5001 gateway.pcap
  dtu decode -f auto unknown.bin";

/// Shows the frames, messages and skipped bytes of a recording, hex text or a packet capture.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How the bytes are framed: a name that `dtu framings` lists, a file, or `auto` to find it out
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
    /// Skips native frames whose payload is longer, as a receiver with this limit does [default: 65535]
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
        if let Some(inner) = out.tally().inner() {
            let _ = writeln!(io::stderr(), "dtu: carried: {inner}");
        }
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
