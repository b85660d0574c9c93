//! Whole streams: the same steps however they are cut, and no intact frame lost next to damage.

use core::ops::Range;
use dtu_proto::fuzzing::{self, every_way_agrees};
use dtu_proto::testing::{Cuts, Dirty, End, Piece, Pieces, deframe, frame_around, promised};
use dtu_proto::{Deframer, Framing, Malformed, Native, Step};
use proptest::prelude::*;
use std::time::Instant;

/// Says which stream it was when a check panics.
struct Tell(u64, u16);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the stream is Dirty::seeded({}, {})", self.0, self.1);
        }
    }
}

#[test]
fn noise_damage_and_frames_give_these_steps() {
    let mut damaged = frame_around(b"abc");
    damaged[6] ^= 0x01;
    let stream = [
        b"\x00\xD7\xD7",
        &frame_around(b"one")[..],
        b"\xD7\x55\x00\x01\xFF\xFF",
        &frame_around(b"")[..],
        b"\xD7\x55\x00\x41\xFF\xBE",
        &damaged,
        &frame_around(b"two"),
        b"\xD7\x55\x00\x01\xFF\xFE\x00",
    ]
    .concat();
    let found = u32::from_be_bytes(*damaged.last_chunk().unwrap());
    let computed = u32::from_be_bytes(*frame_around(b"`bc").last_chunk().unwrap());
    let frame = |offset, payload: &[u8]| Piece::Frame { offset, len: payload.len() + 10, payload: payload.to_vec() };
    let skipped = |offset, bytes, cause| Piece::Skipped { offset, bytes, cause };
    let expected = [
        skipped(0, 3, Malformed::Magic),
        frame(3, b"one"),
        skipped(16, 6, Malformed::LengthGuard { length: 1, guard: 0xFFFF }),
        frame(22, b""),
        skipped(32, 6, Malformed::OverLimit { length: 0x41, limit: 64 }),
        skipped(38, 13, Malformed::Checksum { computed, found }),
        frame(51, b"two"),
        skipped(64, 7, Malformed::Abandoned { received: 7 }),
    ];
    assert_eq!(deframe(&stream, 64, End::Closed).pieces, expected, "the oracle itself");
    for size in 1..=stream.len() {
        every_way_agrees(&stream, 64, Cuts::Of(size));
    }
}

#[test]
fn every_read_size_gives_the_same_steps() {
    for seed in 0..12 {
        for limit in [0, 16, 300] {
            let _tell = Tell(seed, limit);
            let stream = Dirty::seeded(seed, limit).bytes;
            for size in (1..=stream.len().min(80)).chain([stream.len() / 2 + 1, stream.len().max(1)]) {
                every_way_agrees(&stream, limit, Cuts::Of(size));
            }
        }
    }
}

#[test]
fn every_cut_in_two_gives_the_same_steps() {
    let outer = [b"\xD7\x55", &frame_around(b"inner")[..], b"\xD7"].concat();
    let mut damaged = frame_around(&outer);
    damaged[7] ^= 0x10;
    let stream = [&damaged[..], &frame_around(b"next"), b"\xD7\x55\x00"].concat();
    for end in 0..=stream.len() {
        every_way_agrees(&stream[..end], 64, Cuts::Of(end.max(1)));
        every_way_agrees(&stream[end..], 64, Cuts::Of(7));
    }
}

#[test]
fn a_frame_in_a_rejected_one_is_found() {
    let inner = frame_around(b"inner");
    let mut outer = frame_around(&[b"before", &inner[..], b"behind"].concat());
    outer[6] ^= 0x80;
    let stream = [&outer[..], &frame_around(b"next")].concat();
    let expected = [12..12 + inner.len(), outer.len()..stream.len()];
    assert_eq!(promised(&stream, 64), expected);
    assert_eq!(delivered(&stream, 64, Cuts::Of(5)), expected);
}

#[test]
fn a_frame_in_an_accepted_one_is_not_delivered_twice() {
    let outer = frame_around(&frame_around(b"inner"));
    let two = outer.repeat(2);
    assert_eq!(delivered(&two, 64, Cuts::Of(5)), [0..outer.len(), outer.len()..two.len()]);
}

#[test]
fn a_false_header_hides_frames_only_until_it_is_given_up() {
    let frames = frame_around(b"behind").repeat(3);
    let stream = [b"\xD7\x55\xFF\xFF\x00\x00", &frames[..]].concat();
    let open = deframe(&stream, 65_535, End::Open);
    assert_eq!((open.pieces.len(), open.rest), (0, stream.len()));
    assert_eq!(delivered(&stream, 65_535, Cuts::Of(9)), [6..22, 22..38, 38..54]);
}

#[test]
fn the_walk_that_every_framing_has_is_the_native_one() {
    for seed in 0..200 {
        let _tell = Tell(seed, 300);
        let stream = Dirty::seeded(seed, 300).bytes;
        let native = Native::with_max_payload(300);
        let (mut by_native, mut by_default) = (Pieces::default(), Pieces::default());
        let covered = native.walk(&stream, |step| by_native.push(&step));
        // Behind a pointer, as a link has it that chooses its framing at run time, it is without its own walk.
        let plain: &dyn Framing = &native;
        assert_eq!((&plain).walk(&stream, |step| by_default.push(&step)), covered);
        assert_eq!(by_default.into_vec(), by_native.into_vec());
    }
}

