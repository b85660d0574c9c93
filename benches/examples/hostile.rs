//! Walks a preset over LEN bytes of a stream that is made to cost much, PASSES times, and prints how many bytes the steps
//! covered. Without arguments it lists the presets and their streams. For `benches/instructions.sh`, which counts instructions.

use core::hint::black_box;
use dtu_proto::framing::{Step, next_step};
use dtu_proto::presets::{Direction, by_name};
use std::process::ExitCode;

const USAGE: &str = "usage: hostile [PRESET STREAM LEN PASSES]";

/// A preset, what its stream is called, and what is said over and over.
///
/// - `run`: one byte that is fill, an end or the beginning of a start;
/// - `claims`: headers that claim about 1000 bytes, or as many as there can be, one close behind the other;
/// - `false_start`: preambles and a start, of which no header comes;
/// - `other_start`: short false frames with noise between them, while the first start of the declaration, which is
///   looked for first, never comes;
/// - `no_start`, `no_end`: noise in which there is none.
const STREAMS: [(&str, &str, &[u8]); 33] = [
    ("modbus_rtu", "claims", b"\x01\x03\xFA"),
    ("modbus_ascii", "run", b":"),
    ("modbus_ascii", "no_end", b":000000000"),
    ("modbus_tcp", "claims", b"\x00\x00\x00"),
    ("dlt645_2007", "run", b"\xFE"),
    ("dlt645_2007", "false_start", b"\xFE\xFE\xFE\xFE\x68"),
    ("dlt645_2007", "no_start", b"\x41"),
    ("cjt188", "run", b"\xFE"),
    ("cjt188", "claims", b"\x68\x60"),
    ("cjt188", "false_start", b"\xFE\xFE\xFE\xFE\x68"),
    ("mbus_long", "run", b"\x68"),
    ("iec104", "run", b"\x68"),
    ("hj212", "run", b"#"),
    ("hj212", "claims", b"##0999"),
    ("sl651_hex", "run", b"\x7E"),
    ("gbt32960", "claims", b"##\x04\x00"),
    ("gbt32960", "other_start", b"$$\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0noise"),
    ("jtt808", "run", b"\x7E"),
    ("mavlink1", "claims", b"\xFE\xFF\x00\x00\x00\x00"),
    ("mavlink2", "claims", b"\xFD\xFF\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("nmea0183", "run", b"$"),
    ("nmea0183", "other_start", b"!false\r\nnoise"),
    ("ubx", "claims", b"\xB5\x62\x01\x02\xE8\x03"),
    ("slip", "run", b"\xC0"),
    ("slip", "no_end", b"\x41"),
    ("hdlc_ppp", "run", b"\x7E"),
    ("hdlc_ppp", "no_end", b"\x41"),
    ("hdlc_dlms", "run", b"\x7E"),
    ("cobs", "run", b"\x00"),
    ("cobs", "no_end", b"\x41"),
    ("hongdian_ddp_tcp", "claims", b"\x7B\x01\x03\xE8"),
    ("inhand_ihdmp", "claims", b"\x55\xAA\x55\xAA\x01\x03\xE8"),
    ("inhand_ihdmp", "other_start", b"\xAA\x55\xAA\x55\x01\x00\x00\x00\x00noise"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [preset, stream, len, passes] = args.as_slice() else {
        if args.is_empty() {
            STREAMS.iter().for_each(|(preset, stream, _)| println!("{preset} {stream}"));
            return ExitCode::SUCCESS;
        }
        return refuse(USAGE);
    };
    let pattern = STREAMS.iter().find(|(of, name, _)| of == preset && name == stream).map(|(.., pattern)| pattern);
    let (Some(pattern), Ok(len), Ok(passes)) = (pattern, len.parse::<usize>(), passes.parse::<usize>()) else {
        return refuse(USAGE);
    };
    let line: Vec<u8> = pattern.iter().copied().cycle().take(len).collect();
    let framing = by_name(preset).expect("it is in the list").framing(Direction::Up);
    let mut covered = 0;
    for _ in 0..passes {
        let mut rest = black_box(line.as_slice());
        loop {
            let step = next_step(framing, rest);
            if matches!(step, Step::NeedMore { .. }) {
                break;
            }
            rest = &rest[step.covered()..];
        }
        covered = line.len() - rest.len();
    }
    println!("covered {covered}");
    ExitCode::SUCCESS
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
