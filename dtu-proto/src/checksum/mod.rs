//! CRC-32C (Castagnoli), the checksum of the native frame, and the [`Algorithm`]s of all the others.
//!
//! Polynomial `0x1EDC6F41`, reflected, initial value and final XOR `0xFFFFFFFF`; listed as CRC-32/ISCSI in the
//! catalogue of parametrised CRC algorithms, specified in RFC 3720 §12.1.
//!
//! There are three kernels: [`Portable`], safe tables for every target, and two for x86-64, with SSE4.2 and with
//! AVX-512. [`Kernel::detect`] asks the processor; [`Kernel::run`] makes the choice once for a whole
//! batch of frames, because asking and calling once a frame costs more than the checksum of a small frame.
//!
//! ```
//! use dtu_proto::checksum::{Crc32c, Kernel, Portable};
//!
//! assert_eq!(Kernel::detect().checksum(b"123456789"), 0xE306_9283);
//! assert_eq!(Portable.checksum(b"123456789"), 0xE306_9283);
//! ```

mod algorithm;
pub mod catalogue;
mod crc;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use algorithm::{Algorithm, Digest};
pub use catalogue::Crc;
pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx512, Sse42};

/// The reflected polynomial of CRC-32C.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// Moves the register on by one zero bit, which multiplies it by x modulo the polynomial.
const fn shift_one_bit(state: u32) -> u32 {
    let reduced = if state & 1 == 1 { POLYNOMIAL } else { 0 };
    (state >> 1) ^ reduced
}

/// The register before the first byte.
pub const INITIAL: u32 = u32::MAX;

/// A way to compute CRC-32C. All give the same values.
pub trait Crc32c: Copy {
    /// Feeds `bytes` into the register `state` and returns the register.
    ///
    /// The register starts at [`INITIAL`] and [`finish`] turns it into the checksum. Feeding a slice in parts gives
    /// the same register as feeding it whole.
    #[must_use]
    fn update(self, state: u32, bytes: &[u8]) -> u32;

    /// Copies `from` into `to` and feeds `from` into the register; the bytes just written are not read again,
    /// which would wait for them.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    #[must_use]
    #[inline(always)]
    fn update_copying(self, state: u32, from: &[u8], to: &mut [u8]) -> u32 {
        copy(from, to);
        self.update(state, from)
    }

    /// Returns the checksum of `bytes`.
    #[must_use]
    #[inline(always)]
    fn checksum(self, bytes: &[u8]) -> u32 {
        finish(self.update(INITIAL, bytes))
    }
}

/// `copy_from_slice` that for short payloads is two blocks which overlap, instead of a call that costs more than they do.
///
/// # Panics
///
/// When the lengths differ.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "a copy goes to as many bytes as it comes from");
    match from.len() {
        65..=128 => copy_ends::<64>(from, to),
        33..=64 => copy_ends::<32>(from, to),
        17..=32 => copy_ends::<16>(from, to),
        8..=16 => copy_ends::<8>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first `N` bytes and the last `N`: all of a slice of `N` to `2 * N` bytes.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(place) = to.first_chunk_mut::<N>() {
            *place = *first;
        }
        if let Some(place) = to.last_chunk_mut::<N>() {
            *place = *last;
        }
    }
}

/// Turns a register into the checksum: the final XOR.
#[must_use]
#[inline(always)]
pub const fn finish(state: u32) -> u32 {
    !state
}

/// The best kernel of the machine that runs the code.
#[derive(Debug, Clone, Copy)]
pub enum Kernel {
    /// Tables; every target has them.
    Portable(Portable),
    /// The CRC instruction of SSE4.2 and carry-less multiplication.
    #[cfg(target_arch = "x86_64")]
    Sse42(Sse42),
    /// The same, and carry-less multiplication of 512 bits at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Work that is compiled once for each kernel, so that the checksum is part of its loop instead of a call.
pub trait Batch {
    /// What the work gives.
    type Output;

    /// Does the work with `crc`. Mark it, and what it calls in its loop, `#[inline(always)]`.
    fn run<C: Crc32c>(self, crc: C) -> Self::Output;
}

impl Kernel {
    /// Asks the processor which kernel it can run.
    ///
    /// Without the feature `std` nothing is asked: the hardware kernel is chosen when the target's features, as given
    /// to the compiler, hold what it needs.
    #[must_use]
    #[inline]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Avx512::detect() {
            return Self::Avx512(kernel);
        } else if let Some(kernel) = Sse42::detect() {
            return Self::Sse42(kernel);
        }
        Self::Portable(Portable)
    }

    /// Runs `batch` with this kernel.
    #[inline]
    pub fn run<B: Batch>(self, batch: B) -> B::Output {
        match self {
            Self::Portable(kernel) => batch.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(kernel) => kernel.run(batch),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.run(batch),
        }
    }
}

impl Crc32c for Kernel {
    #[inline]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        struct Update<'a>(u32, &'a [u8]);
        impl Batch for Update<'_> {
            type Output = u32;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> u32 {
                crc.update(self.0, self.1)
            }
        }
        self.run(Update(state, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn oracle(bytes: &[u8]) -> u32 {
        ::crc::Crc::<u32>::new(&::crc::CRC_32_ISCSI).checksum(bytes)
    }

    #[test]
    fn catalogue_and_rfc_3720_values() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        // Check value of the catalogue; the rest from RFC 3720 appendix B.4, which prints the bytes as sent (low first).
        let known: [(&[u8], u32); 6] = [
            (b"123456789", 0xE306_9283),
            (b"", 0),
            (&[0; 32], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&ascending, 0x46DD_794E),
            (&descending, 0x113F_DB5C),
        ];
        for (bytes, expected) in known {
            assert_eq!(Portable.checksum(bytes), expected, "portable, {bytes:x?}");
            assert_eq!(Kernel::detect().checksum(bytes), expected, "{:?}, {bytes:x?}", Kernel::detect());
        }
    }

    #[test]
    fn every_length_and_alignment_agrees_with_the_oracle() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| i.wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect();
        for len in (0..1100).chain([2047, 2048, 2049, 4095, 4096, 4097, 4990]) {
            for start in [0, 1, 3, 7] {
                let slice = &bytes[start..start + len];
                let expected = oracle(slice);
                assert_eq!(Portable.checksum(slice), expected, "portable, {start}+{len}");
                assert_eq!(Kernel::detect().checksum(slice), expected, "{:?}, {start}+{len}", Kernel::detect());
            }
        }
    }

    proptest! {
        #[test]
        fn parts_give_the_same_as_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let kernel = Kernel::detect();
            prop_assert_eq!(finish(kernel.update(kernel.update(INITIAL, head), tail)), oracle(&bytes));
            prop_assert_eq!(finish(Portable.update(Portable.update(INITIAL, head), tail)), oracle(&bytes));
        }
    }
}
