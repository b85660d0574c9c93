//! Random draws that a seed repeats: a generator for each connection, direction and purpose, so that no draw depends on
//! timing or on what another connection does.

use core::time::Duration;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// What a generator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Which bits are flipped.
    Flip(Direction),
    /// Which bytes are dropped.
    Drop(Direction),
    /// How long each chunk is held.
    Hold(Direction),
    /// Which datagrams are lost, come twice or change places.
    Datagram(Direction),
    /// When a connection is cut, and how.
    Cut,
    /// When nothing passes.
    Stall,
}

impl Purpose {
    const fn number(self) -> u8 {
        match self {
            Self::Flip(Direction::Up) => 0,
            Self::Flip(Direction::Down) => 1,
            Self::Drop(Direction::Up) => 2,
            Self::Drop(Direction::Down) => 3,
            Self::Hold(Direction::Up) => 4,
            Self::Hold(Direction::Down) => 5,
            Self::Datagram(Direction::Up) => 6,
            Self::Datagram(Direction::Down) => 7,
            Self::Cut => 8,
            Self::Stall => 9,
        }
    }
}

/// The generator of one purpose of one connection.
#[derive(Debug)]
pub(super) struct Draw(Xoshiro256PlusPlus);

impl Draw {
    pub(super) fn new(seed: u64, connection: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        let parts = seed.to_le_bytes().into_iter().chain(connection.to_le_bytes()).chain([purpose.number()]);
        // The rest of the key is a constant, so that no seed makes it all zero.
        for (to, from) in key.iter_mut().zip(parts.chain(*b"dtu chaos draws")) {
            *to = from;
        }
        let mut generator = Xoshiro256PlusPlus::from_seed(key);
        // Keys that differ in few bits have similar first outputs.
        generator.jump();
        Self(generator)
    }

    /// A number below `bound`, which is not 0. The bias is under `bound` / 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        // The upper half of the product is below `bound`.
        (product >> 64) as u64
    }

    /// A number over 0 and up to 1, a multiple of 2^-53.
    fn unit(&mut self) -> f64 {
        // 53 bits and one are exact in both types.
        ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this share happens: never at 0, always at 1.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() <= share
    }

    /// How many bytes pass before one is hit, when each is hit with the probability `share`: a geometric gap.
    /// `u64::MAX`, which is never, at 0.
    pub(super) fn gap(&mut self, share: f64) -> u64 {
        let unit = self.unit();
        if share <= 0.0 {
            return u64::MAX;
        }
        // Both logarithms are 0 or less; what is over the range of the type is never, too.
        (unit.ln() / (-share).ln_1p()) as u64
    }

    /// A time from half of `mean` to one and a half, uniform.
    pub(super) fn about(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.5 + self.unit())
    }

    /// `middle` plus or minus up to `spread`, uniform; what would be negative is 0.
    pub(super) fn around(&mut self, middle: Duration, spread: Duration) -> Duration {
        (middle + spread.mul_f64(2.0 * self.unit())).saturating_sub(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64) -> Draw {
        Draw::new(seed, 1, Purpose::Cut)
    }

    #[test]
    fn each_part_of_the_key_gives_other_numbers_and_the_same_key_the_same() {
        let first = |seed, connection, purpose| Draw::new(seed, connection, purpose).below(u64::MAX);
        let purposes = [
            Purpose::Flip(Direction::Up),
            Purpose::Flip(Direction::Down),
            Purpose::Drop(Direction::Up),
            Purpose::Drop(Direction::Down),
            Purpose::Hold(Direction::Up),
            Purpose::Hold(Direction::Down),
            Purpose::Datagram(Direction::Up),
            Purpose::Datagram(Direction::Down),
            Purpose::Cut,
            Purpose::Stall,
        ];
        let mut seen = std::collections::HashSet::new();
        for seed in 0..4 {
            for connection in 0..4 {
                for purpose in purposes {
                    assert!(seen.insert(first(seed, connection, purpose)), "{seed} {connection} {purpose:?}");
                }
            }
        }
        assert_eq!(first(7, 2, Purpose::Cut), first(7, 2, Purpose::Cut));
    }

    #[test]
    fn gaps_keep_the_share_and_its_ends() {
        let mut draw = draw(1);
        assert_eq!(draw.gap(0.0), u64::MAX);
        assert!((0..1000).all(|_| draw.gap(1.0) == 0));
        for share in [0.5, 0.01, 1e-5] {
            // A hit is one byte of the mean gap and the byte that is hit.
            let bytes: f64 = (0..20_000).map(|_| draw.gap(share) as f64 + 1.0).sum();
            let seen = 20_000.0 / bytes;
            assert!((0.95..1.05).contains(&(seen / share)), "{seen} for {share}");
        }
    }

    #[test]
    fn chances_and_times_stay_in_their_range() {
        let mut draw = draw(2);
        let (ten, four) = (Duration::from_secs(10), Duration::from_secs(4));
        for _ in 0..10_000 {
            assert!(!draw.chance(0.0) && draw.chance(1.0));
            assert!((ten / 2..=ten * 3 / 2).contains(&draw.about(ten)));
            assert!((ten - four..=ten + four).contains(&draw.around(ten, four)));
            assert!(draw.around(four, ten) <= four + ten);
            assert!(draw.below(3) < 3);
        }
        assert!((0..100).any(|_| draw.around(four, ten).is_zero()), "a spread over the middle reaches 0");
    }
}
