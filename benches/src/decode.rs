//! Decoding: five ways through this project and a sixth by declaration, four peers, and the checksum alone.
//!
//! What is timed is a buffer full of frames that has been received already. Contestants that use their buffer up get
//! it back outside the time; a deframer takes its bytes in through its own small buffer, and that copy is in its time.

use crate::contest::{Contestant, Entry, Job, Tally};
use crate::mavlink::AnyMessage;
use crate::stream::{POSTCARD_CRC, Size, Stream};
use bytes::{Bytes, BytesMut};
use core::hint::black_box;
use core::ops::Range;
use dtu_proto::checksum::{Batch, Crc32c, Kernel};
use dtu_proto::chunk::{Chunk, StepBuf};
use dtu_proto::codec::FrameCodec;
use dtu_proto::frame::{CHECKSUM_LEN, HEADER_LEN, MAGIC, OVERHEAD, field};
use dtu_proto::spec::{Declared, FrameSpec};
use dtu_proto::{Deframer, Framing, Malformed, Native, Step, parse};
use mavlink_core::{MAVLinkMessageRaw, MavlinkReader, MavlinkVersion};
use std::io::Cursor;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

/// The native frame by its declaration.
pub static DECLARED: Declared = FrameSpec::NATIVE.declared();

/// The job of decoding a stream of `size`.
#[must_use]
pub fn job(size: Size) -> Job {
    let stream = Stream::new(size);
    let (line, tally) = (stream.native(), stream.tally());
    let mut entries = ours(&line, tally);
    entries.push(Entry::peer("floor", floor_tally(&stream, &line), Floor::new(&stream, &line)));
    entries.push(Entry::peer("length_delimited", tally, length_delimited(&stream)));
    entries.push(Entry::peer("length_delimited_checked", tally, length_delimited_checked(&stream, &line)));
    if let Some(line) = stream.mavlink() {
        entries.push(Entry::peer("mavlink", tally, mavlink(line, tally.frames)));
    }
    let postcard_line = stream.postcard();
    entries.push(Entry::peer("postcard", tally, move || postcard(black_box(&postcard_line))));
    Job { group: "decode", size, frames: tally.frames, bytes: tally.bytes, entries }
}

/// This project's decoders over `line`.
#[must_use]
pub fn ours(line: &[u8], tally: Tally) -> Vec<Entry> {
    let native = Native::new();
    let frozen = Bytes::copy_from_slice(line);
    let [a, b, c, d, e] = [(); 5].map(|()| line.to_vec());
    vec![
        Entry::ours("parse", tally, move || parse_batch(Kernel::detect(), black_box(&a))),
        Entry::ours("walk", tally, move || walk(&native, black_box(&b))),
        Entry::ours("deframer", tally, {
            let mut deframer = Deframer::new(native);
            move || deframe(&mut deframer, black_box(&c))
        }),
        Entry::ours("deframer_next_step", tally, {
            let mut deframer = Deframer::new(native);
            move || deframe_by_step(&mut deframer, black_box(&d))
        }),
        Entry::ours("chunk", tally, move || chunk(native, black_box(frozen.clone()))),
        Entry::ours("codec", tally, Codec::new(native, line)),
        Entry::ours("declared", tally, move || walk(black_box(&DECLARED), black_box(&e))),
    ]
}

/// The nom function in a loop, compiled for `kernel`. Stops at the first byte that is no frame.
#[must_use]
pub fn parse_batch(kernel: Kernel, line: &[u8]) -> Tally {
    struct All<'a>(&'a [u8]);
    impl Batch for All<'_> {
        type Output = Tally;
        #[inline(always)]
        fn run<C: Crc32c>(self, crc: C) -> Tally {
            let frame = parse::frame::<C, Malformed>(usize::from(u16::MAX), crc);
            let mut tally = Tally::default();
            let mut rest = self.0;
            while let Ok((behind, frame)) = frame(rest) {
                tally.frame(frame.payload());
                rest = behind;
            }
            tally
        }
    }
    kernel.run(All(line))
}

