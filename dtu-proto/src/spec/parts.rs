//! The parts of a specification, each held against its bounds and the others.
// Evaluated at compile time or once; every sum is of lengths that were held against a bound before.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::compile::{Form, Sum};
use super::error::{Field, Problem, SpecError};
use super::escape::{Escape, Rule};
use super::fields::{Encoding, Fixed, Length};
use super::marker::Marker;
use super::{FrameSpec, MAX_FIXED, MAX_FRAME_LEN, MAX_HEADER_LEN, MAX_STARTS, MAX_TRAILER_LEN};
use crate::checksum::Algorithm;
use crate::checksum::catalogue::CRC_32_ISCSI;

pub(super) const fn in_range(field: Field, value: i64, min: i64, max: i64) -> Result<(), SpecError> {
    if value < min || value > max {
        refuse!(field, Problem::Range { value, min, max });
    }
    Ok(())
}

/// The bytes of a header or a trailer that are taken.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    bytes: u64,
    pub(super) end: usize,
}

impl Taken {
    const NOTHING: Self = Self { bytes: 0, end: 0 };

    const fn take(self, field: Field, at: usize, len: usize, bound: usize) -> Result<Self, SpecError> {
        if len == 0 {
            return Ok(self);
        }
        attempt!(in_range(field, saturated(at), 0, bound as i64 - len as i64));
        let run = (u64::MAX >> (64 - len)) << at;
        if self.bytes & run != 0 {
            refuse!(field, Problem::Overlaps);
        }
        let end = if at + len > self.end { at + len } else { self.end };
        Ok(Self { bytes: self.bytes | run, end })
    }
}

pub(super) const fn saturated(value: usize) -> i64 {
    if value > i64::MAX as usize { i64::MAX } else { value as i64 }
}

/// The largest number that a length field can hold.
pub(super) const fn field_max(length: &Length) -> i64 {
    match length.encoding {
        Encoding::Binary => {
            let mask = length.mask & length.full();
            (mask >> mask.trailing_zeros()) as i64
        }
        Encoding::Decimal => 10_i64.pow(length.width as u32) - 1,
        Encoding::Hexadecimal => 16_i64.pow(length.width as u32) - 1,
    }
}

impl Length {
    /// All bits of a binary field.
    pub(super) const fn full(&self) -> u32 {
        if self.width >= 4 { u32::MAX } else { (1 << (self.width * 8)) - 1 }
    }
}

impl FrameSpec {
    pub(super) const fn starts(&self) -> Result<([Marker; MAX_STARTS], usize, usize), SpecError> {
        let mut starts = [Marker::EMPTY; MAX_STARTS];
        let (mut slot, mut count) = (0, 0);
        while slot < MAX_STARTS {
            if !self.start[slot].is_empty() {
                starts[count] = self.start[slot];
                let (first, other) = (starts[0].len(), starts[count].len());
                if other != first {
                    refuse!(Field::Start, Problem::Unequal { first, other });
                }
                count += 1;
            }
            slot += 1;
        }
        Ok((starts, count, starts[0].len()))
    }

    pub(super) const fn longest(&self) -> Result<usize, SpecError> {
        let (field, len) = match (self.fixed_len, self.max_len) {
            (None, None) => refuse!(Field::MaxLen, Problem::Missing),
            (None, Some(max_len)) => (Field::MaxLen, max_len),
            (Some(len), None) => (Field::FixedLen, len),
            (Some(len), Some(max_len)) => {
                if len != max_len {
                    refuse!(Field::FixedLen, Problem::Contradicts(Field::MaxLen));
                }
                (Field::FixedLen, len)
            }
        };
        attempt!(in_range(field, saturated(len), 1, MAX_FRAME_LEN as i64));
        Ok(len)
    }

