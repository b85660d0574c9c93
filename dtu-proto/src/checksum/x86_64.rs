//! The x86-64 kernels, and the only file of this crate where `unsafe` is allowed.
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
//!
//! A kernel's value is the proof that the processor was asked, so everything below takes it and is safe to call. The
//! functions are inlined into [`Sse42::run`] and [`Avx512::run`], which are compiled for what the processor has; only
//! there do the intrinsics become instructions instead of calls.
#![allow(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)] // sums and products of constants and of remainders below 64

use super::{Batch, Crc32c, shift_one_bit};
use core::arch::x86_64::{
    __m128i, __m512i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64,
    _mm_cvtsi32_si128, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_loadu_si128, _mm_set_epi64x, _mm_xor_si128,
    _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_set_epi64,
    _mm512_ternarylogic_epi64, _mm512_xor_si512, _mm512_zextsi128_si512,
};

/// The kernel of x86-64 processors with SSE4.2 and PCLMULQDQ (every one since 2010 or so).
///
/// A value of this type is the proof that the processor was asked: [`Sse42::detect`] is the only way to get one.
#[derive(Debug, Clone, Copy)]
pub struct Sse42(());

/// The kernel of x86-64 processors that have AVX-512F, VPCLMULQDQ and BMI2 besides.
///
/// A value of this type is the proof that the processor was asked: [`Avx512::detect`] is the only way to get one.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(Sse42);

/// Whether the processor has all the features: asked at run time with `std`, known to the compiler or not without it.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let has_all = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let has_all = cfg!(all($(target_feature = $feature),+));
        has_all
    }};
}

impl Sse42 {
    /// Returns the kernel when the processor has what it needs.
    #[must_use]
    #[inline]
    pub fn detect() -> Option<Self> {
        has!("sse4.2", "pclmulqdq").then_some(Self(()))
    }

    /// Runs `batch` as code for this processor, with the checksum of small frames inlined into its loop.
    #[inline]
    pub(super) fn run<B: Batch>(self, batch: B) -> B::Output {
        #[target_feature(enable = "sse4.2,pclmulqdq")]
        fn run<B: Batch>(kernel: Sse42, batch: B) -> B::Output {
            batch.run(kernel)
        }
        // SAFETY: `self` exists only where `detect` found these features.
        unsafe { run(self, batch) }
    }
}

impl Avx512 {
    /// Returns the kernel when the processor has what it needs.
    #[must_use]
    #[inline]
    pub fn detect() -> Option<Self> {
        Sse42::detect().filter(|_| has!("avx512f", "vpclmulqdq", "bmi2")).map(Self)
    }

    /// Runs `batch` as code for this processor, with the checksum inlined into its loop.
    #[inline]
    pub(super) fn run<B: Batch>(self, batch: B) -> B::Output {
        #[target_feature(enable = "sse4.2,pclmulqdq,avx512f,vpclmulqdq,bmi2")]
        fn run<B: Batch>(kernel: Avx512, batch: B) -> B::Output {
            batch.run(kernel)
        }
        // SAFETY: `self` exists only where `detect` found these features.
        unsafe { run(self, batch) }
    }
}

impl Crc32c for Sse42 {
    #[inline(always)]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        /// From this many bytes on, three chains beat one.
        const THREE_CHAINS_FROM: usize = 192;
        if bytes.len() >= THREE_CHAINS_FROM { self.three_chains(state, bytes) } else { self.one_chain(state, bytes) }
    }
}

impl Crc32c for Avx512 {
    #[inline(always)]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        /// From this many bytes on, folding beats a chain.
        const FOLD_FROM: usize = 64;
        if bytes.len() >= FOLD_FROM { self.fold(state, bytes) } else { self.0.one_chain(state, bytes) }
    }
}

/// The bytes that the `crc32` instruction takes at a time.
const WORD: usize = 8;

impl Sse42 {
    #[inline(always)]
    fn one_chain(self, state: u32, bytes: &[u8]) -> u32 {
        let Some(last) = bytes.last_chunk() else {
            core::hint::cold_path();
            return self.below_eight(state, bytes);
        };
        let (mut wide, mut rest) = (u64::from(state), bytes);
        while rest.len() > 4 * WORD
            && let Some((block, behind)) = rest.split_first_chunk::<{ 4 * WORD }>()
        {
            (wide, rest) = (self.words(wide, block), behind);
        }
        if rest.len() > 2 * WORD
            && let Some((block, behind)) = rest.split_first_chunk::<{ 2 * WORD }>()
        {
            (wide, rest) = (self.words(wide, block), behind);
        }
        if rest.len() > WORD
            && let Some((word, behind)) = rest.split_first_chunk::<WORD>()
        {
            (wide, rest) = (self.words(wide, word), behind);
        }
        let spare_bits = rest.len().wrapping_neg() % WORD * 8;
        self.odd_bytes(wide, u64::from_le_bytes(*last) >> spare_bits, spare_bits)
    }

