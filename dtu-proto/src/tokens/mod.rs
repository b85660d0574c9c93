//! Side-band tokens: bytes that a modem puts between, or into, the frames that it carries.
//!
//! A transparent DTU sends its own heartbeat (`FE`, `PING`, `55 AA`) and sometimes its registration into the same stream as
//! the bytes of the serial line, whenever it likes. A [`TokenDeframer`] takes these byte patterns out.
//!
//! # The rule
//!
//! A framing is *protected* when its [`evidence`](Framing::evidence) is at least [`PROTECTED_BITS`].
//!
//! 1. **Where a step ends, the longest token that stands there is taken out, unless a frame of a protected framing begins there
//!    or inside the token**; then a shorter one counts that ends before the frame. Skips of noise and of fill end where a token begins.
//! 2. **What more bytes can change waits**: a token that is cut off by the end of the bytes, one that a longer one may begin
//!    with, one under which a candidate of a protected framing still lacks bytes. So any split of the stream gives the same
//!    steps, once neighbouring skips of one cause are merged.
//! 3. **When a candidate of a protected framing is rejected, or given up because the line is silent, it is tried without the
//!    tokens inside it**: without each one, then without two, up to [`MAX_REMOVED`], from the front; and it counts only if it is a
//!    valid frame then, checked whole. No more than [`MAX_PLACES`] tokens and [`MAX_TRIALS`] trials a candidate.
//! 4. **When the line is silent** ([`abandon_candidate`](TokenDeframer::abandon_candidate)), the bytes are judged as they stand:
//!    a token at the front is taken, else a candidate is tried without its tokens, else it is skipped as by
//!    [`Deframer`].
//!
//! A heartbeat inside a frame seldom makes it wait: it makes the checksum fail where the frame without it would still lack
//! bytes. That is why rule 3 holds for rejected candidates too. The missing bytes are as many as the token has and follow
//! directly; where they do not, it was damage, and the candidate waits until other bytes come or the line is given up.
//!
//! # What is promised
//!
//! * A token put in at a frame boundary never shows in a payload, and the frames are those without it: for protected
//!   framings and for lines. It is reported as a token, or, when it was cut into by damage, as skipped bytes.
//! * An intact frame of a protected framing is delivered as it would be without tokens, whatever bytes its payload has: tokens
//!   never take bytes from it.
//! * One token put in anywhere inside a frame of a protected framing is taken out, as long as there are no more than
//!   [`MAX_PLACES`] places that look like one, and the rest of the frame comes before the line is given up.
//!
//! # What is not
//!
//! Where the framing is not protected, nothing tells a token from the beginning of a frame, or a frame with a token in it from
//! one without: a line that begins with the token's bytes loses them, and a token inside a line stays there. Choose tokens that no
//! frame begins with. In noise, and in what a damaged frame left behind, bytes that look like a token are reported as one; a heartbeat of one byte
//! is found in one of 256 bytes of noise. A preamble of the same byte as the heartbeat (`FE` before a meter's frames) is
//! reported as heartbeats. Trying a damaged candidate up to `MAX_TRIALS` times takes up to four bits off its framing's evidence.
//!
//! # Cost
//!
//! A step examines as many candidates as a token has bytes and tries no more than `MAX_TRIALS`; each trial copies and judges at
//! most one frame of maximum length. For a fixed maximum frame the cost stays linear in the stream.

mod judge;
mod repair;
mod set;

pub use set::{MAX_TOKEN_LEN, MAX_TOKENS, TokenError, TokenSet};

use crate::counters::Counters;
use crate::deframer::{Deframer, Storage};
use crate::encode::EncodeError;
use crate::frame::Frame;
use crate::framing::{Framing, Malformed, Step};
use core::borrow::Borrow;
use core::num::NonZeroUsize;
use judge::{Decision, Line, decide};

/// From so many bits of evidence on a frame counts more than a token where both may stand.
pub const PROTECTED_BITS: u32 = 16;

/// The most tokens taken out of one frame.
pub const MAX_REMOVED: usize = 3;

/// The most tokens looked at inside one candidate, from its front.
pub const MAX_PLACES: usize = 8;

/// The most times that one candidate is judged without some of its tokens.
pub const MAX_TRIALS: usize = 16;

/// A token inside a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Token {
    /// Its index in the set.
    pub index: usize,
    /// Where it stood, in bytes from the start of the frame as it came.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl Token {
    pub(crate) const fn end(&self) -> usize {
        self.at.saturating_add(self.len)
    }

    const fn overlaps(&self, other: &Self) -> bool {
        self.at < other.end() && other.at < self.end()
    }
}

