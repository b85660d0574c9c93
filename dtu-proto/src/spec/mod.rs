//! Framings by declaration: what a frame looks like as plain data, compiled into a [`Framing`](crate::Framing).
//!
//! A [`FrameSpec`] says where the markers, the length and the checksum stand. [`FrameSpec::compile`] refuses what
//! contradicts itself, naming the field, and gives a [`Declared`], which decodes and encodes. Both are `const`, so a
//! framing can be a `static`.
//!
//! ```text
//!  | start | markers, length, its repeat, free bytes | payload | markers, checksum | end |
//!  0                                            payload.from   payload.trim from the end
//!  '----------------- header -----------------'             '------- trailer -------'
//! ```
//!
//! Offsets count from the first byte of the start marker, in the frame without its escapes; offsets in the trailer count
//! back from the end of the frame. Every byte of the trailer is fixed or follows from the rest; the header may have free
//! bytes (addresses, types).
//!
//! # Three shapes
//!
//! | shape | when | where the frame ends |
//! |---|---|---|
//! | length | `length`, no `escape` | behind as many bytes as the field says |
//! | fixed | `fixed_len` | behind as many bytes |
//! | ended | neither, or `escape` | behind the first end marker; a `length` is compared with what stands there |
//!
//! An ended framing without a start marker (lines, SLIP) starts a frame behind each end marker, and empty frames are
//! [`Malformed::Fill`](crate::Malformed). Where start and end are the same byte, as in HDLC, frames may share it
//! (`shared`): a frame may then begin behind the end of another, without a start marker of its own. What stands behind
//! `max_len` bytes without an end marker is taken for a beginning, since nothing is remembered of what came before.
//!
//! # Cost
//!
//! A candidate is read at most up to `max_len` bytes, and most bytes cannot begin one. The worst that a hostile stream
//! can do is to begin one at every byte: `max_len` bytes of checksum each, linear in the stream for a given `max_len`.
//!
//! # Examples
//!
//! The frame of electricity meters, DL/T 645:
//! ```
//! use dtu_proto::checksum::Algorithm;
//! use dtu_proto::framing::{Framing, Step};
//! use dtu_proto::spec::{Check, Declared, FrameSpec, Length};
//!
//! static DLT645: Declared = FrameSpec::new(212)
//!     .start(&[0x68])
//!     .preamble(0xFE)
//!     .fixed(7, &[0x68])
//!     .length(Length::byte(9).adjust(12))
//!     .check(Check::new(Algorithm::Sum8, 2))
//!     .end(&[0x16])
//!     .declared();
//!
//! let line = b"\xFE\xFE\x68\x01\0\0\0\0\0\x68\x11\x04\x33\x33\x34\x33\xB3\x16";
//! let mut frames = Vec::new();
//! DLT645.walk(line, |step| {
//!     if let Step::Frame(frame) = step {
//!         frames.push(frame);
//!     }
//! });
//! let [frame] = frames[..] else { panic!("there is one") };
//! assert_eq!(frame.payload(), b"\x33\x33\x34\x33");
//!
//! let header = &frame.as_bytes()[..frame.payload_range().start];
//! let mut again = [0; 32];
//! let len = DLT645.encode_frame(header, frame.payload(), &mut again)?;
//! assert_eq!(again[..len], line[2..]);
//! # Ok::<(), dtu_proto::encode::EncodeError>(())
//! ```

mod compile;
mod decode;
mod encode;
mod ended;
mod error;
mod escape;
mod fields;
mod framing;
mod marker;
#[cfg(feature = "serde")]
mod text;

pub use compile::Declared;
pub use error::{Field, Problem, SpecError};
pub use escape::{ByteSet, Escape, MAX_ESCAPES, Rule};
pub use fields::{Check, Encoding, Endian, Fixed, Length, PayloadRange, Repeat, Text};
pub use marker::{MAX_MARKER_LEN, Marker};

use crate::checksum::Algorithm;
use crate::frame;

/// How many start markers a framing can have.
pub const MAX_STARTS: usize = 4;
/// How many markers a framing can have besides those at its start and its end.
pub const MAX_FIXED: usize = 4;
/// The longest header, in bytes.
pub const MAX_HEADER_LEN: usize = 64;
/// The longest trailer, in bytes.
pub const MAX_TRAILER_LEN: usize = 32;
/// The longest frame that can be declared, in bytes: 1 MiB.
pub const MAX_FRAME_LEN: usize = 1 << 20;

