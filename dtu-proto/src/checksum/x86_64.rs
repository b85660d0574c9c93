//! The x86-64 kernel, and the only file of this crate where `unsafe` is allowed.
//!
//! Three ways, by length and processor:
//!
//! * the `crc32` instruction of SSE4.2: eight bytes an instruction, each waiting three cycles for the one before;
//! * three such chains side by side, whose registers are then moved to their places by carry-less multiplication and
//!   added: a register `a` followed by `d` bits stands for the remainder of `a·x^d`;
//! * with AVX-512 and VPCLMULQDQ, folding: sixteen bytes `X = H·x^64 + L` leave the same remainder as
//!   `H·(x^(d+64) mod P) + L·(x^d mod P)` placed `d` bits further on, so sixteen lanes of 128 bits go forward at a
//!   time. The last lane goes through `crc32`, which does the reduction modulo P.
//!
//! Folding was published by Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
//! Instruction", Intel, 2009. The constants are computed below from the polynomial.
#![allow(unsafe_code)]

use super::{Batch, Crc32c, shift_one_bit};
use core::arch::x86_64::{
    __m128i, __m512i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64,
    _mm_cvtsi32_si128, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_loadu_si128, _mm_set_epi64x, _mm_xor_si128,
    _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_set_epi64,
    _mm512_ternarylogic_epi64, _mm512_xor_si512, _mm512_zextsi128_si512,
};

/// The kernel of x86-64 processors with SSE4.2 and PCLMULQDQ (every one since 2010 or so).
///
/// A value of this type is the proof that the processor was asked: [`X86_64::detect`] is the only way to get one.
#[derive(Debug, Clone, Copy)]
pub struct X86_64 {
    /// AVX-512 with VPCLMULQDQ is there as well.
    has_512_bit_lanes: bool,
}

impl X86_64 {
    /// Returns the kernel when the processor has SSE4.2 and PCLMULQDQ.
    #[must_use]
    #[inline]
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        return (std::arch::is_x86_feature_detected!("sse4.2") && std::arch::is_x86_feature_detected!("pclmulqdq"))
            .then(|| Self {
                has_512_bit_lanes: std::arch::is_x86_feature_detected!("vpclmulqdq")
                    && std::arch::is_x86_feature_detected!("avx512f"),
            });
        #[cfg(not(feature = "std"))]
        return cfg!(all(target_feature = "sse4.2", target_feature = "pclmulqdq")).then_some(Self {
            has_512_bit_lanes: cfg!(all(target_feature = "vpclmulqdq", target_feature = "avx512f")),
        });
    }

    /// Runs `batch` as code for this processor, with the checksum of small frames inlined into its loop.
    #[inline]
    pub(super) fn run<B: Batch>(self, batch: B) -> B::Output {
        #[target_feature(enable = "sse4.2,pclmulqdq")]
        fn run<B: Batch>(hardware: X86_64, batch: B) -> B::Output {
            batch.run(hardware)
        }
        // SAFETY: `self` exists only where `detect` found SSE4.2 and PCLMULQDQ.
        unsafe { run(self, batch) }
    }
}

/// From this many bytes on, one chain of `crc32` is beaten by the other two ways.
const LONG_FROM: usize = 192;

impl Crc32c for X86_64 {
    #[inline(always)]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        if bytes.len() >= LONG_FROM {
            return self.update_long(state, bytes);
        }
        // SAFETY: `self` exists only where `detect` found SSE4.2.
        unsafe { one_chain(state, bytes) }
    }
}

