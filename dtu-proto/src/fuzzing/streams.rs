//! A whole stream, cut anyhow, through everything that gives steps.

use super::kernels;
use crate::chunk::Chunk;
use crate::codec::FrameCodec;
use crate::counters::Counters;
use crate::deframer::{Deframer, Storage};
use crate::framing::{Framing, Malformed, Step, abandon_candidate, next_step};
use crate::native::Native;
use crate::testing::{Cuts, Dirty, End, Outcome, Piece, Pieces, deframe};
use alloc::vec;
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// A bad line: every way over the stream gives what the naive deframer gives, whatever the reads.
///
/// Input: a limit (u8, one of a list), a seed for the reads (u32), then the stream as [`Dirty::arbitrary`] reads it.
pub fn deframe_chunks(input: &[u8]) {
    const LIMITS: [u16; 8] = [0, 1, 9, 16, 64, 300, 4096, u16::MAX];
    let mut u = Unstructured::new(input);
    let (Ok(limit), Ok(seed)) = (u.arbitrary::<u8>(), u.arbitrary::<u32>()) else { return };
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let Ok(stream) = Dirty::arbitrary(&mut u, limit) else { return };
    every_way_agrees(&stream.bytes, limit, Cuts::Seeded(u64::from(seed)));
}

/// Takes `stream` in reads cut by `cuts` through every function and type that gives steps, and compares each with the
/// naive deframer: the steps, what is left and missing at the end, then the end itself, and the counters.
///
/// # Panics
///
/// When one of them differs or breaks the contract of a step.
pub fn every_way_agrees(stream: &[u8], max_payload: u16, cuts: Cuts) {
    let native = Native::with_max_payload(max_payload);
    let open = deframe(stream, native.max_payload(), End::Open);
    let closed = deframe(stream, native.max_payload(), End::Closed);
    let compare = |way: &str, (then, at_end): (Outcome, Vec<Piece>)| {
        assert_eq!(then, open, "{way}, limit {max_payload}, {cuts:?}, while the stream {stream:02x?} is open");
        assert_eq!(at_end, closed.pieces, "{way}, limit {max_payload}, {cuts:?}, at the end of {stream:02x?}");
    };
    compare("next_step", borrowed(native, stream, |rest, sink| one_by_one(native, rest, sink)));
    for kernel in kernels() {
        let mut native = native;
        native.kernel = kernel;
        compare("walk", borrowed(native, stream, |rest, sink| native.walk(rest, sink)));
    }

    let mut fixed = vec![0xA5; native.max_frame_len()];
    for drain in [Drain::OneByOne, Drain::InBatches] {
        let heap = Deframer::new(native);
        compare("Deframer on the heap", through_deframer(heap, stream, cuts, drain, &closed.pieces));
        let fixed = Deframer::with_storage(native, &mut fixed[..]).expect("it has a frame's length");
        compare("Deframer in fixed storage", through_deframer(fixed, stream, cuts, drain, &closed.pieces));
    }
    compare("Chunk", through_chunks(native, stream, cuts));
    compare("FrameCodec", through_codec(native, stream, cuts, &closed.pieces));
}

/// Checks one step over `rest`, the bytes that it is about.
fn keeps_the_contract(native: Native, step: &Step<'_>, rest: usize) {
    match step {
        Step::Frame(frame) => assert!((10..=native.max_frame_len().min(rest)).contains(&frame.encoded_len())),
        Step::Skipped { bytes, .. } => assert!((1..=rest).contains(bytes), "skips {bytes} of {rest} bytes"),
        Step::NeedMore { at_least } => {
            assert!(rest + at_least.get() <= native.max_frame_len(), "{at_least} more after {rest} are no frame");
        }
    }
}

/// The steps by calling [`next_step`] in a loop; returns how many bytes they covered.
fn one_by_one<'a>(native: Native, bytes: &'a [u8], sink: &mut dyn FnMut(Step<'a>)) -> usize {
    let mut at = 0;
    loop {
        let step = next_step(&native, &bytes[at..]);
        sink(step);
        match step.covered() {
            0 => return at,
            covered => at += covered,
        }
    }
}

/// All of the stream in one slice, then its end.
fn borrowed<'a>(
    native: Native,
    stream: &'a [u8],
    walk: impl Fn(&'a [u8], &mut dyn FnMut(Step<'a>)) -> usize,
) -> (Outcome, Vec<Piece>) {
    let mut pieces = Pieces::default();
    let mut rest = stream;
    let mut open = None;
    loop {
        let (mut before, mut missing) = (rest.len(), None);
        let covered = walk(rest, &mut |step| {
            assert_eq!(missing, None, "a step behind NeedMore");
            keeps_the_contract(native, &step, before);
            if let Step::Frame(frame) = step {
                assert_eq!(frame.as_bytes().as_ptr(), rest[rest.len() - before..].as_ptr(), "not where it stands");
            }
            before -= step.covered();
            pieces.push(&step);
            if let Step::NeedMore { at_least } = step {
                missing = Some(at_least.get());
            }
        });
        rest = &rest[covered..];
        assert_eq!(rest.len(), before, "covered bytes do not add up");
        let missing = missing.expect("the steps end with NeedMore");
        open.get_or_insert_with(|| Outcome { pieces: pieces.clone().into_vec(), rest: rest.len(), missing });
        let Some(step) = abandon_candidate(&native, rest) else { break };
        keeps_the_contract(native, &step, rest.len());
        pieces.push(&step);
        rest = &rest[step.covered()..];
    }
    (open.expect("the loop ran once"), pieces.into_vec())
}

#[derive(Clone, Copy)]
enum Drain {
    OneByOne,
    InBatches,
}

