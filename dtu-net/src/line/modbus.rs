//! What the reply to a Modbus request has to look like.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6, and MODBUS over Serial Line V1.02.

use super::matcher::MatcherError;
use bytes::Bytes;

/// The bit of a function that makes the reply an exception.
const EXCEPTION: u8 = 0x80;

/// Address, function and CRC.
const RTU_MIN: usize = 4;
const RTU_MAX: usize = 256;
const CRC_LEN: usize = 2;

/// An exception: address, function, code and CRC.
const RTU_EXCEPTION_LEN: usize = 5;

/// Transaction, protocol, length, unit and function.
const TCP_MIN: usize = 8;
const TCP_MAX: usize = 260;

/// The reply that a Modbus RTU request awaits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtuReply {
    address: u8,
    function: u8,
    shape: Shape,
}

/// What is known of a PDU besides its function.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// A count of so many bytes, and as many.
    Count(u8),
    /// Begins with these bytes behind the function, and is no longer.
    Exactly(Bytes),
    /// Begins with these bytes behind the function.
    Begins(Bytes),
    /// Nothing is known.
    Any,
}

impl Shape {
    /// `data` stands between the function and the checksum of a request.
    fn of(function: u8, data: &[u8]) -> Result<Self, MatcherError> {
        let short = MatcherError::Length { len: data.len() };
        let word = |at: usize| {
            let bytes = data.get(at..at + 2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
            bytes.map(u16::from_be_bytes).ok_or(short)
        };
        let first = |count: usize| data.get(..count).map(Bytes::copy_from_slice).ok_or(short);
        // Of more than 250 bytes no reply can have as many.
        let counted = |bytes: u16| u8::try_from(bytes).map(Self::Count).map_err(|_| short);
        match function {
            0x01 | 0x02 => counted(word(2)?.div_ceil(8)),
            0x03 | 0x04 | 0x17 => counted(word(2)?.saturating_mul(2)),
            0x05 | 0x06 => Ok(Self::Exactly(first(4)?)),
            0x0F | 0x10 => Ok(Self::Exactly(first(4)?)),
            0x16 => Ok(Self::Exactly(first(6)?)),
            // Records that are written are repeated as they are; diagnostics repeat the sub-function.
            0x15 => Ok(Self::Exactly(Bytes::copy_from_slice(data))),
            0x08 => Ok(Self::Begins(first(2)?)),
            // The type of what is encapsulated.
            0x2B => Ok(Self::Begins(first(1)?)),
            0 | EXCEPTION.. => Err(MatcherError::Function { found: function }),
            _ => Ok(Self::Any),
        }
    }

    fn fits(&self, data: &[u8]) -> bool {
        match self {
            Self::Count(count) => {
                data.split_first() == Some((count, data.get(1..).unwrap_or_default()))
                    && data.len() == 1 + usize::from(*count)
            }
            Self::Exactly(bytes) => data == bytes,
            Self::Begins(bytes) => data.starts_with(bytes),
            Self::Any => true,
        }
    }
}

impl RtuReply {
    /// What the reply to `request` looks like, a whole frame with its checksum.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn to(request: &[u8]) -> Result<Self, MatcherError> {
        let len = request.len();
        let wrong_length = MatcherError::Length { len };
        if !(RTU_MIN..=RTU_MAX).contains(&len) {
            return Err(wrong_length);
        }
        let (body, &found) = request.split_last_chunk::<CRC_LEN>().ok_or(wrong_length)?;
        let (computed, found) = (crc(body), u16::from_le_bytes(found));
        if computed != found {
            return Err(MatcherError::Checksum { computed, found });
        }
        let (&[address, function], data) = body.split_first_chunk().ok_or(wrong_length)?;
        let shape = Shape::of(function, data).map_err(|error| match error {
            MatcherError::Length { .. } => wrong_length,
            MatcherError::Checksum { .. } | MatcherError::Protocol { .. } | MatcherError::Function { .. } => error,
        })?;
        Ok(Self { address, function, shape })
    }

    /// Whom the request asks.
    #[must_use]
    pub const fn address(&self) -> u8 {
        self.address
    }

    /// Whether `frame` can be the reply: of this address, with this function and as much as was asked for, or an exception.
    /// Its checksum is the framing's business.
    #[must_use]
    pub fn is_reply(&self, frame: &[u8]) -> bool {
        let Some((body, _)) = frame.split_last_chunk::<CRC_LEN>() else { return false };
        let Some((&[address, function], data)) = body.split_first_chunk() else { return false };
        if address != self.address {
            return false;
        }
        if function == self.function | EXCEPTION {
            return frame.len() == RTU_EXCEPTION_LEN;
        }
        function == self.function && self.shape.fits(data)
    }
}

/// The reply that a Modbus TCP request awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpReply {
    transaction: u16,
    unit: u8,
    function: u8,
}

impl TcpReply {
    /// What the reply to `request` looks like, a whole frame.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn to(request: &[u8]) -> Result<Self, MatcherError> {
        let len = request.len();
        if !(TCP_MIN..=TCP_MAX).contains(&len) {
            return Err(MatcherError::Length { len });
        }
        let (&[t0, t1, p0, p1, _, _, unit, function], _) =
            request.split_first_chunk().ok_or(MatcherError::Length { len })?;
        let found = u16::from_be_bytes([p0, p1]);
        if found != 0 {
            return Err(MatcherError::Protocol { found });
        }
        if function == 0 || function >= EXCEPTION {
            return Err(MatcherError::Function { found: function });
        }
        Ok(Self { transaction: u16::from_be_bytes([t0, t1]), unit, function })
    }

    /// Whether `frame` can be the reply.
    #[must_use]
    pub fn is_reply(&self, frame: &[u8]) -> bool {
        let Some((&[t0, t1, p0, p1, _, _, unit, function], _)) = frame.split_first_chunk() else { return false };
        u16::from_be_bytes([t0, t1]) == self.transaction
            && [p0, p1] == [0, 0]
            && unit == self.unit
            && function & !EXCEPTION == self.function
    }
}

/// CRC-16/MODBUS, bit by bit: it is taken over requests alone.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}
