//! `dtu framings`.

use super::NATIVE;
use super::choose::choose;
use anyhow::Context as _;
use dtu_proto::Framing as _;
use dtu_proto::checksum::{Algorithm, catalogue};
use dtu_proto::presets::{self, Preset};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Two lines a framing: its name, its checksum, how many bits of a frame are held
against what is fixed in it (noise passes once in 2^bits places), and the
longest frame; then what it is.
  up and down differ  requests and replies have different lengths, and no byte
                      says which it is
  one a datagram      a frame ends with its datagram and is not for streams

With --json, one object a line:
  {\"name\":\"ubx\",\"title\":\"u-blox UBX\",\"checksum\":\"fletcher8\",\"evidence_bits\":32,
   \"longest\":65543,\"directional\":false,\"datagram\":false}";

/// Lists the framings that `dtu decode --framing` knows by name.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    title: &'static str,
    checksum: Option<&'static str>,
    evidence_bits: u32,
    longest: usize,
    directional: bool,
    datagram: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = rows()?.iter().try_for_each(|row| {
        if args.json {
            serde_json::to_writer(&mut out, row)?;
            return out.write_all(b"\n");
        }
        write_row(&mut out, row)
    });
    match written.and_then(|()| out.flush()) {
        // Who reads only the first lines has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn rows() -> anyhow::Result<Vec<Row>> {
    let row = |name, title, checksum, directional, datagram| {
        let chosen = choose(name, u16::MAX)?;
        let framing = chosen.first();
        let (evidence_bits, longest) = (framing.evidence(), framing.max_frame_len());
        Ok(Row { name, title, checksum, evidence_bits, longest, directional, datagram })
    };
    let native = row(NATIVE, "The frame of this toolkit's own sessions", Some("CRC-32/ISCSI"), false, false);
    let presets = presets::ALL.iter().map(|preset| {
        row(preset.name(), preset.title(), checksum(preset), preset.is_directional(), preset.is_datagram())
    });
    core::iter::once(native).chain(presets).collect()
}

fn write_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let Row { name, title, checksum, evidence_bits, longest, directional, datagram } = row;
    let checksum = checksum.unwrap_or("no checksum");
    let note = match (directional, datagram) {
        (true, _) => "  up and down differ",
        (_, true) => "  one a datagram",
        (false, false) => "",
    };
    writeln!(out, "{name:<17}{checksum:<16}{evidence_bits:>3} bits {longest:>6} bytes{note}")?;
    writeln!(out, "    {title}")
}

/// The name of the checksum of a preset, if it has one.
fn checksum(preset: &Preset) -> Option<&'static str> {
    preset.checksum().map(algorithm)
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sum8 => "sum8",
        Algorithm::Xor8 => "xor8",
        Algorithm::Lrc8 => "lrc8",
        Algorithm::Fletcher8 => "fletcher8",
        Algorithm::Hj212 => "hj212",
        Algorithm::Crc(crc) => catalogue::NAMES.iter().find(|(_, known)| *known == crc).map_or("crc", |(name, _)| name),
        _ => "another",
    }
}

#[cfg(test)]
mod tests {
    use super::{checksum, presets, rows};

    /// Those whose layout has no checksum.
    const WITHOUT: [&str; 10] = [
        "modbus_tcp",
        "iec104",
        "slip",
        "cobs",
        "hongdian_ddp_tcp",
        "hongdian_ddp_udp",
        "fourfaith_prot",
        "alotcer_7b7d",
        "lk_bridge_login",
        "line",
    ];

    #[test]
    fn who_has_a_checksum_says_which() {
        for preset in &presets::ALL {
            assert_eq!(checksum(preset).is_none(), WITHOUT.contains(&preset.name()), "{preset:?}");
            assert_ne!(checksum(preset), Some("another"), "{preset:?}");
        }
    }

    #[test]
    fn names_are_there_once_and_fit_their_column() {
        let rows = rows().expect("each is found by its name");
        let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows.len());
        assert!(names.iter().all(|name| name.len() <= 16), "{names:?}");
    }
}
