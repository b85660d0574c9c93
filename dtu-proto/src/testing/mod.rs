//! Oracles and generators: the slow and obvious counterparts that the tests hold the codec to.
//!
//! Nothing here shares code with the fast path; of the crate it uses the types alone, so a fault cannot be on both
//! sides. For tests, not for products: it panics where an assumption breaks.
// A panic is what a test is for, so indices and sums are written plainly.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

pub mod corpus;
mod dirty;
mod merged;
mod naive;

pub use dirty::{Dirty, frame_around};
pub use merged::{Merged, merged_steps};
pub use naive::{End, Outcome, Piece, Pieces, deframe, promised};

/// Pseudo-random numbers that a seed fixes for good: SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// How a stream is cut into the reads that bring it.
#[derive(Debug, Clone, Copy)]
pub enum Cuts {
    /// Reads of so many bytes, at least 1.
    Of(usize),
    /// Reads of mixed sizes, small and large, that the seed fixes.
    Seeded(u64),
}

impl Cuts {
    /// The reads, in order; none is empty.
    pub fn of(self, stream: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = stream;
        let mut seeded = Seeded(if let Self::Seeded(seed) = self { seed } else { 0 });
        core::iter::from_fn(move || {
            let size = match self {
                Self::Of(size) => size,
                // One byte, about a header, about a frame, or a large read.
                Self::Seeded(_) => match seeded.below(4) {
                    0 => 1,
                    1 => 1 + seeded.below(8),
                    2 => 1 + seeded.below(64),
                    _ => 1 + seeded.below(rest.len().max(1)),
                },
            };
            let (read, behind) = rest.split_at(size.min(rest.len()));
            rest = behind;
            (!read.is_empty()).then_some(read)
        })
    }
}
