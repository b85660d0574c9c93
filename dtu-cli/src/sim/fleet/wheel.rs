//! What comes next: a wheel of three levels in place of one heap of all that is planned.
//!
//! ```text
//!   now                                                          times are in microseconds
//!    ▼
//!   ├current┤   sorted, taken from its end
//!   │ ├─┼─┼─┼─┼─┼─┤            level 0: 1024 slots of 2^10 µs, about a millisecond each
//!   │             ├────┼────┼────┤        level 1: 1024 slots of 2^20 µs, about a second
//!   │                            ├─────┼─────┤   level 2: 1024 slots of 2^30 µs, about 18 minutes
//! ```
//!
//! An entry lies in the finest level whose round of now it belongs to, moves down when its slot comes up, and is sorted only
//! among those of its millisecond. So most entries are written three times, always at the end of a vector, whatever their number.

use core::cmp::Reverse;
use core::mem;

/// Bits of the time that a slot of level 0 spans.
const SLOT_BITS: u32 = 10;

/// Bits of the number of slots in each level.
const LEVEL_BITS: u32 = 10;

const SLOTS: usize = 1 << LEVEL_BITS;

const LEVELS: usize = 3;

/// The times that can be planned, in microseconds: the first round of the last level, 12 days.
pub(super) const SPAN: u64 = 1 << (SLOT_BITS + LEVEL_BITS * LEVELS as u32);

/// Empty vectors with room that are kept for the next slots; of more, the rest is given back.
const SPARE: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    at: u64,
    /// Of two at one time the one planned first comes first.
    order: u64,
    item: T,
}

/// A plan of items at times.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    /// The next are at the end.
    current: Vec<Entry<T>>,
    /// The slot of level 0 that `current` holds the rest of, counted from time 0.
    slot: u64,
    levels: [Level<T>; LEVELS],
    spare: Vec<Vec<Entry<T>>>,
    order: u64,
    length: usize,
}

#[derive(Debug)]
struct Level<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// Which slots hold something, a bit each.
    filled: [u64; SLOTS / 64],
}

impl<T: Copy> Level<T> {
    fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), filled: [0; SLOTS / 64] }
    }

    /// The first slot from `from` on that holds something.
    fn next_filled(&self, from: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % 64);
        for word in from / 64..SLOTS / 64 {
            let bits = self.filled[word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}

impl<T: Copy> Wheel<T> {
    /// An empty plan at time 0.
    pub(super) fn new() -> Self {
        let levels = [Level::new(), Level::new(), Level::new()];
        Self { current: Vec::new(), slot: 0, levels, spare: Vec::new(), order: 0, length: 0 }
    }

    /// Plans `item`; at a time that has passed, it comes next.
    ///
    /// # Panics
    ///
    /// For a time of [`SPAN`] or later.
    pub(super) fn plan(&mut self, at: u64, item: T) {
        assert!(at < SPAN, "a plan reaches for {SPAN} µs and not to {at}");
        let entry = Entry { at, order: self.order, item };
        self.order += 1;
        self.length += 1;
        if at >> SLOT_BITS <= self.slot {
            // Whatever is planned within this slot is late in it, so few are moved.
            let place = self.current.partition_point(|other| (other.at, other.order) > (at, entry.order));
            self.current.insert(place, entry);
        } else {
            self.put(entry);
        }
    }

    /// Takes what comes next, and its time.
    pub(super) fn next(&mut self) -> Option<(u64, T)> {
        while self.current.is_empty() {
            if self.length == 0 {
                return None;
            }
            self.advance();
        }
        let entry = self.current.pop()?;
        self.length -= 1;
        Some((entry.at, entry.item))
    }

    /// Puts an entry of a later slot into the finest level where it and now are in one round.
    fn put(&mut self, entry: Entry<T>) {
        let slot = entry.at >> SLOT_BITS;
        let differing = u64::BITS - (slot ^ self.slot).leading_zeros();
        let level = (differing.saturating_sub(1) / LEVEL_BITS) as usize;
        let index = (slot >> (LEVEL_BITS * level as u32)) as usize % SLOTS;
        let level = &mut self.levels[level];
        let into = &mut level.slots[index];
        if into.is_empty() {
            level.filled[index / 64] |= 1 << (index % 64);
            if into.capacity() == 0 {
                *into = self.spare.pop().unwrap_or_default();
            }
        }
        into.push(entry);
    }

    /// Goes on to the next slot that holds something; moves what lies in a coarser one down.
    fn advance(&mut self) {
        for level in 0..LEVELS {
            let shift = LEVEL_BITS * level as u32;
            let here = (self.slot >> shift) as usize % SLOTS;
            let Some(index) = self.levels[level].next_filled(here) else { continue };
            self.levels[level].filled[index / 64] &= !(1 << (index % 64));
            let mut entries = mem::take(&mut self.levels[level].slots[index]);
            self.slot = (((self.slot >> shift) & !(SLOTS as u64 - 1)) | index as u64) << shift;
            if level == 0 {
                entries.sort_unstable_by_key(|entry| Reverse((entry.at, entry.order)));
                mem::swap(&mut self.current, &mut entries);
            } else {
                for entry in entries.drain(..) {
                    if entry.at >> SLOT_BITS == self.slot {
                        self.current.push(entry);
                    } else {
                        self.put(entry);
                    }
                }
                self.current.sort_unstable_by_key(|entry| Reverse((entry.at, entry.order)));
            }
            if self.spare.len() < SPARE {
                self.spare.push(entries);
            }
            return;
        }
        unreachable!("an entry lies in a level, after now and before SPAN");
    }
}

#[cfg(test)]
mod tests;
