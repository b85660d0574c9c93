//! The framings of the field: three of them against the crates that their users take instead, all of them by themselves.

use crate::contest::{Contestant, Entry, Job, Tally};
use crate::mavlink::AnyMessage;
use crate::stream::{Random, Size};
use core::hint::black_box;
use dtu_proto::framing::{Framing, Step, next_step};
use dtu_proto::presets::{ALL, Direction, Mavlink2, ModbusRtu, Preset, UBX};
use dtu_proto::spec::Declared;
use mavlink_core::{MAVLinkMessageRaw, MavlinkReader, MavlinkVersion};
use rmodbus::client::ModbusRequest;
use rmodbus::{ModbusProto, guess_response_frame_len};
use std::io::Cursor;
use ublox::proto23::PacketRef;
use ublox::{Parser, UbxPacket};

/// The groups with peers, and the lengths of their payloads.
pub const CONTESTS: [(&str, [usize; 3]); 3] =
    [("modbus_rtu", [8, 64, 250]), ("mavlink2", [9, 30, 250]), ("ubx", [8, 92, 1000])];

/// The length in bytes that a line has about.
const LINE_LEN: usize = 64 * 1024;

/// The job of `group` with payloads of `len` bytes.
///
/// # Panics
///
/// When there is no such group.
#[must_use]
pub fn job(group: &'static str, len: usize) -> Job {
    let payloads: Vec<Vec<u8>> = {
        let mut random = Random(7);
        (0..LINE_LEN / (len + 12)).map(|_| random.bytes(len)).collect()
    };
    let mut tally = Tally::default();
    payloads.iter().for_each(|payload| tally.frame(payload));
    let entries = match group {
        "modbus_rtu" => modbus_rtu(&payloads, tally),
        "mavlink2" => mavlink2(&payloads, tally),
        "ubx" => ubx(&payloads, tally),
        _ => panic!("no contest is called {group}"),
    };
    Job { group, size: Size::Bytes(len), frames: tally.frames, bytes: tally.bytes, entries }
}

/// The presets that are measured by themselves: not those of which a frame is a datagram or a byte.
pub fn alone() -> impl Iterator<Item = &'static Preset> {
    let is_short = |name: &str| matches!(name, "fourfaith_prot" | "mbus_short" | "iec101_fixed");
    ALL.iter().filter(move |preset| !preset.is_datagram() && !is_short(preset.name()))
}

/// The job of a preset by itself: frames with about 64 bytes of payload, or as many as they have.
///
/// # Panics
///
/// When its frames are not found.
#[must_use]
pub fn alone_job(preset: &'static Preset) -> Job {
    let framing = preset.framing(Direction::Up);
    let payload = payload_for(preset.name());
    let mut frame = Vec::new();
    framing.encode_into(&[], &payload, &mut frame).expect("the payload fits the preset");
    let frames = LINE_LEN / frame.len();
    let line = frame.repeat(frames);
    let tally = by_step(framing, &line);
    assert_eq!(tally.frames, frames, "{}", preset.name());
    let (size, bytes) = (Size::Bytes(payload.len()), line.len());
    let entries = vec![Entry::ours("next_step", tally, move || by_step(framing, black_box(&line)))];
    Job { group: preset.name(), size, frames, bytes, entries }
}

fn payload_for(name: &str) -> Vec<u8> {
    match name {
        "modbus_rtu" | "modbus_ascii" | "modbus_tcp" => [&[0x03, 60][..], &[0x5A; 60]].concat(),
        "jtt808" => [&[0x02, 0x00, 0x00, 48, 1, 2, 3, 4, 5, 6, 0, 1][..], &[0x5A; 48]].concat(),
        "lk_bridge_login" => b"13912345678".to_vec(),
        "sl651_hex" => [&[0x02][..], &[0x5A; 60], &[0x03]].concat(),
        _ => b"0123456789abcdef".repeat(4),
    }
}

/// Frames one after the other, through the object that the table of presets has.
fn by_step(framing: &'static (dyn Framing + Send + Sync), line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let mut rest = line;
    loop {
        let step = next_step(framing, rest);
        match step {
            Step::Frame(frame) => tally.frame(frame.payload()),
            Step::Skipped { .. } => {}
            Step::NeedMore { .. } => return tally,
        }
        rest = &rest[step.covered()..];
    }
}

