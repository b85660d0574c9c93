//! The layout of the native frame, version 1, and the views of a frame.
//!
//! All integers are big-endian.
//!
//! ```text
//!  0        2        4        6              6+n         10+n
//!  | D7 55  |   n    |  ~n    |  payload n   |  CRC-32C  |
//!    magic     length (2+2)                    checksum
//! ```
//!
//! Spec: `spec/frame.md`.

use core::fmt;
use core::ops::Range;

/// The two bytes every frame starts with. They differ, so the magic cannot overlap itself, and `D7` not followed by
/// `80..BF` occurs in no UTF-8 text.
pub const MAGIC: [u8; 2] = [0xD7, 0x55];

/// Where each part of the header stands, in bytes from the start of the frame.
pub mod field {
    use super::Range;

    /// The magic.
    pub const MAGIC: Range<usize> = 0..2;
    /// The payload's byte count `n`.
    pub const LENGTH: Range<usize> = MAGIC.end..4;
    /// The one's complement of the length.
    pub const GUARD: Range<usize> = LENGTH.end..6;
}

/// Bytes before the payload: magic, length and guard, excluding the checksum.
pub const HEADER_LEN: usize = field::GUARD.end;

/// Bytes after the payload: the CRC-32C over everything before it.
pub const CHECKSUM_LEN: usize = 4;

/// Bytes that a frame is longer than its payload.
pub const OVERHEAD: usize = 10;

/// The longest payload that the length field can say, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 65_535;

/// The longest frame, in bytes.
pub const MAX_FRAME_LEN: usize = 65_545;

/// A frame in somebody else's buffer: the whole of it, and where its payload is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame that is `bytes`, with the payload at `payload` in it; `None` when the range lies outside.
    ///
    /// For implementations of [`Framing`](crate::Framing); nothing else is checked here.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8], payload: Range<usize>) -> Option<Self> {
        Some(Self { bytes, payload: bytes.get(payload)? })
    }

    #[inline(always)]
    pub(crate) const fn from_parts(bytes: &'a [u8], payload: &'a [u8]) -> Self {
        Self { bytes, payload }
    }

    /// The payload.
    #[must_use]
    #[inline(always)]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload stands in the frame, in bytes from its start.
    #[must_use]
    #[inline]
    pub fn payload_range(&self) -> Range<usize> {
        let start = self.payload.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        start..start.wrapping_add(self.payload.len())
    }

    /// The whole frame as it stood on the line, from the first byte of its start marker to the last of its end.
    #[must_use]
    #[inline(always)]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The length of the whole frame, in bytes.
    #[must_use]
    #[inline(always)]
    pub const fn encoded_len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("encoded_len", &self.encoded_len()).field("payload", &self.payload).finish()
    }
}

const _: () = {
    assert!(OVERHEAD == HEADER_LEN + CHECKSUM_LEN);
    assert!(MAX_FRAME_LEN == MAX_PAYLOAD_LEN + OVERHEAD);
};
