//! One direction of a TCP connection put together from its segments.
//!
//! Positions are 64-bit and count the stream's bytes from 0; the 32-bit sequence numbers of the segments are read
//! relative to the byte awaited next, so they may wrap around as often as they like. Where segments overlap, the bytes
//! that came first win. A hole is never closed silently: whoever owns the capture decides when to
//! [`give_up`](Reassembly::give_up) on it, and it comes out as [`Piece::Gap`].

use super::walk::widen;
use std::collections::BTreeMap;
use std::io;

/// Bytes held behind a hole, at most; more and the hole is given up.
pub(crate) const MAX_AHEAD: usize = 1 << 20;

/// Pieces held behind a hole, at most; more and the hole is given up.
pub(crate) const MAX_AHEAD_PIECES: usize = 4096;

/// What a held piece takes besides its bytes, roughly: its place in the map and on the heap.
const PIECE_OVERHEAD: usize = 64;

/// What comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many bytes are missing from the capture.
    Gap(u64),
}

/// Takes pieces as they become available.
pub(crate) type PieceSink<'a> = &'a mut dyn FnMut(Piece<'_>) -> io::Result<()>;

/// What a segment says, as far as reassembly wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    /// The sequence number of the first payload byte: behind the SYN, where there is one.
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
    /// Payload bytes that were on the line but were cut off when the packet was captured.
    pub(crate) cut: usize,
    pub(crate) fin: bool,
}

/// The bytes that did not go into the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Bytes that were there before: retransmissions and overlaps.
    pub(crate) repeated: u64,
    /// Bytes in front of the stream's first byte: the capture began in the middle, out of order.
    pub(crate) before: u64,
    /// Bytes behind the stream's last byte.
    pub(crate) behind: u64,
}

#[derive(Debug)]
pub(crate) struct Reassembly {
    /// The sequence number of the stream's first byte.
    first: u32,
    /// The position of the byte awaited next; all before it has been given out.
    next: u64,
    /// Pieces behind `next` by their position. No two overlap, none is empty, none begins at `next`.
    ahead: BTreeMap<u64, Vec<u8>>,
    ahead_bytes: usize,
    /// The stream's length, once a FIN has said it.
    end: Option<u64>,
    /// The position behind the last byte that any segment claims to have carried.
    claimed: u64,
    left_out: LeftOut,
}

impl Reassembly {
    /// A stream whose first byte has the sequence number `first`.
    pub(crate) const fn new(first: u32) -> Self {
        let left_out = LeftOut { repeated: 0, before: 0, behind: 0 };
        Self { first, next: 0, ahead: BTreeMap::new(), ahead_bytes: 0, end: None, claimed: 0, left_out }
    }

    /// The sequence number of the stream's first byte.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// Whether all up to the FIN has been given out.
    pub(crate) fn is_closed(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Whether bytes wait behind a hole.
    pub(crate) fn has_hole(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The memory of what waits behind holes, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.ahead_bytes + self.ahead.len() * PIECE_OVERHEAD
    }

    /// The sequence number of the byte awaited next.
    pub(crate) const fn awaited(&self) -> u32 {
        self.first.wrapping_add(low_half(self.next))
    }

    pub(crate) const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Takes a segment and hands what it makes available to `sink`.
    pub(crate) fn segment(&mut self, segment: Segment<'_>, sink: PieceSink<'_>) -> io::Result<()> {
        // Half of the sequence numbers are ahead of the awaited one, half behind it.
        let distance = i64::from(segment.sequence.wrapping_sub(self.awaited()).cast_signed());
        let behind = distance.min(0).unsigned_abs();
        let start = self.next + distance.max(0).unsigned_abs();
        let carried = widen(segment.payload.len()) + widen(segment.cut);
        let end = (start + carried).saturating_sub(behind);
        if carried > 0 || segment.fin {
            self.claimed = self.claimed.max(end);
        }
        // An end in front of what has been given out is none.
        if segment.fin && end >= self.next {
            self.end.get_or_insert(end);
        }
        let (old, new) = split_up_to(segment.payload, behind);
        let before = behind.saturating_sub(self.next).min(widen(old.len()));
        self.left_out.before += before;
        self.left_out.repeated += widen(old.len()) - before;
        let new = self.until_end(start, new);
        if start == self.next && self.ahead.is_empty() {
            // The usual case copies nothing.
            return self.give_out(new, sink);
        }
        self.hold(start, new);
        self.drain(sink)?;
        while self.ahead_bytes > MAX_AHEAD || self.ahead.len() > MAX_AHEAD_PIECES {
            self.give_up(sink)?;
        }
        Ok(())
    }

    /// Gives up the bytes missing in front of the first held piece and goes on there. Does nothing without a hole.
    pub(crate) fn give_up(&mut self, sink: PieceSink<'_>) -> io::Result<()> {
        if let Some((&start, _)) = self.ahead.first_key_value() {
            sink(Piece::Gap(start - self.next))?;
            self.next = start;
            self.drain(sink)?;
        }
        Ok(())
    }

    /// Says that no segment follows: gives up every hole, and what is missing behind the last piece.
    pub(crate) fn finish(&mut self, sink: PieceSink<'_>) -> io::Result<()> {
        while self.has_hole() {
            self.give_up(sink)?;
        }
        let claimed = self.end.map_or(self.claimed, |end| self.claimed.min(end));
        if claimed > self.next {
            sink(Piece::Gap(claimed - self.next))?;
            self.next = claimed;
        }
        Ok(())
    }

    /// Cuts off what lies behind the stream's end.
    fn until_end<'a>(&mut self, start: u64, payload: &'a [u8]) -> &'a [u8] {
        let room = self.end.map_or(u64::MAX, |end| end.saturating_sub(start));
        let (inside, behind) = split_up_to(payload, room);
        self.left_out.behind += widen(behind.len());
        inside
    }

    fn give_out(&mut self, bytes: &[u8], sink: PieceSink<'_>) -> io::Result<()> {
        if !bytes.is_empty() {
            sink(Piece::Bytes(bytes))?;
            self.next += widen(bytes.len());
        }
        Ok(())
    }

    /// Keeps what is new of `bytes` until the hole in front of it is closed.
    fn hold(&mut self, start: u64, mut bytes: &[u8]) {
        let mut at = start;
        while !bytes.is_empty() {
            let held = self.ahead.range(..=at).next_back().map_or(at, |(&from, piece)| from + widen(piece.len()));
            let (known, rest) = split_up_to(bytes, held.saturating_sub(at));
            self.left_out.repeated += widen(known.len());
            at += widen(known.len());
            let until = self.ahead.range(at..).next().map_or(u64::MAX, |(&from, _)| from);
            let (new, rest) = split_up_to(rest, until - at);
            if !new.is_empty() {
                self.ahead.insert(at, new.to_vec());
                self.ahead_bytes += new.len();
            }
            at += widen(new.len());
            bytes = rest;
        }
    }

    /// Gives out the held pieces that the awaited byte has come up to.
    fn drain(&mut self, sink: PieceSink<'_>) -> io::Result<()> {
        while let Some(piece) = self.ahead.remove(&self.next) {
            self.ahead_bytes -= piece.len();
            self.give_out(&piece, sink)?;
        }
        Ok(())
    }
}

fn split_up_to(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()))
}

/// The lower 32 bits, in which sequence numbers are counted.
const fn low_half(position: u64) -> u32 {
    let [.., a, b, c, d] = position.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
