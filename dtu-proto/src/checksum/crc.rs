//! The ways through a CRC with any parameters: tables for the polynomials that DTUs carry, bit by bit for the rest.

use super::catalogue::Crc;
use super::{Crc32c, Kernel, POLYNOMIAL};

/// The bytes that go through the tables in one step. Where flash is worth more than speed, one table and one byte.
const SLICES: usize = if cfg!(target_pointer_width = "64") { 8 } else { 1 };

type Tables16 = [[u16; 256]; SLICES];
type Tables32 = [[u32; 256]; SLICES];

/// `TABLES[k][b]` is the register after byte `b` and `k` zero bytes, starting from zero.
static REFLECTED_8005: Tables16 = reflected_16(0xA001);
static REFLECTED_1021: Tables16 = reflected_16(0x8408);
static NORMAL_1021: Tables16 = normal_16(0x1021);
static REFLECTED_04C11DB7: Tables32 = reflected_32(0xEDB8_8320);

/// How bytes are fed into the register, which is held reflected where the CRC is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// CRC-32C by the kernel of the machine.
    Castagnoli,
    Reflected16(&'static Tables16),
    Normal16(&'static Tables16),
    Reflected32(&'static Tables32),
    /// Any reflected polynomial, given reflected.
    ReflectedBits(u32),
    /// Any other polynomial; the register and the polynomial stand at the top of their 32 bits.
    NormalBits(u32),
}

impl Way {
    pub(super) const fn of(crc: Crc) -> Self {
        let poly = if crc.reflect_in { reflect(crc.poly, crc.bits()) } else { crc.poly };
        match (crc.bits(), crc.reflect_in, poly) {
            (32, true, POLYNOMIAL) => Self::Castagnoli,
            (16, true, 0xA001) => Self::Reflected16(&REFLECTED_8005),
            (16, true, 0x8408) => Self::Reflected16(&REFLECTED_1021),
            (16, false, 0x1021) => Self::Normal16(&NORMAL_1021),
            (32, true, 0xEDB8_8320) => Self::Reflected32(&REFLECTED_04C11DB7),
            (_, true, _) => Self::ReflectedBits(poly),
            (bits, false, _) => Self::NormalBits(at_top(poly, bits)),
        }
    }

    /// The register before the first byte.
    pub(super) const fn initial(self, crc: Crc) -> u32 {
        let bits = crc.bits();
        match self {
            Self::NormalBits(_) => at_top(crc.init, bits),
            Self::Normal16(_) => at_top(crc.init, bits) >> 16,
            Self::Castagnoli | Self::Reflected16(_) | Self::Reflected32(_) | Self::ReflectedBits(_) => {
                reflect(crc.init, bits)
            }
        }
    }

    #[inline]
    pub(super) fn update(self, state: u32, bytes: &[u8]) -> u32 {
        match self {
            Self::Castagnoli => Kernel::detect().update(state, bytes),
            Self::Reflected16(tables) => u32::from(feed_reflected_16(tables, low_half(state), bytes)),
            Self::Normal16(tables) => u32::from(feed_normal_16(tables, low_half(state), bytes)),
            Self::Reflected32(tables) => feed_reflected_32(tables, state, bytes),
            Self::ReflectedBits(poly) => bytes.iter().fold(state, |state, &byte| {
                (0..8).fold(state ^ u32::from(byte), |state, _| shift_reflected(state, poly))
            }),
            Self::NormalBits(poly) => bytes.iter().fold(state, |state, &byte| {
                (0..8).fold(state ^ u32::from_be_bytes([byte, 0, 0, 0]), |state, _| shift_normal(state, poly))
            }),
        }
    }

    /// Turns the register into the check value.
    #[inline]
    pub(super) const fn finish(self, state: u32, crc: Crc) -> u32 {
        let bits = crc.bits();
        let (register, is_reflected) = match self {
            Self::NormalBits(_) => (state >> (32_u32.wrapping_sub(bits)), false),
            Self::Normal16(_) => (state, false),
            Self::Castagnoli | Self::Reflected16(_) | Self::Reflected32(_) | Self::ReflectedBits(_) => (state, true),
        };
        let read = if is_reflected == crc.reflect_out { register } else { reflect(register, bits) };
        (read ^ crc.xor_out) & (u32::MAX >> (32_u32.wrapping_sub(bits)))
    }
}

/// The register of HJ 212 takes a byte in: as CRC-16/MODBUS would, but the register's low byte is thrown away first.
#[inline]
pub(super) fn feed_hj212(state: u32, bytes: &[u8]) -> u32 {
    let [table, ..] = &REFLECTED_8005;
    let [low, high, ..] = state.to_le_bytes();
    u32::from(bytes.iter().fold(u16::from_le_bytes([low, high]), |state, &byte| {
        let [_, high] = state.to_le_bytes();
        entry(table, high ^ byte)
    }))
}

/// The lowest `bits` of `value`, in the other order.
const fn reflect(value: u32, bits: u32) -> u32 {
    at_top(value, bits).reverse_bits()
}

/// The lowest `bits` of `value`, at the top of the word.
const fn at_top(value: u32, bits: u32) -> u32 {
    value << (32_u32.wrapping_sub(bits))
}

const fn shift_reflected(state: u32, poly: u32) -> u32 {
    (state >> 1) ^ if state & 1 == 1 { poly } else { 0 }
}

const fn shift_normal(state: u32, poly: u32) -> u32 {
    (state << 1) ^ if state >> 31 == 1 { poly } else { 0 }
}

#[inline(always)]
const fn low_half(state: u32) -> u16 {
    let [low, high, ..] = state.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[inline(always)]
#[allow(clippy::indexing_slicing)] // a u8 is below 256
fn entry<T: Copy>(table: &[T; 256], index: u8) -> T {
    table[usize::from(index)]
}

#[inline(always)]
fn feed_reflected_16(tables: &Tables16, mut state: u16, bytes: &[u8]) -> u16 {
    #[cfg(target_pointer_width = "64")]
    let rest = {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in chunks {
            let [low, high] = state.to_le_bytes();
            // What does not wait for the register is added up first.
            let behind = entry(t5, c) ^ entry(t4, d) ^ entry(t3, e) ^ entry(t2, f) ^ entry(t1, g) ^ entry(t0, h);
            state = behind ^ (entry(t7, a ^ low) ^ entry(t6, b ^ high));
        }
        rest
    };
    #[cfg(not(target_pointer_width = "64"))]
    let rest = bytes;
    let [table, ..] = tables;
    for &byte in rest {
        let [low, high] = state.to_le_bytes();
        state = entry(table, low ^ byte) ^ u16::from(high);
    }
    state
}

#[inline(always)]
fn feed_normal_16(tables: &Tables16, mut state: u16, bytes: &[u8]) -> u16 {
    #[cfg(target_pointer_width = "64")]
    let rest = {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in chunks {
            let [high, low] = state.to_be_bytes();
            let behind = entry(t5, c) ^ entry(t4, d) ^ entry(t3, e) ^ entry(t2, f) ^ entry(t1, g) ^ entry(t0, h);
            state = behind ^ (entry(t7, a ^ high) ^ entry(t6, b ^ low));
        }
        rest
    };
    #[cfg(not(target_pointer_width = "64"))]
    let rest = bytes;
    let [table, ..] = tables;
    for &byte in rest {
        let [high, low] = state.to_be_bytes();
        state = entry(table, high ^ byte) ^ u16::from_be_bytes([low, 0]);
    }
    state
}

#[inline(always)]
fn feed_reflected_32(tables: &Tables32, mut state: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_pointer_width = "64")]
    let rest = {
        let [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in chunks {
            let [s0, s1, s2, s3] = state.to_le_bytes();
            let behind = entry(t3, e) ^ entry(t2, f) ^ entry(t1, g) ^ entry(t0, h);
            state = behind ^ entry(t7, a ^ s0) ^ entry(t6, b ^ s1) ^ entry(t5, c ^ s2) ^ entry(t4, d ^ s3);
        }
        rest
    };
    #[cfg(not(target_pointer_width = "64"))]
    let rest = bytes;
    let [table, ..] = tables;
    for &byte in rest {
        let [low, ..] = state.to_le_bytes();
        state = entry(table, low ^ byte) ^ (state >> 8);
    }
    state
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated at compile time
const fn reflected_16(poly: u32) -> Tables16 {
    let wide = reflected_32(poly);
    let mut tables = [[0; 256]; SLICES];
    let mut at = 0;
    while at < SLICES * 256 {
        tables[at / 256][at % 256] = wide[at / 256][at % 256] as u16;
        at += 1;
    }
    tables
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated at compile time
const fn reflected_32(poly: u32) -> Tables32 {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let (mut state, mut k) = (byte as u32, 0);
        while k < SLICES {
            let mut bit = 0;
            while bit < 8 {
                state = shift_reflected(state, poly);
                bit += 1;
            }
            tables[k][byte] = state;
            k += 1;
        }
        byte += 1;
    }
    tables
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated at compile time
const fn normal_16(poly: u32) -> Tables16 {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let (mut state, mut k) = ((byte as u32) << 24, 0);
        while k < SLICES {
            let mut bit = 0;
            while bit < 8 {
                state = shift_normal(state, poly << 16);
                bit += 1;
            }
            tables[k][byte] = (state >> 16) as u16;
            k += 1;
        }
        byte += 1;
    }
    tables
}
