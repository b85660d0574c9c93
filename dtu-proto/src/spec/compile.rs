//! From a specification to what the decoder and the encoder work with, or to the part that is wrong.
// Evaluated at compile time or once; every sum is of lengths that were held against a bound before.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::error::{Field, SpecError};
use super::escape::Escape;
use super::fields::{Check, Encoding, Endian, Text};
use super::marker::Marker;
use super::parts::{field_max, in_range, saturated};
use super::quick::Quick;
use super::{FrameSpec, MAX_FIXED, MAX_HEADER_LEN, MAX_STARTS};
use crate::checksum::Digest;

/// A compiled [`FrameSpec`]: the [`Framing`](crate::Framing). Cheap to share; made by [`FrameSpec::compile`].
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    pub(super) spec: FrameSpec,
    /// The start markers without gaps, all of `start_len` bytes.
    pub(super) starts: [Marker; MAX_STARTS],
    pub(super) start_count: usize,
    pub(super) start_len: usize,
    /// The markers of the header, the first of them first.
    pub(super) head: [(usize, Marker); MAX_FIXED],
    pub(super) head_count: usize,
    /// The markers of the trailer, by their distance from the end of the frame; the end marker first.
    pub(super) tail: [(usize, Marker); MAX_FIXED + 1],
    pub(super) tail_count: usize,
    pub(super) escape: Option<Escape>,
    /// Whether a frame ends with the first end marker, instead of behind a number of bytes.
    pub(super) ended: bool,
    pub(super) sum: Option<Sum>,
    pub(super) quick: Quick,
    /// The bytes before the payload and behind it.
    pub(super) header_len: usize,
    pub(super) trailer_len: usize,
    /// How many bytes it takes to judge the header.
    pub(super) probe_len: usize,
    /// The shortest frame without its escapes, the longest one on the line.
    pub(super) min_len: usize,
    pub(super) max_len: usize,
    pub(super) evidence: u32,
}

/// The checksum, ready to use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) check: Check,
    pub(super) digest: Digest,
    pub(super) trim: usize,
    pub(super) width: usize,
    pub(super) form: Form,
    /// Whether it is CRC-32C, for which there are kernels.
    pub(super) castagnoli: bool,
}

/// How the check value stands there, the usual ways apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Byte,
    Big2,
    Little2,
    Big4,
    Other,
}

impl Form {
    pub(super) const fn of(check: &Check) -> Self {
        match (check.encoding, check.endian, check.width()) {
            (Text::Binary, _, 1) => Self::Byte,
            (Text::Binary, Endian::Big, 2) => Self::Big2,
            (Text::Binary, Endian::Little, 2) => Self::Little2,
            (Text::Binary, Endian::Big, 4) => Self::Big4,
            (Text::Binary | Text::Upper | Text::Lower, _, _) => Self::Other,
        }
    }
}

impl FrameSpec {
    /// The framing that this is the specification of.
    ///
    /// # Errors
    ///
    /// [`SpecError`] with the first part that contradicts another one or its own bounds.
    ///
    /// # Examples
    ///
    /// ```
    /// use dtu_proto::spec::{FrameSpec, Length};
    ///
    /// let error = FrameSpec::new(4096).start(&[0x68]).length(Length::byte(1).adjust(2)).compile().unwrap_err();
    /// assert_eq!(error.to_string(), "length.width: the longest frame needs 4094, and 255 is the most that fits");
    /// ```
    pub const fn compile(self) -> Result<Declared, SpecError> {
        let (starts, start_count, start_len) = attempt!(self.starts());
        let max_len = attempt!(self.longest());
        let ended = attempt!(self.is_ended(start_count, start_len));
        let escape = attempt!(self.guarded_escape(&starts));
        let (head, head_count, taken) = attempt!(self.header(start_len));
        let probe_len = taken.end;
        let header_len = match self.payload.from {
            None => taken.end,
            Some(from) => {
                attempt!(in_range(Field::PayloadFrom, saturated(from), taken.end as i64, MAX_HEADER_LEN as i64));
                from
            }
        };
        let (tail, tail_count, trailer_len) = attempt!(self.trailer());
        let sum = attempt!(self.sum(header_len, trailer_len));
        // Nothing between two end markers, or between a start and an end that are the same, is no frame.
        let empty_is_fill = ended && (start_len == 0 || starts[0].is(&self.end));
        let bare = empty_is_fill && header_len == start_len && trailer_len == self.end.len();
        let least = header_len + trailer_len + bare as usize;
        let min_len = attempt!(self.shortest(least, max_len));
        let mut declared = Declared {
            spec: self,
            starts,
            start_count,
            start_len,
            head,
            head_count,
            tail,
            tail_count,
            escape,
            ended,
            sum,
            quick: Quick::NONE,
            header_len,
            trailer_len,
            probe_len,
            min_len,
            max_len,
            evidence: 0,
        };
        declared.evidence = declared.count_evidence();
        declared.quick = Quick::of(&declared);
        Ok(declared)
    }
}

impl Declared {
    /// The bits that each frame is held against. What is only searched for, an end marker, is none.
    const fn count_evidence(&self) -> u32 {
        let mut bits = if self.spec.shared { 0 } else { self.starts[0].evidence() };
        let mut slot = 1;
        while slot < self.start_count {
            let other = self.starts[slot].evidence();
            bits = if other < bits { other } else { bits };
            slot += 1;
        }
        if self.start_count > 1 && !self.spec.shared {
            bits = bits.saturating_sub(usize::BITS - (self.start_count - 1).leading_zeros());
        }
        slot = 0;
        while slot < self.head_count {
            bits += self.head[slot].1.evidence();
            slot += 1;
        }
        slot = if self.ended { 1 } else { 0 };
        while slot < self.tail_count {
            bits += self.tail[slot].1.evidence();
            slot += 1;
        }
        if let Some(sum) = &self.sum {
            // A digit is one of 22 bytes of 256, and says 4 bits.
            let digits = if matches!(sum.check.encoding, Text::Binary) { 0 } else { 3 * sum.width as u32 };
            bits += sum.check.algorithm.bits() + digits;
        }
        if let Some(length) = &self.spec.length {
            let width = length.width as u32;
            bits += match length.encoding {
                Encoding::Binary => 0,
                Encoding::Decimal => width * 14 / 3,
                Encoding::Hexadecimal => width * 3,
            };
            if length.repeat.is_some() {
                bits += width * 8;
            }
            let lengths = (self.max_len - self.min_len + 1) as u64;
            bits += ((field_max(length) as u64 + 1) / lengths).ilog2();
        }
        bits
    }
}