/// What the frames of a framing look like. See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct FrameSpec {
    /// The start markers, each of the same length; any of them begins a frame. Empty ones do not count.
    #[cfg_attr(feature = "serde", serde(default = "text::no_starts", deserialize_with = "text::starts"))]
    pub start: [Marker; MAX_STARTS],
    /// Whether frames that stand one behind the other may share the byte between them, which ends one and starts the other.
    #[cfg_attr(feature = "serde", serde(default))]
    pub shared: bool,
    /// A byte that may stand in front of a frame, any number of times.
    #[cfg_attr(feature = "serde", serde(default, deserialize_with = "text::maybe_byte"))]
    pub preamble: Option<u8>,
    /// Markers inside the frame. Empty ones do not count.
    #[cfg_attr(feature = "serde", serde(default = "text::no_fixed", deserialize_with = "text::fixed"))]
    pub fixed: [Fixed; MAX_FIXED],
    /// The length field.
    #[cfg_attr(feature = "serde", serde(default))]
    pub length: Option<Length>,
    /// The length of every frame, where it is the same, in bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub fixed_len: Option<usize>,
    /// How bytes that would be taken for markers are replaced between the start and the end marker.
    #[cfg_attr(feature = "serde", serde(default))]
    pub escape: Option<Escape>,
    /// The checksum.
    #[cfg_attr(feature = "serde", serde(default))]
    pub check: Option<Check>,
    /// The end marker; empty where there is none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub end: Marker,
    /// Where the payload stands.
    #[cfg_attr(feature = "serde", serde(default))]
    pub payload: PayloadRange,
    /// The length of the shortest frame without its escapes, in bytes; without it, that of an empty payload.
    #[cfg_attr(feature = "serde", serde(default))]
    pub min_len: Option<usize>,
    /// The length of the longest frame as it stands on the line, in bytes, at most [`MAX_FRAME_LEN`]. Where `fixed_len` is given,
    /// that says it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_len: Option<usize>,
}

impl FrameSpec {
    /// The native frame, by declaration.
    pub const NATIVE: Self = Self::new(frame::MAX_FRAME_LEN)
        .start(&frame::MAGIC)
        .length(Length::big(2, 2).adjust(10).repeat_complemented(4))
        .check(Check::new(Algorithm::Crc(crate::checksum::catalogue::CRC_32_ISCSI), 4));

    /// A specification that says only how long a frame can be, in bytes on the line.
    #[must_use]
    pub const fn new(max_len: usize) -> Self {
        Self {
            start: [Marker::EMPTY; MAX_STARTS],
            shared: false,
            preamble: None,
            fixed: [Fixed { at: 0, hex: Marker::EMPTY }; MAX_FIXED],
            length: None,
            fixed_len: None,
            escape: None,
            check: None,
            end: Marker::EMPTY,
            payload: PayloadRange { from: None, trim: None },
            min_len: None,
            max_len: Some(max_len),
        }
    }

    /// A specification of frames that are all `len` bytes long.
    #[must_use]
    pub const fn of_fixed_len(len: usize) -> Self {
        Self { fixed_len: Some(len), ..Self::new(len) }
    }

    /// The same with one more start marker.
    ///
    /// # Panics
    ///
    /// When `marker` is longer than [`MAX_MARKER_LEN`], or there are [`MAX_STARTS`] already.
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // below the number of slots
    pub const fn start(mut self, marker: &[u8]) -> Self {
        let mut slot = 0;
        while slot < MAX_STARTS {
            if self.start[slot].is_empty() {
                self.start[slot] = Marker::new(marker);
                return self;
            }
            slot += 1;
        }
        panic!("there is room for a start marker");
    }

    /// The same with frames that may share the byte between them.
    #[must_use]
    pub const fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The same with a byte that may stand in front of a frame.
    #[must_use]
    pub const fn preamble(self, byte: u8) -> Self {
        Self { preamble: Some(byte), ..self }
    }

    /// The same with one more marker, `at` bytes from the start of the frame, or from its end where that is negative.
    ///
    /// # Panics
    ///
    /// When `marker` is longer than [`MAX_MARKER_LEN`], or there are [`MAX_FIXED`] already.
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // below the number of slots
    pub const fn fixed(mut self, at: i32, marker: &[u8]) -> Self {
        let mut slot = 0;
        while slot < MAX_FIXED {
            if self.fixed[slot].hex.is_empty() {
                self.fixed[slot] = Fixed { at, hex: Marker::new(marker) };
                return self;
            }
            slot += 1;
        }
        panic!("there is room for a marker");
    }

    /// The same with a length field.
    #[must_use]
    pub const fn length(self, length: Length) -> Self {
        Self { length: Some(length), ..self }
    }

    /// The same with an escape rule.
    #[must_use]
    pub const fn escape(self, escape: Escape) -> Self {
        Self { escape: Some(escape), ..self }
    }

    /// The same with a checksum.
    #[must_use]
    pub const fn check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    /// The same with an end marker.
    ///
    /// # Panics
    ///
    /// When `marker` is longer than [`MAX_MARKER_LEN`].
    #[must_use]
    pub const fn end(self, marker: &[u8]) -> Self {
        Self { end: Marker::new(marker), ..self }
    }

    /// The same with the payload `from` bytes behind the start of the frame; otherwise it follows the last thing declared in
    /// the header.
    #[must_use]
    pub const fn payload_from(self, from: usize) -> Self {
        Self { payload: PayloadRange { from: Some(from), ..self.payload }, ..self }
    }

    /// The same with a shortest frame, in bytes.
    #[must_use]
    pub const fn min_len(self, len: usize) -> Self {
        Self { min_len: Some(len), ..self }
    }

    /// The framing that this is the specification of.
    ///
    /// # Panics
    ///
    /// When the specification contradicts itself; in a `const` or `static`, that is an error of the build. What comes from
    /// outside goes through [`compile`](Self::compile).
    #[must_use]
    pub const fn declared(self) -> Declared {
        match self.compile() {
            Ok(declared) => declared,
            Err(_) => panic!("the specification is free of contradictions"),
        }
    }
}
