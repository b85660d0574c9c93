//! The bodies of the fuzz targets: each takes any bytes and panics when a promise of the crate is broken.
//!
//! A target in `fuzz/` is one line that calls one of them. The property tests and the replay of `corpus/` call the same
//! functions, so what the fuzzer finds is an ordinary test the day its input is committed.
// A panic is what these are for, so indices and sums are written plainly.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod frames;
mod messages;
mod presets;
mod spec;
mod streams;

pub use frames::{frame_decode, frame_roundtrip};
pub use messages::{message_decode, message_roundtrip};
pub use presets::{comes_again, presets};
pub use spec::{any_split_agrees, framing_spec};
pub use streams::{deframe_chunks, every_way_agrees};

use crate::checksum::{Batch, Crc32c, INITIAL, Kernel, Portable, finish};
use alloc::vec;
use alloc::vec::Vec;

/// A fuzz target: its name, which is also its folder in `corpus/`, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: [Target; 8] = [
    ("frame_decode", frame_decode),
    ("frame_roundtrip", frame_roundtrip),
    ("message_decode", message_decode),
    ("message_roundtrip", message_roundtrip),
    ("deframe_chunks", deframe_chunks),
    ("checksum", checksum),
    ("presets", presets),
    ("framing_spec", framing_spec),
];

/// Every checksum kernel gives what the crate `crc` gives, wherever the bytes start in memory and however they are cut.
///
/// Input: where to cut (u16), where to start (u8), how often to repeat the bytes (u8), the bytes.
pub fn checksum(input: &[u8]) {
    const ORACLE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let Some((&[cut_high, cut_low, start, repeats], bytes)) = input.split_first_chunk() else { return };
    // Repeated, because the kernels change their way at lengths that a fuzzer seldom reaches by itself.
    let repeated = bytes.repeat(1 + usize::from(repeats) % 16);
    let bytes = &repeated[(usize::from(start) % 64).min(repeated.len())..];
    let cut = usize::from(u16::from_be_bytes([cut_high, cut_low])) % (bytes.len() + 1);
    let expected = ORACLE.checksum(bytes);
    for kernel in kernels() {
        kernel.run(Held { name: kernel, bytes, cut, expected });
    }
}

/// The check of one kernel, as code that is compiled for it.
struct Held<'a> {
    name: Kernel,
    bytes: &'a [u8],
    cut: usize,
    expected: u32,
}

impl Batch for Held<'_> {
    type Output = ();

    fn run<C: Crc32c>(self, crc: C) {
        let Self { name, bytes, cut, expected } = self;
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(crc.checksum(bytes), expected, "{name:?} over {} bytes", bytes.len());
        let parts = finish(crc.update(crc.update(INITIAL, head), tail));
        assert_eq!(parts, expected, "{name:?} over {} and {} bytes", head.len(), tail.len());

        // The copy goes to another alignment, between bytes that are not its own.
        const DIRT: u8 = 0xA5;
        let mut to = vec![DIRT; bytes.len() + 2];
        let (at_head, at_tail) = to[1..=bytes.len()].split_at_mut(cut);
        let state = crc.update_copying(INITIAL, head, at_head);
        let copied = finish(crc.update_copying(state, tail, at_tail));
        assert_eq!(copied, expected, "{name:?} copying {} and {} bytes", head.len(), tail.len());
        assert_eq!(to[1..=bytes.len()], *bytes, "{name:?} copying {} and {} bytes", head.len(), tail.len());
        assert_eq!((to[0], to[bytes.len() + 1]), (DIRT, DIRT), "{name:?} wrote beyond {} bytes", bytes.len());
    }
}

/// Every kernel that this machine can run; the first is the one that it chooses.
fn kernels() -> Vec<Kernel> {
    let mut kernels = vec![Kernel::detect(), Kernel::Portable(Portable)];
    #[cfg(target_arch = "x86_64")]
    {
        use crate::checksum::{Avx512, Sse42};
        kernels.extend(Sse42::detect().map(Kernel::Sse42));
        kernels.extend(Avx512::detect().map(Kernel::Avx512));
    }
    kernels
}
