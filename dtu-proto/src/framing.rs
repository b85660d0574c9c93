//! What a framing is, and the steps that one gives over a dirty stream.
//!
//! A [`Framing`] answers three questions about bytes and keeps nothing. [`next_step`] turns its answers into a walk
//! over a stream: a frame, a number of bytes to skip with the cause, or the wish for more bytes. The walk follows the
//! resynchronisation rule (spec: `frame.md`, "Resynchronisation"): after a rejected candidate the search goes on at
//! the byte after the candidate's *first* byte, so every intact frame whose bytes no earlier accepted frame covers is
//! found, whatever stands around it.

use crate::frame::Frame;
use core::fmt;
use core::num::NonZeroUsize;

/// A way to cut a byte stream into frames.
///
/// # The contract
///
/// * The verdict on a candidate never changes when more bytes follow it; only [`Examined::NeedMore`] may.
/// * No frame starts at a position that [`find_start`](Self::find_start) passes over.
/// * A `NeedMore` asks for no more than [`max_frame_len`](Self::max_frame_len) bytes in all.
pub trait Framing {
    /// Judges the candidate that starts at the first byte of `candidate`.
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a>;

    /// Returns the first position in `bytes` where a frame could begin, or `bytes.len()` when there is none.
    ///
    /// A start marker that is cut off by the end of `bytes` counts: its position is returned.
    fn find_start(&self, bytes: &[u8]) -> usize;

    /// The length of the longest frame this framing accepts, in bytes.
    fn max_frame_len(&self) -> usize;

    /// Hands the steps over `bytes` to `sink`, up to and including the [`Step::NeedMore`] that ends them, and returns
    /// how many bytes the steps before it covered.
    ///
    /// The same as calling [`next_step`] in a loop. An implementation overrides it where a batch can be faster.
    #[inline]
    fn walk<'a>(&self, bytes: &'a [u8], mut sink: impl FnMut(Step<'a>)) -> usize
    where
        Self: Sized,
    {
        let mut rest = bytes;
        loop {
            let step = next_step(self, rest);
            sink(step);
            match rest.get(step.covered()..) {
                Some(behind) if step.covered() > 0 => rest = behind,
                _ => return bytes.len().saturating_sub(rest.len()),
            }
        }
    }
}

/// A framing's judgement of one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examined<'a> {
    /// The candidate is a frame.
    Frame(Frame<'a>),
    /// It cannot become a frame before at least so many more bytes have come.
    NeedMore {
        /// How many more bytes, at the least.
        at_least: NonZeroUsize,
    },
    /// It is not a frame.
    Rejected {
        /// Why.
        cause: Malformed,
        /// How many bytes from the candidate's first on the judgement rests on; they are skipped under `cause`, as far
        /// as no other candidate begins in them. At least 1.
        judged: usize,
    },
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A frame; go on behind it.
    Frame(Frame<'a>),
    /// No frame can come out before at least so many more bytes have come. A rejection may take fewer.
    NeedMore {
        /// How many more bytes, at the least.
        at_least: NonZeroUsize,
    },
    /// Bytes that belong to no frame; go on behind them.
    Skipped {
        /// How many, at least 1.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
}

impl Step<'_> {
    /// How many bytes of the stream the step covers; the next step starts behind them. 0 for `NeedMore` alone.
    #[must_use]
    #[inline(always)]
    pub const fn covered(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.encoded_len(),
            Self::Skipped { bytes, .. } => *bytes,
            Self::NeedMore { .. } => 0,
        }
    }
}

/// Why bytes were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No frame starts here: the magic is not there. Noise, or what a damaged frame left behind.
    Magic,
    /// The length and its complement contradict each other.
    LengthGuard {
        /// The payload length as the header says it, in bytes.
        length: u16,
        /// The guard as the header says it; `!length` would be right.
        guard: u16,
    },
    /// The header is sound, and asks for a longer payload than the receiver allows.
    OverLimit {
        /// The payload length as the header says it, in bytes.
        length: usize,
        /// The receiver's limit, in bytes.
        limit: usize,
    },
    /// The checksum does not fit the bytes.
    Checksum {
        /// The checksum of the bytes that came.
        computed: u32,
        /// The checksum that came with them.
        found: u32,
    },
    /// The candidate was given up before its last byte came: the line fell silent or the stream ended.
    Abandoned {
        /// How many bytes of the candidate, and of what follows it, were there.
        received: usize,
    },
}

impl Malformed {
    /// The cause as one word, as `dtu decode` prints it and metrics are labelled.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Magic => "magic",
            Self::LengthGuard { .. } => "length_guard",
            Self::OverLimit { .. } => "over_limit",
            Self::Checksum { .. } => "checksum",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("no frame starts here"),
            Self::LengthGuard { length, guard } => {
                write!(f, "length {length:#06x} and its guard {guard:#06x} are not complements")
            }
            Self::OverLimit { length, limit } => write!(f, "payload of {length} bytes is over the limit of {limit}"),
            Self::Checksum { computed, found } => {
                write!(f, "the bytes give {computed:#010x}, the frame says {found:#010x}")
            }
            Self::Abandoned { received } => {
                write!(f, "the rest of the candidate did not come; bytes there: {received}")
            }
        }
    }
}

impl core::error::Error for Malformed {}

/// Returns the next step over `bytes`, which start where the last step ended.
///
/// The steps of a stream do not depend on how it is cut into slices, once neighbouring skips of one cause are added
/// up.
///
/// # Examples
///
/// Noise, then a frame:
/// ```
/// use dtu_proto::framing::{next_step, Malformed, Step};
/// use dtu_proto::Native;
///
/// let native = Native::new();
/// let stream = b"\x00\x01\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06";
/// assert_eq!(next_step(&native, stream), Step::Skipped { bytes: 2, cause: Malformed::Magic });
/// let Step::Frame(frame) = next_step(&native, &stream[2..]) else { panic!("the frame is whole") };
/// assert_eq!(frame.payload(), b"hi");
/// ```
#[inline]
pub fn next_step<'a, F: Framing + ?Sized>(framing: &F, bytes: &'a [u8]) -> Step<'a> {
    step_after(framing, bytes, framing.examine(bytes))
}

/// The step that the judgement of the candidate at the front of `bytes` leads to.
#[inline(always)]
pub(crate) fn step_after<'a, F: Framing + ?Sized>(framing: &F, bytes: &'a [u8], examined: Examined<'a>) -> Step<'a> {
    match examined {
        Examined::Frame(frame) => Step::Frame(frame),
        Examined::NeedMore { at_least } => Step::NeedMore { at_least },
        Examined::Rejected { cause, judged } => skip(framing, bytes, judged, cause),
    }
}

/// Gives up the candidate at the front of `bytes`, whose missing bytes will not come: the search goes on at the byte
/// after its first. Returns `None` when there are no bytes.
#[must_use]
pub fn abandon_candidate<'a, F: Framing + ?Sized>(framing: &F, bytes: &'a [u8]) -> Option<Step<'a>> {
    let received = bytes.len();
    //= spec/frame.md#R-6
    (received > 0).then(|| skip(framing, bytes, received, Malformed::Abandoned { received }))
}

/// Skips the first byte of `bytes`, and of the `judged` ones all up to the next place where a frame could begin.
#[cold]
fn skip<'a, F: Framing + ?Sized>(framing: &F, bytes: &[u8], judged: usize, cause: Malformed) -> Step<'a> {
    //= spec/frame.md#R-3
    let behind_first = bytes.get(1..judged).unwrap_or_default();
    Step::Skipped { bytes: framing.find_start(behind_first).saturating_add(1), cause }
}
