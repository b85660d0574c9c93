//! Frames in frames: the payload of an outer framing is the input of an inner one.
//!
//! A vendor's envelope (DDP) carries what came over a serial line (Modbus, DL/T 645); so does the native DATA message. Two ways of
//! cutting are in use, [`Pieces`]: the payloads glued to each other are one inner stream, because the modem cuts the
//! serial line where its buffer or its timer says; or each payload stands alone, as datagrams do.
//!
//! ```text
//! bytes -> outer Deframer -> selector: which part of which frame -> piece -> inner Deframer -> items
//! ```

use crate::deframer::{Deframer, Storage};
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Framing, Malformed, Step, abandon_candidate, next_step};
use crate::message::{Data, Message};
use core::num::NonZeroUsize;
use core::ops::Range;

/// How the payloads of outer frames make inner streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Each is a piece of one stream: inner frames are cut and glued over several outer ones.
    Glued,
    /// Each is a stream of its own: what is incomplete at its end is given up.
    Alone,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// An outer frame.
    Outer {
        /// The frame.
        frame: Frame<'a>,
        /// How many of its bytes, with escapes undone, go into the inner stream; `None` when the selector wants none of it. Their items come
        /// next.
        carried: Option<usize>,
    },
    /// Bytes of the outer stream that belong to no frame.
    OuterSkipped {
        /// How many, at least 1.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
    /// An inner frame.
    Inner(Frame<'a>),
    /// Bytes of the inner stream that belong to no frame.
    InnerSkipped {
        /// How many, at least 1.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
    /// No outer frame can come out before at least so many more bytes have come.
    NeedMore {
        /// How many more bytes of the outer stream, at the least.
        at_least: NonZeroUsize,
    },
}

/// Says which part of an outer frame's payload is inner stream: the frame, and its payload with escapes undone.
///
/// Closures of this shape are selectors. A range that lies outside of the payload counts as `None`.
pub trait Select: FnMut(&Frame<'_>, &[u8]) -> Option<Range<usize>> {}
impl<S: FnMut(&Frame<'_>, &[u8]) -> Option<Range<usize>>> Select for S {}

/// Selects the body of native DATA messages on `channel`; all else is left to the caller.
pub fn data_body(channel: u8) -> impl Select + Clone {
    move |_: &Frame<'_>, payload: &[u8]| match Message::decode(payload) {
        Ok(Message::Data(Data { channel: on, body, .. })) if on == channel => {
            Some(payload.len().saturating_sub(body.len())..payload.len())
        }
        _ => None,
    }
}

/// Two deframers, one behind the other.
///
/// Holds at most the two deframers' buffers and one outer payload. Every byte of the outer stream is in an [`Item::Outer`] or
/// [`Item::OuterSkipped`], every carried byte in an [`Item::Inner`] or [`Item::InnerSkipped`], once it has left the buffers.
///
/// # Examples
///
/// The channel 2 of native DATA messages carries frames that are themselves native:
/// ```
/// use dtu_proto::message::{Data, Message};
/// use dtu_proto::nested::{Item, Nested, Pieces, data_body};
/// use dtu_proto::Native;
///
/// let native = Native::new();
/// let mut nested = Nested::new(native, native, Pieces::Glued, data_body(2));
/// let inner = b"\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06";
/// for (seq, body) in [(0, &inner[..5]), (1, &inner[5..])] {
///     let mut outer = [0; 64];
///     let len = native.encode(&Message::Data(Data { seq, channel: 2, body }), &mut outer)?;
///     nested.push(&outer[..len]);
/// }
/// assert!(matches!(nested.next_item(), Item::Outer { carried: Some(5), .. }));
/// assert!(matches!(nested.next_item(), Item::Outer { carried: Some(7), .. }));
/// let Item::Inner(frame) = nested.next_item() else { panic!("the frame is whole") };
/// assert_eq!(frame.payload(), b"hi");
/// # Ok::<(), dtu_proto::encode::EncodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Nested<O, I, B, S> {
    outer: Deframer<O, B>,
    inner: Deframer<I, B>,
    pieces: Pieces,
    select: S,
    /// What the last outer frame carried; `piece[piece_range]` has not gone into the inner deframer yet.
    piece: B,
    piece_range: Range<usize>,
}

#[cfg(feature = "alloc")]
impl<O: Framing, I: Framing, S: Select> Nested<O, I, alloc::vec::Vec<u8>, S> {
    /// An `inner` framing in an `outer` one, with buffers on the heap. Allocates nothing yet.
    #[must_use]
    pub fn new(outer: O, inner: I, pieces: Pieces, select: S) -> Self {
        let (outer, inner) = (Deframer::new(outer), Deframer::new(inner));
        Self { outer, inner, pieces, select, piece: alloc::vec::Vec::new(), piece_range: 0..0 }
    }
}

impl<O: Framing, I: Framing, B: Storage, S: Select> Nested<O, I, B, S> {
    /// An inner framing in an outer one over three storages: for an outer frame, for an inner frame, and for an outer payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] when one of them is too short for the longest frame of its framing.
    pub fn with_storage(
        (outer, outer_storage): (O, B),
        (inner, inner_storage): (I, B),
        piece: B,
        pieces: Pieces,
        select: S,
    ) -> Result<Self, EncodeError> {
        let (needed, available) = (outer.max_frame_len(), piece.max_len());
        if available < needed {
            return Err(EncodeError::BufferTooSmall { needed, available });
        }
        let outer = Deframer::with_storage(outer, outer_storage)?;
        let inner = Deframer::with_storage(inner, inner_storage)?;
        Ok(Self { outer, inner, pieces, select, piece, piece_range: 0..0 })
    }

    /// The outer deframer: its framing, its counters, what waits in it.
    #[must_use]
    pub const fn outer(&self) -> &Deframer<O, B> {
        &self.outer
    }

    /// The inner deframer.
    #[must_use]
    pub const fn inner(&self) -> &Deframer<I, B> {
        &self.inner
    }

    /// Room for new bytes of the outer stream, as [`Deframer::spare_capacity_mut`].
    pub fn spare_capacity_mut(&mut self) -> &mut [u8] {
        self.outer.spare_capacity_mut()
    }

    /// Takes the first `count` bytes of that room into the outer stream.
    ///
    /// # Panics
    ///
    /// When `count` is more than that room.
    pub fn commit(&mut self, count: usize) {
        self.outer.commit(count);
    }

    /// Copies as much of `bytes` into the outer stream as there is room for and returns how many bytes that were; at least one
    /// after `NeedMore`, unless `bytes` is empty.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.outer.push(bytes)
    }

    /// Returns the next item. Call it until it answers [`Item::NeedMore`], then bring more bytes.
    pub fn next_item(&mut self) -> Item<'_> {
        loop {
            let judged = Judged::next(&mut self.inner);
            if !matches!(judged, Judged::Wait { .. }) {
                return judged.inner_item(&mut self.inner);
            }
            if !self.fill_inner() {
                break;
            }
        }
        if self.pieces == Pieces::Alone && self.inner.buffered() > 0 {
            return self.abandon_inner().expect("bytes wait there");
        }
        if self.piece_range.is_empty() {
            self.piece.release();
        }
        match Judged::next(&mut self.outer) {
            Judged::Frame { len, payload } => self.open(len, payload),
            Judged::Skip { bytes, cause } => {
                skip(&mut self.outer, bytes, cause);
                Item::OuterSkipped { bytes, cause }
            }
            Judged::Wait { at_least } => Item::NeedMore { at_least },
        }
    }

    /// Gives up the candidate that waits in the outer stream; call [`next_item`](Self::next_item) afterwards. Call it only after `NeedMore`.
    /// Returns `None` when nothing waits.
    pub fn abandon_outer(&mut self) -> Option<Item<'_>> {
        let step = abandon_candidate(self.outer.framing(), self.outer.unjudged())?;
        let Step::Skipped { bytes, cause } = step else { return None };
        skip(&mut self.outer, bytes, cause);
        Some(Item::OuterSkipped { bytes, cause })
    }

    /// Gives up the candidate that waits in the inner stream, because the serial line fell silent; as
    /// [`abandon_outer`](Self::abandon_outer).
    pub fn abandon_inner(&mut self) -> Option<Item<'_>> {
        let step = abandon_candidate(self.inner.framing(), self.inner.unjudged())?;
        let Step::Skipped { bytes, cause } = step else { return None };
        skip(&mut self.inner, bytes, cause);
        Some(Item::InnerSkipped { bytes, cause })
    }

    /// Moves what has room from the piece into the inner deframer; returns whether anything was.
    fn fill_inner(&mut self) -> bool {
        let piece = self.piece.as_ref().get(self.piece_range.clone()).unwrap_or_default();
        let count = self.inner.push(piece);
        self.piece_range.start = self.piece_range.start.saturating_add(count);
        count > 0
    }

    /// Takes the outer frame at the front, and what it carries.
    fn open(&mut self, len: usize, payload: Range<usize>) -> Item<'_> {
        let Self { outer, piece, select, .. } = self;
        piece.grow(len);
        let bytes = outer.unjudged().get(..len).unwrap_or_default();
        let frame = Frame::new(bytes, payload.clone()).expect("the payload lies in its frame");
        let mut plain = Plain { room: piece.as_mut(), len: 0 };
        outer.framing().payload_into(&frame, &mut plain);
        let plain_len = plain.len;
        let plain = piece.as_ref().get(..plain_len).unwrap_or_default();
        let selected = select(&frame, plain).filter(|range| plain.get(range.clone()).is_some());
        let carried = selected.as_ref().map(Range::len);
        self.piece_range = selected.unwrap_or(0..0);
        let frame = Frame::new(self.outer.take_frame(len), payload).expect("the payload lies in its frame");
        Item::Outer { frame, carried }
    }
}

