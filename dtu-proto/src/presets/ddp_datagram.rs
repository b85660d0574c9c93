//! Hongdian DDP over UDP: the envelope closes before the data.

use super::verdict::{accept, reject, wait};
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing, Malformed};
use memchr::memchr;

/// The datagram profile of DDP, of Hongdian and Four-Faith.
///
/// ```text
///  0    1      2       4               15   16
///  | 7B | type | 00 10 | id, 11 digits | 7B | data to the end of the datagram |
/// ```
///
/// Nothing says how long the data are but the end of the datagram, so the candidate is one whole datagram. This framing is not for streams: there
/// [`DDP_STREAM`](super::HONGDIAN_DDP_TCP) has the data inside the envelope, and who sends this layout over TCP needs a framing of the data
/// themselves.
///
/// Source: Four-Faith, modem DTU UDP data format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DdpDatagram;

const FLAG: u8 = 0x7B;
/// The envelope, which is what its length field counts.
const ENVELOPE_LEN: u16 = 16;
const HEADER_LEN: usize = 16;
const CLOSING_FLAG: usize = 15;
/// The longest data, in bytes.
const MAX_PAYLOAD_LEN: usize = 1024;
/// Both flags and the length, which is always the same.
const EVIDENCE: u32 = 8 + 16 + 8;

impl Framing for DdpDatagram {
    /// Judges one datagram: a verdict is for all of `candidate`.
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        let Some(&[flag, _, high, low, .., closing]) = candidate.first_chunk::<HEADER_LEN>() else {
            return match candidate.first() {
                Some(&flag) if flag != FLAG => reject(Malformed::Magic, received),
                _ => wait(received, HEADER_LEN),
            };
        };
        let length = u16::from_be_bytes([high, low]);
        if flag != FLAG {
            return reject(Malformed::Magic, received);
        }
        if length != ENVELOPE_LEN {
            return reject(Malformed::Length { found: length.into() }, 4);
        }
        if closing != FLAG {
            return reject(Malformed::Marker { at: CLOSING_FLAG }, HEADER_LEN);
        }
        let length = received.saturating_sub(HEADER_LEN);
        if length > MAX_PAYLOAD_LEN {
            return reject(Malformed::OverLimit { length, limit: MAX_PAYLOAD_LEN }, HEADER_LEN);
        }
        accept(candidate, received, HEADER_LEN..received)
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(FLAG, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        HEADER_LEN.saturating_add(MAX_PAYLOAD_LEN)
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let mut envelope = [0; HEADER_LEN];
        match header.len() {
            0 => {}
            HEADER_LEN => envelope.copy_from_slice(header),
            found => return Err(EncodeError::HeaderLength { needed: HEADER_LEN, found }),
        }
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(EncodeError::PayloadTooLong { length: payload.len(), limit: MAX_PAYLOAD_LEN });
        }
        let [opening, _, high, low, .., closing] = &mut envelope;
        (*opening, *closing) = (FLAG, FLAG);
        [*high, *low] = ENVELOPE_LEN.to_be_bytes();
        sink.put(&envelope);
        sink.put(payload);
        Ok(())
    }
}
