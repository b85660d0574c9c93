//! Encoding: three ways through this project, four peers, and the checksum alone.
//!
//! What is timed is writing all payloads of a stream, one frame behind the other, into memory that is there already.
//! Every writer's output is compared with the stream that the decoders read.

use crate::contest::{Contestant, Entry, Job, Tally};
use crate::decode::{Floor, floor_tally};
use crate::mavlink::AnyMessage;
use crate::stream::{POSTCARD_CRC, Size, Stream};
use bytes::{BufMut, BytesMut};
use core::hint::black_box;
use dtu_proto::Native;
use dtu_proto::encode::Envelope;
use dtu_proto::frame::{MAGIC, OVERHEAD};
use mavlink_core::{MAVLinkV2MessageRaw, MavHeader};
use tokio_util::codec::{Encoder, LengthDelimitedCodec};

/// The job of encoding a stream of `size`.
///
/// # Panics
///
/// Never: the sizes fit every framing that is asked.
#[must_use]
pub fn job(size: Size) -> Job {
    let stream = Stream::new(size);
    let (line, tally) = (stream.native(), stream.tally());
    let native = Native::new();
    let payloads = || stream.payloads.clone();
    let mut entries = vec![
        writer(Entry::ours, "slice", payloads(), line.clone(), move |payload: &Vec<u8>, out: &mut Vec<u8>, at| {
            native.encode(payload.as_slice(), &mut out[at..]).expect("there is room")
        }),
        Entry::ours("slice_all", tally_of(&line, &stream), SliceAll::new(native, &stream)).writing(line.clone()),
        writer(Entry::ours, "buf_mut", payloads(), line.clone(), move |payload: &Vec<u8>, out: &mut BytesMut, _| {
            native.encode_to(payload.as_slice(), out).expect("there is room")
        }),
        Entry::ours("envelope", envelope_tally(&stream), Envelopes::new(native, &stream)),
        Entry::peer("floor", floor_tally(&stream, &line), Floor::new(&stream, &line)),
        length_delimited(&stream),
        writer(
            Entry::peer,
            "length_delimited_checked",
            payloads(),
            line,
            |payload: &Vec<u8>, out: &mut BytesMut, at| length_delimited_checked(payload, out, at),
        ),
        postcard(&stream),
    ];
    entries.extend(mavlink(&stream));
    Job { group: "encode", size, frames: tally.frames, bytes: tally.bytes, entries }
}

/// Memory to write into: a vector that is long enough already, or a [`BytesMut`] that has the capacity.
pub(crate) trait Out: AsRef<[u8]> {
    fn with_room(len: usize) -> Self;
    fn empty(&mut self);
}

impl Out for Vec<u8> {
    fn with_room(len: usize) -> Self {
        vec![0xA5; len]
    }

    fn empty(&mut self) {}
}

impl Out for BytesMut {
    fn with_room(len: usize) -> Self {
        Self::with_capacity(len)
    }

    fn empty(&mut self) {
        self.clear();
    }
}

/// Writes payload behind payload; `write` gets the payload, the memory and the offset, and returns the frame's length.
pub(crate) struct Writer<P, W, O> {
    payloads: Vec<P>,
    out: O,
    written: usize,
    write: W,
}

impl<P, W: FnMut(&P, &mut O, usize) -> usize, O: Out> Contestant for Writer<P, W, O> {
    fn refill(&mut self) {
        self.out.empty();
    }

    fn run(&mut self) -> Tally {
        let mut at = 0;
        for payload in black_box(&self.payloads) {
            at += (self.write)(payload, &mut self.out, at);
        }
        self.written = at;
        Tally { frames: self.payloads.len(), bytes: at, mark: 0 }
    }

    fn output(&self) -> Option<&[u8]> {
        self.out.as_ref().get(..self.written)
    }
}

