//! Writing the frame around a payload.

use super::compile::{Declared, Sum};
use super::escape::{Escape, Run, Runs};
use super::fields::{Encoding, Endian, Length, Text};
use super::marker::Marker;
use super::{MAX_HEADER_LEN, MAX_TRAILER_LEN};
use crate::encode::{EncodeError, Sink};
use crate::hex;

impl Declared {
    /// See [`Framing::encode_into`](crate::Framing::encode_into).
    pub(super) fn encode(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let mut head = [0; MAX_HEADER_LEN];
        let mut tail = [0; MAX_TRAILER_LEN];
        let head = head.get_mut(..self.header_len).expect("no header is longer");
        let tail = tail.get_mut(..self.trailer_len).expect("no trailer is longer");
        let start = self.start_of(header);
        self.take_header(header, head)?;
        put_at(head, 0, start.as_bytes());
        for (at, marker) in self.head.iter().take(self.head_count) {
            put_at(head, *at, marker.as_bytes());
        }
        for (before_end, marker) in self.tail.iter().take(self.tail_count) {
            put_at(tail, self.trailer_len.saturating_sub(*before_end), marker.as_bytes());
        }
        let total = self.header_len.saturating_add(payload.len()).saturating_add(self.trailer_len);
        if total > self.max_len {
            return Err(EncodeError::PayloadTooLong { length: payload.len(), limit: self.max_payload() });
        }
        if total < self.min_len {
            return Err(EncodeError::PayloadLength { length: payload.len() });
        }
        if let Some(length) = &self.spec.length {
            length.write(head, total);
        }
        if let Some(sum) = &self.sum {
            sum.write(head, payload, tail);
        }
        match &self.escape {
            Some(escape) => self.put_escaped(escape, head, payload, tail, sink),
            None => {
                if self.ended {
                    self.is_encodable(head, payload, tail)?;
                }
                sink.put(head);
                sink.put(payload);
                sink.put(tail);
                Ok(())
            }
        }
    }

    /// The start marker that `header` begins with, or the first one.
    fn start_of(&self, header: &[u8]) -> Marker {
        let mut starts = self.starts.iter().filter(|start| !start.is_empty());
        let first = self.starts.first().copied().unwrap_or_default();
        starts.find(|start| start.begins(header)).copied().unwrap_or(first)
    }

    /// Copies what stands behind the start marker, with its escapes undone, into `head`.
    fn take_header(&self, header: &[u8], head: &mut [u8]) -> Result<(), EncodeError> {
        if header.is_empty() {
            return Ok(());
        }
        // Behind the end of another frame, a frame has none of its own.
        let is_lent = self.spec.shared && !self.begins(header);
        let opened = if is_lent { 0 } else { self.start_len };
        let wrong = EncodeError::HeaderLength { needed: self.header_len, found: header.len() };
        let mut room = head.get_mut(self.start_len..).unwrap_or_default();
        for run in (Runs { escape: self.escape, rest: header.get(opened..).ok_or(wrong)? }) {
            if matches!(run, Run::Wrong) {
                return Err(wrong);
            }
            let place = room.split_off_mut(..run.meant().len()).ok_or(wrong)?;
            place.copy_from_slice(run.meant());
        }
        if room.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Whether the first end marker behind the start is the one that is meant.
    fn is_encodable(&self, head: &[u8], payload: &[u8], tail: &[u8]) -> Result<(), EncodeError> {
        let end = self.spec.end.as_bytes();
        let inner = head.iter().skip(self.start_len).chain(payload).chain(tail);
        let len = head.len().saturating_sub(self.start_len).saturating_add(payload.len()).saturating_add(tail.len());
        let (mut window, mut seen) = (0_u64, 0_usize);
        let marker = end.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let all = u64::MAX >> (64_usize.saturating_sub(end.len().saturating_mul(8)));
        for byte in inner {
            window = ((window << 8) | u64::from(*byte)) & all;
            seen = seen.saturating_add(1);
            if seen >= end.len() && window == marker && seen < len {
                let first = self.start_len.saturating_add(seen).saturating_sub(end.len());
                return Err(EncodeError::Unencodable { at: first.saturating_sub(self.header_len) });
            }
        }
        Ok(())
    }

    fn put_escaped(
        &self,
        escape: &Escape,
        head: &[u8],
        payload: &[u8],
        tail: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), EncodeError> {
        let (start, head) = head.split_at_checked(self.start_len).unwrap_or_default();
        let (tail, end) = tail.split_at_checked(tail.len().saturating_sub(self.spec.end.len())).unwrap_or_default();
        let replaced = |bytes: &[u8]| bytes.iter().filter(|byte| escape.code_of(**byte).is_some()).count();
        let parts = [head, payload, tail];
        let markers = start.len().saturating_add(end.len());
        let len = parts.iter().fold(markers, |sum, part| sum.saturating_add(part.len()).saturating_add(replaced(part)));
        if len > self.max_len {
            return Err(EncodeError::PayloadTooLong { length: payload.len(), limit: self.max_payload() });
        }
        sink.put(start);
        for part in parts {
            put_escaped(escape, part, sink);
        }
        sink.put(end);
        Ok(())
    }
}

fn put_escaped(escape: &Escape, bytes: &[u8], sink: &mut dyn Sink) {
    let mut rest = bytes;
    while let Some((at, code)) =
        rest.iter().enumerate().find_map(|(at, byte)| escape.code_of(*byte).map(|code| (at, code)))
    {
        let (plain, behind) = rest.split_at_checked(at).unwrap_or_default();
        sink.put(plain);
        sink.put(&[escape.lead, code]);
        rest = behind.get(1..).unwrap_or_default();
    }
    sink.put(rest);
}

/// Puts `bytes` in their place, which the compiled specification has room for.
fn put_at(out: &mut [u8], at: usize, bytes: &[u8]) {
    let place = out.get_mut(at..at.saturating_add(bytes.len()));
    place.expect("what is declared lies in the header or the trailer").copy_from_slice(bytes);
}

impl Length {
    /// Writes the length of a frame of `total` bytes, and its repeat; the bits outside the mask stay.
    fn write(&self, head: &mut [u8], total: usize) {
        let value = i64::try_from(total).unwrap_or(i64::MAX).saturating_sub(self.adjust.into());
        let value = u32::try_from(value).expect("the field holds the length of every frame");
        let free = head.get(self.at..).and_then(|field| self.read(field)).unwrap_or_default();
        let raw = match self.encoding {
            Encoding::Binary => {
                let mask = self.mask & self.full();
                (free & !mask) | (value << self.mask.trailing_zeros())
            }
            Encoding::Decimal | Encoding::Hexadecimal => value,
        };
        self.write_raw(head, self.at, raw);
        if let Some(repeat) = self.repeat {
            self.write_raw(head, repeat.at, if repeat.complement { !raw } else { raw });
        }
    }

