//! Judging a candidate whose length its header says, or that is always the same.

use super::compile::{Declared, Sum};
use super::fields::{Encoding, Endian, Length, Text};
use crate::checksum::{Crc32c, Digest};
use crate::frame::Frame;
use crate::framing::{Examined, Malformed};
use core::num::NonZeroUsize;

/// How the checksum of a frame is computed.
pub(super) trait Verify: Copy {
    fn value(self, digest: Digest, bytes: &[u8]) -> u32;
}

/// By the algorithm that the specification names.
#[derive(Clone, Copy)]
pub(super) struct Named;

impl Verify for Named {
    #[inline(always)]
    fn value(self, mut digest: Digest, bytes: &[u8]) -> u32 {
        digest.update(bytes);
        digest.finish()
    }
}

/// By a kernel for CRC-32C, inlined.
#[derive(Clone, Copy)]
pub(super) struct Castagnoli<C>(pub(super) C);

impl<C: Crc32c> Verify for Castagnoli<C> {
    #[inline(always)]
    fn value(self, _: Digest, bytes: &[u8]) -> u32 {
        self.0.checksum(bytes)
    }
}

/// `NeedMore` for `needed` bytes in all, of which `len` are there; one more at the least.
#[inline]
pub(super) fn need<'a>(needed: usize, len: usize) -> Examined<'a> {
    Examined::NeedMore { at_least: NonZeroUsize::new(needed.saturating_sub(len)).unwrap_or(NonZeroUsize::MIN) }
}

