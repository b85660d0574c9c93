//! What comes next where frames and tokens share a stream. Keeps nothing.

use super::repair::{Repair, repair};
use super::set::TokenSet;
use super::{PROTECTED_BITS, Removed};
use crate::deframer::Storage;
use crate::framing::{Examined, Framing, Malformed, Step, abandon_candidate, step_after};
use core::num::NonZeroUsize;
use core::ops::Range;

/// Whether more bytes can come before the verdict is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// They can: what may change with them waits.
    Open,
    /// The owner of the clock says that they will not: the bytes are judged as they stand.
    Silent,
}

/// What comes next, in numbers, so that nothing is borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The first `len` bytes are a frame.
    Frame {
        len: usize,
        payload: Range<usize>,
    },
    /// The first `len` bytes of the scratch storage are a frame: what came, without the tokens `removed`.
    Repaired {
        removed: Removed,
        len: usize,
        payload: Range<usize>,
    },
    Token {
        index: usize,
        len: usize,
    },
    Skip {
        bytes: usize,
        cause: Malformed,
    },
    Wait {
        at_least: NonZeroUsize,
    },
}

/// The frames that begin inside a token.
#[derive(Debug, Clone, Copy, Default)]
struct Inside {
    /// How many bytes a candidate lacks that begins before the first frame; the least of them.
    unknown: Option<NonZeroUsize>,
    /// Where the first one begins.
    frame: Option<usize>,
}

/// Decides on the front of `bytes`. `trials` counts the candidates that were judged without some of their tokens.
pub(super) fn decide<F: Framing + ?Sized, S: Storage>(
    framing: &F,
    tokens: &TokenSet,
    bytes: &[u8],
    line: Line,
    scratch: &mut S,
    trials: &mut u64,
) -> Decision {
    let examined = framing.examine(bytes);
    let protected = framing.evidence() >= PROTECTED_BITS;
    if let Examined::Frame(frame) = examined
        && protected
    {
        return Decision::Frame { len: frame.encoded_len(), payload: frame.payload_range() };
    }
    let found = tokens.at_front(bytes);
    if let (Some(missing), Line::Open) = (found.cut, line) {
        return Decision::Wait { at_least: earliest(examined, missing) };
    }
    if let Some((_, longest)) = found.whole {
        let inside = if protected { Inside::of(framing, bytes, longest, examined) } else { Inside::default() };
        if let (Some(at_least), Line::Open) = (inside.unknown, line) {
            return Decision::Wait { at_least };
        }
        if let Some((index, len)) = tokens.whole_within(bytes, inside.frame.unwrap_or(longest)) {
            return Decision::Token { index, len };
        }
    }
    let reach = match (examined, line) {
        (Examined::Frame(frame), _) => {
            return Decision::Frame { len: frame.encoded_len(), payload: frame.payload_range() };
        }
        (Examined::NeedMore { at_least }, Line::Open) => return Decision::Wait { at_least },
        (Examined::NeedMore { .. }, Line::Silent) => bytes.len(),
        (Examined::Rejected { cause, judged }, _) => reach(framing, bytes, cause, judged),
    };
    if protected && reach > 1 {
        match repair(framing, tokens, bytes, reach, line, scratch, trials) {
            Repair::Frame { removed, len, payload } => return Decision::Repaired { removed, len, payload },
            Repair::Wait { at_least } => return Decision::Wait { at_least },
            Repair::None => {}
        }
    }
    let step = match examined {
        // Of noise to the end of the bytes no more than what came first: a token may end the skip soon, and the next one looks again.
        Examined::Rejected { cause: cause @ Malformed::Magic, judged } if judged == bytes.len() => {
            let examined = Examined::Rejected { cause, judged: judged.min(MAX_NOISE_LEN) };
            Some(step_after(framing, bytes, examined))
        }
        Examined::Rejected { .. } => Some(step_after(framing, bytes, examined)),
        Examined::NeedMore { .. } | Examined::Frame(_) => abandon_candidate(framing, bytes),
    };
    match step {
        Some(Step::Skipped { bytes: count, cause }) => {
            Decision::Skip { bytes: up_to_token(framing, tokens, bytes, count, cause, line), cause }
        }
        // Nothing was there to give up.
        Some(Step::Frame(_) | Step::NeedMore { .. }) | None => Decision::Wait { at_least: NonZeroUsize::MIN },
    }
}