    /// Which of the shapes it is, and whether what goes with the shape is there.
    pub(super) const fn is_ended(&self, start_count: usize, start_len: usize) -> Result<bool, SpecError> {
        if self.fixed_len.is_some() {
            if self.length.is_some() {
                refuse!(Field::FixedLen, Problem::Contradicts(Field::LengthAt));
            }
            if self.escape.is_some() {
                refuse!(Field::FixedLen, Problem::Contradicts(Field::Escape));
            }
        }
        let ended = self.escape.is_some() || (self.length.is_none() && self.fixed_len.is_none());
        if ended && self.end.is_empty() {
            refuse!(Field::End, if self.escape.is_some() { Problem::Missing } else { Problem::Endless });
        }
        if self.escape.is_some() {
            attempt!(in_range(Field::End, self.end.len() as i64, 1, 1));
            attempt!(in_range(Field::Start, start_len as i64, 0, 1));
        }
        let mut slot = 0;
        let mut closes_as_it_starts = false;
        while slot < MAX_STARTS {
            if !self.end.is_empty() && self.start[slot].is(&self.end) {
                closes_as_it_starts = true;
            }
            slot += 1;
        }
        // A run of a marker of several bytes could be read in more than one way.
        if ended && closes_as_it_starts && (self.end.len() > 1 || start_count > 1) {
            refuse!(Field::End, Problem::Contradicts(Field::Start));
        }
        if self.shared {
            if !ended {
                let other = if self.length.is_some() { Field::LengthAt } else { Field::FixedLen };
                refuse!(Field::Shared, Problem::Contradicts(other));
            }
            if !closes_as_it_starts {
                refuse!(Field::Shared, Problem::Contradicts(Field::End));
            }
        }
        if let Some(byte) = self.preamble {
            if start_count == 0 {
                refuse!(Field::Preamble, Problem::Contradicts(Field::Start));
            }
            if self.shared {
                refuse!(Field::Preamble, Problem::Contradicts(Field::Shared));
            }
            let mut slot = 0;
            while slot < MAX_STARTS {
                if !self.start[slot].is_empty() && self.start[slot].first() == byte {
                    refuse!(Field::Preamble, Problem::Contradicts(Field::Start));
                }
                slot += 1;
            }
        }
        Ok(ended)
    }

    /// The escape rule with the markers in it. What it writes must not be taken for a marker.
    pub(super) const fn guarded_escape(&self, starts: &[Marker; MAX_STARTS]) -> Result<Option<Escape>, SpecError> {
        let Some(mut escape) = self.escape else { return Ok(None) };
        let mut is_marker = [false; 256];
        is_marker[self.end.first() as usize] = true;
        escape = escape.guarding(&self.end);
        let mut slot = 0;
        while slot < MAX_STARTS && !starts[slot].is_empty() {
            is_marker[starts[slot].first() as usize] = true;
            escape = escape.guarding(&starts[slot]);
            slot += 1;
        }
        if is_marker[escape.lead as usize] {
            let other = if escape.lead == self.end.first() { Field::End } else { Field::Start };
            refuse!(Field::EscapeLead, Problem::Contradicts(other));
        }
        let field = match &escape.rule {
            Rule::Map(_) => Field::EscapeMap,
            Rule::Xor { bits, .. } => {
                attempt!(in_range(Field::EscapeXor, *bits as i64, 1, 0xFF));
                Field::EscapeXor
            }
        };
        let mut byte = 0;
        while byte < 256 {
            let code = escape.code_of(byte as u8);
            if let Some(code) = code
                && is_marker[code as usize]
            {
                refuse!(field, Problem::Byte { byte: code });
            }
            if code.is_none() && (is_marker[byte] || byte == escape.lead as usize) {
                refuse!(field, Problem::Byte { byte: byte as u8 });
            }
            byte += 1;
        }
        if let Rule::Map(pairs) = &escape.rule {
            attempt!(distinct_codes(pairs, &is_marker));
        }
        Ok(Some(escape))
    }