impl Declared {
    /// Judges the candidate, which is not ended by a marker.
    #[inline(always)]
    pub(super) fn judge_sized<'a, V: Verify>(&self, candidate: &'a [u8], verify: V) -> Examined<'a> {
        let Some(head) = candidate.get(..self.probe_len) else {
            return self.judge_short(candidate);
        };
        if !self.begins(head) {
            return self.judge_strange(candidate);
        }
        if self.head_count > 0
            && let Some(at) = self.wrong_head(|at| head.get(at..).unwrap_or_default())
        {
            return self.judge_head(candidate, at);
        }
        let total = match &self.spec.length {
            None => self.max_len,
            Some(length) => match self.total(length, head) {
                Ok(total) => total,
                Err(cause) => return Examined::Rejected { cause, judged: self.probe_len },
            },
        };
        let Some(bytes) = candidate.get(..total) else {
            return need(total, candidate.len());
        };
        let rejected = |cause| Examined::Rejected { cause, judged: total };
        if self.tail_count > 0
            && let Some(at) = self.wrong_tail(total, |at| bytes.get(at..).unwrap_or_default())
        {
            return rejected(Malformed::Marker { at });
        }
        if let Some(sum) = &self.sum {
            let covered = bytes.get(sum.check.from..total.saturating_sub(sum.trim)).unwrap_or_default();
            let value = bytes.get(total.saturating_sub(sum.check.place)..).unwrap_or_default();
            if let Err(cause) = sum.holds(value, verify.value(sum.digest, covered), total) {
                return rejected(cause);
            }
        }
        let payload = bytes.get(self.header_len..total.saturating_sub(self.trailer_len));
        Examined::Frame(Frame::from_parts(bytes, payload.expect("the shortest frame has its header and its trailer")))
    }

    /// Whether `bytes`, at least as long as a start marker, begin with one.
    #[inline(always)]
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        let [first, others @ ..] = &self.starts;
        first.begins(bytes)
            || (self.start_count > 1 && others.iter().any(|start| !start.is_empty() && start.begins(bytes)))
    }

    /// A candidate that is too short to judge its header.
    #[cold]
    fn judge_short<'a>(&self, candidate: &[u8]) -> Examined<'a> {
        if self.may_begin(candidate) { need(self.probe_len, candidate.len()) } else { self.judge_strange(candidate) }
    }

    /// Whether `bytes` may become the beginning of a frame when more follow.
    pub(super) fn may_begin(&self, bytes: &[u8]) -> bool {
        self.start_count == 0 || self.starts.iter().any(|start| !start.is_empty() && start.agrees(bytes))
    }

    /// A candidate that does not begin with a start marker.
    #[cold]
    pub(super) fn judge_strange<'a>(&self, candidate: &[u8]) -> Examined<'a> {
        let fill = candidate.iter().take_while(|byte| Some(**byte) == self.spec.preamble).count();
        match fill {
            0 => Examined::Rejected { cause: Malformed::Magic, judged: candidate.len() },
            judged => Examined::Rejected { cause: Malformed::Fill, judged },
        }
    }

    /// A candidate whose marker at `at` is not there. Where there is no start marker, the first marker is in its place.
    #[cold]
    fn judge_head<'a>(&self, candidate: &[u8], at: usize) -> Examined<'a> {
        let [(first, _), ..] = self.head;
        if self.start_len == 0 && at == first {
            Examined::Rejected { cause: Malformed::Magic, judged: candidate.len() }
        } else {
            Examined::Rejected { cause: Malformed::Marker { at }, judged: self.probe_len }
        }
    }

    /// Where the first marker of the header stands that is not there; `bytes` gives what stands from a place on.
    #[inline(always)]
    pub(super) fn wrong_head<'b>(&self, bytes: impl Fn(usize) -> &'b [u8]) -> Option<usize> {
        let markers = self.head.get(..self.head_count).unwrap_or_default();
        markers.iter().find(|(at, marker)| !marker.begins(bytes(*at))).map(|(at, _)| *at)
    }

    /// The same for the trailer of a frame of `total` bytes.
    #[inline(always)]
    pub(super) fn wrong_tail<'b>(&self, total: usize, bytes: impl Fn(usize) -> &'b [u8]) -> Option<usize> {
        let markers = self.tail.get(..self.tail_count).unwrap_or_default();
        let mut places = markers.iter().map(|(before_end, marker)| (total.saturating_sub(*before_end), marker));
        places.find(|(at, marker)| !marker.begins(bytes(*at))).map(|(at, _)| at)
    }

    /// The length of the whole frame by its header.
    #[inline(always)]
    pub(super) fn total(&self, length: &Length, head: &[u8]) -> Result<usize, Malformed> {
        let field = head.get(length.at..).unwrap_or_default();
        let Some(raw) = length.read(field) else { return Err(length.none(field)) };
        if let Some(repeat) = length.repeat {
            let guard = head.get(repeat.at..).unwrap_or_default();
            let expected = if repeat.complement { !raw & length.full() } else { raw };
            let found = length.read(guard);
            if found != Some(expected) {
                return Err(Malformed::LengthGuard { length: raw, guard: found.unwrap_or_else(|| line_number(guard)) });
            }
        }
        let total = self.sum_of(length, raw);
        if (self.min_len..=self.max_len).contains(&total) { Ok(total) } else { Err(self.outside(length, field, total)) }
    }

    /// The field and the adjustment added up; of a negative sum, a number beyond every limit.
    #[inline(always)]
    #[allow(clippy::as_conversions)] // negative numbers wrap around, and the sum with them
    fn sum_of(&self, length: &Length, raw: u32) -> usize {
        (length.value(raw) as usize).wrapping_add(length.adjust as isize as usize)
    }

    #[cold]
    fn outside(&self, length: &Length, field: &[u8], total: usize) -> Malformed {
        match isize::try_from(total) {
            Ok(_) if total > self.max_len => {
                let overhead = self.header_len.saturating_add(self.trailer_len);
                Malformed::OverLimit { length: total.saturating_sub(overhead), limit: self.max_payload() }
            }
            _ => length.none(field),
        }
    }

    /// The longest payload, in bytes on the line.
    #[must_use]
    pub const fn max_payload(&self) -> usize {
        self.max_len.saturating_sub(self.header_len).saturating_sub(self.trailer_len)
    }
}

