//! Frames out of [`bytes::Bytes`] without copying: one chunk is frozen, and every frame is a slice of it.

use crate::framing::{Framing, Malformed, Step, abandon_candidate, next_step};
use bytes::{Buf, Bytes};
use core::fmt;
use core::ops::Range;

/// A frame that owns a share of the chunk it came in. The chunk lives as long as any frame of it does.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameBuf {
    bytes: Bytes,
    payload: Range<usize>,
}

impl FrameBuf {
    /// The payload.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }

    /// The payload, as a share of the chunk of its own.
    #[must_use]
    #[inline]
    pub fn into_payload(self) -> Bytes {
        let Self { mut bytes, payload } = self;
        bytes.truncate(payload.end);
        bytes.advance(payload.start);
        bytes
    }

    /// The whole frame as it stood on the line.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The length of the whole frame, in bytes.
    #[must_use]
    #[inline]
    pub const fn encoded_len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameBuf").field("encoded_len", &self.encoded_len()).field("payload", &self.payload()).finish()
    }
}

/// A [`Step`] that owns what it carries and has no `NeedMore`: an adapter waits by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepBuf {
    /// A frame.
    Frame(FrameBuf),
    /// Bytes that belong to no frame.
    Skipped {
        /// How many, at least 1.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
}

impl StepBuf {
    /// How many bytes of the stream the step covers.
    #[must_use]
    pub const fn covered(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.encoded_len(),
            Self::Skipped { bytes, .. } => *bytes,
        }
    }
}

/// The steps over one chunk, as an iterator that ends where a candidate lacks bytes.
///
/// What is left, [`into_rest`](Self::into_rest), goes in front of the bytes that come next.
///
/// # Examples
///
/// A read loop that hands payloads on without copying them:
/// ```
/// use bytes::{Bytes, BytesMut};
/// use dtu_proto::chunk::{Chunk, StepBuf};
/// use dtu_proto::Native;
///
/// let reads: [&[u8]; 2] = [b"\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06\xD7\x55\x00", b"\x02\xFF\xFDhi\x75\xBE\x17\x06"];
/// let mut buffer = BytesMut::new();
/// let mut payloads: Vec<Bytes> = Vec::new();
/// for read in reads {
///     buffer.extend_from_slice(read);
///     let mut chunk = Chunk::new(Native::new(), buffer.split().freeze());
///     for step in &mut chunk {
///         match step {
///             StepBuf::Frame(frame) => payloads.push(frame.into_payload()),
///             StepBuf::Skipped { bytes, cause } => eprintln!("{bytes} bytes skipped: {cause}"),
///         }
///     }
///     buffer.extend_from_slice(&chunk.into_rest());
/// }
/// assert_eq!(payloads, ["hi", "hi"]);
/// ```
#[derive(Debug, Clone)]
pub struct Chunk<F> {
    framing: F,
    rest: Bytes,
}

impl<F: Framing> Chunk<F> {
    /// The steps over `bytes`.
    #[must_use]
    pub const fn new(framing: F, bytes: Bytes) -> Self {
        Self { framing, rest: bytes }
    }

    /// The bytes without a verdict: after the last step, the beginning of a candidate or nothing.
    #[must_use]
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// The same, by value.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Gives up the candidate at the front, whose missing bytes will not come. `None` when no bytes are left.
    pub fn abandon_candidate(&mut self) -> Option<StepBuf> {
        let step = abandon_candidate(&self.framing, &self.rest)?.detach()?;
        Some(step.take(|len| self.rest.split_to(len)))
    }
}

impl<F: Framing> Iterator for Chunk<F> {
    type Item = StepBuf;

    #[inline]
    fn next(&mut self) -> Option<StepBuf> {
        let step = next_step(&self.framing, &self.rest).detach()?;
        Some(step.take(|len| self.rest.split_to(len)))
    }
}

/// A step that no longer borrows the buffer its bytes are still to be taken from.
pub(crate) enum Detached {
    Frame { len: usize, payload: Range<usize> },
    Skipped { bytes: usize, cause: Malformed },
}

impl Step<'_> {
    /// `None` for `NeedMore`.
    #[inline]
    pub(crate) fn detach(self) -> Option<Detached> {
        match self {
            Self::Frame(frame) => Some(Detached::Frame { len: frame.encoded_len(), payload: frame.payload_range() }),
            Self::Skipped { bytes, cause } => Some(Detached::Skipped { bytes, cause }),
            Self::NeedMore { .. } => None,
        }
    }
}

impl Detached {
    /// Takes the step's bytes off the front of the buffer with `split_to`.
    #[inline]
    pub(crate) fn take(self, split_to: impl FnOnce(usize) -> Bytes) -> StepBuf {
        match self {
            Self::Frame { len, payload } => StepBuf::Frame(FrameBuf { bytes: split_to(len), payload }),
            Self::Skipped { bytes, cause } => {
                drop(split_to(bytes));
                StepBuf::Skipped { bytes, cause }
            }
        }
    }
}
