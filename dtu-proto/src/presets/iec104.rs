//! IEC 60870-5-104: a start byte, a length, and four octets that have to make sense.

use super::verdict::{accept, reject, wait};
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing, Malformed};
use memchr::memchr;

/// The APDU of IEC 60870-5-104.
///
/// ```text
///  0    1        2         3         4         5         6
///  | 68 | length | control octets 1 to 4                 | ASDU: payload |
/// ```
///
/// The length counts from the first control octet on. There is no checksum; what speaks for a frame is that the octets are those of one of the formats
///
/// | format | octets 1 and 2 | octets 3 and 4 | ASDU |
/// |---|---|---|---|
/// | I | bit 0 is 0 | bit 0 of octet 3 is 0 | 6 bytes or more |
/// | S | `01 00` | bit 0 of octet 3 is 0 | none |
/// | U | `07`, `0B`, `13`, `23`, `43` or `83`, and `00` | `00 00` | none |
///
/// which is judged before the ASDU is awaited. The header is the first six bytes.
///
/// Source: IEC 60870-5-104:2006, 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Iec104;

const START: u8 = 0x68;
const HEADER_LEN: usize = 6;
/// Bytes that the length does not count.
const UNCOUNTED_LEN: usize = 2;
/// What the length says where there is no ASDU.
const NO_ASDU: u8 = 4;
/// The least that it says with one: type, variable structure, cause and a common address of one byte each, and an object's address and value.
const SHORTEST_ASDU: u8 = NO_ASDU + 6;
const MAX_LENGTH: u8 = 253;
const MAX_FRAME_LEN: usize = 255;
/// The start, and the two bits that hold for the I format; the others show more.
const EVIDENCE: u32 = 8 + 2;

/// Why these octets are none, and how many bytes of the frame say so.
const fn judge(length: u8, octets: [u8; 4]) -> Option<(Malformed, usize)> {
    let wrong_length = Some((Malformed::Length { found: u32::from_le_bytes([length, 0, 0, 0]) }, HEADER_LEN));
    match (octets, length) {
        ([first, ..], 10..=MAX_LENGTH) if first & 1 == 0 => match octets {
            [_, _, third, _] if third & 1 == 0 => None,
            _ => Some((Malformed::Marker { at: 4 }, HEADER_LEN)),
        },
        ([first, ..], _) if first & 1 == 0 => wrong_length,
        ([0x01, 0x00, third, _], NO_ASDU) if third & 1 == 0 => None,
        ([0x07 | 0x0B | 0x13 | 0x23 | 0x43 | 0x83, 0x00, 0x00, 0x00], NO_ASDU) => None,
        (_, NO_ASDU) => Some((Malformed::Marker { at: 2 }, HEADER_LEN)),
        _ => wrong_length,
    }
}

const _: () = assert!(SHORTEST_ASDU == 10, "the range in `judge`");

impl Framing for Iec104 {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        match candidate {
            [] => return wait(0, HEADER_LEN),
            [START, length, ..] if !(NO_ASDU..=MAX_LENGTH).contains(length) => {
                return reject(Malformed::Length { found: u32::from(*length) }, UNCOUNTED_LEN);
            }
            [START, ..] => {}
            _ => return reject(Malformed::Magic, received),
        }
        let Some(&[_, length, first, second, third, fourth]) = candidate.first_chunk::<HEADER_LEN>() else {
            return wait(received, HEADER_LEN);
        };
        if let Some((cause, judged)) = judge(length, [first, second, third, fourth]) {
            return reject(cause, judged);
        }
        let len = UNCOUNTED_LEN.saturating_add(length.into());
        if received < len { wait(received, len) } else { accept(candidate, len, HEADER_LEN..len) }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(START, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        MAX_FRAME_LEN
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    /// Without a header, an ASDU goes in the I format with both numbers 0, and no ASDU makes TESTFR act, which asks nothing of the peer but an answer.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let limit = MAX_FRAME_LEN.saturating_sub(HEADER_LEN);
        let counted = payload.len().saturating_add(NO_ASDU.into());
        let length = u8::try_from(counted).ok().filter(|length| *length <= MAX_LENGTH);
        let length = length.ok_or(EncodeError::PayloadTooLong { length: payload.len(), limit })?;
        let octets = match *header {
            [] if payload.is_empty() => [0x43, 0, 0, 0],
            [] => [0; 4],
            [_, _, first, second, third, fourth] => [first, second, third, fourth],
            _ => return Err(EncodeError::HeaderLength { needed: HEADER_LEN, found: header.len() }),
        };
        if judge(length, octets).is_some() {
            return Err(EncodeError::PayloadLength { length: payload.len() });
        }
        sink.put(&[START, length]);
        sink.put(&octets);
        sink.put(payload);
        Ok(())
    }
}