impl X86_64 {
    #[inline(never)]
    fn update_long(self, state: u32, bytes: &[u8]) -> u32 {
        if self.has_512_bit_lanes {
            // SAFETY: `has_512_bit_lanes` is set only where `detect` found AVX-512F and VPCLMULQDQ, besides the two below.
            unsafe { fold(state, bytes) }
        } else {
            // SAFETY: `self` exists only where `detect` found SSE4.2 and PCLMULQDQ.
            unsafe { three_chains(state, bytes) }
        }
    }
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn one_chain(state: u32, bytes: &[u8]) -> u32 {
    let Some((_, last)) = bytes.split_last_chunk::<WORD>() else {
        core::hint::cold_path();
        return below_eight(state, bytes);
    };
    let mut wide = u64::from(state);
    let mut rest = bytes;
    while rest.len() > 2 * WORD {
        wide = _mm_crc32_u64(_mm_crc32_u64(wide, word::<0>(rest)), word::<WORD>(rest));
        rest = rest.get(2 * WORD..).unwrap_or_default();
    }
    if rest.len() > WORD {
        wide = _mm_crc32_u64(wide, word::<0>(rest));
        rest = rest.get(WORD..).unwrap_or_default();
    }
    // One to eight bytes are left. Zeros in front of a message do not change a register of zero, so they go to the top
    // of a word whose low end is zero, with the part of the register that meets them; the part that does not is added
    // afterwards. No branch depends on the length, which in a mix of frames nothing could predict.
    let spare_bits = rest.len().wrapping_neg().wrapping_mul(8) & 0x38;
    let tail = u64::from_le_bytes(*last) >> spare_bits;
    let reduced = _mm_crc32_u64(0, (tail ^ wide) << spare_bits);
    low_half(reduced ^ ((wide >> 1) >> (63 ^ spare_bits)))
}

/// The bytes that the `crc32` instruction takes at a time.
const WORD: usize = 8;

/// The word at `AT`, which the caller knows to be there.
#[inline(always)]
fn word<const AT: usize>(bytes: &[u8]) -> u64 {
    let word = bytes.get(AT..).and_then(<[u8]>::first_chunk);
    u64::from_le_bytes(*word.expect("the loop's condition counts this word"))
}

/// For lengths that the compiler knows, as a frame's header, this is two instructions.
#[inline]
#[target_feature(enable = "sse4.2")]
fn below_eight(mut state: u32, mut bytes: &[u8]) -> u32 {
    if let Some((four, rest)) = bytes.split_first_chunk() {
        state = _mm_crc32_u32(state, u32::from_le_bytes(*four));
        bytes = rest;
    }
    if let Some((two, rest)) = bytes.split_first_chunk() {
        state = _mm_crc32_u16(state, u16::from_le_bytes(*two));
        bytes = rest;
    }
    match bytes {
        [one, ..] => _mm_crc32_u8(state, *one),
        [] => state,
    }
}

/// The register, of which the instruction clears the upper half.
#[inline(always)]
#[allow(clippy::as_conversions)] // nothing is cut
fn low_half(wide: u64) -> u32 {
    wide as u32
}

/// The pair of multipliers that moves 128 bits `distance` bits on: for the first eight bytes, and for the last eight.
///
/// Reflected, a product of two 64-bit halves is one bit short of its place, which the shift to the left makes up for;
/// the 32 bits come from the constant's place in the upper half of the reflected 64.
#[allow(clippy::as_conversions, clippy::arithmetic_side_effects)] // evaluated at compile time
const fn multipliers(distance: u32) -> (i64, i64) {
    ((power_of_x(distance + 32) as i64) << 1, (power_of_x(distance - 32) as i64) << 1)
}

/// x to the power `exponent` modulo P, reflected.
#[allow(clippy::arithmetic_side_effects)] // evaluated at compile time
const fn power_of_x(exponent: u32) -> u32 {
    let mut power = 0x8000_0000;
    let mut i = 0;
    while i < exponent {
        power = shift_one_bit(power);
        i += 1;
    }
    power
}

const ONE_LANE: (i64, i64) = multipliers(128);
const TWO_LANES: (i64, i64) = multipliers(256);
const THREE_LANES: (i64, i64) = multipliers(384);
const FOUR_LANES: (i64, i64) = multipliers(512);
const EIGHT_LANES: (i64, i64) = multipliers(1024);
const TWELVE_LANES: (i64, i64) = multipliers(1536);
const SIXTEEN_LANES: (i64, i64) = multipliers(2048);

#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn load_128(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference covers the 64 bytes that are read; the instruction asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Moves `lane` on and adds it to `next`.
#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn fold_lane(lane: __m128i, (first, last): (i64, i64), next: __m128i) -> __m128i {
    let by = _mm_set_epi64x(last, first);
    let products = _mm_xor_si128(_mm_clmulepi64_si128::<0x00>(lane, by), _mm_clmulepi64_si128::<0x11>(lane, by));
    _mm_xor_si128(products, next)
}

/// Goes over as many runs of three times `LONG_CHAIN` bytes as there are, then of `SHORT_CHAIN`, then over the rest.
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn three_chains(state: u32, bytes: &[u8]) -> u32 {
    const LONG_CHAIN: usize = 512;
    const SHORT_CHAIN: usize = 64;
    let (state, bytes) = three_chains_of::<LONG_CHAIN>(state, bytes);
    let (state, bytes) = three_chains_of::<SHORT_CHAIN>(state, bytes);
    one_chain(state, bytes)
}

#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn three_chains_of<const CHAIN: usize>(mut state: u32, bytes: &[u8]) -> (u32, &[u8]) {
    let (chains, _) = bytes.as_chunks::<CHAIN>();
    let (runs, _) = chains.as_chunks::<3>();
    for [first, second, third] in runs {
        let (mut a, mut b, mut c) = (u64::from(state), 0, 0);
        let words = first.as_chunks().0.iter().zip(second.as_chunks().0).zip(third.as_chunks().0);
        for ((first, second), third) in words {
            a = _mm_crc32_u64(a, u64::from_le_bytes(*first));
            b = _mm_crc32_u64(b, u64::from_le_bytes(*second));
            c = _mm_crc32_u64(c, u64::from_le_bytes(*third));
        }
        let a = move_register(a, const { register_multiplier(2 * CHAIN) });
        let b = move_register(b, const { register_multiplier(CHAIN) });
        state = low_half(_mm_crc32_u64(0, a ^ b)) ^ low_half(c);
    }
    (state, bytes.get(runs.as_flattened().as_flattened().len()..).unwrap_or_default())
}