#[test]
fn the_generator_makes_every_kind_of_piece() {
    let mut causes = std::collections::BTreeMap::new();
    let (mut frames, mut covered) = (0, 0);
    for seed in 0..300 {
        let stream = Dirty::seeded(seed, 64);
        for range in &stream.intact {
            assert!(promised(&stream.bytes[range.clone()], 64).len() == 1, "seed {seed}: {range:?} is no frame");
        }
        let promised = promised(&stream.bytes, 64);
        covered += stream.intact.iter().filter(|range| !promised.contains(range)).count();
        for piece in deframe(&stream.bytes, 64, End::Closed).pieces {
            match piece {
                Piece::Frame { .. } => frames += 1,
                Piece::Skipped { cause, .. } => *causes.entry(cause.name()).or_insert(0) += 1,
            }
        }
    }
    assert!(frames > 1000 && covered > 100, "{frames} frames, {covered} of the intact ones inside others");
    assert_eq!(causes.len(), 5, "{causes:?}");
    assert!(causes.values().all(|&count| count > 50), "{causes:?}");
}

/// Where the frames stand that a deframer delivers, the end of the stream included.
fn delivered(stream: &[u8], limit: u16, cuts: Cuts) -> Vec<Range<usize>> {
    let mut deframer = Deframer::new(Native::with_max_payload(limit));
    let (mut at, mut frames) = (0, Vec::new());
    let mut take = |step: &Step<'_>| {
        if let Step::Frame(frame) = step {
            frames.push(at..at + frame.encoded_len());
        }
        at += step.covered();
    };
    for mut read in cuts.of(stream) {
        while !read.is_empty() {
            let count = deframer.push(read);
            assert!(count > 0, "no room after NeedMore");
            read = &read[count..];
            deframer.for_each_step(|step| take(&step));
        }
    }
    while let Some(step) = deframer.abandon_candidate() {
        take(&step);
        deframer.for_each_step(|step| take(&step));
    }
    assert_eq!(at, stream.len(), "bytes are in neither a frame nor a skip");
    frames
}

/// What came of so many dirty streams.
#[derive(Debug, Default, Clone, Copy)]
struct Balance {
    /// Frames that the line carried without damage, and that were outside of accepted ones.
    intact: u64,
    delivered: u64,
    lost: u64,
    bytes: u64,
}

impl Balance {
    fn of_one(seed: u64) -> Self {
        let limit = [9, 16, 64, 300, 2000][seed as usize % 5];
        let _tell = Tell(seed, limit);
        let stream = Dirty::seeded(seed, limit);
        let delivered = delivered(&stream.bytes, limit, Cuts::Seeded(seed));
        assert_eq!(delivered, promised(&stream.bytes, usize::from(limit)));
        let is_covered = |frame: &Range<usize>| {
            delivered.iter().any(|other| other.start < frame.start && frame.start < other.end && other != frame)
        };
        let intact = stream.intact.iter().filter(|frame| !is_covered(frame));
        let lost = intact.clone().filter(|frame| !delivered.contains(frame)).count();
        assert_eq!(lost, 0, "intact frames lost");
        Self {
            intact: intact.count() as u64,
            delivered: delivered.len() as u64,
            lost: lost as u64,
            bytes: stream.bytes.len() as u64,
        }
    }

    fn of(seeds: Range<u64>) -> Self {
        seeds.map(Self::of_one).fold(Self::default(), Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            intact: self.intact + other.intact,
            delivered: self.delivered + other.delivered,
            lost: self.lost + other.lost,
            bytes: self.bytes + other.bytes,
        }
    }
}

#[test]
fn no_intact_frame_is_lost_next_to_damage() {
    let balance = Balance::of(0..3000);
    assert!(balance.intact > 10_000, "the streams are too poor: {balance:?}");
}

/// `DTU_SEED` moves the seeds, so that each run can look at other streams.
#[test]
#[ignore = "a million streams take a while: cargo test --release --all-features --test suite a_million -- --ignored --nocapture"]
fn no_intact_frame_is_lost_in_a_million_streams() {
    const STREAMS: u64 = 1_000_000;
    let first: u64 = std::env::var("DTU_SEED").map_or(0, |seed| seed.parse().expect("DTU_SEED is a number"));
    let started = Instant::now();
    let middle = first + STREAMS / 2;
    let balance = std::thread::scope(|scope| {
        let half = scope.spawn(|| Balance::of(first..middle));
        Balance::of(middle..first + STREAMS).plus(half.join().expect("its panic was printed"))
    });
    println!("{STREAMS} streams from seed {first} in {:?}: {balance:?}", started.elapsed());
    assert_eq!(balance.lost, 0);
}

proptest! {
    #[test]
    fn any_stream_gives_the_same_steps_every_way(choices in prop::collection::vec(any::<u8>(), 5..400)) {
        fuzzing::deframe_chunks(&choices);
    }

    #[test]
    fn bytes_rich_in_starts_do_too(
        bytes in prop::collection::vec(prop::sample::select(vec![0xD7, 0x55, 0x00, 0xFF]), 0..120),
        size in 1_usize..20,
    ) {
        every_way_agrees(&bytes, 16, Cuts::Of(size));
    }
}