fn skip<F: Framing, B: Storage>(deframer: &mut Deframer<F, B>, bytes: usize, cause: Malformed) {
    deframer.counters_mut().record_skip(bytes, cause);
    deframer.take(bytes);
}

/// Takes a payload; escapes only make it shorter than its frame, in whose length there is room.
struct Plain<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Sink for Plain<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        let room = self.room.get_mut(self.len..end).expect("a payload is no longer than its frame");
        room.copy_from_slice(bytes);
        self.len = end;
    }
}

/// A step in numbers, so that nothing is borrowed.
enum Judged {
    Frame { len: usize, payload: Range<usize> },
    Skip { bytes: usize, cause: Malformed },
    Wait { at_least: NonZeroUsize },
}

impl Judged {
    /// The next step of `deframer`, which is not taken yet.
    fn next<F: Framing, B: Storage>(deframer: &mut Deframer<F, B>) -> Self {
        deframer.release_if_empty();
        match next_step(deframer.framing(), deframer.unjudged()) {
            Step::Frame(frame) => Self::Frame { len: frame.encoded_len(), payload: frame.payload_range() },
            Step::Skipped { bytes, cause } => Self::Skip { bytes, cause },
            Step::NeedMore { at_least } => Self::Wait { at_least },
        }
    }

    fn inner_item<I: Framing, B: Storage>(self, inner: &mut Deframer<I, B>) -> Item<'_> {
        match self {
            Self::Frame { len, payload } => {
                Item::Inner(Frame::new(inner.take_frame(len), payload).expect("the payload lies in its frame"))
            }
            Self::Skip { bytes, cause } => {
                skip(inner, bytes, cause);
                Item::InnerSkipped { bytes, cause }
            }
            Self::Wait { at_least } => Item::NeedMore { at_least },
        }
    }
}
