//! A reply of Modbus RTU in words, for people.

use core::fmt;
use dtu_proto::checksum::{Algorithm, catalogue};

const EXCEPTION: u8 = 0x80;

/// The reply to `request` in one line; nothing when one of them is no frame of Modbus RTU.
pub(super) struct Words<'a> {
    request: &'a [u8],
    address: u8,
    function: u8,
    data: &'a [u8],
}

/// Address, function and data of a frame with a good checksum.
fn parts(frame: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (body, check) = frame.split_last_chunk::<2>()?;
    let (&[address, function], data) = body.split_first_chunk()?;
    (checksum(body) == *check).then_some((address, function, data))
}

/// The checksum of Modbus RTU as it stands behind `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    // The upper half of a CRC of 16 bits is 0.
    (Algorithm::Crc(catalogue::CRC_16_MODBUS).checksum(bytes) as u16).to_le_bytes()
}

impl<'a> Words<'a> {
    pub(super) fn of(request: &'a [u8], reply: &'a [u8]) -> Option<Self> {
        let (asked, wanted, request) = parts(request)?;
        let (address, function, data) = parts(reply)?;
        (asked == address && wanted == function & !EXCEPTION).then_some(Self { request, address, function, data })
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, address, function, data } = *self;
        write!(f, "address {address}, ")?;
        let first = request.first_chunk().map_or(0, |first| u16::from_be_bytes(*first));
        match (function, data) {
            (EXCEPTION.., [code, ..]) => write!(f, "exception {code:02X}: {}", exception(*code)),
            (0x03 | 0x04, [_, values @ ..]) => {
                let kind = if function == 0x03 { "holding" } else { "input" };
                write!(f, "{kind} registers from {first} on:")?;
                values.as_chunks::<2>().0.iter().try_for_each(|value| write!(f, " {}", u16::from_be_bytes(*value)))
            }
            (0x06, [.., high, low]) => write!(f, "register {first} is {}", u16::from_be_bytes([*high, *low])),
            (0x10, [.., high, low]) => {
                write!(f, "{} registers from {first} on are written", u16::from_be_bytes([*high, *low]))
            }
            _ => write!(f, "function {function:02X}, {} bytes of data", data.len()),
        }
    }
}

/// What the code of an exception says; source: MODBUS Application Protocol Specification V1.1b3, section 7.
pub(crate) const fn exception(code: u8) -> &'static str {
    match code {
        0x01 => "illegal function",
        0x02 => "illegal data address",
        0x03 => "illegal data value",
        0x04 => "server device failure",
        0x05 => "acknowledge",
        0x06 => "server device busy",
        0x08 => "memory parity error",
        0x0A => "gateway path unavailable",
        0x0B => "gateway target device failed to respond",
        _ => "of no known meaning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [bytes, &checksum(bytes)].concat()
    }

    fn words(request: &[u8], reply: &[u8]) -> Option<String> {
        Words::of(&frame(request), &frame(reply)).map(|words| words.to_string())
    }

    #[test]
    fn replies_are_told_with_what_was_asked_for() {
        let cases: [(&[u8], &[u8], &str); 6] = [
            (&[1, 3, 0, 9, 0, 2], &[1, 3, 4, 0, 10, 1, 0], "address 1, holding registers from 9 on: 10 256"),
            (&[7, 4, 0, 9, 0, 1], &[7, 4, 2, 0xFF, 0xFF], "address 7, input registers from 9 on: 65535"),
            (&[1, 6, 0, 9, 1, 0], &[1, 6, 0, 9, 1, 0], "address 1, register 9 is 256"),
            (&[1, 0x10, 0, 9, 0, 1, 2, 0, 0], &[1, 0x10, 0, 9, 0, 1], "address 1, 1 registers from 9 on are written"),
            (&[1, 3, 0, 9, 0, 2], &[1, 0x83, 2], "address 1, exception 02: illegal data address"),
            (&[1, 1, 0, 9, 0, 2], &[1, 1, 1, 3], "address 1, function 01, 2 bytes of data"),
        ];
        for (request, reply, expected) in cases {
            assert_eq!(words(request, reply).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_reply_has_no_words() {
        assert_eq!(words(&[1, 3, 0, 9, 0, 2], &[2, 3, 0]), None);
        assert_eq!(words(&[1, 3, 0, 9, 0, 2], &[1, 4, 0]), None);
        assert!(Words::of(&frame(&[1, 3]), b"\x01\x03\x00\x00").is_none());
    }
}
