//! Takes tokens out of the inside of a candidate that is no frame with them.

use super::judge::Line;
use super::set::TokenSet;
use super::{MAX_PLACES, MAX_REMOVED, MAX_TRIALS, Removed, Token};
use crate::deframer::Storage;
use crate::framing::{Examined, Framing, Malformed};
use core::num::NonZeroUsize;
use core::ops::Range;

pub(super) enum Repair {
    /// The first `len` bytes of the scratch storage are a frame.
    Frame {
        removed: Removed,
        len: usize,
        payload: Range<usize>,
    },
    /// The next trial has no verdict yet.
    Wait {
        at_least: NonZeroUsize,
    },
    None,
}

/// The tokens of a candidate, from the front; they may lie over each other.
struct Places {
    found: [Token; MAX_PLACES],
    count: usize,
    /// Where the next one is looked for.
    next: usize,
}

impl Places {
    /// Adds the tokens that begin before `reach`. Stops, and returns how many bytes are missing, where one may be cut off.
    fn extend(&mut self, tokens: &TokenSet, bytes: &[u8], reach: usize, line: Line) -> Option<NonZeroUsize> {
        while self.next < reach && self.count < MAX_PLACES {
            let here = bytes.get(self.next..).unwrap_or_default();
            if let (Some(missing), Line::Open) = (tokens.at_front(here).cut, line) {
                return Some(missing);
            }
            for (index, pattern) in tokens.patterns().enumerate().filter(|(_, pattern)| here.starts_with(pattern)) {
                let Some(slot) = self.found.get_mut(self.count) else { break };
                *slot = Token { index, at: self.next, len: pattern.len() };
                self.count = self.count.saturating_add(1);
            }
            self.next = self.next.saturating_add(1);
        }
        None
    }
}

/// Tries the candidate at the front of `bytes` without one of its tokens, then without two, and so on; of as many, the first
/// ones first. Each trial has its final verdict before the next begins, so the outcome does not depend on how the bytes came.
pub(super) fn repair<F: Framing + ?Sized, S: Storage>(
    framing: &F,
    tokens: &TokenSet,
    bytes: &[u8],
    mut reach: usize,
    line: Line,
    scratch: &mut S,
    trials: &mut u64,
) -> Repair {
    let mut places = Places { found: [Token::default(); MAX_PLACES], count: 0, next: 1 };
    let mut left = MAX_TRIALS;
    for size in 1..=MAX_REMOVED {
        if let Some(at_least) = places.extend(tokens, bytes, reach, line) {
            return Repair::Wait { at_least };
        }
        let mut choice = Choice::first(size);
        while choice.is_within(places.count) {
            let removed = choice.of(&places);
            if removed.is_disjoint() && !choice.is_repeat(&places, &removed, bytes) {
                let Some(fewer) = left.checked_sub(1) else { return Repair::None };
                left = fewer;
                *trials = trials.wrapping_add(1);
                match examine_without(framing, bytes, &removed, scratch) {
                    Examined::Frame(frame) => {
                        let (len, payload) = (frame.encoded_len(), frame.payload_range());
                        return Repair::Frame { removed, len, payload };
                    }
                    Examined::NeedMore { at_least } if line == Line::Open => return Repair::Wait { at_least },
                    // Noise has no end that the bytes fix.
                    Examined::NeedMore { .. }
                    | Examined::Rejected { cause: Malformed::Magic | Malformed::Fill, .. } => {}
                    // The verdict rests on so many bytes; they are there.
                    Examined::Rejected { judged, .. } => {
                        reach = reach.max(judged.saturating_add(removed.bytes()).min(bytes.len()));
                    }
                }
            }
            choice.advance(places.count);
        }
    }
    Repair::None
}

/// Which of the places are taken out: ascending, in the order of the words that they spell.
struct Choice {
    places: [usize; MAX_REMOVED],
    size: usize,
}

impl Choice {
    fn first(size: usize) -> Self {
        Self { places: core::array::from_fn(|place| place), size }
    }

    fn chosen(&self) -> &[usize] {
        self.places.get(..self.size).unwrap_or_default()
    }

    fn is_within(&self, count: usize) -> bool {
        self.chosen().last().is_some_and(|&last| last < count)
    }

    /// Goes to the next choice; to one that is not within `count` behind the last.
    fn advance(&mut self, count: usize) {
        let size = self.size;
        // The last place that can move on with as many places behind it as it needs.
        let movable = (0..size).rev().find(|&at| {
            let behind = size.saturating_sub(at);
            self.places.get(at).is_some_and(|&place| place.saturating_add(behind) < count)
        });
        let from = movable.unwrap_or(0);
        let mut place = self.places.get(from).map_or(count, |&place| place.saturating_add(1));
        if movable.is_none() {
            place = count;
        }
        for slot in self.places.iter_mut().take(size).skip(from) {
            *slot = place;
            place = place.saturating_add(1);
        }
    }

    /// Whether an earlier choice gives the same bytes: one of its tokens could as well be one glued before it, or one that lies
    /// over its front.
    fn is_repeat(&self, places: &Places, removed: &Removed, bytes: &[u8]) -> bool {
        let earlier = places.found.iter().enumerate().take(places.count);
        let free = earlier.filter(|(place, _)| !self.chosen().contains(place)).map(|(_, token)| token);
        free.into_iter().any(|before| {
            removed.tokens().any(|here| {
                before.index == here.index
                    && (before.at < here.at && here.at <= before.end())
                    && bytes.get(before.at..here.at) == bytes.get(before.end()..here.end())
                    && removed.tokens().all(|other| other == here || !other.overlaps(before))
            })
        })
    }

    fn of(&self, places: &Places) -> Removed {
        let mut removed = Removed::NONE;
        for &place in self.chosen() {
            if let Some(&token) = places.found.get(place) {
                removed.add(token);
            }
        }
        removed
    }
}

/// Judges `bytes` without the tokens `removed`, in the scratch storage; no more of them than the longest frame has.
fn examine_without<'a, F: Framing + ?Sized, S: Storage>(
    framing: &F,
    bytes: &[u8],
    removed: &Removed,
    scratch: &'a mut S,
) -> Examined<'a> {
    let len = bytes.len().saturating_sub(removed.bytes()).min(framing.max_frame_len());
    scratch.grow(len);
    let mut rest = scratch.as_mut().get_mut(..len).unwrap_or_default();
    let mut from = 0;
    let ends = removed.tokens().map(|token| (token.at, token.end())).chain([(bytes.len(), bytes.len())]);
    for (end, behind) in ends {
        let piece = bytes.get(from..end).unwrap_or_default();
        let count = piece.len().min(rest.len());
        let (room, left) = rest.split_at_mut_checked(count).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(piece) {
            *to = *from;
        }
        rest = left;
        from = behind;
    }
    framing.examine(S::as_ref(scratch).get(..len).unwrap_or_default())
}
