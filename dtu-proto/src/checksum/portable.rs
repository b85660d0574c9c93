//! The kernel without processor features: tables made by the compiler.

use super::{Crc32c, shift_one_bit};

/// CRC-32C by table lookup, safe and for every target.
///
/// On 64-bit targets it takes eight bytes a step and 8 KiB of constants; on smaller ones it goes byte by byte with
/// 1 KiB, since there the flash is worth more than the speed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Portable;

impl Crc32c for Portable {
    #[inline]
    fn update(self, state: u32, bytes: &[u8]) -> u32 {
        #[cfg(target_pointer_width = "64")]
        return eight_bytes_a_step(state, bytes);
        #[cfg(not(target_pointer_width = "64"))]
        return byte_by_byte(state, bytes);
    }
}

type Table = [u32; 256];

/// `TABLES[k][b]` is the register after byte `b` and `k` zero bytes, starting from zero.
#[cfg(target_pointer_width = "64")]
static TABLES: [Table; 8] = tables();

#[cfg(any(test, not(target_pointer_width = "64")))]
static TABLE: Table = tables::<1>()[0];

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated at compile time
const fn tables<const N: usize>() -> [Table; N] {
    let mut tables = [[0; 256]; N];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut k = 0;
        while k < N {
            let mut bit = 0;
            while bit < 8 {
                state = shift_one_bit(state);
                bit += 1;
            }
            tables[k][byte] = state;
            k += 1;
        }
        byte += 1;
    }
    tables
}

#[inline]
fn step(table: &Table, state: u32, byte: u8) -> u32 {
    lookup(table, state.to_le_bytes()[0] ^ byte) ^ (state >> 8)
}

#[inline(always)]
#[allow(clippy::indexing_slicing)] // a u8 is below 256
fn lookup(table: &Table, index: u8) -> u32 {
    table[usize::from(index)]
}

#[cfg(any(test, not(target_pointer_width = "64")))]
fn byte_by_byte(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, &byte| step(&TABLE, state, byte))
}

#[cfg(target_pointer_width = "64")]
fn eight_bytes_a_step(mut state: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in chunks {
        let [s0, s1, s2, s3] = state.to_le_bytes();
        state = lookup(t7, a ^ s0)
            ^ lookup(t6, b ^ s1)
            ^ lookup(t5, c ^ s2)
            ^ lookup(t4, d ^ s3)
            ^ lookup(t3, e)
            ^ lookup(t2, f)
            ^ lookup(t1, g)
            ^ lookup(t0, h);
    }
    rest.iter().fold(state, |state, &byte| step(t0, state, byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{INITIAL, finish};

    #[test]
    fn the_small_table_gives_the_check_value() {
        assert_eq!(finish(byte_by_byte(INITIAL, b"123456789")), 0xE306_9283);
    }
}
