//! Ways to spread delays.

use rand_core::Rng;

/// How much longer than the one before a decorrelated delay can be.
pub(super) const DECORRELATED_GROWTH: u64 = 3;

const PERMILLE: u16 = 1000;

/// How delays are spread around the plan, so that devices which failed together do not come back together.
///
/// `d` is the delay without jitter. The draw is even over the interval, both ends included; the bias of the draw is below
/// one part in 100 000. The names are those of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
///
/// With the feature `serde`: `"none"`, `"full"`, `"equal"`, `"decorrelated"`, `{ proportional_permille = 800 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Jitter {
    /// Exactly `d`. For one device alone, and for tests.
    None,
    /// From [`Backoff::floor`](super::Backoff::floor) to `d`.
    Full,
    /// From half of `d` to `d`.
    Equal,
    /// From the base to three times the delay given before (the first time: three times the base), at most to the cap. The
    /// factor has no effect; below the cap a delay is on average half of itself and half of the base longer than the one
    /// before.
    Decorrelated,
    /// From `d` less so many thousandths, and no less than the floor, to `d`. More than 1000 counts as 1000.
    ///
    /// It goes one way only: a spread to both sides would go over the cap, or gather there if it were cut.
    #[cfg_attr(feature = "serde", serde(rename = "proportional_permille"))]
    Proportional(u16),
}

impl Jitter {
    /// What a [`Backoff`](super::Backoff) has unless told otherwise: a fifth of the delay stands, four fifths are drawn.
    pub const DEFAULT: Self = Self::Proportional(800);

    /// How wide the interval for a delay is; never wider than the delay.
    pub(super) const fn width(self, delay: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::Full | Self::Decorrelated => delay,
            Self::Equal => delay / 2,
            Self::Proportional(permille) => {
                let permille = if permille < PERMILLE { permille } else { PERMILLE };
                (delay as u128 * permille as u128 / PERMILLE as u128) as u64
            }
        }
    }
}

/// Draws evenly from `shortest..=longest` by the high half of a product, with one number from `rng`.
pub(crate) fn draw(shortest: u64, longest: u64, rng: &mut impl Rng) -> u64 {
    let count = u128::from(longest - shortest) + 1;
    let offset = (u128::from(rng.next_u64()) * count) >> u64::BITS;
    shortest + offset as u64
}
