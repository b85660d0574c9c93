//! Streams as they come over a bad line, streams made to cost much, and garbage.

use crate::contest::{Entry, Job, Tally};
use crate::decode::{self, Floor, floor_tally};
use crate::mavlink;
use crate::stream::{Random, Size, Stream};
use core::hint::black_box;
use dtu_proto::checksum::{Crc32c, Kernel};
use dtu_proto::frame::MAGIC;
use dtu_proto::{Deframer, Framing, Native, Step};
use memchr::memmem;

/// Payload lengths of the noisy streams.
pub const NOISY_SIZES: [Size; 3] = [Size::Bytes(64), Size::Bytes(1024), Size::Mix];
/// Frames at the end of a noisy stream that are left whole, so that no candidate waits for bytes in the end. The longest
/// payload a peer's damaged length can ask for is 255 bytes.
const WHOLE_AT_END: usize = 5;

/// The job of decoding a stream of `size` in which one frame of `one_in` is damaged.
///
/// The damage is by turns a flipped bit, a lost byte, and noise in front of the frame with its last byte lost.
#[must_use]
pub fn noisy(group: &'static str, size: Size, one_in: usize) -> Job {
    let stream = Stream::new(size);
    let native = Native::new();
    let clean = stream.native();
    let frames: Vec<Vec<u8>> = stream.payloads.iter().map(|payload| encoded(native, payload)).collect();
    let (line, intact) = damage(&stream, &frames, one_in);
    let mut entries = decode::ours(&line, intact);
    // The bare parser stops at the first damage.
    entries.retain(|entry| entry.name != "parse");
    entries.push(Entry::peer("floor", floor_tally(&stream, &clean), Floor::new(&stream, &clean)));
    let tally = stream.tally();
    entries.push(Entry::peer("walk_over_clean", tally, move || decode::walk(&native, black_box(&clean))));
    let frames: Option<Vec<Vec<u8>>> = stream.payloads.iter().map(|payload| mavlink::frame(payload)).collect();
    if let Some(frames) = frames {
        let (line, intact) = damage(&stream, &frames, one_in);
        entries.push(Entry::peer("mavlink", intact, decode::mavlink(line, intact.frames)));
    }
    Job { group, size, frames: tally.frames, bytes: line.len(), entries }
}

fn encoded(native: Native, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    native.encode_to(payload, &mut frame).expect("the sizes fit a frame");
    frame
}

/// The line with its damage, and what is whole in it.
fn damage(stream: &Stream, frames: &[Vec<u8>], one_in: usize) -> (Vec<u8>, Tally) {
    let mut random = Random(3);
    let (mut line, mut intact) = (Vec::new(), Tally::default());
    let damaged = |at: usize| at % one_in == one_in / 2 && at + WHOLE_AT_END < frames.len();
    for (at, (frame, payload)) in frames.iter().zip(&stream.payloads).enumerate() {
        let mut frame = frame.clone();
        if !damaged(at) {
            intact.frame(payload);
        } else {
            match at / one_in % 3 {
                0 => {
                    let place = random.below(frame.len());
                    frame[place] ^= 1 << random.below(8);
                }
                1 => {
                    frame.remove(random.below(frame.len()));
                }
                _ => {
                    let len = 1 + random.below(20);
                    line.extend(random.bytes(len));
                    frame.pop();
                }
            }
        }
        line.extend(frame);
    }
    (line, intact)
}

/// A stream that is made to cost much: `pattern` over and over.
#[derive(Debug, Clone, Copy)]
pub struct Hostile {
    /// The job's group.
    pub group: &'static str,
    /// What is repeated.
    pub pattern: &'static [u8],
    /// The receiver's limit on payloads, in bytes.
    pub limit: u16,
}

/// The hostile streams.
///
/// `worst` is the stream that `spec/frame.md` ("Cost") shows to be the dearest for its limit: headers that share a byte, or
/// the longest claim every six bytes. Length and guard of a sound header add up to 65 535, so headers that overlap by
/// more (`overlap`) ask for less.
pub const HOSTILE: [Hostile; 10] = [
    Hostile { group: "hostile_worst", pattern: b"\xD7\x55\xFF\x28\x00", limit: u16::MAX },
    Hostile { group: "hostile_worst", pattern: b"\xD7\x55\x04\x00\xFB\xFF", limit: 1024 },
    Hostile { group: "hostile_longest", pattern: b"\xD7\x55\xFF\xFF\x00\x00", limit: u16::MAX },
    Hostile { group: "hostile_longest", pattern: b"\xD7\x55\x10\x00\xEF\xFF", limit: 4096 },
    Hostile { group: "hostile_overlap", pattern: b"\xD7\x55\xD7\x55\x28\xAA", limit: u16::MAX },
    Hostile { group: "hostile_overlap", pattern: b"\xD7\x55\xD7\x55\x28\xAA", limit: 256 },
    Hostile { group: "hostile_empty", pattern: b"\xD7\x55\x00\x00\xFF\xFF", limit: 256 },
    Hostile { group: "hostile_over", pattern: b"\xD7\x55\xFF\xFF\x00\x00", limit: 256 },
    Hostile { group: "hostile_magic", pattern: b"\xD7\x55\xD7\x55", limit: 256 },
    Hostile { group: "hostile_first", pattern: b"\xD7", limit: 256 },
];