    /// Takes whole words into the register.
    #[inline(always)]
    fn words<const N: usize>(self, mut wide: u64, block: &[u8; N]) -> u64 {
        for word in block.as_chunks().0 {
            // SAFETY: `self` exists only where `detect` found SSE4.2.
            wide = unsafe { _mm_crc32_u64(wide, u64::from_le_bytes(*word)) };
        }
        wide
    }

    /// Takes one to eight bytes into the register: all of `odd` but its `spare_bits` upper ones.
    ///
    /// Zeros in front of a message do not change a register of zero, so the bytes go to the top of a word whose low end
    /// is zero, with the part of the register that meets them; the part that does not is added afterwards. No branch
    /// depends on the length, which in a mix of frames nothing could predict.
    #[inline(always)]
    fn odd_bytes(self, wide: u64, odd: u64, spare_bits: usize) -> u32 {
        // SAFETY: `self` exists only where `detect` found SSE4.2.
        let reduced = unsafe { _mm_crc32_u64(0, (odd ^ wide) << spare_bits) };
        low_half(reduced ^ ((wide >> 1) >> (63 ^ spare_bits)))
    }

    /// For lengths that the compiler knows, as a frame's header, this is two instructions.
    #[inline(always)]
    fn below_eight(self, mut state: u32, mut bytes: &[u8]) -> u32 {
        if let Some((four, rest)) = bytes.split_first_chunk() {
            // SAFETY: `self` exists only where `detect` found SSE4.2.
            state = unsafe { _mm_crc32_u32(state, u32::from_le_bytes(*four)) };
            bytes = rest;
        }
        if let Some((two, rest)) = bytes.split_first_chunk() {
            // SAFETY: as above.
            state = unsafe { _mm_crc32_u16(state, u16::from_le_bytes(*two)) };
            bytes = rest;
        }
        match bytes {
            // SAFETY: as above.
            [one, ..] => unsafe { _mm_crc32_u8(state, *one) },
            [] => state,
        }
    }

    /// Goes over as many runs of three times `LONG_CHAIN` bytes as there are, then of `SHORT_CHAIN`, then over the rest.
    #[inline(always)]
    fn three_chains(self, state: u32, bytes: &[u8]) -> u32 {
        const LONG_CHAIN: usize = 512;
        const SHORT_CHAIN: usize = 64;

        #[inline(never)]
        #[target_feature(enable = "sse4.2,pclmulqdq")]
        fn compiled_once(kernel: Sse42, state: u32, bytes: &[u8]) -> u32 {
            let (state, bytes) = kernel.three_chains_of::<LONG_CHAIN>(state, bytes);
            let (state, bytes) = kernel.three_chains_of::<SHORT_CHAIN>(state, bytes);
            kernel.one_chain(state, bytes)
        }
        // SAFETY: `self` exists only where `detect` found these features.
        unsafe { compiled_once(self, state, bytes) }
    }

    #[inline(always)]
    fn three_chains_of<const CHAIN: usize>(self, mut state: u32, bytes: &[u8]) -> (u32, &[u8]) {
        let (chains, _) = bytes.as_chunks::<CHAIN>();
        let (runs, _) = chains.as_chunks::<3>();
        for [first, second, third] in runs {
            let (mut a, mut b, mut c) = (u64::from(state), 0, 0);
            let words =
                first.as_chunks::<WORD>().0.iter().zip(second.as_chunks::<WORD>().0).zip(third.as_chunks::<WORD>().0);
            for ((first, second), third) in words {
                a = self.words(a, first);
                b = self.words(b, second);
                c = self.words(c, third);
            }
            let a = self.move_register(a, const { register_multiplier(2 * CHAIN) });
            let b = self.move_register(b, const { register_multiplier(CHAIN) });
            state = low_half(self.words(0, &(a ^ b).to_le_bytes())) ^ low_half(c);
        }
        (state, bytes.get(runs.as_flattened().as_flattened().len()..).unwrap_or_default())
    }

