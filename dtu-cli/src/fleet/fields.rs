//! What the bytes of a frame mean, as far as they tell it: Modbus RTU by its checksum, Modbus TCP by its header.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6.

use super::rings::Direction;
use crate::request::words::{checksum, exception};
use core::ops::Range;
use serde::Serialize;
use utoipa::ToSchema;

/// The bit of a function that makes a reply an exception.
const EXCEPTION: u8 = 0x80;

/// The most values of one frame that are told one by one; what stands behind them is one field.
const VALUES: usize = 32;

/// A part of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Field {
    /// Its first byte.
    pub(crate) from: usize,
    /// The first byte behind it.
    pub(crate) to: usize,
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// The parts of a frame, in the order of its bytes; none where it is not known what it is.
pub(crate) fn annotate(frame: &[u8], direction: Direction) -> Vec<Field> {
    let mut parts = Parts { frame, fields: Vec::new() };
    if is_rtu(frame) {
        parts.byte(0, "address");
        parts.pdu(1..frame.len() - 2, direction);
        parts.tell(frame.len() - 2..frame.len(), "crc", "right".to_owned());
    } else if is_tcp(frame) {
        parts.word(0, "transaction");
        parts.word(2, "protocol");
        parts.word(4, "length");
        parts.byte(6, "unit");
        parts.pdu(7..frame.len(), direction);
    }
    parts.fields
}

/// Address, function, and a right checksum.
fn is_rtu(frame: &[u8]) -> bool {
    frame.len() >= 4 && frame.split_last_chunk::<2>().is_some_and(|(body, check)| checksum(body) == *check)
}

/// Protocol 0, and the length of what is there.
fn is_tcp(frame: &[u8]) -> bool {
    frame.len() >= 8
        && frame.get(2..4) == Some(&[0, 0])
        && frame
            .get(4..6)
            .is_some_and(|length| usize::from(u16::from_be_bytes([length[0], length[1]])) == frame.len() - 6)
}

struct Parts<'a> {
    frame: &'a [u8],
    fields: Vec<Field>,
}

impl Parts<'_> {
    /// Function and data. What does not stand where its function has it is told as data.
    fn pdu(&mut self, place: Range<usize>, direction: Direction) {
        let Some(function) = self.frame.get(place.start).copied() else { return };
        let (start, end) = (place.start + 1, place.end);
        self.tell(place.start..start, "function", format!("{function:02X}: {}", name(function)));
        let len = end - start;
        let done = match (direction, function) {
            (Direction::Up, EXCEPTION..) if len == 1 => {
                let code = self.frame.get(start).copied().unwrap_or_default();
                self.tell(start..end, "exception", format!("{code:02X}: {}", exception(code)));
                end
            }
            (Direction::Down, 0x01..=0x04) if len == 4 => self.words(start, ["first", "count"]),
            (Direction::Up, 0x01 | 0x02) if self.is_counted(start, end) => {
                let done = self.byte(start, "bytes");
                self.tell(done..end, "bits", bits(self.frame.get(done..end).unwrap_or_default()));
                end
            }
            (Direction::Up, 0x03 | 0x04 | 0x17) if self.is_counted(start, end) => {
                let done = self.byte(start, "bytes");
                self.values(done, end)
            }
            (_, 0x05) if len == 4 => self.words(start, ["output", "value"]),
            (_, 0x06) if len == 4 => self.words(start, ["register", "value"]),
            (Direction::Up, 0x0F | 0x10) if len == 4 => self.words(start, ["first", "count"]),
            (Direction::Down, 0x0F | 0x10) if len > 4 && self.is_counted(start + 4, end) => {
                let done = self.words(start, ["first", "count"]);
                let done = self.byte(done, "bytes");
                if function == 0x10 {
                    self.values(done, end)
                } else {
                    self.tell(done..end, "bits", bits(self.frame.get(done..end).unwrap_or_default()));
                    end
                }
            }
            _ => start,
        };
        if done < end {
            self.tell(done..end, "data", format!("{} bytes", end - done));
        }
    }

    /// Whether the byte at `place` counts those up to `end`.
    fn is_counted(&self, place: usize, end: usize) -> bool {
        place < end && self.frame.get(place).is_some_and(|count| usize::from(*count) == end - place - 1)
    }

    /// Registers. Returns where they end.
    fn values(&mut self, start: usize, end: usize) -> usize {
        let mut place = start;
        while place + 2 <= end && place < start + 2 * VALUES {
            place = self.word(place, "value");
        }
        place
    }

    fn words<const N: usize>(&mut self, start: usize, names: [&'static str; N]) -> usize {
        names.into_iter().fold(start, |place, name| self.word(place, name))
    }

    fn word(&mut self, place: usize, name: &'static str) -> usize {
        let value =
            self.frame.get(place..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes));
        self.tell(place..place + 2, name, value.unwrap_or_default().to_string());
        place + 2
    }

    fn byte(&mut self, place: usize, name: &'static str) -> usize {
        let value = self.frame.get(place).copied().unwrap_or_default();
        self.tell(place..place + 1, name, value.to_string());
        place + 1
    }

    fn tell(&mut self, place: Range<usize>, name: &'static str, text: String) {
        if place.is_empty() {
            return;
        }
        self.fields.push(Field { from: place.start, to: place.end, name, text });
    }
}

