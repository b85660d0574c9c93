//! What is wrong with a specification.

use core::fmt;

/// Leaves a `const` function with what is wrong.
macro_rules! refuse {
    ($field:expr, $problem:expr) => {
        return Err($crate::spec::SpecError { field: $field, problem: $problem })
    };
}

/// The value, or leaves with the error: `?` is not `const`.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}

/// A part of a specification, by the key that it has in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // each is the key
pub enum Field {
    Start,
    Shared,
    Preamble,
    Fixed,
    LengthAt,
    LengthWidth,
    LengthEncoding,
    LengthMask,
    LengthAdjust,
    LengthRepeat,
    FixedLen,
    Escape,
    EscapeLead,
    EscapeMap,
    EscapeXor,
    CheckWidth,
    CheckPoly,
    CheckInit,
    CheckXorOut,
    CheckFrom,
    CheckTrim,
    CheckPlace,
    End,
    PayloadFrom,
    PayloadTrim,
    MinLen,
    MaxLen,
}

impl Field {
    /// The key in a file, with the tables that it is in.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Shared => "shared",
            Self::Preamble => "preamble",
            Self::Fixed => "fixed",
            Self::LengthAt => "length.at",
            Self::LengthWidth => "length.width",
            Self::LengthEncoding => "length.encoding",
            Self::LengthMask => "length.mask",
            Self::LengthAdjust => "length.adjust",
            Self::LengthRepeat => "length.repeat",
            Self::FixedLen => "fixed_len",
            Self::Escape => "escape",
            Self::EscapeLead => "escape.lead",
            Self::EscapeMap => "escape.map",
            Self::EscapeXor => "escape.xor",
            Self::CheckWidth => "check.width",
            Self::CheckPoly => "check.poly",
            Self::CheckInit => "check.init",
            Self::CheckXorOut => "check.xorout",
            Self::CheckFrom => "check.from",
            Self::CheckTrim => "check.trim",
            Self::CheckPlace => "check.place",
            Self::End => "end",
            Self::PayloadFrom => "payload.from",
            Self::PayloadTrim => "payload.trim",
            Self::MinLen => "min_len",
            Self::MaxLen => "max_len",
        }
    }
}

/// A specification that no framing can follow: where it contradicts itself, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecError {
    /// The part that is wrong.
    pub field: Field,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a part of a specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It has to be said.
    Missing,
    /// Nothing says where a frame ends: there is no length, no fixed length, and no end marker.
    Endless,
    /// The start markers are not all of one length.
    Unequal {
        /// The length of the first one, in bytes.
        first: usize,
        /// The length of the first one that differs, in bytes.
        other: usize,
    },
    /// It is outside its bounds.
    Range {
        /// The value given.
        value: i64,
        /// The least that can be.
        min: i64,
        /// The most that can be.
        max: i64,
    },
    /// It takes bytes that something else takes.
    Overlaps,
    /// It leaves a byte of the trailer that nothing determines.
    Undetermined {
        /// Where, in bytes from the end of the frame.
        before_end: usize,
    },
    /// It cannot be where the other part is, or not as it is.
    Contradicts(Field),
    /// The field cannot hold the length of the longest frame.
    CannotHold {
        /// The number that would have to be written.
        value: i64,
        /// The largest that can be.
        max: i64,
    },
    /// The rule does not replace a byte that has to be replaced, or does so by one that means something else.
    Byte {
        /// The byte.
        byte: u8,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field.key())?;
        match self.problem {
            Problem::Missing => f.write_str("is missing"),
            Problem::Endless => f.write_str("none of length, fixed_len and end says where a frame ends"),
            Problem::Unequal { first, other } => {
                write!(f, "markers of {first} and of {other} bytes, and all starts have to be of one length")
            }
            Problem::Range { value, min, max } => write!(f, "{value} is not from {min} to {max}"),
            Problem::Overlaps => f.write_str("takes bytes that something else takes"),
            Problem::Undetermined { before_end } => {
                write!(f, "nothing says what stands {before_end} bytes before the end")
            }
            Problem::Contradicts(other) => write!(f, "contradicts {}", other.key()),
            Problem::CannotHold { value, max } => {
                write!(f, "the longest frame needs {value}, and {max} is the most that fits")
            }
            Problem::Byte { byte } => write!(f, "byte {byte:02x} would be taken for something else"),
        }
    }
}

impl core::error::Error for SpecError {}