    /// Multiplies a register; the product is still to be reduced.
    #[inline(always)]
    fn move_register(self, register: u64, multiplier: i64) -> u64 {
        // SAFETY: `self` exists only where `detect` found PCLMULQDQ.
        unsafe {
            let (register, multiplier) = (_mm_set_epi64x(0, register.cast_signed()), _mm_set_epi64x(0, multiplier));
            _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(register, multiplier)).cast_unsigned()
        }
    }
}

/// The register, of which the instruction clears the upper half.
#[inline(always)]
#[allow(clippy::as_conversions)] // nothing is cut
const fn low_half(wide: u64) -> u32 {
    wide as u32
}

/// The bytes of a lane.
const LANE: usize = 16;
/// The bytes of four lanes, which one instruction folds.
const GROUP: usize = 4 * LANE;

impl Avx512 {
    /// Takes the odd bytes first, so that whole lanes are left.
    #[inline(always)]
    fn fold(self, state: u32, bytes: &[u8]) -> u32 {
        let (mut state, mut rest) = (state, bytes);
        let odd = bytes.len() % WORD;
        if odd != 0
            && let Some(first_word) = bytes.first_chunk()
        {
            state = self.0.odd_bytes(u64::from(state), u64::from_le_bytes(*first_word), (WORD - odd) * 8);
            rest = bytes.get(odd..).unwrap_or_default();
        }
        if rest.len() % LANE != 0
            && let Some((word, behind)) = rest.split_first_chunk::<WORD>()
        {
            (state, rest) = (low_half(self.0.words(u64::from(state), word)), behind);
        }
        let (groups, odd_lanes) = rest.as_chunks::<GROUP>();
        let Some((first, groups)) = groups.split_first() else {
            return self.0.one_chain(state, rest);
        };
        let (mut lanes, groups) = self.fold_blocks(self.load_with_register(first, state), groups);
        for group in groups {
            lanes = self.fold_group(lanes, FOUR_LANES, self.load(group));
        }
        let mut lane = self.add_lanes(lanes);
        for next in odd_lanes.as_chunks().0 {
            lane = self.fold_lane(lane, next);
        }
        // SAFETY: `self` exists only where `detect` found SSE4.2.
        let (first, last) = unsafe { (_mm_cvtsi128_si64(lane), _mm_extract_epi64::<1>(lane)) };
        low_half(self.0.words(self.0.words(0, &first.to_le_bytes()), &last.to_le_bytes()))
    }

    /// Folds sixteen lanes at a time while there are as many; returns four, and the groups that are left.
    #[inline(always)]
    fn fold_blocks(self, a: __m512i, groups: &[[u8; GROUP]]) -> (__m512i, &[[u8; GROUP]]) {
        let Some(([b, c, d], behind)) = groups.split_first_chunk() else {
            return (a, groups);
        };
        let [mut a, mut b, mut c, mut d] = [a, self.load(b), self.load(c), self.load(d)];
        let (blocks, odd_groups) = behind.as_chunks::<4>();
        for [next_a, next_b, next_c, next_d] in blocks {
            a = self.fold_group(a, SIXTEEN_LANES, self.load(next_a));
            b = self.fold_group(b, SIXTEEN_LANES, self.load(next_b));
            c = self.fold_group(c, SIXTEEN_LANES, self.load(next_c));
            d = self.fold_group(d, SIXTEEN_LANES, self.load(next_d));
        }
        let c = self.fold_group(c, FOUR_LANES, d);
        let b = self.fold_group(b, EIGHT_LANES, c);
        (self.fold_group(a, TWELVE_LANES, b), odd_groups)
    }

