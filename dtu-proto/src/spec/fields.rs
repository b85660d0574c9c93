//! The parts of a specification: markers at an offset, the length, the checksum, the payload.

use super::marker::Marker;
use crate::checksum::Algorithm;

/// A marker inside the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Fixed {
    /// Where it stands, in bytes from the start of the frame; negative, from its end.
    pub at: i32,
    /// The bytes.
    pub hex: Marker,
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
pub enum Endian {
    /// The most significant byte first.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "be"))]
    Big,
    /// The least significant byte first.
    #[cfg_attr(feature = "serde", serde(rename = "le"))]
    Little,
}

/// How a length is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
pub enum Encoding {
    /// As a binary number, at most 4 bytes wide.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "binary"))]
    Binary,
    /// In decimal digits, at most 8.
    #[cfg_attr(feature = "serde", serde(rename = "ascii-dec"))]
    Decimal,
    /// In hexadecimal digits, at most 8.
    #[cfg_attr(feature = "serde", serde(rename = "ascii-hex"))]
    Hexadecimal,
}

/// A length field: the frame is `value + adjust` bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Length {
    /// Where it stands, in bytes from the start of the frame.
    pub at: usize,
    /// How many bytes or digits it has.
    pub width: usize,
    /// The order of its bytes. Digits always have the most significant first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub endian: Endian,
    /// How it is written.
    #[cfg_attr(feature = "serde", serde(default))]
    pub encoding: Encoding,
    /// The bits of a binary field that say the length, one run of them; the others are free. `u32::MAX` for all.
    #[cfg_attr(feature = "serde", serde(default = "super::text::all_bits"))]
    pub mask: u32,
    /// What the frame has more than the field says, in bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub adjust: i32,
    /// Where the field stands once more.
    #[cfg_attr(feature = "serde", serde(default))]
    pub repeat: Option<Repeat>,
}

/// A length that stands a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Repeat {
    /// Where, in bytes from the start of the frame.
    pub at: usize,
    /// Whether with every bit turned over.
    #[cfg_attr(feature = "serde", serde(default))]
    pub complement: bool,
}

impl Length {
    /// A binary length of `width` bytes, the most significant first.
    #[must_use]
    pub const fn big(at: usize, width: usize) -> Self {
        Self { at, width, endian: Endian::Big, encoding: Encoding::Binary, mask: u32::MAX, adjust: 0, repeat: None }
    }

    /// A binary length of `width` bytes, the least significant first.
    #[must_use]
    pub const fn little(at: usize, width: usize) -> Self {
        Self { endian: Endian::Little, ..Self::big(at, width) }
    }

    /// A length of one byte.
    #[must_use]
    pub const fn byte(at: usize) -> Self {
        Self::big(at, 1)
    }

    /// A length in `width` decimal digits.
    #[must_use]
    pub const fn decimal(at: usize, width: usize) -> Self {
        Self { encoding: Encoding::Decimal, ..Self::big(at, width) }
    }

    /// A length in `width` hexadecimal digits.
    #[must_use]
    pub const fn hexadecimal(at: usize, width: usize) -> Self {
        Self { encoding: Encoding::Hexadecimal, ..Self::big(at, width) }
    }

    /// The same for frames that are `adjust` bytes longer than it says.
    #[must_use]
    pub const fn adjust(self, adjust: i32) -> Self {
        Self { adjust, ..self }
    }

    /// The same with the length in the bits of `mask` only.
    #[must_use]
    pub const fn mask(self, mask: u32) -> Self {
        Self { mask, ..self }
    }

    /// The same, which stands a second time.
    #[must_use]
    pub const fn repeat(self, at: usize) -> Self {
        Self { repeat: Some(Repeat { at, complement: false }), ..self }
    }

    /// The same, which stands a second time with every bit turned over.
    #[must_use]
    pub const fn repeat_complemented(self, at: usize) -> Self {
        Self { repeat: Some(Repeat { at, complement: true }), ..self }
    }
}

/// How a check value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
pub enum Text {
    /// As a binary number.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "binary"))]
    Binary,
    /// In two hexadecimal digits a byte: upper case is written, both are read.
    #[cfg_attr(feature = "serde", serde(rename = "hex"))]
    Upper,
    /// In two hexadecimal digits a byte: lower case is written, both are read.
    #[cfg_attr(feature = "serde", serde(rename = "hex-lower"))]
    Lower,
}

/// A checksum over a run of the frame without its escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// The first byte that it covers, counted from the start of the frame.
    pub from: usize,
    /// How many bytes at the end of the frame it does not cover; without it, `place`.
    pub trim: Option<usize>,
    /// Where the check value begins, in bytes from the end of the frame.
    pub place: usize,
    /// The order of its bytes.
    pub endian: Endian,
    /// How it is written.
    pub encoding: Text,
}

impl Check {
    /// A binary check value, most significant byte first, `place` bytes from the end of the frame, over all that stands
    /// before it.
    #[must_use]
    pub const fn new(algorithm: Algorithm, place: usize) -> Self {
        Self { algorithm, from: 0, trim: None, place, endian: Endian::Big, encoding: Text::Binary }
    }

    /// The same over what begins `from` bytes behind the start of the frame.
    #[must_use]
    pub const fn from(self, from: usize) -> Self {
        Self { from, ..self }
    }

    /// The same over all but `trim` bytes at the end of the frame.
    #[must_use]
    pub const fn trim(self, trim: usize) -> Self {
        Self { trim: Some(trim), ..self }
    }

    /// The same with the least significant byte first.
    #[must_use]
    pub const fn little(self) -> Self {
        Self { endian: Endian::Little, ..self }
    }

    /// The same in hexadecimal digits.
    #[must_use]
    pub const fn hex(self) -> Self {
        Self { encoding: Text::Upper, ..self }
    }

    /// The bytes that the check value takes in the frame.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects)] // at most 4
    pub const fn width(&self) -> usize {
        match self.encoding {
            Text::Binary => self.algorithm.width(),
            Text::Upper | Text::Lower => self.algorithm.width() * 2,
        }
    }
}

/// Where the payload stands. What is not said follows from the other parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct PayloadRange {
    /// The length of the header, in bytes; otherwise the header ends with the last thing that is declared in it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub from: Option<usize>,
    /// The length of the trailer, in bytes; otherwise it begins with the first thing that is declared in it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub trim: Option<usize>,
}
