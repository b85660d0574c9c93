//! Modbus RTU: no marker, no length of its own, a CRC at the end.

use super::Direction;
use super::modbus_lengths::{Length, MAX_PDU_LEN, is_known, pdu_len};
use super::verdict::{accept, part, reject, wait};
use crate::checksum::Algorithm;
use crate::checksum::catalogue::CRC_16_MODBUS;
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing, Malformed};

/// Modbus RTU in one direction.
///
/// ```text
///  0         1          2                  1+n       3+n
///  | address | function |  data ...         |  CRC-16 |     low byte first
///            '--- the PDU, n bytes: payload -'
/// ```
///
/// On a wire a pause of 3.5 characters ends a frame. Behind a DTU there are no pauses to rely on, so the length follows
/// from the function and its counts, which differ between requests and replies. Every byte may be the first of a frame; what speaks for
/// one is a known function and the CRC.
///
/// The header is the address, the payload the PDU. Functions 01 to 08, 0B, 0C, 0F to 11, 14 to 18 and 2B/0E are known, and
/// in replies every exception. Function 08 is taken for the eight bytes that it has with all sub-functions but a longer echo.
///
/// # Examples
///
/// ```
/// use dtu_proto::framing::{Step, next_step};
/// use dtu_proto::presets::{Direction, ModbusRtu};
///
/// let replies = ModbusRtu::new(Direction::Up);
/// let line = [0x01, 0x03, 0x04, 0x00, 0x0A, 0x00, 0x0B, 0x9B, 0xF6];
/// let Step::Frame(reply) = next_step(&replies, &line) else { panic!("the reply is whole") };
/// assert_eq!(reply.payload(), [0x03, 0x04, 0x00, 0x0A, 0x00, 0x0B]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModbusRtu {
    direction: Direction,
}

/// Bytes before the payload: the address.
const HEADER_LEN: usize = 1;
/// Bytes behind it.
const CHECKSUM_LEN: usize = 2;
const OVERHEAD: usize = HEADER_LEN + CHECKSUM_LEN;
const MAX_FRAME_LEN: usize = MAX_PDU_LEN + OVERHEAD;
/// The CRC, and which of 256 functions are known, which says next to nothing.
const EVIDENCE: u32 = 16;

impl ModbusRtu {
    /// The frames that go in `direction`: requests down, replies up.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self { direction }
    }

    /// Which way the frames go.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }
}

impl Framing for ModbusRtu {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        let pdu = candidate.get(HEADER_LEN..).unwrap_or_default();
        match pdu_len(self.direction, pdu) {
            Length::Known(length) => {
                let len = length.saturating_add(OVERHEAD);
                let Some((covered, found)) = candidate.get(..len).and_then(<[u8]>::split_last_chunk) else {
                    return wait(received, len);
                };
                let computed = Algorithm::Crc(CRC_16_MODBUS).checksum(covered);
                let found = u32::from(u16::from_le_bytes(*found));
                if computed == found {
                    accept(candidate, len, HEADER_LEN..covered.len())
                } else {
                    reject(Malformed::Checksum { computed, found }, len)
                }
            }
            Length::AtLeast(length) => wait(received, length.saturating_add(OVERHEAD)),
            Length::Over { length, judged } => {
                let judged = judged.saturating_add(HEADER_LEN);
                reject(Malformed::OverLimit { length, limit: MAX_PDU_LEN }, judged)
            }
            Length::Unknown { code, judged } => reject(Malformed::Unknown { code }, judged.saturating_add(HEADER_LEN)),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        // The last byte may be an address whose function has not come.
        let functions = bytes.get(HEADER_LEN..).unwrap_or_default().iter();
        let mut known = functions.map(|&function| is_known(self.direction, function));
        known.position(|known| known).unwrap_or_else(|| bytes.len().saturating_sub(HEADER_LEN))
    }

    fn max_frame_len(&self) -> usize {
        MAX_FRAME_LEN
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let address = one_address(header)?;
        is_encodable(self.direction, payload)?;
        let mut digest = Algorithm::Crc(CRC_16_MODBUS).digest();
        digest.update(&address);
        digest.update(payload);
        sink.put(&address);
        sink.put(payload);
        sink.put(part(&digest.finish().to_le_bytes(), 0..CHECKSUM_LEN));
        Ok(())
    }
}

/// The header of a frame whose only header is an address; 0 when nothing is said.
pub(super) const fn one_address(header: &[u8]) -> Result<[u8; 1], EncodeError> {
    match *header {
        [] => Ok([0]),
        [address] => Ok([address]),
        _ => Err(EncodeError::HeaderLength { needed: HEADER_LEN, found: header.len() }),
    }
}

/// Whether a receiver would see where `pdu` ends.
pub(super) fn is_encodable(direction: Direction, pdu: &[u8]) -> Result<(), EncodeError> {
    let length = pdu.len();
    match pdu_len(direction, pdu) {
        _ if length > MAX_PDU_LEN => Err(EncodeError::PayloadTooLong { length, limit: MAX_PDU_LEN }),
        Length::Known(known) if known == length => Ok(()),
        Length::Known(_) | Length::AtLeast(_) | Length::Over { .. } => Err(EncodeError::PayloadLength { length }),
        Length::Unknown { .. } => Err(EncodeError::Unencodable { at: 0 }),
    }
}