    #[inline(always)]
    fn load(self, bytes: &[u8; GROUP]) -> __m512i {
        // SAFETY: `self` exists only where `detect` found AVX-512F; the reference covers the 64 bytes that are read, and
        // the instruction asks for no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    /// Loads the first group with the register added to its first four bytes.
    #[inline(always)]
    fn load_with_register(self, bytes: &[u8; GROUP], state: u32) -> __m512i {
        let lanes = self.load(bytes);
        // SAFETY: `self` exists only where `detect` found AVX-512F.
        unsafe { _mm512_xor_si512(lanes, _mm512_zextsi128_si512(_mm_cvtsi32_si128(state.cast_signed()))) }
    }

    /// Moves four lanes on, each by the same distance, and adds them to `next`.
    #[inline(always)]
    fn fold_group(self, lanes: __m512i, (first, last): (i64, i64), next: __m512i) -> __m512i {
        const XOR_OF_THREE: i32 = 0x96;
        // SAFETY: `self` exists only where `detect` found AVX-512F and VPCLMULQDQ.
        unsafe {
            let by = _mm512_set_epi64(last, first, last, first, last, first, last, first);
            let (low, high) =
                (_mm512_clmulepi64_epi128::<0x00>(lanes, by), _mm512_clmulepi64_epi128::<0x11>(lanes, by));
            _mm512_ternarylogic_epi64::<XOR_OF_THREE>(low, high, next)
        }
    }

    /// Moves each of four lanes to the place of the last one and adds them up.
    #[inline(always)]
    fn add_lanes(self, lanes: __m512i) -> __m128i {
        const BY: [(i64, i64); 3] = [THREE_LANES, TWO_LANES, ONE_LANE];
        let [(a0, a1), (b0, b1), (c0, c1)] = BY;
        // SAFETY: `self` exists only where `detect` found AVX-512F and VPCLMULQDQ.
        unsafe {
            let by = _mm512_set_epi64(0, 0, c1, c0, b1, b0, a1, a0);
            let (low, high) =
                (_mm512_clmulepi64_epi128::<0x00>(lanes, by), _mm512_clmulepi64_epi128::<0x11>(lanes, by));
            let moved = _mm512_xor_si512(low, high);
            let (a, b) = (_mm512_extracti32x4_epi32::<0>(moved), _mm512_extracti32x4_epi32::<1>(moved));
            let (c, d) = (_mm512_extracti32x4_epi32::<2>(moved), _mm512_extracti32x4_epi32::<3>(lanes));
            _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d))
        }
    }

    /// Moves one lane on and adds it to the next.
    #[inline(always)]
    fn fold_lane(self, lane: __m128i, next: &[u8; LANE]) -> __m128i {
        let (first, last) = ONE_LANE;
        // SAFETY: `self` exists only where `detect` found PCLMULQDQ; the reference covers the 16 bytes that are read, and
        // the instruction asks for no alignment.
        unsafe {
            let (by, next) = (_mm_set_epi64x(last, first), _mm_loadu_si128(next.as_ptr().cast()));
            let (low, high) = (_mm_clmulepi64_si128::<0x00>(lane, by), _mm_clmulepi64_si128::<0x11>(lane, by));
            _mm_xor_si128(_mm_xor_si128(low, high), next)
        }
    }
}

const ONE_LANE: (i64, i64) = lane_multipliers(128);
const TWO_LANES: (i64, i64) = lane_multipliers(256);
const THREE_LANES: (i64, i64) = lane_multipliers(384);
const FOUR_LANES: (i64, i64) = lane_multipliers(512);
const EIGHT_LANES: (i64, i64) = lane_multipliers(1024);
const TWELVE_LANES: (i64, i64) = lane_multipliers(1536);
const SIXTEEN_LANES: (i64, i64) = lane_multipliers(2048);

/// The pair of multipliers that moves a lane `distance` bits on: for its first eight bytes, and for its last eight.
///
/// Reflected, a product of two 64-bit halves is one bit short of its place, which the shift to the left makes up for;
/// the 32 bits come from the constant's place in the upper half of the reflected 64.
#[allow(clippy::as_conversions)] // evaluated at compile time
const fn lane_multipliers(distance: u32) -> (i64, i64) {
    ((power_of_x(distance + 32) as i64) << 1, (power_of_x(distance - 32) as i64) << 1)
}

/// What moves a register `distance` bytes on.
///
/// The product of two reflected 32-bit values is one bit short of its place in 64, and the `crc32` that reduces it
/// moves it 32 further; both are taken off here.
#[allow(clippy::as_conversions)] // evaluated at compile time
const fn register_multiplier(distance: usize) -> i64 {
    power_of_x(8 * distance as u32 - 33) as i64
}

/// x to the power `exponent` modulo P, reflected.
const fn power_of_x(exponent: u32) -> u32 {
    let mut power = 0x8000_0000;
    let mut i = 0;
    while i < exponent {
        power = shift_one_bit(power);
        i += 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The way a processor without AVX-512 goes, also on one that has it.
    #[test]
    fn the_kernel_without_avx_512_agrees_with_the_oracle_at_every_length() {
        let Some(kernel) = Sse42::detect() else {
            std::eprintln!("skipped: this processor has no SSE4.2 or no PCLMULQDQ");
            return;
        };
        let oracle = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
        let bytes: Vec<u8> = (0..4700_u32).map(|i| i.wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect();
        for len in 0..bytes.len() {
            assert_eq!(kernel.checksum(&bytes[..len]), oracle.checksum(&bytes[..len]), "{len} bytes");
        }
    }
}
