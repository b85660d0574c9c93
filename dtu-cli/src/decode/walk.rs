//! One stream of bytes through a deframer: entries with their offsets, neighbouring skips of one cause merged.

use crate::framings::Named;
use core::fmt;
use dtu_proto::deframer::FIRST_CAPACITY;
use dtu_proto::{Deframer, Frame, Framing as _, Malformed, Step};
use std::io;

/// How many bytes of a skip are kept to be shown; a skip may be longer than the memory.
pub(super) const SKIP_SHOWN: usize = 64;

/// What is at a place of a stream. The lengths of a stream's entries add up to the stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// A frame, and the framing that it is of.
    Frame { offset: u64, frame: Frame<'a>, framing: &'a Named },
    /// Bytes that belong to no frame.
    Skipped(&'a Skip),
    /// Bytes that the capture does not have.
    Gap { offset: u64, bytes: u64 },
    /// From here on the stream is in this framing, as its bytes say. Takes no bytes.
    Decided { offset: u64, framing: &'a Named, score: i64, lead: Option<i64> },
    /// From here on the stream is in no framing that is known; these are the best, with their scores. Takes no bytes.
    NoneFits { offset: u64, best: &'a [(&'a str, i64)] },
    /// What is at a place of a stream that the frames of this one carry.
    Inner(Inner<'a>),
}

impl Entry<'_> {
    /// What is at the place, in whatever layer.
    pub(super) const fn innermost(&self) -> &Self {
        match self {
            Self::Inner(inner) => inner.entry,
            Self::Frame { .. } | Self::Skipped(_) | Self::Gap { .. } | Self::Decided { .. } | Self::NoneFits { .. } => {
                self
            }
        }
    }
}

/// An entry of an inner stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inner<'a> {
    /// The channel of the native DATA that carried it.
    pub(super) channel: Option<u8>,
    pub(super) entry: &'a Entry<'a>,
}

/// Why bytes were skipped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// The framing says it.
    Malformed(Malformed),
    /// No framing fits the stream.
    NoFraming,
}

impl Cause {
    /// The cause as one word.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(cause) => cause.name(),
            Self::NoFraming => "no_framing",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(cause) => cause.fmt(f),
            Self::NoFraming => f.write_str("no framing fits"),
        }
    }
}

/// Neighbouring skips of one cause.
#[derive(Debug)]
pub(super) struct Skip {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// The cause of the first of them, with its numbers.
    pub(super) cause: Cause,
    /// How many skips were merged. For every cause but noise, that is the number of candidates.
    pub(super) merged: u64,
    /// The first bytes, at most [`SKIP_SHOWN`].
    pub(super) head: Vec<u8>,
    /// The packet with the first of them.
    pub(super) mark: Mark,
}

impl Skip {
    /// Nothing yet.
    pub(super) const fn new(offset: u64, cause: Cause, mark: Mark) -> Self {
        Self { offset, bytes: 0, cause, merged: 0, head: Vec::new(), mark }
    }
}

/// The packet of a capture that brought the bytes judged last; nothing for other input.
pub(super) type Mark = Option<PacketMark>;

/// A packet's place in its capture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PacketMark {
    /// The packet's number in the file, from 1.
    pub(crate) number: u64,
    /// Seconds since 1970, where the capture says it.
    pub(crate) time: Option<f64>,
}

