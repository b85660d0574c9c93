//! A few bytes that do not change.

use core::fmt;

/// The longest marker, in bytes.
pub const MAX_MARKER_LEN: usize = 8;

/// Bytes that stand in every frame, at most [`MAX_MARKER_LEN`] of them; none is no marker.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Marker {
    /// The bytes, then zeros.
    bytes: [u8; MAX_MARKER_LEN],
    len: u8,
}

impl Marker {
    /// No marker.
    pub const EMPTY: Self = Self { bytes: [0; MAX_MARKER_LEN], len: 0 };

    /// The marker that is `bytes`.
    ///
    /// # Panics
    ///
    /// When they are more than [`MAX_MARKER_LEN`].
    #[must_use]
    pub const fn new(bytes: &[u8]) -> Self {
        Self::of(bytes).expect("a marker is at most MAX_MARKER_LEN bytes long")
    }

    /// The marker that is `bytes`; `None` when they are more than [`MAX_MARKER_LEN`].
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // at most the length of both
    pub const fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MARKER_LEN {
            return None;
        }
        let mut marker = Self { len: bytes.len() as u8, ..Self::EMPTY };
        let mut at = 0;
        while at < bytes.len() {
            marker.bytes[at] = bytes[at];
            at += 1;
        }
        Some(marker)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.len()).0
    }

    /// How many bytes.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::as_conversions)] // widened
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no marker.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `bytes` begin with the marker.
    #[inline(always)]
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        let [a, b, ..] = self.bytes;
        // A call of the comparison of slices costs more than the markers that there are.
        match (self.len, bytes) {
            (0, _) => true,
            (1, [first, ..]) => *first == a,
            (2, [first, second, ..]) => [*first, *second] == [a, b],
            _ => bytes.starts_with(self.as_bytes()),
        }
    }

    /// How many bits it is worth as evidence: 8 a byte, and half of that a zero.
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a few bytes
    pub(super) const fn evidence(&self) -> u32 {
        let (mut at, mut bits) = (0, 0);
        while at < self.len() {
            bits += if self.bytes[at] == 0 { 4 } else { 8 };
            at += 1;
        }
        bits
    }

    /// Whether `bytes` are the beginning of the marker, or the other way round.
    pub(super) fn agrees(&self, bytes: &[u8]) -> bool {
        self.as_bytes().iter().zip(bytes).all(|(marker, byte)| marker == byte)
    }

    /// Whether both begin with the same bytes, as far as the shorter one goes.
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // below both lengths
    pub(super) const fn is(&self, other: &Self) -> bool {
        let mut at = 0;
        while at < MAX_MARKER_LEN {
            if self.bytes[at] != other.bytes[at] {
                return false;
            }
            at += 1;
        }
        self.len == other.len
    }

    /// The first byte; 0 of an empty one.
    pub(super) const fn first(&self) -> u8 {
        let [first, ..] = self.bytes;
        first
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marker({})", crate::hex::Hex(self.as_bytes()))
    }
}
