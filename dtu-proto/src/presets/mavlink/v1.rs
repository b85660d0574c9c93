//! MAVLink 1.

use super::{CrcExtra, checksum, common_crc_extra};
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing, Malformed};
use crate::presets::verdict::{accept, part, reject, wait};
use memchr::memchr;

/// MAVLink 1.
///
/// ```text
///  0    1        2          3        4           5            6          6+n   8+n
///  | FE | length | sequence | system | component | message id | n bytes  | CRC |    low byte first
/// ```
///
/// The CRC is CRC-16/MCRF4XX over all between the first byte and itself, and the seed of the message kind.
///
/// Source: mavlink.io, "Serialization".
#[derive(Debug, Clone, Copy)]
pub struct Mavlink1 {
    crc_extra: CrcExtra,
}

const START: u8 = 0xFE;
const HEADER_LEN: usize = 6;
const CHECKSUM_LEN: usize = 2;
const OVERHEAD: usize = HEADER_LEN + CHECKSUM_LEN;
const MAX_PAYLOAD_LEN: usize = 255;
/// The first byte and the CRC.
const EVIDENCE: u32 = 8 + 16;

impl Default for Mavlink1 {
    fn default() -> Self {
        Self::new()
    }
}

impl Mavlink1 {
    /// The messages of the dialect `common`.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_crc_extra(common_crc_extra)
    }

    /// The messages whose seeds `crc_extra` knows.
    #[must_use]
    pub const fn with_crc_extra(crc_extra: CrcExtra) -> Self {
        Self { crc_extra }
    }
}

impl Framing for Mavlink1 {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        match candidate.first() {
            None => return wait(0, OVERHEAD),
            Some(&START) => {}
            Some(_) => return reject(Malformed::Magic, received),
        }
        let Some(&[_, length, _, _, _, id]) = candidate.first_chunk::<HEADER_LEN>() else {
            return wait(received, OVERHEAD);
        };
        let id = u32::from(id);
        let Some(extra) = (self.crc_extra)(id) else { return reject(Malformed::Unknown { code: id }, HEADER_LEN) };
        let len = OVERHEAD.saturating_add(length.into());
        let Some((covered, found)) = candidate.get(..len).and_then(<[u8]>::split_last_chunk) else {
            return wait(received, len);
        };
        let (computed, found) = (checksum(covered, &[], extra), u32::from(u16::from_le_bytes(*found)));
        if computed == found {
            accept(candidate, len, HEADER_LEN..covered.len())
        } else {
            reject(Malformed::Checksum { computed, found }, len)
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(START, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        OVERHEAD.saturating_add(MAX_PAYLOAD_LEN)
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let length = payload.len();
        let too_long = EncodeError::PayloadTooLong { length, limit: MAX_PAYLOAD_LEN };
        let mut front = match header {
            [] => [0; HEADER_LEN],
            _ => *header.as_array().ok_or(EncodeError::HeaderLength { needed: HEADER_LEN, found: header.len() })?,
        };
        let [start, length, .., id] = &mut front;
        (*start, *length) = (START, u8::try_from(payload.len()).map_err(|_| too_long)?);
        // Which message it is stands in the header; without a seed nobody could check it.
        let extra = (self.crc_extra)(u32::from(*id)).ok_or(EncodeError::Unencodable { at: 0 })?;
        sink.put(&front);
        sink.put(payload);
        sink.put(part(&checksum(&front, payload, extra).to_le_bytes(), 0..CHECKSUM_LEN));
        Ok(())
    }
}
