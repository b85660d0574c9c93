//! Modbus ASCII: hexadecimal digits between a colon and the end of a line.

use super::hex_text;
use super::modbus_lengths::MAX_PDU_LEN;
use super::modbus_rtu::one_address;
use super::verdict::{accept, part, reject, wait};
use crate::checksum::Algorithm;
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed};
use memchr::memchr;

/// Modbus ASCII.
///
/// ```text
///  0     1         3                3+2n   5+2n
///  | 3A | address |  PDU, n bytes   |  LRC  | 0D 0A |
///  ':'    2 digits   2 digits each   2 digits
/// ```
///
/// The header is the colon and the address, the payload the digits of the PDU; [`payload_into`](Framing::payload_into) gives its
/// bytes, and [`encode_into`](Framing::encode_into) takes them. A header is the colon and two digits, or the one byte of the address. Digits are
/// read in either case and written in upper case, as the specification has it.
///
/// Source: MODBUS over Serial Line V1.02, 2.5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModbusAscii;

const COLON: u8 = b':';
const END: [u8; 2] = *b"\r\n";
/// The colon and the digits of the address.
const HEADER_LEN: usize = 3;
/// The digits of the checksum and the end of the line.
const TRAILER_LEN: usize = 4;
const MIN_LEN: usize = 9;
const MAX_LEN: usize = 513;
/// Colon, LRC and end of the line.
const EVIDENCE: u32 = 8 + 8 + 16;

impl Framing for ModbusAscii {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        let Some((&first, behind)) = candidate.split_first() else { return wait(0, MIN_LEN) };
        if first != COLON {
            return reject(Malformed::Magic, received);
        }
        let digits = behind.iter().take(MAX_LEN).position(|&byte| hex_text::value(byte).is_none());
        let end = digits.unwrap_or(behind.len()).saturating_add(1);
        let len = end.saturating_add(END.len());
        if len > MAX_LEN {
            // Judged where the end should have begun at the latest.
            let judged = MAX_LEN.saturating_sub(END.len()).saturating_add(1);
            return reject(Malformed::OverLimit { length: MAX_PDU_LEN.saturating_add(1), limit: MAX_PDU_LEN }, judged);
        }
        match part(candidate, end..received) {
            [] => wait(received, len.max(MIN_LEN)),
            [first, ..] if *first != END[0] => reject(Malformed::Escape { at: end }, end.saturating_add(1)),
            // Too few digits, or half a byte.
            _ if len < MIN_LEN || end.is_multiple_of(2) => {
                let found = u32::try_from(end.saturating_sub(1)).unwrap_or(u32::MAX);
                reject(Malformed::Length { found }, end.saturating_add(1))
            }
            [_] => wait(received, len),
            [_, second, ..] if *second != END[1] => {
                let at = end.saturating_add(1);
                reject(Malformed::Marker { at }, at.saturating_add(1))
            }
            _ => {
                let payload_end = len.saturating_sub(TRAILER_LEN);
                let covered = hex_text::bytes(part(candidate, 1..payload_end));
                let computed = covered.fold(Algorithm::Lrc8.digest(), |mut digest, byte| {
                    digest.update(&[byte]);
                    digest
                });
                let computed = computed.finish();
                let found = hex_text::bytes(part(candidate, payload_end..end)).fold(0, |_, byte| u32::from(byte));
                if computed == found {
                    accept(candidate, len, HEADER_LEN..payload_end)
                } else {
                    reject(Malformed::Checksum { computed, found }, len)
                }
            }
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(COLON, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        MAX_LEN
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        hex_text::bytes(frame.payload()).for_each(|byte| sink.put(&[byte]));
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let address = match *header {
            [_, high, low] => [hex_text::byte([high, low]).ok_or(EncodeError::Unencodable { at: 0 })?],
            _ => one_address(header)?,
        };
        match payload.len() {
            0 => return Err(EncodeError::PayloadLength { length: 0 }),
            length if length > MAX_PDU_LEN => {
                return Err(EncodeError::PayloadTooLong { length, limit: MAX_PDU_LEN });
            }
            _ => {}
        }
        let mut digest = Algorithm::Lrc8.digest();
        digest.update(&address);
        digest.update(payload);
        sink.put(&[COLON]);
        hex_text::put(&address, sink);
        hex_text::put(payload, sink);
        hex_text::put(part(&digest.finish().to_le_bytes(), 0..1), sink);
        sink.put(&END);
        Ok(())
    }
}