/// What moves a register `distance` bytes on by [`move_register`].
///
/// The product of two reflected 32-bit values is one bit short of its place in 64, and the `crc32` that reduces it
/// moves it 32 further; both are taken off here.
#[allow(clippy::as_conversions, clippy::arithmetic_side_effects)] // evaluated at compile time
const fn register_multiplier(distance: usize) -> i64 {
    power_of_x(8 * distance as u32 - 33) as i64
}

/// Multiplies a register; the product is still to be reduced.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn move_register(register: u64, multiplier: i64) -> u64 {
    let product =
        _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, register.cast_signed()), _mm_set_epi64x(0, multiplier));
    _mm_cvtsi128_si64(product).cast_unsigned()
}

/// Moves four lanes on, each by `distance`, and adds them to `next`.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn fold_lanes(lanes: __m512i, (first, last): (i64, i64), next: __m512i) -> __m512i {
    let by = _mm512_set_epi64(last, first, last, first, last, first, last, first);
    let (low, high) = (_mm512_clmulepi64_epi128::<0x00>(lanes, by), _mm512_clmulepi64_epi128::<0x11>(lanes, by));
    const XOR_OF_THREE: i32 = 0x96;
    _mm512_ternarylogic_epi64::<XOR_OF_THREE>(low, high, next)
}

#[target_feature(enable = "sse4.2,pclmulqdq,avx512f,vpclmulqdq")]
fn fold(state: u32, bytes: &[u8]) -> u32 {
    let (groups, rest) = bytes.as_chunks::<64>();
    let Some((first, behind)) = groups.split_first() else {
        return one_chain(state, bytes);
    };
    let mut lanes = _mm512_xor_si512(load_512(first), _mm512_zextsi128_si512(_mm_cvtsi32_si128(state.cast_signed())));
    let mut groups = behind;
    if let Some(([b, c, d], behind)) = groups.split_first_chunk() {
        let [mut b, mut c, mut d] = [load_512(b), load_512(c), load_512(d)];
        let (blocks, odd_groups) = behind.as_chunks::<4>();
        for [next_a, next_b, next_c, next_d] in blocks {
            lanes = fold_lanes(lanes, SIXTEEN_LANES, load_512(next_a));
            b = fold_lanes(b, SIXTEEN_LANES, load_512(next_b));
            c = fold_lanes(c, SIXTEEN_LANES, load_512(next_c));
            d = fold_lanes(d, SIXTEEN_LANES, load_512(next_d));
        }
        lanes = fold_lanes(lanes, TWELVE_LANES, fold_lanes(b, EIGHT_LANES, fold_lanes(c, FOUR_LANES, d)));
        groups = odd_groups;
    }
    for group in groups {
        lanes = fold_lanes(lanes, FOUR_LANES, load_512(group));
    }
    let [a, b, c, d] = [
        _mm512_extracti32x4_epi32::<0>(lanes),
        _mm512_extracti32x4_epi32::<1>(lanes),
        _mm512_extracti32x4_epi32::<2>(lanes),
        _mm512_extracti32x4_epi32::<3>(lanes),
    ];
    let mut lane = fold_lane(a, THREE_LANES, fold_lane(b, TWO_LANES, fold_lane(c, ONE_LANE, d)));
    let (odd_lanes, rest) = rest.as_chunks::<16>();
    for next in odd_lanes {
        lane = fold_lane(lane, ONE_LANE, load_128(next));
    }
    let state = _mm_crc32_u64(0, _mm_cvtsi128_si64(lane).cast_unsigned());
    let state = _mm_crc32_u64(state, _mm_extract_epi64::<1>(lane).cast_unsigned());
    one_chain(low_half(state), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{INITIAL, finish};
    use std::vec::Vec;

    /// The way a processor without AVX-512 goes, also on one that has it.
    #[test]
    fn three_chains_agree_with_the_oracle_at_every_length() {
        if X86_64::detect().is_none() {
            std::eprintln!("skipped: this processor has no SSE4.2 or no PCLMULQDQ");
            return;
        }
        let oracle = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        let bytes: Vec<u8> = (0..4700_u32).map(|i| i.wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect();
        for len in 0..bytes.len() {
            // SAFETY: the processor was asked above.
            let register = unsafe { three_chains(INITIAL, &bytes[..len]) };
            assert_eq!(finish(register), oracle.checksum(&bytes[..len]), "{len} bytes");
        }
    }
}