/// The tokens that were taken out of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    tokens: [Option<Token>; MAX_REMOVED],
}

impl Removed {
    /// None: the frame is as it came.
    pub const NONE: Self = Self { tokens: [None; MAX_REMOVED] };

    /// The tokens, in the order in which they stood.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + use<> {
        self.tokens.into_iter().flatten()
    }

    /// How many bytes they had in all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tokens().fold(0, |sum, token| sum.saturating_add(token.len))
    }

    /// Whether each ends before the next begins.
    fn is_disjoint(&self) -> bool {
        self.tokens().zip(self.tokens().skip(1)).all(|(token, next)| token.end() <= next.at)
    }

    fn add(&mut self, token: Token) {
        if let Some(free) = self.tokens.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(token);
        }
    }
}

/// What comes next in a stream with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStep<'a> {
    /// A frame.
    Frame {
        /// The frame, in one piece.
        frame: Frame<'a>,
        /// What was taken out of it.
        removed: Removed,
    },
    /// A token between frames.
    Token {
        /// Its index in the set.
        index: usize,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Bytes that belong to no frame and are no token.
    Skipped {
        /// How many, at least 1.
        bytes: usize,
        /// Why.
        cause: Malformed,
    },
    /// No frame can come out before at least so many more bytes have come.
    NeedMore {
        /// How many more bytes, at the least.
        at_least: NonZeroUsize,
    },
}

impl TokenStep<'_> {
    /// How many bytes of the stream the step covers, those of tokens included.
    #[must_use]
    pub fn covered(&self) -> usize {
        match self {
            Self::Frame { frame, removed } => frame.encoded_len().saturating_add(removed.bytes()),
            Self::Token { bytes, .. } | Self::Skipped { bytes, .. } => *bytes,
            Self::NeedMore { .. } => 0,
        }
    }
}

/// What was taken out of a stream. The counts wrap after 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounters {
    /// How often each token was taken out, by its index.
    pub tokens: [u64; MAX_TOKENS],
    /// How many of these stood inside a frame.
    pub inside: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// How often a candidate was judged without some of its tokens.
    pub trials: u64,
}

impl TokenCounters {
    fn record(&mut self, index: usize, len: usize) {
        if let Some(count) = self.tokens.get_mut(index) {
            *count = count.wrapping_add(1);
        }
        self.bytes = self.bytes.wrapping_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}

/// A [`Deframer`] that takes tokens out of its stream; the rule is at the top of [the module](self).
///
/// `T` is a [`TokenSet`], a reference to one, or an `Arc` that many links share. As long as it waits for nothing it holds no memory
/// on the heap.
///
/// # Examples
///
/// A heartbeat before a frame, and one inside it:
/// ```
/// use dtu_proto::Native;
/// use dtu_proto::tokens::{TokenDeframer, TokenSet, TokenStep};
///
/// let tokens = TokenSet::of(&[b"PING"])?;
/// let mut deframer = TokenDeframer::new(Native::new(), &tokens);
/// deframer.push(b"PING\xD7\x55\x00\x02\xFF\xFDhPINGi\x75\xBE\x17\x06");
/// assert_eq!(deframer.next_step(), TokenStep::Token { index: 0, bytes: 4 });
/// let TokenStep::Frame { frame, removed } = deframer.next_step() else { panic!("the frame is whole") };
/// assert_eq!(frame.payload(), b"hi");
/// assert_eq!(removed.tokens().next().map(|token| token.at), Some(7));
/// assert_eq!(deframer.token_counters().tokens[0], 2);
/// # Ok::<(), dtu_proto::tokens::TokenError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenDeframer<F, S, T> {
    /// Keeps the bytes and counts frames and skips; the judgement is made here.
    deframer: Deframer<F, S>,
    /// Where a candidate stands without its tokens.
    scratch: S,
    tokens: T,
    counters: TokenCounters,
}

#[cfg(feature = "alloc")]
impl<F: Framing, T: Borrow<TokenSet>> TokenDeframer<F, alloc::vec::Vec<u8>, T> {
    /// A deframer with buffers on the heap. Allocates nothing yet.
    #[must_use]
    pub fn new(framing: F, tokens: T) -> Self {
        let scratch = alloc::vec::Vec::new();
        Self { deframer: Deframer::new(framing), scratch, tokens, counters: TokenCounters::default() }
    }
}