/// [`Framing::walk`], frames only; `front` bytes of each payload are the header of what the peer gives.
fn walk(framing: &impl Framing, front: usize, line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    framing.walk(line, |step| {
        if let Step::Frame(frame) = step {
            tally.frame(&frame.payload()[front..]);
        }
    });
    tally
}

/// The line that `framing` makes of payloads with `front` of each.
fn line_of(framing: &impl Framing, header: &[u8], payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut line = Vec::new();
    for payload in payloads {
        framing.encode_into(header, &payload, &mut line).expect("the payload fits");
    }
    line
}

/// Replies to 03 with the payloads as registers. The peer is told how long a reply is by its own function and then takes it apart.
fn modbus_rtu(payloads: &[Vec<u8>], tally: Tally) -> Vec<Entry> {
    let framing = ModbusRtu::new(Direction::Up);
    let count = payloads.first().map_or(0, Vec::len);
    let byte_count = u8::try_from(count).expect("a reply has at most 250 bytes");
    let replies = payloads.iter().map(|payload| [&[0x03, byte_count][..], payload].concat());
    let line = line_of(&framing, &[0x01], replies);
    let theirs = line.clone();
    let mut request = ModbusRequest::new(1, ModbusProto::Rtu);
    let registers = u16::try_from(count / 2).expect("a reply has at most 125 registers");
    request.generate_get_holdings(0, registers, &mut Vec::new()).expect("memory is there");
    vec![
        Entry::ours("walk", tally, move || walk(&framing, 2, black_box(&line))),
        Entry::peer("rmodbus", tally, move || {
            let mut tally = Tally::default();
            let mut rest = black_box(&theirs[..]);
            while !rest.is_empty() {
                let len = guess_response_frame_len(rest, ModbusProto::Rtu).expect("the header is there");
                let (reply, behind) = rest.split_at(len.into());
                tally.frame(request.parse_slice(reply).expect("the reply is sound"));
                rest = behind;
            }
            tally
        }),
    ]
}

/// Messages of a kind that both sides know by one seed. The peer reads them raw, with a buffer that takes the whole line at once.
fn mavlink2(payloads: &[Vec<u8>], tally: Tally) -> Vec<Entry> {
    let framing = Mavlink2::with_crc_extra(|_| Some(77));
    let line = line_of(&framing, &[], payloads.iter().cloned());
    let frames = payloads.len();
    let mut reader = MavlinkReader::with_capacity(line.len(), Cursor::new(line.clone()));
    vec![
        Entry::ours("walk", tally, move || walk(&framing, 0, black_box(&line))),
        Entry::peer("mavlink", tally, move || {
            let mut tally = Tally::default();
            reader.get_mut().set_position(0);
            for _ in 0..frames {
                let message = reader.read_raw_message_with_dialect(&AnyMessage, MavlinkVersion::V2);
                match message.expect("the stream is sound") {
                    MAVLinkMessageRaw::V2(message) => tally.frame(message.payload()),
                    MAVLinkMessageRaw::V1(_) => {}
                }
            }
            tally
        }),
    ]
}

/// Messages of a kind that the peer does not know, so that it hands their payload on unread.
fn ubx(payloads: &[Vec<u8>], tally: Tally) -> Vec<Entry> {
    static FRAMING: Declared = UBX.declared();
    let line = line_of(&FRAMING, &[0, 0, 0xF7, 0x01, 0, 0], payloads.iter().cloned());
    vec![
        Entry::ours("walk", tally, {
            let line = line.clone();
            move || walk(&FRAMING, 0, black_box(&line))
        }),
        Entry::peer("ublox", tally, Ublox { parser: Parser::new(Vec::new()), line }),
    ]
}

struct Ublox {
    parser: Parser<Vec<u8>, ublox::proto23::Proto23>,
    line: Vec<u8>,
}

impl Contestant for Ublox {
    fn run(&mut self) -> Tally {
        let mut tally = Tally::default();
        let mut packets = self.parser.consume_ubx(black_box(&self.line));
        while let Some(packet) = packets.next() {
            match packet.expect("the stream is sound") {
                UbxPacket::Proto23(PacketRef::Unknown(packet)) => tally.frame(packet.payload),
                _ => panic!("the kind is none that the peer knows"),
            }
        }
        tally
    }
}