/// Takes entries as they are found.
pub(super) trait Sink: FnMut(Mark, Entry<'_>) -> io::Result<()> {}
impl<S: FnMut(Mark, Entry<'_>) -> io::Result<()>> Sink for S {}

/// The walk over one stream.
#[derive(Debug)]
pub(super) struct Walk<'p> {
    deframer: Deframer<&'p Named, Vec<u8>>,
    /// No less than the memory of the deframer, in bytes.
    held: usize,
    /// Where the first byte without a verdict stands in the stream.
    offset: u64,
    /// The skip that may still grow; it ends at `offset`.
    pending: Option<Skip>,
}

impl<'p> Walk<'p> {
    pub(super) fn new(framing: &'p Named) -> Self {
        Self::starting_at(0, framing)
    }

    /// The walk over a stream of which the first bytes, so many, are missing.
    pub(super) fn starting_at(offset: u64, framing: &'p Named) -> Self {
        Self { deframer: Deframer::new(framing), held: 0, offset, pending: None }
    }

    /// The memory of what waits for a verdict, in bytes, at the most.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mark: Mark, mut bytes: &[u8], sink: &mut impl Sink) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.deframer.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            // The buffer doubles up to the longest frame, and is given back when it is empty.
            let longest = self.deframer.framing().max_frame_len().max(FIRST_CAPACITY);
            self.held = self.held.max((2 * self.deframer.buffered()).clamp(FIRST_CAPACITY, longest));
            if !self.awaits_its_end() {
                self.drain(mark, sink)?;
            }
            if self.deframer.buffered() == 0 {
                self.held = 0;
            }
        }
        Ok(())
    }

    /// Says that `missing` bytes of the stream will never come: no candidate reaches across them.
    pub(super) fn gap(&mut self, mark: Mark, missing: u64, sink: &mut impl Sink) -> io::Result<()> {
        self.finish(mark, sink)?;
        sink(mark, Entry::Gap { offset: self.offset, bytes: missing })?;
        self.offset += missing;
        Ok(())
    }

    /// Says that no bytes follow: incomplete candidates are given up one after the other.
    pub(super) fn finish(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        self.drain(mark, sink)?;
        loop {
            let head = Head::of(self.deframer.unjudged());
            let Some(step) = self.deframer.abandon_candidate() else { break };
            if let Step::Skipped { bytes, cause } = step {
                self.skip(mark, bytes, cause, &head, sink)?;
            }
            self.drain(mark, sink)?;
        }
        self.held = 0;
        self.flush(sink)
    }

    /// Whether this may be a datagram of which more is to come.
    fn awaits_its_end(&self) -> bool {
        let framing = self.deframer.framing();
        framing.is_datagram() && self.deframer.buffered() <= framing.max_frame_len()
    }

    fn drain(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        loop {
            let framing = *self.deframer.framing();
            let head = Head::of(self.deframer.unjudged());
            match self.deframer.next_step() {
                Step::Frame(frame) => {
                    if let Some(skip) = self.pending.take() {
                        sink(skip.mark, Entry::Skipped(&skip))?;
                    }
                    sink(mark, Entry::Frame { offset: self.offset, frame, framing })?;
                    self.offset += widen(frame.encoded_len());
                    if let Some(behind) = framing.behind_first() {
                        self.go_on_in(behind);
                    }
                }
                Step::Skipped { bytes, cause } => self.skip(mark, bytes, cause, &head, sink)?,
                Step::NeedMore { .. } => return Ok(()),
            }
        }
    }

    /// Judges what has no verdict yet, and all that follows, by another framing.
    fn go_on_in(&mut self, framing: &'p Named) {
        let rest = self.deframer.unjudged().to_vec();
        self.deframer = Deframer::new(framing);
        let taken = self.deframer.push(&rest);
        assert_eq!(taken, rest.len(), "what waits behind a first frame fits the first room of a deframer");
    }

    fn skip(
        &mut self,
        mark: Mark,
        bytes: usize,
        cause: Malformed,
        head: &Head,
        sink: &mut impl Sink,
    ) -> io::Result<()> {
        if self.pending.as_ref().is_some_and(|pending| pending.cause.name() != cause.name()) {
            self.flush(sink)?;
        }
        let offset = self.offset;
        let skip = self.pending.get_or_insert_with(|| Skip::new(offset, Cause::Malformed(cause), mark));
        skip.bytes += widen(bytes);
        skip.merged += 1;
        // Only noise is longer than what is kept, and then the rest of the skip is not shown either.
        let shown = head.bytes().iter().take(bytes).take(SKIP_SHOWN - skip.head.len());
        skip.head.extend(shown);
        self.offset += widen(bytes);
        Ok(())
    }

    fn flush(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        match self.pending.take() {
            Some(skip) => sink(skip.mark, Entry::Skipped(&skip)),
            None => Ok(()),
        }
    }
}

/// A copy of the first bytes without a verdict, in case they are going to be skipped.
struct Head {
    bytes: [u8; SKIP_SHOWN],
    len: usize,
}

impl Head {
    fn of(unjudged: &[u8]) -> Self {
        let mut bytes = [0; SKIP_SHOWN];
        let len = unjudged.len().min(SKIP_SHOWN);
        bytes[..len].copy_from_slice(&unjudged[..len]);
        Self { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A length in memory as a length in a stream.
pub(super) fn widen(len: usize) -> u64 {
    u64::try_from(len).expect("no target has a usize of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::{Entry, Walk};
    use crate::framings::choose;

    /// The offsets and lengths of the frames of a stream that comes in pieces.
    fn frames(framing: &str, pieces: &[&[u8]]) -> Vec<(u64, usize)> {
        let chosen = choose(framing, u16::MAX).expect("it is known");
        let (mut walk, mut frames) = (Walk::new(chosen.first()), Vec::new());
        let mut sink = |_, entry: Entry<'_>| {
            if let Entry::Frame { offset, frame, .. } = entry {
                frames.push((offset, frame.encoded_len()));
            }
            Ok(())
        };
        for piece in pieces {
            walk.feed(None, piece, &mut sink).expect("the sink takes it");
        }
        walk.finish(None, &mut sink).expect("the sink takes it");
        frames
    }

    #[test]
    fn a_datagram_is_judged_when_all_of_it_is_there() {
        let envelope: &[u8] = b"\x7B\x09\x00\x1013912345678\x7B";
        assert_eq!(frames("hongdian_ddp_udp", &[envelope, b"12", b"3"]), [(0, 19)]);
    }

    #[test]
    fn behind_its_registration_a_connection_is_never_asked_for_another() {
        let registration: &[u8] = b"\x78\x56\x34\x1213066668888\x00\xC0\xA8\x01\x42\x00";
        assert_eq!(frames("fourfaith_prot", &[registration, b"\x01", b"\x02"]), [(0, 21), (21, 1), (22, 1)]);
        let twice = [registration, registration].concat();
        assert_eq!(frames("fourfaith_prot", &[&twice]).len(), 1 + 21);
    }
}
