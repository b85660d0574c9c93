//! The verdicts of a preset, in the words in which its examination reaches them.

use crate::frame::Frame;
use crate::framing::{Examined, Malformed};
use core::num::NonZeroUsize;
use core::ops::Range;

/// The candidate has `received` bytes and needs at least `total`.
#[inline(always)]
pub(super) const fn wait<'a>(received: usize, total: usize) -> Examined<'a> {
    let at_least = match NonZeroUsize::new(total.saturating_sub(received)) {
        Some(missing) => missing,
        None => NonZeroUsize::MIN,
    };
    Examined::NeedMore { at_least }
}

/// The candidate is rejected on the strength of its first `judged` bytes.
#[inline(always)]
pub(super) const fn reject<'a>(cause: Malformed, judged: usize) -> Examined<'a> {
    Examined::Rejected { cause, judged }
}

/// The candidate's first `len` bytes are a frame with the payload at `payload`.
///
/// # Panics
///
/// When they are not there; the caller has looked.
#[inline(always)]
pub(super) fn accept(candidate: &[u8], len: usize, payload: Range<usize>) -> Examined<'_> {
    let frame = candidate.get(..len).and_then(|bytes| Frame::new(bytes, payload));
    Examined::Frame(frame.expect("a frame is accepted when all of it has come"))
}

/// What stands at `range` of `bytes`, which is nothing where they do not reach so far.
#[inline(always)]
pub(super) fn part(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}
