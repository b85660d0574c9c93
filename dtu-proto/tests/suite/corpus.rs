//! Replays `corpus/`: the seeds of the fuzz targets, and every input that once broke something.

use dtu_proto::fuzzing::TARGETS;
use dtu_proto::testing::corpus::{folder, replay};
use dtu_proto::testing::{Seeded, frame_around};
use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_passes() {
    replay(&TARGETS);
}

#[test]
fn every_folder_of_the_corpus_has_its_target() {
    for entry in fs::read_dir(folder("")).unwrap() {
        let name = entry.unwrap().file_name();
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        assert!(targets.join(&name).with_extension("rs").exists(), "no fuzz target {}", name.display());
    }
}

/// Writes the seeds that are made by hand; what else lies in `corpus/` is left alone.
#[test]
#[ignore = "writes into corpus/; run it by name after a change of the seeds"]
fn write_seeds() {
    for (target, seeds) in seeds() {
        fs::create_dir_all(folder(target)).unwrap();
        for (name, bytes) in seeds {
            fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
}

type Seed = (&'static str, Vec<u8>);

fn seeds() -> [(&'static str, Vec<Seed>); 7] {
    [
        ("frame_decode", frames()),
        ("frame_roundtrip", with_front(&[0x00, 0x01, 0x05, 0, 0, 0, 77], payloads())),
        ("message_decode", messages()),
        ("message_roundtrip", values()),
        ("deframe_chunks", streams()),
        ("checksum", with_front(&[0x01, 0x23, 0x03, 0x0F], payloads())),
        ("framing_spec", drawn()),
    ]
}

fn with_front(front: &[u8], seeds: Vec<Seed>) -> Vec<Seed> {
    seeds.into_iter().map(|(name, bytes)| (name, [front, &bytes].concat())).collect()
}

fn payloads() -> Vec<Seed> {
    vec![
        ("empty", vec![]),
        ("one_byte", vec![0x00]),
        ("modbus_reply", b"\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6".to_vec()),
        ("magics", b"\xD7\x55".repeat(20)),
        ("long", (0..700_u16).flat_map(u16::to_be_bytes).collect()),
    ]
}

fn frames() -> Vec<Seed> {
    let hi = frame_around(b"hi");
    let edited = |at: usize, bytes: &[u8]| {
        let mut frame = hi.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    vec![
        ("empty_payload", frame_around(b"")),
        ("hi", hi.clone()),
        ("two", hi.repeat(2)),
        ("embedded", frame_around(&hi)),
        ("one_magic_byte", vec![0xD7]),
        ("header", hi[..6].to_vec()),
        ("cut_in_payload", hi[..7].to_vec()),
        ("cut_in_checksum", hi[..11].to_vec()),
        ("wrong_magic", edited(1, &[0x56])),
        ("wrong_guard", edited(5, &[0xFF])),
        ("wrong_checksum", edited(11, &[0x00])),
        ("over_limit", edited(2, &[0x01, 0x00, 0xFE, 0xFF])),
        ("longest_claim", edited(2, &[0xFF, 0xFF, 0x00, 0x00])),
        ("long", frame_around(&[0xA5; 600])),
    ]
}

fn messages() -> Vec<Seed> {
    let resume = b"\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x2A\x11\x12\x13\x14\x15\x16\x17\x18\x00\x00\x00\x07";
    vec![
        ("empty", vec![]),
        ("register", [&b"\x01\x01\x00\x06dtu-17\x03key"[..], resume].concat()),
        ("register_no_id", [&b"\x01\x01\x00\x00\x00"[..], resume].concat()),
        ("register_not_utf8", [&b"\x01\x01\x00\x02a\xFF\x00"[..], resume].concat()),
        ("welcome", [&b"\x02\x00\x00\x75\x30\x00\x40"[..], resume].concat()),
        ("refuse", b"\x03\x03\x00\x00\x03\xE8\x04full".to_vec()),
        ("ping", b"\x04\x00\x00\x00\x00\x00\x0F\x42\x40".to_vec()),
        ("pong", b"\x05\x00\x00\x00\x00\x00\x0F\x42\x40".to_vec()),
        ("data", b"\x06\x00\x00\x00\x07\x00\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6".to_vec()),
        ("ack", b"\x07\x00\x00\x00\x2A".to_vec()),
        ("ack_trailing", b"\x07\x00\x00\x00\x2A\x00".to_vec()),
        ("close", b"\x08\x00\x04done".to_vec()),
        ("challenge", [&b"\x09"[..], &[0x5A; 16]].concat()),
        ("proof", [&b"\x0A"[..], &[0x5A; 32]].concat()),
        ("skip", b"\x0B\x00\x00\x00\x09".to_vec()),
        ("unknown", b"\x7Fanything".to_vec()),
    ]
}

/// A specification, cuts, a payload and a stream, out of bytes that a seed fixes.
fn drawn() -> Vec<Seed> {
    let names = [
        "drawn_a", "drawn_b", "drawn_c", "drawn_d", "drawn_e", "drawn_f", "drawn_g", "drawn_h", "drawn_i", "drawn_j",
        "drawn_k", "drawn_l", "drawn_m", "drawn_n", "drawn_o", "drawn_p",
    ];
    let bytes = |seed| {
        let mut bytes = vec![0; 200];
        Seeded(seed).fill(&mut bytes);
        bytes
    };
    names.into_iter().zip(0..).map(|(name, seed)| (name, bytes(seed))).collect()
}

/// What `arbitrary` makes a message of: four bytes that choose the kind, then the fields.
fn values() -> Vec<Seed> {
    let names = [
        "register",
        "welcome",
        "refuse",
        "ping",
        "pong",
        "data",
        "ack",
        "close",
        "challenge",
        "proof",
        "skip",
        "unknown",
    ];
    let choose = |i: usize| {
        let share = (u64::from(u32::MAX) * (2 * i as u64 + 1)) / (2 * names.len() as u64);
        [&u32::try_from(share).expect("a share of u32::MAX").to_le_bytes()[..], &[0x31; 60], &[9; 3], &[5; 3]].concat()
    };
    names.into_iter().enumerate().map(|(i, name)| (name, choose(i))).collect()
}

/// A limit, four bytes for the cuts, then the choices of the stream's generator.
fn streams() -> Vec<Seed> {
    let every_piece: Vec<u8> =
        (0..14_u8).flat_map(|piece| [piece, 0x07, 0x04, 0xD7, 0x55, 0x00, 0x02, 0x09, 0x03]).collect();
    let names = ["limit_0", "limit_1", "limit_9", "limit_16", "limit_64", "limit_300", "limit_4096", "limit_65535"];
    let mut seeds: Vec<Seed> = (0_u8..)
        .zip(names)
        .map(|(limit, name)| (name, [&[limit, 1, 2, 3, limit][..], &every_piece].concat()))
        .collect();
    let of_one_piece = |piece: u8| [&[4, 9, 9, 9, 9][..], &[piece, 5, 4, 1, 2, 3, 4].repeat(12)].concat();
    seeds.push(("embedded_in_damaged", of_one_piece(4)));
    seeds.push(("flipped", of_one_piece(7)));
    seeds.push(("false_headers", of_one_piece(10)));
    seeds.push(("starts", of_one_piece(12)));
    seeds
}