    fn write_raw(&self, head: &mut [u8], at: usize, raw: u32) {
        let place = head.get_mut(at..at.saturating_add(self.width)).expect("the length lies in the header");
        match (self.encoding, self.endian) {
            (Encoding::Binary, Endian::Big) => fill(place.iter_mut().rev(), raw),
            (Encoding::Binary, Endian::Little) => fill(place.iter_mut(), raw),
            (Encoding::Decimal, _) => digits(place.iter_mut().rev(), raw, 10),
            (Encoding::Hexadecimal, _) => digits(place.iter_mut().rev(), raw, 16),
        }
    }
}

/// Writes `number`, its least significant byte first.
fn fill<'a>(place: impl Iterator<Item = &'a mut u8>, number: u32) {
    for (to, from) in place.zip(number.to_le_bytes()) {
        *to = from;
    }
}

/// Writes `number` in upper-case digits, the last one first.
fn digits<'a>(place: impl Iterator<Item = &'a mut u8>, mut number: u32, radix: u32) {
    for to in place {
        let digit = char::from_digit(number.checked_rem(radix).unwrap_or_default(), radix).unwrap_or('0');
        *to = u8::try_from(digit.to_ascii_uppercase()).unwrap_or(b'0');
        number = number.checked_div(radix).unwrap_or_default();
    }
}

impl Sum {
    fn write(&self, head: &[u8], payload: &[u8], tail: &mut [u8]) {
        let mut digest = self.digest;
        digest.update(head.get(self.check.from..).unwrap_or_default());
        digest.update(payload);
        digest.update(tail.get(..tail.len().saturating_sub(self.trim)).unwrap_or_default());
        let value = digest.finish();
        let at = tail.len().saturating_sub(self.check.place);
        let place = tail.get_mut(at..at.saturating_add(self.width)).expect("the check value lies in the trailer");
        let mut bytes = [0; 4];
        let bytes = bytes.get_mut(..self.check.algorithm.width()).unwrap_or_default();
        match self.check.endian {
            Endian::Big => fill(bytes.iter_mut().rev(), value),
            Endian::Little => fill(bytes.iter_mut(), value),
        }
        match self.check.encoding {
            Text::Binary => place.copy_from_slice(bytes),
            Text::Upper | Text::Lower => {
                for (pair, byte) in place.chunks_exact_mut(2).zip(bytes.iter()) {
                    pair.copy_from_slice(&hex::digits(*byte));
                }
                if self.check.encoding == Text::Upper {
                    place.make_ascii_uppercase();
                }
            }
        }
    }
}
