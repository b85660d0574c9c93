//! The x86-64 kernel, and the only file of this crate where `unsafe` is allowed.
//!
//! Small inputs use the `crc32` instruction of SSE4.2 (eight bytes an instruction, three cycles each, one after the
//! other). Long ones are folded by carry-less multiplication: sixteen bytes `X = H·x^64 + L` stand for the same remainder as
//! `H·(x^(d+64) mod P) + L·(x^d mod P)` placed `d` bits further on, so many lanes go forward at a time and the chain
//! of dependent instructions is short. Folding is four lanes of 128 bits, or four of 512 where the processor has them.
//! The last 128 bits go through `crc32`, which does the reduction modulo P.
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

/// From this many bytes on, folding over 128-bit lanes beats the `crc32` instruction.
const FOLD_128_FROM: usize = 512;
/// From this many bytes on, folding over 512-bit lanes beats both.
const FOLD_512_FROM: usize = 512;

impl Crc32c for X86_64 {
    #[inline(always)]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        if bytes.len() >= FOLD_128_FROM {
            return self.update_long(state, bytes);
        }
        // SAFETY: `self` exists only where `detect` found SSE4.2.
        unsafe { crc32_instruction(state, bytes) }
    }
}

impl X86_64 {
    #[inline(never)]
    fn update_long(self, state: u32, bytes: &[u8]) -> u32 {
        if self.has_512_bit_lanes && bytes.len() >= FOLD_512_FROM {
            // SAFETY: `has_512_bit_lanes` is set only where `detect` found AVX-512F and VPCLMULQDQ, besides the two below.
            unsafe { fold_512(state, bytes) }
        } else {
            // SAFETY: `self` exists only where `detect` found SSE4.2 and PCLMULQDQ.
            unsafe { fold_128(state, bytes) }
        }
    }
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn crc32_instruction(state: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut wide = u64::from(state);
    for word in words {
        wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
    }
    #[allow(clippy::as_conversions)] // the instruction clears the upper half
    let mut state = wide as u32;
    let mut rest = rest;
    if let Some((four, tail)) = rest.split_first_chunk() {
        state = _mm_crc32_u32(state, u32::from_le_bytes(*four));
        rest = tail;
    }
    if let Some((two, tail)) = rest.split_first_chunk() {
        state = _mm_crc32_u16(state, u16::from_le_bytes(*two));
        rest = tail;
    }
    if let Some(&one) = rest.first() {
        state = _mm_crc32_u8(state, one);
    }
    state
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

/// Adds the `lanes` that follow, reduces to the register, and goes on with the `rest` behind them.
#[inline]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn finish_lane(mut lane: __m128i, lanes: &[[u8; 16]], rest: &[u8]) -> u32 {
    for next in lanes {
        lane = fold_lane(lane, ONE_LANE, load_128(next));
    }
    let state = _mm_crc32_u64(0, _mm_cvtsi128_si64(lane).cast_unsigned());
    let state = _mm_crc32_u64(state, _mm_extract_epi64::<1>(lane).cast_unsigned());
    #[allow(clippy::as_conversions)] // the instruction clears the upper half
    crc32_instruction(state as u32, rest)
}

#[target_feature(enable = "sse4.2,pclmulqdq")]
fn fold_128(state: u32, bytes: &[u8]) -> u32 {
    let (lanes, rest) = bytes.as_chunks::<16>();
    let (blocks, odd_lanes) = lanes.as_chunks::<4>();
    let Some(([a, b, c, d], blocks)) = blocks.split_first() else {
        return crc32_instruction(state, bytes);
    };
    let mut a = _mm_xor_si128(load_128(a), _mm_cvtsi32_si128(state.cast_signed()));
    let [mut b, mut c, mut d] = [load_128(b), load_128(c), load_128(d)];
    for [next_a, next_b, next_c, next_d] in blocks {
        a = fold_lane(a, FOUR_LANES, load_128(next_a));
        b = fold_lane(b, FOUR_LANES, load_128(next_b));
        c = fold_lane(c, FOUR_LANES, load_128(next_c));
        d = fold_lane(d, FOUR_LANES, load_128(next_d));
    }
    let lane = fold_lane(a, THREE_LANES, fold_lane(b, TWO_LANES, fold_lane(c, ONE_LANE, d)));
    finish_lane(lane, odd_lanes, rest)
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
fn fold_512(state: u32, bytes: &[u8]) -> u32 {
    let (groups, _) = bytes.as_chunks::<64>();
    let (blocks, odd_groups) = groups.as_chunks::<4>();
    let Some(([a, b, c, d], blocks)) = blocks.split_first() else {
        return fold_128(state, bytes);
    };
    let mut a = _mm512_xor_si512(load_512(a), _mm512_zextsi128_si512(_mm_cvtsi32_si128(state.cast_signed())));
    let [mut b, mut c, mut d] = [load_512(b), load_512(c), load_512(d)];
    for [next_a, next_b, next_c, next_d] in blocks {
        a = fold_lanes(a, SIXTEEN_LANES, load_512(next_a));
        b = fold_lanes(b, SIXTEEN_LANES, load_512(next_b));
        c = fold_lanes(c, SIXTEEN_LANES, load_512(next_c));
        d = fold_lanes(d, SIXTEEN_LANES, load_512(next_d));
    }
    let mut lanes = fold_lanes(a, TWELVE_LANES, fold_lanes(b, EIGHT_LANES, fold_lanes(c, FOUR_LANES, d)));
    for group in odd_groups {
        lanes = fold_lanes(lanes, FOUR_LANES, load_512(group));
    }
    let a = _mm512_extracti32x4_epi32::<0>(lanes);
    let b = _mm512_extracti32x4_epi32::<1>(lanes);
    let c = _mm512_extracti32x4_epi32::<2>(lanes);
    let d = _mm512_extracti32x4_epi32::<3>(lanes);
    let lane = fold_lane(a, THREE_LANES, fold_lane(b, TWO_LANES, fold_lane(c, ONE_LANE, d)));
    let (_, rest) = bytes.as_chunks::<64>();
    let (odd_lanes, rest) = rest.as_chunks::<16>();
    finish_lane(lane, odd_lanes, rest)
}