/// Bytes of a hostile stream that a run gets through: two 4 KiB reads.
const HOSTILE_LEN: usize = 8 * 1024;

/// The job of getting through a hostile stream. Its floor is one checksum over the same bytes.
#[must_use]
pub fn hostile(hostile: Hostile) -> Job {
    let native = Native::with_max_payload(hostile.limit);
    let len = HOSTILE_LEN + native.max_frame_len();
    let line: Vec<u8> = hostile.pattern.iter().copied().cycle().take(len).collect();
    let expected = skip(native, &line);
    let covered = expected.bytes;
    let floor = line[..covered].to_vec();
    let floor_tally = checksum(&floor);
    let [a, b, c] = [(); 3].map(|()| line.clone());
    let entries = vec![
        Entry::ours("walk", expected, move || skip(native, black_box(&a))),
        Entry::ours("deframer", expected, move || deframe(native, black_box(&b), usize::MAX)),
        Entry::ours("deframer_small_reads", expected, move || deframe(native, black_box(&c), SMALL_READ)),
        Entry::peer("floor", floor_tally, move || checksum(black_box(&floor))),
    ];
    Job { group: hostile.group, size: Size::Bytes(hostile.limit.into()), frames: 0, bytes: covered, entries }
}

/// What comes at once from a serial line.
const SMALL_READ: usize = 16;

fn checksum(bytes: &[u8]) -> Tally {
    Tally { frames: 0, bytes: bytes.len(), mark: Kernel::detect().checksum(bytes) }
}

/// Counts the bytes that belong to no frame.
fn skip(native: Native, line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    native.walk(line, |step| count(&mut tally, step));
    tally
}

fn count(tally: &mut Tally, step: Step<'_>) {
    match step {
        Step::Frame(frame) => tally.frame(frame.payload()),
        Step::Skipped { bytes, .. } => tally.bytes += bytes,
        Step::NeedMore { .. } => {}
    }
}

/// The same through a deframer that gets at most `read` bytes at once.
fn deframe(native: Native, line: &[u8], read: usize) -> Tally {
    let mut tally = Tally::default();
    let mut deframer = Deframer::new(native);
    let mut rest = line;
    while !rest.is_empty() {
        let taken = deframer.push(&rest[..read.min(rest.len())]);
        deframer.for_each_step(|step| count(&mut tally, step));
        rest = &rest[taken..];
    }
    tally
}

/// The kinds of garbage: random bytes, random bytes without the magic's first, and nothing but that byte.
pub const GARBAGE: [&str; 3] = ["scan_random", "scan_no_magic", "scan_first_bytes"];

/// Almost 64 KiB, the length of the longest payload.
const GARBAGE_LEN: usize = 65_535;

/// The job of finding nothing in garbage of a kind of [`GARBAGE`].
#[must_use]
pub fn garbage(group: &'static str) -> Job {
    let mut line = Random(4).bytes(GARBAGE_LEN);
    match group {
        "scan_no_magic" => line.iter_mut().filter(|byte| **byte == MAGIC[0]).for_each(|byte| *byte = 0),
        "scan_first_bytes" => line.fill(MAGIC[0]),
        _ => {}
    }
    // A first byte at the end would be left standing, as the beginning of a frame.
    line[GARBAGE_LEN - 1] = 0;
    let expected = Tally { bytes: line.len(), ..Tally::default() };
    let native = Native::new();
    let bytes = line.len();
    let [a, b, c] = [(); 3].map(|()| line.clone());
    let finder = memmem::Finder::new(&MAGIC);
    let entries = vec![
        Entry::ours("walk", expected, move || skip(native, black_box(&a))),
        Entry::ours("find_start", expected, move || count_to_end(black_box(&b), |rest| native.find_start(rest))),
        Entry::peer("memmem", expected, move || {
            count_to_end(black_box(&c), |rest| finder.find(rest).unwrap_or(rest.len()))
        }),
    ];
    Job { group, size: Size::Bytes(GARBAGE_LEN), frames: 0, bytes, entries }
}

/// Searches for every place that `find` finds.
fn count_to_end(line: &[u8], find: impl Fn(&[u8]) -> usize) -> Tally {
    let mut at = 0;
    while at < line.len() {
        at += find(&line[at..]) + 1;
    }
    Tally { bytes: line.len(), ..Tally::default() }
}