fn through_deframer<S: Storage>(
    mut deframer: Deframer<Native, S>,
    stream: &[u8],
    cuts: Cuts,
    drain: Drain,
    expected: &[Piece],
) -> (Outcome, Vec<Piece>) {
    let bound = deframer.max_capacity();
    let (mut pieces, mut pushed) = (Pieces::default(), 0);
    let mut missing = drain_steps(&mut deframer, drain, &mut pieces);
    for mut read in cuts.of(stream) {
        while !read.is_empty() {
            let room = deframer.spare_capacity_mut().len();
            assert!(room > 0, "no room after NeedMore");
            assert!(deframer.buffered() + room <= bound, "more room than the bound");
            let count = deframer.push(read);
            assert_eq!(count, room.min(read.len()));
            read = &read[count..];
            pushed += count;
            missing = drain_steps(&mut deframer, drain, &mut pieces);
            assert_eq!(deframer.unjudged(), &stream[pushed - deframer.buffered()..pushed]);
        }
    }
    let open = Outcome { pieces: pieces.clone().into_vec(), rest: deframer.buffered(), missing };
    loop {
        let before = deframer.buffered();
        let Some(step) = deframer.abandon_candidate() else { break };
        pieces.push(&step);
        let covered = step.covered();
        assert_eq!(deframer.buffered(), before - covered);
        drain_steps(&mut deframer, drain, &mut pieces);
    }
    assert_eq!(deframer.buffered(), 0);
    counted(deframer.counters(), expected, stream.len());
    (open, pieces.into_vec())
}

fn drain_steps<S: Storage>(deframer: &mut Deframer<Native, S>, drain: Drain, pieces: &mut Pieces) -> usize {
    let native = *deframer.framing();
    let mut before = deframer.buffered();
    let mut take = |step: &Step<'_>| {
        keeps_the_contract(native, step, before);
        before -= step.covered();
        pieces.push(step);
    };
    let missing = match drain {
        Drain::InBatches => deframer.for_each_step(|step| take(&step)),
        Drain::OneByOne => loop {
            let step = deframer.next_step();
            take(&step);
            if let Step::NeedMore { at_least } = step {
                break at_least;
            }
        },
    };
    assert_eq!(deframer.buffered(), before, "covered bytes do not add up");
    missing.get()
}

fn through_chunks(native: Native, stream: &[u8], cuts: Cuts) -> (Outcome, Vec<Piece>) {
    let mut pieces = Pieces::default();
    let mut buffer = BytesMut::new();
    for read in cuts.of(stream) {
        buffer.extend_from_slice(read);
        let mut chunk = Chunk::new(native, buffer.split().freeze());
        chunk.by_ref().for_each(|step| pieces.push_buf(&step));
        buffer.extend_from_slice(&chunk.into_rest());
    }
    let mut chunk = Chunk::new(native, buffer.freeze());
    let missing = missing_behind(native, chunk.rest());
    let open = Outcome { pieces: pieces.clone().into_vec(), rest: chunk.rest().len(), missing };
    while let Some(step) = chunk.abandon_candidate() {
        pieces.push_buf(&step);
        chunk.by_ref().for_each(|step| pieces.push_buf(&step));
    }
    assert_eq!(chunk.into_rest(), Bytes::new());
    (open, pieces.into_vec())
}

fn through_codec(native: Native, stream: &[u8], cuts: Cuts, expected: &[Piece]) -> (Outcome, Vec<Piece>) {
    let mut codec = FrameCodec::new(native);
    let mut pieces = Pieces::default();
    let mut line = BytesMut::new();
    for read in cuts.of(stream) {
        line.extend_from_slice(read);
        while let Some(step) = codec.decode(&mut line).expect("no bytes are an error") {
            pieces.push_buf(&step);
        }
    }
    let missing = missing_behind(native, &line);
    let open = Outcome { pieces: pieces.clone().into_vec(), rest: line.len(), missing };
    while let Some(step) = codec.decode_eof(&mut line).expect("no bytes are an error") {
        pieces.push_buf(&step);
    }
    assert!(line.is_empty());
    counted(codec.counters(), expected, stream.len());
    (open, pieces.into_vec())
}

/// The adapters that wait by themselves do not say for how many bytes; what they keep does.
fn missing_behind(native: Native, rest: &[u8]) -> usize {
    let Step::NeedMore { at_least } = next_step(&native, rest) else { panic!("a step was left behind") };
    at_least.get()
}

/// Every byte is in exactly one counter, and all but the skips of noise are counted one by one.
fn counted(counters: &Counters, pieces: &[Piece], len: usize) {
    let mut expected = Counters::default();
    for piece in pieces {
        let (skips, bytes) = match piece {
            Piece::Frame { len, .. } => {
                expected.frames += 1;
                expected.frame_bytes += *len as u64;
                continue;
            }
            Piece::Skipped { bytes, cause, .. } => match cause {
                Malformed::Magic => (&mut expected.magic, bytes),
                Malformed::Fill => (&mut expected.fill, bytes),
                Malformed::LengthGuard { .. } => (&mut expected.length_guard, bytes),
                Malformed::Length { .. }
                | Malformed::Marker { .. }
                | Malformed::Escape { .. }
                | Malformed::Unknown { .. } => (&mut expected.layout, bytes),
                Malformed::OverLimit { .. } => (&mut expected.over_limit, bytes),
                Malformed::Checksum { .. } => (&mut expected.checksum, bytes),
                Malformed::Abandoned { .. } => (&mut expected.abandoned, bytes),
            },
        };
        skips.count += 1;
        skips.bytes += *bytes as u64;
    }
    assert!(counters.magic.count >= expected.magic.count);
    expected.magic.count = counters.magic.count;
    assert_eq!(*counters, expected);
    assert_eq!(counters.frame_bytes + counters.skipped_bytes(), len as u64);
}
