//! Random numbers that a seed repeats.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The generator of one run.
#[derive(Debug)]
pub(super) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `least` to `most`, both included. The bias is under their distance / 2^64.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        let count = u128::from(most - least) + 1;
        least + ((u128::from(self.next()) * count) >> u64::BITS) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_drawn_and_nothing_beyond() {
        let mut random = Random::new(1);
        let mut counts = [0; 4];
        for _ in 0..4_000 {
            counts[random.between(5, 8) as usize - 5] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        assert_eq!(random.between(7, 7), 7);
        assert!(random.between(0, u64::MAX) != random.between(0, u64::MAX));
    }
}
