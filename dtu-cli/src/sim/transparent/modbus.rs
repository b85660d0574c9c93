//! Modbus RTU as the meter hears it: where a request ends, and its checksum.

use dtu_proto::checksum::{Algorithm, catalogue};

/// The longest frame, with its checksum.
pub(super) const MAX_FRAME: usize = 256;

/// Address, function and checksum.
const MIN_FRAME: usize = 4;

/// Whether a request stands at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It does, with a good checksum, so many bytes long.
    Whole(usize),
    /// More bytes can make it one.
    NeedMore,
    /// It does not.
    None,
}

/// Judges the front of `bytes`. Functions whose length is not known end where the line falls `silent`, as on a real line.
pub(super) fn request_at(bytes: &[u8], silent: bool) -> Request {
    let Some(&function) = bytes.get(1) else { return Request::NeedMore };
    let len = match function {
        0x01..=0x06 => Some(8),
        0x0F | 0x10 => match bytes.get(6) {
            Some(&count) => Some(9 + usize::from(count)),
            None => return Request::NeedMore,
        },
        _ => silent.then_some(bytes.len()).filter(|len| (MIN_FRAME..=MAX_FRAME).contains(len)),
    };
    match len {
        Some(len) if len > MAX_FRAME => Request::None,
        Some(len) => match bytes.get(..len) {
            Some(frame) if is_intact(frame) => Request::Whole(len),
            Some(_) => Request::None,
            None => Request::NeedMore,
        },
        None if silent || bytes.len() > MAX_FRAME => Request::None,
        None => Request::NeedMore,
    }
}

/// Whether the checksum of a whole frame is right.
fn is_intact(frame: &[u8]) -> bool {
    frame.split_last_chunk().is_some_and(|(body, check)| crc(body) == u16::from_le_bytes(*check))
}

/// CRC-16/MODBUS; it stands behind the bytes with its low byte first.
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    // The upper half of a CRC of 16 bits is 0.
    Algorithm::Crc(catalogue::CRC_16_MODBUS).checksum(bytes) as u16
}