impl<F: Framing, S: Storage, T: Borrow<TokenSet>> TokenDeframer<F, S, T> {
    /// A deframer over `storage`, which has room for [`held_len`](Self::held_len) bytes, and `scratch` for a frame without its tokens.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] when one of them is shorter.
    pub fn with_storage(framing: F, tokens: T, storage: S, scratch: S) -> Result<Self, EncodeError> {
        let longest = framing.max_frame_len();
        for (needed, available) in
            [(Self::held_len(longest, tokens.borrow()), storage.max_len()), (longest, scratch.max_len())]
        {
            if available < needed {
                return Err(EncodeError::BufferTooSmall { needed, available });
            }
        }
        let deframer = Deframer::with_storage(framing, storage)?;
        Ok(Self { deframer, scratch, tokens, counters: TokenCounters::default() })
    }

    /// The most bytes that can wait for a verdict, where frames have at most `max_frame_len` bytes: a frame, the tokens taken out
    /// of it, and one cut off behind them.
    #[must_use]
    pub fn held_len(max_frame_len: usize, tokens: &TokenSet) -> usize {
        tokens.longest().saturating_mul(MAX_REMOVED.saturating_add(1)).saturating_add(max_frame_len)
    }

    /// The framing.
    #[must_use]
    pub const fn framing(&self) -> &F {
        self.deframer.framing()
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenSet {
        self.tokens.borrow()
    }

    /// Frames and skips so far. Every byte that has left the buffer is in these or in [`TokenCounters::bytes`].
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.deframer.counters()
    }

    /// Tokens so far.
    #[must_use]
    pub const fn token_counters(&self) -> &TokenCounters {
        &self.counters
    }

    /// How many bytes wait for a verdict.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.deframer.buffered()
    }

    /// The bytes that wait for a verdict.
    #[must_use]
    pub fn unjudged(&self) -> &[u8] {
        self.deframer.unjudged()
    }

    /// Room for new bytes, as [`Deframer::spare_capacity_mut`]. Never empty after [`next_step`](Self::next_step) has answered `NeedMore`.
    pub fn spare_capacity_mut(&mut self) -> &mut [u8] {
        self.deframer.spare_capacity_mut()
    }

    /// Takes the first `count` bytes of that room into the stream.
    ///
    /// # Panics
    ///
    /// When `count` is more than that room.
    pub fn commit(&mut self, count: usize) {
        self.deframer.commit(count);
    }

    /// Copies as much of `bytes` as there is room for and returns how many bytes that were; at least one after `NeedMore`, unless
    /// `bytes` is empty.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.deframer.push(bytes)
    }

    /// Returns the next step. Call it until it answers [`TokenStep::NeedMore`], then bring more bytes.
    pub fn next_step(&mut self) -> TokenStep<'_> {
        self.step(Line::Open)
    }

    /// Says that the line fell silent or ended: what waits is judged as it stands. Call [`next_step`](Self::next_step)
    /// afterwards. Returns `None` when nothing waits.
    pub fn abandon_candidate(&mut self) -> Option<TokenStep<'_>> {
        (self.buffered() > 0).then(|| self.step(Line::Silent))
    }

    fn step(&mut self, line: Line) -> TokenStep<'_> {
        if self.deframer.release_if_empty() {
            self.scratch.release();
        }
        let Self { deframer, scratch, tokens, counters } = self;
        let decision =
            decide(deframer.framing(), (*tokens).borrow(), deframer.unjudged(), line, scratch, &mut counters.trials);
        match decision {
            Decision::Frame { len, payload } => {
                let frame = Frame::new(deframer.take_frame(len), payload).expect("the payload lies in its frame");
                TokenStep::Frame { frame, removed: Removed::NONE }
            }
            Decision::Repaired { removed, len, payload } => {
                for token in removed.tokens() {
                    counters.record(token.index, token.len);
                    counters.inside = counters.inside.wrapping_add(1);
                }
                deframer.counters_mut().record_frame(len);
                deframer.take(len.saturating_add(removed.bytes()));
                let bytes = S::as_ref(scratch).get(..len).unwrap_or_default();
                let frame = Frame::new(bytes, payload).expect("the payload lies in its frame");
                TokenStep::Frame { frame, removed }
            }
            Decision::Token { index, len } => {
                counters.record(index, len);
                deframer.take(len);
                TokenStep::Token { index, bytes: len }
            }
            Decision::Skip { bytes, cause } => {
                deframer.counters_mut().record(&Step::Skipped { bytes, cause });
                deframer.take(bytes);
                TokenStep::Skipped { bytes, cause }
            }
            Decision::Wait { at_least } => TokenStep::NeedMore { at_least },
        }
    }
}
