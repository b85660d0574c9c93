//! MAVLink 2 for any payload of up to 255 bytes: a dialect whose messages are bytes.

use core::convert::Infallible;
use mavlink_core::error::ParserError;
use mavlink_core::{Dialect, MAV_STX_V2, MavlinkVersion, calculate_crc};

/// The seed that a dialect adds to a message's checksum; any value does.
const EXTRA_CRC: u8 = 77;

/// A dialect that knows every message id, for reading raw messages.
#[derive(Debug, Clone, Copy)]
pub struct AnyMessage;

impl Dialect for AnyMessage {
    type Message = Vec<u8>;
    type EncodeError = Infallible;

    fn message_id(&self, _: &Self::Message) -> u32 {
        0
    }

    #[inline]
    fn extra_crc(&self, _: u32) -> Option<u8> {
        Some(EXTRA_CRC)
    }

    fn decode(&self, _: MavlinkVersion, _: u32, payload: &[u8]) -> Result<Self::Message, ParserError> {
        Ok(payload.to_vec())
    }

    #[inline]
    fn encode(&self, _: MavlinkVersion, message: &Self::Message, out: &mut [u8]) -> Result<usize, Infallible> {
        out[..message.len()].copy_from_slice(message);
        Ok(message.len())
    }
}

/// A MAVLink 2 frame around `payload`; `None` when that is over 255 bytes.
#[must_use]
pub fn frame(payload: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(payload.len()).ok()?;
    // Length, flags (2), sequence, system, component, message id (3).
    let mut frame = vec![MAV_STX_V2, length, 0, 0, 0, 1, 1, 0, 0, 0];
    frame.extend_from_slice(payload);
    let checksum = calculate_crc(&frame[1..], EXTRA_CRC);
    frame.extend_from_slice(&checksum.to_le_bytes());
    Some(frame)
}