impl Length {
    /// The number as it stands in the field at the front of `bytes`; `None` when it is none.
    #[inline(always)]
    pub(super) fn read(&self, bytes: &[u8]) -> Option<u32> {
        match (self.encoding, self.endian, self.width) {
            (Encoding::Binary, _, 1) => bytes.first().map(|byte| u32::from(*byte)),
            (Encoding::Binary, Endian::Big, 2) => bytes.first_chunk().map(|raw| u16::from_be_bytes(*raw).into()),
            (Encoding::Binary, Endian::Little, 2) => bytes.first_chunk().map(|raw| u16::from_le_bytes(*raw).into()),
            _ => self.read_any(bytes.get(..self.width)?),
        }
    }

    fn read_any(&self, field: &[u8]) -> Option<u32> {
        let radix = match (self.encoding, self.endian) {
            (Encoding::Binary, Endian::Big) => return Some(number(field)),
            (Encoding::Binary, Endian::Little) => return Some(number_reversed(field)),
            (Encoding::Decimal, _) => 10,
            (Encoding::Hexadecimal, _) => 16,
        };
        field.iter().try_fold(0_u32, |sum, digit| {
            Some(sum.wrapping_mul(radix).wrapping_add(char::from(*digit).to_digit(radix)?))
        })
    }

    /// What the bits of the mask say.
    #[inline(always)]
    pub(super) const fn value(&self, raw: u32) -> u32 {
        (raw & self.mask) >> self.mask.trailing_zeros()
    }

    #[cold]
    fn none(&self, field: &[u8]) -> Malformed {
        Malformed::Length { found: line_number(field.get(..self.width).unwrap_or(field)) }
    }
}

/// The first bytes, four at the most, as a number.
fn line_number(bytes: &[u8]) -> u32 {
    number(bytes.get(..4).unwrap_or(bytes))
}

/// A number whose most significant byte is first; of more than four bytes, the last four.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
}

fn number_reversed(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
}

impl Sum {
    /// Compares the check value at the front of `bytes` with `computed`; the frame is `total` bytes long.
    #[inline(always)]
    pub(super) fn holds(&self, bytes: &[u8], computed: u32, total: usize) -> Result<(), Malformed> {
        let found = match (self.check.encoding, self.check.endian, self.width) {
            (Text::Binary, _, 1) => bytes.first().map(|byte| u32::from(*byte)),
            (Text::Binary, Endian::Big, 4) => bytes.first_chunk().map(|raw| u32::from_be_bytes(*raw)),
            (Text::Binary, Endian::Little, 2) => bytes.first_chunk().map(|raw| u16::from_le_bytes(*raw).into()),
            (Text::Binary, Endian::Big, 2) => bytes.first_chunk().map(|raw| u16::from_be_bytes(*raw).into()),
            _ => self.read_any(bytes.get(..self.width).unwrap_or(bytes)),
        };
        match found {
            Some(found) if found == computed => Ok(()),
            Some(found) => Err(Malformed::Checksum { computed, found }),
            // Not a digit where the checksum should stand.
            None => Err(Malformed::Marker { at: total.saturating_sub(self.check.place) }),
        }
    }

    fn read_any(&self, field: &[u8]) -> Option<u32> {
        match (self.check.encoding, self.check.endian) {
            (Text::Binary, Endian::Big) => Some(number(field)),
            (Text::Binary, Endian::Little) => Some(number_reversed(field)),
            (Text::Upper | Text::Lower, endian) => {
                let (pairs, _) = field.as_chunks::<2>();
                let byte = |pair: &[u8; 2]| {
                    pair.iter().try_fold(0_u32, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
                };
                match endian {
                    Endian::Big => pairs.iter().try_fold(0, |sum: u32, pair| Some(sum << 8 | byte(pair)?)),
                    Endian::Little => pairs.iter().rev().try_fold(0, |sum: u32, pair| Some(sum << 8 | byte(pair)?)),
                }
            }
        }
    }
}