/// A contestant of `side` that must write `expected`.
pub(crate) fn writer<P, W, O>(
    side: fn(&'static str, Tally, Writer<P, W, O>) -> Entry,
    name: &'static str,
    payloads: Vec<P>,
    expected: Vec<u8>,
    write: W,
) -> Entry
where
    W: FnMut(&P, &mut O, usize) -> usize,
    O: Out,
{
    let tally = Tally { frames: payloads.len(), bytes: expected.len(), mark: 0 };
    let out = O::with_room(expected.len() + SPARE);
    side(name, tally, Writer { payloads, out, written: 0, write }).writing(expected)
}

/// Room behind the last byte for writers that ask for more than they use, in bytes.
const SPARE: usize = 64;

fn tally_of(line: &[u8], stream: &Stream) -> Tally {
    Tally { frames: stream.payloads.len(), bytes: line.len(), mark: 0 }
}

/// All frames by one call.
struct SliceAll {
    native: Native,
    payloads: Vec<Vec<u8>>,
    out: Vec<u8>,
}

impl SliceAll {
    fn new(native: Native, stream: &Stream) -> Self {
        Self { native, payloads: stream.payloads.clone(), out: vec![0xA5; stream.native().len() + SPARE] }
    }
}

impl Contestant for SliceAll {
    fn run(&mut self) -> Tally {
        let payloads: Vec<&[u8]> = black_box(&self.payloads).iter().map(Vec::as_slice).collect();
        let bytes = self.native.encode_all(&payloads, &mut self.out).expect("there is room");
        Tally { frames: payloads.len(), bytes, mark: 0 }
    }

    fn output(&self) -> Option<&[u8]> {
        let len = self.payloads.iter().map(|payload| payload.len() + OVERHEAD).sum();
        self.out.get(..len)
    }
}

/// Header and trailer of every payload, kept for a vectored write.
struct Envelopes {
    native: Native,
    payloads: Vec<Vec<u8>>,
    out: Vec<Envelope>,
}

impl Envelopes {
    fn new(native: Native, stream: &Stream) -> Self {
        Self { native, payloads: stream.payloads.clone(), out: Vec::with_capacity(stream.payloads.len()) }
    }
}

impl Contestant for Envelopes {
    fn refill(&mut self) {
        self.out.clear();
    }

    fn run(&mut self) -> Tally {
        let mut tally = Tally::default();
        for payload in black_box(&self.payloads) {
            let envelope = self.native.envelope(payload.as_slice()).expect("the sizes fit a frame");
            tally.mark ^= u32::from_be_bytes(envelope.trailer);
            self.out.push(envelope);
        }
        Tally { frames: self.out.len(), ..tally }
    }
}

fn envelope_tally(stream: &Stream) -> Tally {
    floor_tally(stream, &stream.native())
}

fn length_delimited(stream: &Stream) -> Entry {
    let mut codec = LengthDelimitedCodec::new();
    let expected = stream.length_delimited().to_vec();
    writer(
        Entry::peer,
        "length_delimited",
        stream.payloads.clone(),
        expected,
        move |payload: &Vec<u8>, out: &mut BytesMut, _| {
            codec.encode(payload.as_slice(), out).expect("the sizes are below the limit");
            size_of::<u32>() + payload.len()
        },
    )
}

/// The native frame as one writes it by hand: parts one after the other, then the `crc32c` crate over what is there.
fn length_delimited_checked(payload: &[u8], out: &mut BytesMut, at: usize) -> usize {
    let length = u16::try_from(payload.len()).expect("the sizes fit a frame");
    out.reserve(payload.len() + OVERHEAD);
    out.put_slice(&MAGIC);
    out.put_u16(length);
    out.put_u16(!length);
    out.put_slice(payload);
    let checksum = crc32c::crc32c(&out[at..]);
    out.put_u32(checksum);
    payload.len() + OVERHEAD
}

/// A raw message built and copied behind the last one.
fn mavlink(stream: &Stream) -> Option<Entry> {
    let expected = stream.mavlink()?;
    let header = MavHeader { system_id: 1, component_id: 1, sequence: 0 };
    Some(writer(
        Entry::peer,
        "mavlink",
        stream.payloads.clone(),
        expected,
        move |payload: &Vec<u8>, out: &mut BytesMut, _| {
            let mut message = MAVLinkV2MessageRaw::new();
            message.serialize_message_with_dialect(header, &AnyMessage, payload).expect("the dialect cannot fail");
            out.put_slice(message.raw_bytes());
            message.raw_bytes().len()
        },
    ))
}

fn postcard(stream: &Stream) -> Entry {
    writer(
        Entry::peer,
        "postcard",
        stream.payloads.clone(),
        stream.postcard(),
        |payload: &Vec<u8>, out: &mut Vec<u8>, at| {
            let frame = postcard::to_slice_crc32(&payload.as_slice(), &mut out[at..], POSTCARD_CRC.digest());
            frame.expect("there is room").len()
        },
    )
}