/// The lowest of each byte first, as they are numbered.
fn bits(bytes: &[u8]) -> String {
    let bit = |set: bool| if set { '1' } else { '0' };
    bytes.iter().flat_map(|byte| (0..8).map(move |place| bit(byte >> place & 1 == 1))).collect()
}

const fn name(function: u8) -> &'static str {
    match function & !EXCEPTION {
        0x01 => "read coils",
        0x02 => "read discrete inputs",
        0x03 => "read holding registers",
        0x04 => "read input registers",
        0x05 => "write single coil",
        0x06 => "write single register",
        0x08 => "diagnostics",
        0x0F => "write multiple coils",
        0x10 => "write multiple registers",
        0x16 => "mask write register",
        0x17 => "read and write multiple registers",
        0x2B => "encapsulated interface",
        _ => "another function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtu(bytes: &[u8]) -> Vec<u8> {
        [bytes, &checksum(bytes)].concat()
    }

    fn told(frame: &[u8], direction: Direction) -> Vec<String> {
        let fields = annotate(frame, direction);
        let covered = fields.iter().fold(0, |place, field| {
            assert_eq!(field.from, place, "{fields:?}");
            assert!(field.to > field.from, "{fields:?}");
            field.to
        });
        assert!(fields.is_empty() || covered == frame.len(), "{fields:?} of {} bytes", frame.len());
        fields.iter().map(|field| format!("{} {}", field.name, field.text)).collect()
    }

    #[test]
    fn requests_and_replies_of_modbus_rtu_are_told_byte_by_byte() {
        let cases: [(&[u8], Direction, &str); 9] = [
            (&[3, 3, 0, 9, 0, 2], Direction::Down, "address 3, function 03: read holding registers, first 9, count 2"),
            (
                &[3, 3, 4, 0, 10, 1, 0],
                Direction::Up,
                "address 3, function 03: read holding registers, bytes 4, value 10, value 256",
            ),
            (
                &[3, 0x83, 2],
                Direction::Up,
                "address 3, function 83: read holding registers, exception 02: illegal data address",
            ),
            (&[3, 1, 1, 5], Direction::Up, "address 3, function 01: read coils, bytes 1, bits 10100000"),
            (
                &[3, 6, 0, 9, 1, 0],
                Direction::Up,
                "address 3, function 06: write single register, register 9, value 256",
            ),
            (
                &[3, 0x10, 0, 9, 0, 1, 2, 0, 7],
                Direction::Down,
                "address 3, function 10: write multiple registers, first 9, count 1, bytes 2, value 7",
            ),
            (
                &[3, 0x10, 0, 9, 0, 1],
                Direction::Up,
                "address 3, function 10: write multiple registers, first 9, count 1",
            ),
            (&[3, 3, 4, 0, 10], Direction::Up, "address 3, function 03: read holding registers, data 3 bytes"),
            (&[3, 0x63], Direction::Up, "address 3, function 63: another function"),
        ];
        for (body, direction, expected) in cases {
            assert_eq!(told(&rtu(body), direction).join(", "), format!("{expected}, crc right"));
        }
    }

    #[test]
    fn modbus_tcp_is_told_by_its_header() {
        let request = [0, 7, 0, 0, 0, 6, 1, 4, 0, 9, 0, 2];
        let expected =
            "transaction 7, protocol 0, length 6, unit 1, function 04: read input registers, first 9, count 2";
        assert_eq!(told(&request, Direction::Down).join(", "), expected);
    }

    #[test]
    fn what_is_no_modbus_has_no_fields_and_no_length_is_too_much() {
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
            for direction in [Direction::Up, Direction::Down] {
                assert_eq!(told(&bytes, direction), Vec::<String>::new());
                // Whatever stands in a frame with a right checksum, each byte is told once.
                for function in 0..=255 {
                    told(&rtu(&[&[1, function], &bytes[..]].concat()), direction);
                }
            }
        }
    }
}
