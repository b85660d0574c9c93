//! The resynchronisation rule (spec: `frame.md`, "Resynchronisation") once more, byte by byte over a whole stream.

use crate::chunk::StepBuf;
use crate::framing::{Malformed, Step};
use alloc::vec::Vec;
use core::ops::Range;

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The checksum by the oracle.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// A part of a stream, as the steps over it name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A frame.
    Frame {
        /// Its first byte, counted from the start of the stream.
        offset: usize,
        /// Its length in bytes.
        len: usize,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Bytes that belong to no frame.
    Skipped {
        /// The first of them, counted from the start of the stream.
        offset: usize,
        /// How many.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
}

/// Collects steps, however a stream was cut, into one list that can be compared.
///
/// Neighbouring skips of noise are added up, since noise is all whose extent depends on how much of the stream is there.
/// Every other cause stands for one rejected candidate each and is kept with its numbers.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: Vec<Piece>,
    end: usize,
}

impl Pieces {
    /// Takes one step.
    pub fn push(&mut self, step: &Step<'_>) {
        match step {
            Step::Frame(frame) => self.frame(frame.encoded_len(), frame.payload()),
            Step::Skipped { bytes, cause } => self.skipped(*bytes, *cause),
            Step::NeedMore { .. } => {}
        }
    }

    /// Takes one step that owns its bytes.
    pub fn push_buf(&mut self, step: &StepBuf) {
        match step {
            StepBuf::Frame(frame) => self.frame(frame.encoded_len(), frame.payload()),
            StepBuf::Skipped { bytes, cause } => self.skipped(*bytes, *cause),
        }
    }

    /// The list.
    #[must_use]
    pub fn into_vec(self) -> Vec<Piece> {
        self.pieces
    }

    fn frame(&mut self, len: usize, payload: &[u8]) {
        self.pieces.push(Piece::Frame { offset: self.end, len, payload: payload.to_vec() });
        self.end += len;
    }

    fn skipped(&mut self, count: usize, cause: Malformed) {
        match self.pieces.last_mut() {
            Some(Piece::Skipped { bytes, cause: Malformed::Magic, .. }) if cause == Malformed::Magic => *bytes += count,
            _ => self.pieces.push(Piece::Skipped { offset: self.end, bytes: count, cause }),
        }
        self.end += count;
    }
}

/// What happens behind the last byte of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// More may come: a candidate that lacks bytes waits.
    Open,
    /// Nothing comes: every candidate that lacks bytes is given up.
    Closed,
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The steps, noise merged.
    pub pieces: Vec<Piece>,
    /// How many bytes at the end wait for a verdict.
    pub rest: usize,
    /// How many bytes are missing there to the end of the header, or of the frame when the header is there.
    pub missing: usize,
}

/// Cuts a whole stream into frames with payloads of at most `max_payload` bytes, and skips.
#[must_use]
pub fn deframe(stream: &[u8], max_payload: usize, end: End) -> Outcome {
    let mut pieces = Pieces::default();
    let mut at = 0;
    loop {
        let here = stream.len() - at;
        let (cause, judged) = match judge(stream, at, max_payload) {
            Verdict::Frame { len } => {
                pieces.frame(len, &stream[at + 6..at + len - 4]);
                at += len;
                continue;
            }
            Verdict::Waits { .. } if end == End::Closed && here > 0 => (Malformed::Abandoned { received: here }, here),
            Verdict::Waits { missing } => return Outcome { pieces: pieces.into_vec(), rest: here, missing },
            Verdict::Rejected { cause, judged } => (cause, judged),
        };
        // The search goes on at the byte behind the candidate's first; as far as the judgement reaches, every byte with
        // which no other candidate can begin goes under the same cause.
        let judged_end = at + judged;
        let first = at;
        at += 1;
        while at < judged_end && !(stream[at] == 0xD7 && (at + 1 == judged_end || stream[at + 1] == 0x55)) {
            at += 1;
        }
        pieces.skipped(at - first, cause);
    }
}

/// The frames that the resynchronisation rule promises: of all places where an intact frame stands, from the front, those
/// that no earlier one of these covers. What stands around them does not enter into it.
#[must_use]
pub fn promised(stream: &[u8], max_payload: usize) -> Vec<Range<usize>> {
    let mut frames: Vec<Range<usize>> = Vec::new();
    for at in 0..stream.len() {
        if let Verdict::Frame { len } = judge(stream, at, max_payload)
            && frames.last().is_none_or(|earlier| earlier.end <= at)
        {
            frames.push(at..at + len);
        }
    }
    frames
}

enum Verdict {
    Frame { len: usize },
    Waits { missing: usize },
    Rejected { cause: Malformed, judged: usize },
}

/// Judges the candidate at `at`, in the order in which its bytes come.
fn judge(stream: &[u8], at: usize, max_payload: usize) -> Verdict {
    let candidate = &stream[at..];
    let here = candidate.len();
    for (i, magic) in [0xD7, 0x55].into_iter().enumerate() {
        if here > i && candidate[i] != magic {
            return Verdict::Rejected { cause: Malformed::Magic, judged: here };
        }
    }
    if here < 6 {
        return Verdict::Waits { missing: 6 - here };
    }
    let number = |i: usize| usize::from(candidate[i]) * 256 + usize::from(candidate[i + 1]);
    let (length, guard) = (number(2), number(4));
    if length + guard != 0xFFFF {
        let cause = Malformed::LengthGuard { length: length as u32, guard: guard as u32 };
        return Verdict::Rejected { cause, judged: 6 };
    }
    if length > max_payload {
        return Verdict::Rejected { cause: Malformed::OverLimit { length, limit: max_payload }, judged: 6 };
    }
    let len = 6 + length + 4;
    if here < len {
        return Verdict::Waits { missing: len - here };
    }
    let computed = checksum(&candidate[..len - 4]);
    let found = (number(len - 4) * 65_536 + number(len - 2)) as u32;
    if computed == found {
        Verdict::Frame { len }
    } else {
        Verdict::Rejected { cause: Malformed::Checksum { computed, found }, judged: len }
    }
}