/// [`Framing::walk`], frames only.
#[must_use]
pub fn walk<F: Framing>(framing: &F, line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    framing.walk(line, |step| {
        if let Step::Frame(frame) = step {
            tally.frame(frame.payload());
        }
    });
    tally
}

/// [`Deframer::for_each_step`], fed as from a socket: as much as it has room for, then all steps.
pub fn deframe(deframer: &mut Deframer<Native, Vec<u8>>, line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    feed(deframer, line, |deframer| {
        deframer.for_each_step(|step| {
            if let Step::Frame(frame) = step {
                tally.frame(frame.payload());
            }
        });
    });
    tally
}

/// The same, asked for one step at a time.
pub fn deframe_by_step(deframer: &mut Deframer<Native, Vec<u8>>, line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    feed(deframer, line, |deframer| {
        loop {
            match deframer.next_step() {
                Step::Frame(frame) => tally.frame(frame.payload()),
                Step::Skipped { .. } => {}
                Step::NeedMore { .. } => break,
            }
        }
    });
    tally
}

fn feed(deframer: &mut Deframer<Native, Vec<u8>>, line: &[u8], mut drain: impl FnMut(&mut Deframer<Native, Vec<u8>>)) {
    let mut rest = line;
    while !rest.is_empty() {
        let room = deframer.spare_capacity_mut();
        let (piece, behind) = rest.split_at(room.len().min(rest.len()));
        room[..piece.len()].copy_from_slice(piece);
        deframer.commit(piece.len());
        drain(deframer);
        rest = behind;
    }
}

/// The `Bytes` adapter over one chunk; each frame takes its share of it.
#[must_use]
pub fn chunk(native: Native, line: Bytes) -> Tally {
    let mut tally = Tally::default();
    for step in &mut Chunk::new(native, line) {
        if let StepBuf::Frame(frame) = step {
            tally.frame(frame.payload());
        }
    }
    tally
}

/// The `tokio_util` adapter on a filled buffer.
struct Codec {
    codec: FrameCodec<Native>,
    line: Vec<u8>,
    buffer: BytesMut,
}

impl Codec {
    fn new(native: Native, line: &[u8]) -> Self {
        Self { codec: FrameCodec::new(native), line: line.to_vec(), buffer: BytesMut::new() }
    }
}

impl Contestant for Codec {
    fn refill(&mut self) {
        refill(&mut self.buffer, &self.line);
    }

    fn run(&mut self) -> Tally {
        let mut tally = Tally::default();
        while let Some(step) = self.codec.decode(&mut self.buffer).expect("no transport, no error") {
            if let StepBuf::Frame(frame) = step {
                tally.frame(frame.payload());
            }
        }
        tally
    }
}

/// Fills `buffer` with `line`, in the memory it already has.
fn refill(buffer: &mut BytesMut, line: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(line);
}

/// CRC-32C alone, by this project's kernel inlined into the loop, over every frame's header and payload.
///
/// Where the frames stand is known beforehand, from a list. The list is used even where all lengths are
/// equal: given one length for all, the compiler takes the decisions that depend on it out of the loop, and what is
/// left is not the checksum of a frame that has just come.
pub struct Floor {
    line: Vec<u8>,
    /// The runs of bytes that checksums cover.
    covered: Vec<Range<u32>>,
}

impl Floor {
    /// The floor under decoding `line`, which is the native form of `stream`.
    ///
    /// # Panics
    ///
    /// When the line is longer than 4 GiB.
    #[must_use]
    pub fn new(stream: &Stream, line: &[u8]) -> Self {
        let mut at = 0;
        let range = |run: &[u8]| {
            let start = at;
            at += run.len() + CHECKSUM_LEN;
            let [start, end] = [start, start + run.len()].map(|at| u32::try_from(at).expect("lines are short"));
            start..end
        };
        let covered = stream.covered(line).into_iter().map(range).collect();
        Self { line: line.to_vec(), covered }
    }
}

impl Contestant for Floor {
    fn run(&mut self) -> Tally {
        Kernel::detect().run(List(black_box(&self.line), black_box(&self.covered)))
    }
}

