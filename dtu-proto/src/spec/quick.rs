//! The short way through a sound header: markers, length and its repeat out of one word.

use super::compile::Declared;
use super::fields::{Encoding, Endian};
use super::marker::Marker;

/// The bytes that are looked at.
const WORD: usize = 8;

/// A header whose fixed parts all stand in its first eight bytes, as masks and shifts over them as one big-endian number.
///
/// It gives a length only where [`Declared`] would take the long way to the same; whatever is unsound goes that way, which
/// names the cause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quick {
    /// The bits of the markers, and what they have to be. Where no word has that value, there is no short way.
    mask: u64,
    value: u64,
    /// How far up the length and its repeat stand; of both, the bits of the field.
    length_shift: u32,
    repeat_shift: u32,
    field: u32,
    /// What the length and its repeat differ by, and in which bits that is held against them.
    difference: u32,
    guarded: u32,
    /// How far up the field is moved to have its bytes turned round, where they are.
    little_shift: Option<u32>,
    /// The bits that say the length, and how far up they stand.
    length_mask: u32,
    mask_shift: u32,
    adjust: usize,
}

impl Quick {
    pub(super) const NONE: Self = Self {
        mask: 0,
        value: 1,
        length_shift: 0,
        repeat_shift: 0,
        field: 0,
        difference: 0,
        guarded: 0,
        little_shift: None,
        length_mask: 0,
        mask_shift: 0,
        adjust: 0,
    };

    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // sums below 64
    pub(super) const fn of(declared: &Declared) -> Self {
        let unfit = declared.ended || declared.start_count > 1 || declared.probe_len > WORD;
        if unfit {
            return Self::NONE;
        }
        let (mut mask, mut value) = placed(0, &declared.starts[0]);
        let mut slot = 0;
        while slot < declared.head_count {
            let (more, bits) = placed(declared.head[slot].0, &declared.head[slot].1);
            (mask, value) = (mask | more, value | bits);
            slot += 1;
        }
        let Some(length) = &declared.spec.length else {
            return Self { mask, value, adjust: declared.max_len, ..Self::NONE };
        };
        if !matches!(length.encoding, Encoding::Binary) {
            return Self::NONE;
        }
        let full = length.full();
        let (repeat_at, guarded, difference) = match length.repeat {
            None => (length.at, 0, 0),
            Some(repeat) => (repeat.at, full, if repeat.complement { full } else { 0 }),
        };
        Self {
            mask,
            value,
            length_shift: ((WORD - length.at - length.width) * 8) as u32,
            repeat_shift: ((WORD - repeat_at - length.width) * 8) as u32,
            field: full,
            difference,
            guarded,
            little_shift: match length.endian {
                Endian::Big => None,
                Endian::Little => Some(((4 - length.width) * 8) as u32),
            },
            length_mask: length.mask,
            mask_shift: (length.mask & full).trailing_zeros(),
            adjust: length.adjust as isize as usize,
        }
    }

    /// The length that the header at the front of `candidate` says, if it is sound; its bounds are left to the caller.
    #[inline(always)]
    #[allow(clippy::as_conversions, clippy::arithmetic_side_effects)] // fields of a word; shifts below its bits
    pub(super) fn total(&self, candidate: &[u8]) -> Option<usize> {
        let word = u64::from_be_bytes(*candidate.first_chunk::<WORD>()?);
        let field = (word >> self.length_shift) as u32 & self.field;
        let repeat = (word >> self.repeat_shift) as u32;
        let unguarded = (field ^ repeat ^ self.difference) & self.guarded;
        if (word & self.mask) ^ self.value != 0 || unguarded != 0 {
            return None;
        }
        let raw = match self.little_shift {
            None => field,
            Some(shift) => (field << shift).swap_bytes(),
        };
        Some((((raw & self.length_mask) >> self.mask_shift) as usize).wrapping_add(self.adjust))
    }
}

/// A marker in the word: its bits, and what they are.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // sums below 64
const fn placed(at: usize, marker: &Marker) -> (u64, u64) {
    let (mut mask, mut value) = (0, 0);
    let mut i = 0;
    while i < marker.len() {
        let shift = (WORD - 1 - at - i) * 8;
        mask |= 0xFF << shift;
        value |= (marker.as_bytes()[i] as u64) << shift;
        i += 1;
    }
    (mask, value)
}