/// When the next verdict can be, where a token that lacks `missing` bytes holds it up.
fn earliest(examined: Examined<'_>, missing: NonZeroUsize) -> NonZeroUsize {
    match examined {
        Examined::NeedMore { at_least } => at_least.min(missing),
        // The next byte can show that the token is none.
        Examined::Frame(_) | Examined::Rejected { .. } => NonZeroUsize::MIN,
    }
}

impl Inside {
    /// Looks for frames that begin in the `len` bytes of the token at the front; the verdict on its first byte is `front`.
    fn of<F: Framing + ?Sized>(framing: &F, bytes: &[u8], len: usize, front: Examined<'_>) -> Self {
        let mut inside = Self::default();
        if let Examined::NeedMore { at_least } = front {
            inside.unknown = Some(at_least);
        }
        let mut at: usize = 1;
        // What begins in the token is looked for there alone; behind it, the next start may be far.
        while let Some(rest) = bytes.get(at..len) {
            at = at.saturating_add(framing.find_start(rest));
            if at >= len {
                break;
            }
            match framing.examine(bytes.get(at..).unwrap_or_default()) {
                Examined::Frame(_) => {
                    inside.frame = Some(at);
                    break;
                }
                Examined::NeedMore { at_least } => {
                    inside.unknown = inside.unknown.into_iter().chain([at_least]).min();
                }
                Examined::Rejected { .. } => {}
            }
            at = at.saturating_add(1);
        }
        inside
    }
}

/// The most noise that one step looks through, in bytes.
const MAX_NOISE_LEN: usize = 256;

/// The longest start marker of which a token can be taken out of the middle, in bytes.
const MAX_SPLIT_MARKER: usize = 4;

/// Up to where tokens are looked for in a candidate that was rejected: those that begin behind change nothing about it.
fn reach<F: Framing + ?Sized>(framing: &F, bytes: &[u8], cause: Malformed, judged: usize) -> usize {
    match cause {
        Malformed::Fill => 0,
        // Noise, unless the front is the beginning of a start marker.
        Malformed::Magic => (1..=MAX_SPLIT_MARKER)
            .take_while(|&len| bytes.get(..len).is_some_and(|front| framing.find_start(front) == 0))
            .last()
            .map_or(0, |len| len.saturating_add(1))
            .min(bytes.len()),
        Malformed::LengthGuard { .. }
        | Malformed::Length { .. }
        | Malformed::Marker { .. }
        | Malformed::Escape { .. }
        | Malformed::Unknown { .. }
        | Malformed::OverLimit { .. }
        | Malformed::Checksum { .. }
        | Malformed::Abandoned { .. } => judged.min(bytes.len()),
    }
}

/// Shortens a skip of `count` bytes to the first place at which a token begins, where that is between frames: in noise and in
/// fill; and before it where it may stand in a start marker. What a damaged frame left behind is not looked through.
fn up_to_token<F: Framing + ?Sized>(
    framing: &F,
    tokens: &TokenSet,
    bytes: &[u8],
    count: usize,
    cause: Malformed,
    line: Line,
) -> usize {
    if !matches!(cause, Malformed::Magic | Malformed::Fill) {
        return count;
    }
    let begins = |at: &usize| {
        let found = tokens.at_front(bytes.get(*at..).unwrap_or_default());
        found.whole.is_some() || (found.cut.is_some() && line == Line::Open)
    };
    let Some(token) = (1..=count).find(begins) else { return count };
    let is_marker = |at: &usize| bytes.get(*at..token).is_some_and(|front| framing.find_start(front) == 0);
    let marker = (token.saturating_sub(MAX_SPLIT_MARKER).max(1)..token).find(is_marker);
    marker.unwrap_or(token).min(count)
}
