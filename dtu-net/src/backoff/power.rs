//! Powers of a factor without a loop over the exponent.

use super::{LONGEST, SHORTEST};

/// A factor of 1 in permille.
pub(super) const UNITY: u32 = 1000;

/// Fractional bits of a power. With 27 bits before the point, products stay below 2^126.
const FRACTION: u32 = 36;
const ONE: u128 = 1 << FRACTION;

/// Where powers stop growing.
const POWER_MAX: u128 = 1 << (FRACTION + 27);
const _: () =
    assert!(LONGEST.as_nanos() < SHORTEST.as_nanos() << 27, "a power that stopped growing is above every cap");

/// `value`, of at most [`LONGEST`] in nanoseconds, times the power of a factor in permille.
pub(super) const fn scaled(value: u64, factor: u32, exponent: u32) -> u128 {
    rounded(value as u128 * power(factor, exponent))
}

/// The power of a factor in permille, in fixed point, by squaring: at most 32 rounds. The rounding errors add up to less
/// than one part in a million, a thousandth of the smallest step, so a greater exponent never gives less.
const fn power(factor: u32, mut exponent: u32) -> u128 {
    let unity = UNITY as u128;
    let mut square = at_most_power_max((factor as u128 * ONE + unity / 2) / unity);
    let mut product = ONE;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = at_most_power_max(rounded(product * square));
        }
        square = at_most_power_max(rounded(square * square));
        exponent >>= 1;
    }
    product
}

const fn rounded(product: u128) -> u128 {
    (product + ONE / 2) >> FRACTION
}

const fn at_most_power_max(power: u128) -> u128 {
    if power < POWER_MAX { power } else { POWER_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(0xB2),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_greater_exponent_never_gives_less(
            factor in prop_oneof![UNITY..UNITY + 10, UNITY..5 * UNITY, UNITY..],
            exponent in prop_oneof![0_u32..100, 0_u32..30_000, 0_u32..u32::MAX],
        ) {
            prop_assert!(power(factor, exponent) <= power(factor, exponent + 1));
        }

        #[test]
        fn powers_agree_with_floating_point_within_a_millionth(
            factor in prop_oneof![UNITY..UNITY + 10, UNITY..5 * UNITY],
            exponent in prop_oneof![0_u16..100, 0_u16..20_000],
        ) {
            let most = POWER_MAX as f64 / ONE as f64;
            let expected = (f64::from(factor) / 1000.0).powi(exponent.into()).min(most);
            let seen = power(factor, exponent.into()) as f64 / ONE as f64;
            prop_assert!((seen / expected - 1.0).abs() <= 1e-6, "{seen} against {expected}");
        }
    }

    #[test]
    fn decimal_factors_give_whole_nanoseconds() {
        let second = 1_000_000_000;
        assert_eq!(
            [0, 1, 2, 3].map(|exponent| scaled(second, 1_200, exponent)),
            [1_000_000_000, 1_200_000_000, 1_440_000_000, 1_728_000_000]
        );
        assert_eq!(scaled(second, UNITY, u32::MAX), 1_000_000_000);
    }
}
