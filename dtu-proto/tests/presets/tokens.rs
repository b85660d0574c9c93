//! A modem's heartbeats between the frames of every preset.

use crate::file::entries;
use dtu_proto::Framing;
use dtu_proto::testing::Cuts;
use dtu_proto::tokens::{PROTECTED_BITS, TokenDeframer, TokenSet, TokenStep};

const HEARTBEATS: [&[u8]; 4] = [b"PING", &[0x55, 0xAA], &[0xFE], &[0x00]];

/// A stream as it came out: the frames, how many tokens, how many bytes were skipped.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    frames: Vec<Vec<u8>>,
    tokens: usize,
    skipped: usize,
}

fn closed(framing: &(dyn Framing + Send + Sync), tokens: &TokenSet, stream: &[u8], cuts: Cuts) -> Came {
    let mut deframer = TokenDeframer::new(framing, tokens);
    let mut came = Came { frames: Vec::new(), tokens: 0, skipped: 0 };
    let mut take = |step: TokenStep<'_>| {
        match step {
            TokenStep::Frame { frame, removed } => {
                assert_eq!(removed.bytes(), 0, "nothing is taken out of a frame that is whole");
                came.frames.push(frame.as_bytes().to_vec());
            }
            TokenStep::Token { .. } => came.tokens += 1,
            TokenStep::Skipped { bytes, .. } => came.skipped += bytes,
            TokenStep::NeedMore { .. } => return false,
        }
        true
    };
    for read in cuts.of(stream) {
        assert_eq!(deframer.push(read), read.len());
        while take(deframer.next_step()) {}
    }
    while deframer.abandon_candidate().is_some_and(&mut take) {
        while take(deframer.next_step()) {}
    }
    came
}

#[test]
fn a_heartbeat_at_every_boundary_leaves_the_frames_of_every_protected_preset_as_they_are() {
    for entry in entries("valid") {
        let framing = entry.framing();
        if entry.preset().is_datagram() || framing.evidence() < PROTECTED_BITS {
            continue;
        }
        let bytes = entry.bytes();
        let frame = &bytes[entry.fill()..];
        for heartbeat in HEARTBEATS {
            let tokens = TokenSet::of(&[heartbeat]).expect("in bounds");
            let stream = [heartbeat, frame, heartbeat, heartbeat, frame, heartbeat].concat();
            let expected = Came { frames: vec![frame.to_vec(); 2], tokens: 4, skipped: 0 };
            for size in [1, 2, 3, 7, stream.len()] {
                let came = closed(framing, &tokens, &stream, Cuts::Of(size));
                assert_eq!(came, expected, "{}, {heartbeat:X?}, reads of {size}", entry.name());
            }
        }
    }
}

#[test]
fn a_heartbeat_between_lines_and_delimited_frames_leaves_them_as_they_are() {
    for entry in entries("valid") {
        let framing = entry.framing();
        if entry.preset().is_datagram() || framing.evidence() >= PROTECTED_BITS {
            continue;
        }
        let bytes = entry.bytes();
        let tokens = TokenSet::of(&[b"PING"]).expect("in bounds");
        let alone = closed(framing, &tokens, &bytes.repeat(2), Cuts::Of(bytes.len()));
        let stream = [b"PING", &bytes[..], b"PING", b"PING", &bytes].concat();
        let expected = Came { tokens: 3, ..alone };
        for size in 1..=stream.len() {
            assert_eq!(
                closed(framing, &tokens, &stream, Cuts::Of(size)),
                expected,
                "{}, reads of {size}",
                entry.name()
            );
        }
    }
}

#[test]
fn a_heartbeat_behind_a_preamble_of_its_own_beginning_comes_however_the_stream_is_cut() {
    let framing =
        dtu_proto::presets::by_name("dlt645_2007").expect("it is there").framing(dtu_proto::presets::Direction::Up);
    let tokens = TokenSet::of(&[b"\xFEPING"]).expect("in bounds");
    let stream = b"\xFE\xFE\xFEPING\xFE\xFE\xFE\xFE\x68\xAA\xAA\xAA\xAA\xAA\xAA\x68\x13\x00\xDF\x16";
    for size in 1..=stream.len() {
        let came = closed(framing, &tokens, stream, Cuts::Of(size));
        assert_eq!((came.frames.len(), came.tokens, came.skipped), (1, 1, 6), "reads of {size}");
    }
}
