//! What a framing is, and the steps that one gives over a dirty stream.
//!
//! A [`Framing`] answers three questions about bytes and keeps nothing. [`next_step`] turns its answers into a walk
//! over a stream: a frame, a number of bytes to skip with the cause, or the wish for more bytes. The walk follows the
//! resynchronisation rule (spec: `frame.md`, "Resynchronisation"): after a rejected candidate the search goes on at
//! the byte after the candidate's *first* byte, so every intact frame whose bytes no earlier accepted frame covers is
//! found, whatever stands around it.

use crate::encode::{EncodeError, Sink};
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

    /// How many bits of each frame are held against what the framing fixes: markers, guards, checksums. Noise passes for a
    /// frame once in `2^evidence` places. A zero in a marker counts for half a byte: there are more of them on every line than of
    /// any other byte.
    fn evidence(&self) -> u32;

    /// Writes the payload of a frame of this framing as its sender meant it, with escapes undone.
    ///
    /// [`Frame::payload`] is what stands on the line, and the same for every framing that does not escape.
    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        sink.put(frame.payload());
    }

    /// Writes the frame around `payload`, the payload as [`payload_into`](Self::payload_into) gives it.
    ///
    /// `header` is what stands before the payload: addresses, types, counts. Markers and lengths in it are put right, so the
    /// header of a frame that came makes the same frame again. Where it is empty, its free bytes are 0.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when no such frame can be. What was written then is not a frame; give `sink` up.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError>;

    /// Writes the frame around `payload` at the front of `out` and returns its length in bytes; see
    /// [`encode_into`](Self::encode_into).
    ///
    /// # Errors
    ///
    /// As there, and [`EncodeError::BufferTooSmall`] with the length that it takes. Part of a frame may stand in `out` then.
    fn encode_frame(&self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        let available = out.len();
        let mut written = Written { out, needed: 0 };
        self.encode_into(header, payload, &mut written)?;
        let needed = written.needed;
        if needed > available { Err(EncodeError::BufferTooSmall { needed, available }) } else { Ok(needed) }
    }

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

/// What a slice takes of a frame.
struct Written<'a> {
    out: &'a mut [u8],
    /// The bytes so far, with those for which there was no room.
    needed: usize,
}

impl Sink for Written<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.needed.saturating_add(bytes.len());
        if let Some(room) = self.out.get_mut(self.needed..end) {
            room.copy_from_slice(bytes);
        }
        self.needed = end;
    }
}

macro_rules! forwards {
    ($($framing:ty),+) => {$(
        impl<F: Framing + ?Sized> Framing for $framing {
            #[inline]
            fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
                (**self).examine(candidate)
            }

            fn find_start(&self, bytes: &[u8]) -> usize {
                (**self).find_start(bytes)
            }

            fn max_frame_len(&self) -> usize {
                (**self).max_frame_len()
            }

            fn evidence(&self) -> u32 {
                (**self).evidence()
            }

            fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
                (**self).payload_into(frame, sink);
            }

            fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
                (**self).encode_into(header, payload, sink)
            }
        }
    )+};
}

forwards!(&F);
#[cfg(feature = "alloc")]
forwards!(alloc::boxed::Box<F>);

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
        /// as no other candidate begins in them. In [`Malformed::Fill`] none does: all of them are skipped. At least 1.
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
    /// Bytes that the framing lets stand between frames: a preamble, flags in a row. They say nothing and are no damage.
    Fill,
    /// The length and what repeats it contradict each other.
    LengthGuard {
        /// The length as the header says it.
        length: u32,
        /// What should repeat it, as the header says it. In the native frame `!length` would be right.
        guard: u32,
    },
    /// The length is none: shorter than the shortest frame, or not a number.
    Length {
        /// The length field as it stands on the line; its first four bytes.
        found: u32,
    },
    /// A marker inside the frame, or at its end, is not there.
    Marker {
        /// Where it should stand, in bytes from the start of the frame.
        at: usize,
    },
    /// An escape that the framing does not know, or a byte that has to be escaped.
    Escape {
        /// Where it stands, in bytes from the start of the frame.
        at: usize,
    },
    /// A function or a kind of message of which the framing does not know how long it is, or how it is checked.
    Unknown {
        /// The number of the function or the kind.
        code: u32,
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
            Self::Fill => "fill",
            Self::LengthGuard { .. } => "length_guard",
            Self::Length { .. } => "length",
            Self::Marker { .. } => "marker",
            Self::Escape { .. } => "escape",
            Self::Unknown { .. } => "unknown",
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
                write!(f, "length {length:#06x} and its guard {guard:#06x} contradict each other")
            }
            Self::Fill => f.write_str("nothing between frames"),
            Self::Length { found } => write!(f, "{found:#x} is no length of a frame"),
            Self::Marker { at } => write!(f, "the marker at byte {at} is not there"),
            Self::Escape { at } => write!(f, "byte {at} should be escaped, or is escaped wrongly"),
            Self::Unknown { code } => write!(f, "function or message {code:#x} is not known"),
            Self::OverLimit { length, limit } => write!(f, "payload of {length} bytes is over the limit of {limit}"),
            Self::Checksum { computed, found } => {
                // How wide the checksum is, the cause does not say: the digits of whole bytes that the larger value takes.
                let width = match computed.max(found) {
                    0..=0xFF => 4,
                    0x100..=0xFFFF => 6,
                    0x1_0000..=0xFF_FFFF => 8,
                    0x100_0000.. => 10,
                };
                write!(f, "the bytes give {computed:#0width$x}, the frame says {found:#0width$x}")
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

/// Skips the first byte of `bytes`, and of the `judged` ones all up to the next place where a frame could begin; fill is skipped
/// whole, or a long run of it would be judged once for each of its bytes.
#[cold]
fn skip<'a, F: Framing + ?Sized>(framing: &F, bytes: &[u8], judged: usize, cause: Malformed) -> Step<'a> {
    //= spec/frame.md#R-3
    let behind_first = bytes.get(1..judged).unwrap_or_default();
    let also = if cause == Malformed::Fill { behind_first.len() } else { framing.find_start(behind_first) };
    Step::Skipped { bytes: also.saturating_add(1), cause }
}