/// What the floor must find in `line`: the exclusive or of the checksums that the frames carry.
#[must_use]
pub fn floor_tally(stream: &Stream, line: &[u8]) -> Tally {
    let mut tally = Tally { frames: stream.payloads.len(), ..Tally::default() };
    let mut at = 0;
    for covered in stream.covered(line) {
        at += covered.len();
        tally.mark ^= u32::from_be_bytes(*line[at..].first_chunk().expect("a checksum is behind each frame"));
        at += CHECKSUM_LEN;
    }
    tally
}

struct List<'a>(&'a [u8], &'a [Range<u32>]);

impl Batch for List<'_> {
    type Output = Tally;
    #[inline(always)]
    fn run<C: Crc32c>(self, crc: C) -> Tally {
        let mut mark = 0;
        for Range { start, end } in self.1 {
            mark ^= crc.checksum(&self.0[*start as usize..*end as usize]);
        }
        Tally { frames: self.1.len(), mark, ..Tally::default() }
    }
}

/// `LengthDelimitedCodec` on a filled buffer, which is how `Framed` calls it after a large read.
struct LengthDelimited<A> {
    codec: LengthDelimitedCodec,
    line: BytesMut,
    buffer: BytesMut,
    frames: usize,
    /// Gives the payload of what the codec cut out.
    accept: A,
}

impl<A: FnMut(&[u8]) -> Option<&[u8]>> LengthDelimited<A> {
    /// The line gets the beginning of one more frame, so that the codec is not charged for asking for memory.
    fn new(codec: LengthDelimitedCodec, mut line: BytesMut, frames: usize, accept: A) -> Self {
        line.extend_from_slice(&[0; 64]);
        Self { codec, line, buffer: BytesMut::new(), frames, accept }
    }
}

/// A length of four bytes in front, and nothing verified.
fn length_delimited(stream: &Stream) -> impl Contestant + 'static {
    LengthDelimited::new(LengthDelimitedCodec::new(), stream.length_delimited(), stream.payloads.len(), |frame| {
        Some(frame)
    })
}

/// Native frames, cut out whole by their length field; then magic, guard and checksum are looked at.
fn length_delimited_checked(stream: &Stream, line: &[u8]) -> impl Contestant + 'static {
    let codec = LengthDelimitedCodec::builder()
        .length_field_offset(field::LENGTH.start)
        .length_field_type::<u16>()
        .length_adjustment(OVERHEAD.cast_signed())
        .num_skip(0)
        .new_codec();
    LengthDelimited::new(codec, BytesMut::from(line), stream.payloads.len(), |frame| {
        let (covered, checksum) = frame.split_last_chunk()?;
        let (&[m0, m1, l0, l1, g0, g1], payload) = covered.split_first_chunk::<HEADER_LEN>()?;
        let intact =
            [m0, m1] == MAGIC && [g0, g1] == [!l0, !l1] && crc32c::crc32c(covered) == u32::from_be_bytes(*checksum);
        intact.then_some(payload)
    })
}

impl<A: FnMut(&[u8]) -> Option<&[u8]>> Contestant for LengthDelimited<A> {
    fn refill(&mut self) {
        refill(&mut self.buffer, &self.line);
    }

    fn run(&mut self) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..self.frames {
            let frame = self.codec.decode(&mut self.buffer).expect("the stream is sound").expect("the frame is whole");
            tally.frame((self.accept)(&frame).expect("the frame is intact"));
        }
        tally
    }
}

/// `MavlinkReader`, the documented way to read raw messages, with a buffer that takes the whole line in one read.
#[must_use]
pub fn mavlink(line: Vec<u8>, frames: usize) -> impl Contestant {
    let mut reader = MavlinkReader::with_capacity(line.len(), Cursor::new(line));
    move || {
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
    }
}

/// postcard's byte slices with a checksum behind each, borrowed from the line.
fn postcard(line: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let mut rest = line;
    while !rest.is_empty() {
        let (payload, behind) =
            postcard::take_from_bytes_crc32::<&[u8]>(rest, POSTCARD_CRC.digest()).expect("the stream is sound");
        tally.frame(payload);
        rest = behind;
    }
    tally
}
