//! MAVLink 2.

use super::{CrcExtra, checksum, common_crc_extra};
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing, Malformed};
use crate::presets::verdict::{accept, part, reject, wait};
use memchr::memchr;

/// MAVLink 2.
///
/// ```text
///  0    1        2          3        4          5        6           7            10         10+n  12+n
///  | FD | length | incompat | compat | sequence | system | component | message id | n bytes  | CRC | signature |
///                                                          3 bytes, low first               low first, or none
/// ```
///
/// The CRC is CRC-16/MCRF4XX over all between the first byte and itself, and the seed of the message kind. Bit 0 of the incompatible
/// flags says that a signature of 13 bytes follows, which is not checked here; a frame with any other of these flags is one
/// that a receiver must not read, and is rejected as unknown with the flags for its code. A sender leaves out zeros at the end
/// of a payload; they are not put back.
///
/// The signature stands behind the payload and belongs to the frame. To encode a signed frame, give its 13 bytes behind the ten of the
/// header.
///
/// Source: mavlink.io, "Serialization" and "Message Signing".
///
/// # Examples
///
/// ```
/// use dtu_proto::framing::{Step, next_step};
/// use dtu_proto::presets::Mavlink2;
///
/// // A HEARTBEAT of system 1.
/// # use dtu_proto::Framing;
/// # let mut line = [0; 32];
/// # let header = [0xFD, 0, 0, 0, 0x4E, 0x01, 0x01, 0, 0, 0];
/// # let len = Mavlink2::new().encode_frame(&header, &[0, 0, 0, 0, 2, 3, 0x51, 4, 3], &mut line)?;
/// # let line = &line[..len];
/// let Step::Frame(frame) = next_step(&Mavlink2::new(), line) else { panic!("the frame is whole") };
/// assert_eq!(Mavlink2::message_id(&frame), Some(0));
/// assert_eq!(Mavlink2::signature(&frame), None);
/// # Ok::<(), dtu_proto::encode::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Mavlink2 {
    crc_extra: CrcExtra,
}

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 13;

const START: u8 = 0xFD;
const HEADER_LEN: usize = 10;
/// The header up to the incompatible flags.
const FLAGS_END: usize = 3;
const SIGNED: u8 = 0x01;
const CHECKSUM_LEN: usize = 2;
const OVERHEAD: usize = HEADER_LEN + CHECKSUM_LEN;
const MAX_PAYLOAD_LEN: usize = 255;
/// The first byte, seven flags that have to be 0, the CRC.
const EVIDENCE: u32 = 8 + 7 + 16;

impl Default for Mavlink2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Mavlink2 {
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

    /// The message id of a frame of this framing.
    #[must_use]
    pub fn message_id(frame: &crate::Frame<'_>) -> Option<u32> {
        frame.as_bytes().first_chunk::<HEADER_LEN>().map(id_of)
    }

    /// The signature of a frame of this framing, where it has one.
    #[must_use]
    pub fn signature<'a>(frame: &crate::Frame<'a>) -> Option<&'a [u8; SIGNATURE_LEN]> {
        let behind = frame.payload_range().end.saturating_add(CHECKSUM_LEN);
        frame.as_bytes().get(behind..)?.as_array()
    }
}

#[inline(always)]
const fn id_of(&[_, _, _, _, _, _, _, low, middle, high]: &[u8; HEADER_LEN]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}

impl Framing for Mavlink2 {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        match candidate {
            [] => return wait(0, OVERHEAD),
            [START, _, flags, ..] if *flags & !SIGNED != 0 => {
                return reject(Malformed::Unknown { code: u32::from(*flags) }, FLAGS_END);
            }
            [START, ..] => {}
            _ => return reject(Malformed::Magic, received),
        }
        let Some(header) = candidate.first_chunk::<HEADER_LEN>() else { return wait(received, OVERHEAD) };
        let &[_, length, flags, ..] = header;
        let id = id_of(header);
        let Some(extra) = (self.crc_extra)(id) else { return reject(Malformed::Unknown { code: id }, HEADER_LEN) };
        let unsigned_len = OVERHEAD.saturating_add(length.into());
        let len = if flags == SIGNED { unsigned_len.saturating_add(SIGNATURE_LEN) } else { unsigned_len };
        if received < len {
            return wait(received, len);
        }
        let Some((covered, found)) = candidate.get(..unsigned_len).and_then(<[u8]>::split_last_chunk) else {
            return wait(received, len);
        };
        let (computed, found) = (checksum(covered, &[], extra), u32::from(u16::from_le_bytes(*found)));
        if computed == found {
            accept(candidate, len, HEADER_LEN..covered.len())
        } else {
            reject(Malformed::Checksum { computed, found }, unsigned_len)
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(START, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        OVERHEAD.saturating_add(MAX_PAYLOAD_LEN).saturating_add(SIGNATURE_LEN)
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    /// A header of 23 bytes is that of a signed frame with the signature; one of ten bytes must not say that there is one.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let length = payload.len();
        let too_long = EncodeError::PayloadTooLong { length, limit: MAX_PAYLOAD_LEN };
        let needed = match header.get(FLAGS_END.saturating_sub(1)) {
            Some(flags) if flags & SIGNED != 0 => HEADER_LEN.saturating_add(SIGNATURE_LEN),
            _ => HEADER_LEN,
        };
        let (mut front, signature) = match header.split_first_chunk() {
            _ if header.is_empty() => ([0; HEADER_LEN], header),
            Some((front, signature)) if header.len() == needed => (*front, signature),
            _ => return Err(EncodeError::HeaderLength { needed, found: header.len() }),
        };
        let [start, length, flags, ..] = &mut front;
        (*start, *length, *flags) = (START, u8::try_from(payload.len()).map_err(|_| too_long)?, *flags & SIGNED);
        // Which message it is stands in the header; without a seed nobody could check it.
        let extra = (self.crc_extra)(id_of(&front)).ok_or(EncodeError::Unencodable { at: 0 })?;
        sink.put(&front);
        sink.put(payload);
        sink.put(part(&checksum(&front, payload, extra).to_le_bytes(), 0..CHECKSUM_LEN));
        sink.put(signature);
        Ok(())
    }
}