    /// The markers of the header in their order, how many they are, and what of it is taken.
    #[allow(clippy::type_complexity)] // used once
    pub(super) const fn header(
        &self,
        start_len: usize,
    ) -> Result<([(usize, Marker); MAX_FIXED], usize, Taken), SpecError> {
        let mut taken = attempt!(Taken::NOTHING.take(Field::Start, 0, start_len, MAX_HEADER_LEN));
        let mut head = [(0, Marker::EMPTY); MAX_FIXED];
        let (mut slot, mut count) = (0, 0);
        while slot < MAX_FIXED {
            let fixed = self.fixed[slot];
            if fixed.at >= 0 && !fixed.hex.is_empty() {
                taken = attempt!(taken.take(Field::Fixed, fixed.at as usize, fixed.hex.len(), MAX_HEADER_LEN));
                let mut place = count;
                while place > 0 && head[place - 1].0 > fixed.at as usize {
                    head[place] = head[place - 1];
                    place -= 1;
                }
                head[place] = (fixed.at as usize, fixed.hex);
                count += 1;
            }
            slot += 1;
        }
        if let Some(length) = &self.length {
            let widest = if matches!(length.encoding, Encoding::Binary) { 4 } else { 8 };
            attempt!(in_range(Field::LengthWidth, saturated(length.width), 1, widest));
            taken = attempt!(taken.take(Field::LengthAt, length.at, length.width, MAX_HEADER_LEN));
            attempt!(sound_mask(length));
            if let Some(repeat) = length.repeat {
                taken = attempt!(taken.take(Field::LengthRepeat, repeat.at, length.width, MAX_HEADER_LEN));
                if repeat.complement && !matches!(length.encoding, Encoding::Binary) {
                    refuse!(Field::LengthRepeat, Problem::Contradicts(Field::LengthEncoding));
                }
            }
        }
        Ok((head, count, taken))
    }

    /// The markers of the trailer, how many they are, and how long the trailer is.
    #[allow(clippy::type_complexity)] // used once
    pub(super) const fn trailer(&self) -> Result<([(usize, Marker); MAX_FIXED + 1], usize, usize), SpecError> {
        let mut tail = [(0, Marker::EMPTY); MAX_FIXED + 1];
        let mut count = 0;
        let mut taken = attempt!(Taken::NOTHING.take(Field::End, 0, self.end.len(), MAX_TRAILER_LEN));
        if !self.end.is_empty() {
            tail[0] = (self.end.len(), self.end);
            count = 1;
        }
        if let Some(check) = &self.check {
            let width = check.width();
            attempt!(in_range(Field::CheckPlace, saturated(check.place), width as i64, MAX_TRAILER_LEN as i64));
            taken = attempt!(taken.take(Field::CheckPlace, check.place - width, width, MAX_TRAILER_LEN));
        }
        let mut slot = 0;
        while slot < MAX_FIXED {
            let Fixed { at, hex } = self.fixed[slot];
            if at < 0 && !hex.is_empty() {
                let (len, least) = (hex.len(), -(MAX_TRAILER_LEN as i64));
                attempt!(in_range(Field::Fixed, at as i64, least, -(len as i64)));
                let before_end = at.unsigned_abs() as usize;
                taken = attempt!(taken.take(Field::Fixed, before_end - len, len, MAX_TRAILER_LEN));
                tail[count] = (before_end, hex);
                count += 1;
            }
            slot += 1;
        }
        let len = match self.payload.trim {
            None => taken.end,
            Some(trim) => {
                let bound = MAX_TRAILER_LEN as i64;
                attempt!(in_range(Field::PayloadTrim, saturated(trim), taken.end as i64, bound));
                trim
            }
        };
        let free = taken.bytes.trailing_ones() as usize;
        if free < len {
            refuse!(Field::PayloadTrim, Problem::Undetermined { before_end: free + 1 });
        }
        Ok((tail, count, len))
    }

    pub(super) const fn sum(&self, header_len: usize, trailer_len: usize) -> Result<Option<Sum>, SpecError> {
        let Some(check) = self.check else { return Ok(None) };
        if let Algorithm::Crc(crc) = check.algorithm {
            attempt!(in_range(Field::CheckWidth, crc.width as i64, 8, 32));
            let most = (u32::MAX >> (32 - crc.width)) as i64;
            attempt!(in_range(Field::CheckPoly, crc.poly as i64, 1, most));
            attempt!(in_range(Field::CheckInit, crc.init as i64, 0, most));
            attempt!(in_range(Field::CheckXorOut, crc.xor_out as i64, 0, most));
        }
        attempt!(in_range(Field::CheckFrom, saturated(check.from), 0, header_len as i64));
        let trim = match check.trim {
            None => check.place,
            Some(trim) => {
                attempt!(in_range(Field::CheckTrim, saturated(trim), check.place as i64, trailer_len as i64));
                trim
            }
        };
        let castagnoli = match check.algorithm {
            Algorithm::Crc(crc) => {
                let known = CRC_32_ISCSI;
                crc.width == known.width
                    && crc.poly == known.poly
                    && crc.init == known.init
                    && crc.xor_out == known.xor_out
                    && crc.reflect_in
                    && crc.reflect_out
            }
            Algorithm::Sum8 | Algorithm::Xor8 | Algorithm::Lrc8 | Algorithm::Fletcher8 | Algorithm::Hj212 => false,
        };
        let digest = check.algorithm.digest();
        Ok(Some(Sum { check, digest, trim, width: check.width(), form: Form::of(&check), castagnoli }))
    }

    /// The length of the shortest frame, `least` by what is declared in it.
    pub(super) const fn shortest(&self, least: usize, max_len: usize) -> Result<usize, SpecError> {
        let longest_field = if self.fixed_len.is_some() { Field::FixedLen } else { Field::MaxLen };
        attempt!(in_range(longest_field, max_len as i64, least as i64, MAX_FRAME_LEN as i64));
        let mut min_len = match (self.fixed_len, self.min_len) {
            (None, None) => least,
            (None, Some(min_len)) => {
                attempt!(in_range(Field::MinLen, saturated(min_len), least as i64, max_len as i64));
                min_len
            }
            (Some(len), None) => len,
            (Some(len), Some(min_len)) => {
                if min_len != len {
                    refuse!(Field::MinLen, Problem::Contradicts(Field::FixedLen));
                }
                len
            }
        };
        if let Some(length) = &self.length {
            let (most, adjust) = (field_max(length), length.adjust as i64);
            let bound = max_len as i64;
            attempt!(in_range(Field::LengthAdjust, adjust, min_len as i64 - most, bound));
            if bound - adjust > most {
                let field =
                    if matches!(length.encoding, Encoding::Binary) && length.mask & length.full() != length.full() {
                        Field::LengthMask
                    } else {
                        Field::LengthWidth
                    };
                refuse!(field, Problem::CannotHold { value: bound - adjust, max: most });
            }
            if adjust > min_len as i64 {
                min_len = adjust as usize;
            }
        }
        Ok(min_len)
    }
}

/// The mask is one run of bits of the field; digits have none.
const fn sound_mask(length: &Length) -> Result<(), SpecError> {
    if !matches!(length.encoding, Encoding::Binary) {
        if length.mask != u32::MAX {
            refuse!(Field::LengthMask, Problem::Contradicts(Field::LengthEncoding));
        }
        return Ok(());
    }
    let (mask, full) = (length.mask, length.full());
    let run = if mask == 0 { 0 } else { mask >> mask.trailing_zeros() };
    if run & run.wrapping_add(1) != 0 || mask == 0 || (mask != u32::MAX && mask & !full != 0) {
        refuse!(Field::LengthMask, Problem::Range { value: mask as i64, min: 1, max: full as i64 });
    }
    Ok(())
}

const fn distinct_codes(pairs: &[Option<(u8, u8)>], is_marker: &[bool; 256]) -> Result<(), SpecError> {
    let mut seen = *is_marker;
    let mut slot = 0;
    while slot < pairs.len() {
        if let Some((code, _)) = pairs[slot] {
            if seen[code as usize] {
                refuse!(Field::EscapeMap, Problem::Byte { byte: code });
            }
            seen[code as usize] = true;
        }
        slot += 1;
    }
    Ok(())
}
