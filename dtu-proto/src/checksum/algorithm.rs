//! The checksums of the framings that DTUs carry, chosen at run time.

use super::catalogue::{Crc, NAMES};
use super::crc::{Way, feed_hj212};

/// A checksum by its definition.
///
/// # Examples
///
/// The CRC of a Modbus request, which stands behind it with its low byte first:
/// ```
/// use dtu_proto::checksum::Algorithm;
///
/// let modbus = Algorithm::named("CRC-16/MODBUS").expect("the catalogue has it");
/// assert_eq!(modbus.checksum(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x02]), 0x0BC4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// The sum of the bytes, modulo 256.
    Sum8,
    /// The exclusive or of the bytes; also BCC.
    Xor8,
    /// The two's complement of the sum of the bytes, modulo 256: Modbus ASCII.
    Lrc8,
    /// Fletcher's checksum over 8 bits, modulo 256: the sum of the bytes above the sum of those sums. UBX sends the
    /// first before the second, which is big-endian.
    Fletcher8,
    /// The checksum of HJ 212, which is none of the catalogue's: CRC-16/MODBUS whose register loses its low byte before
    /// each byte comes in, so the check value depends on little more than the last two bytes.
    Hj212,
    /// A CRC.
    Crc(Crc),
}

impl Algorithm {
    /// The bytes of the check value, 1 to 4.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Sum8 | Self::Xor8 | Self::Lrc8 => 1,
            Self::Fletcher8 | Self::Hj212 => 2,
            Self::Crc(crc) => match crc.bits() {
                ..9 => 1,
                9..17 => 2,
                17..25 => 3,
                _ => 4,
            },
        }
    }

    /// The bits of the check value, 8 to 32.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Sum8 | Self::Xor8 | Self::Lrc8 => 8,
            Self::Fletcher8 | Self::Hj212 => 16,
            Self::Crc(crc) => crc.bits(),
        }
    }

    /// The checksum called `name`: one of the catalogue's names or aliases in [`NAMES`], or `sum8`, `xor8`, `lrc8`,
    /// `fletcher8`, `hj212`. Upper and lower case are the same.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        const SUMS: [(&str, Algorithm); 5] = [
            ("sum8", Algorithm::Sum8),
            ("xor8", Algorithm::Xor8),
            ("lrc8", Algorithm::Lrc8),
            ("fletcher8", Algorithm::Fletcher8),
            ("hj212", Algorithm::Hj212),
        ];
        let mut names = SUMS.into_iter().chain(NAMES.map(|(name, crc)| (name, Self::Crc(crc))));
        names.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, algorithm)| algorithm)
    }

    /// A checksum over no bytes yet.
    #[must_use]
    #[inline]
    pub const fn digest(self) -> Digest {
        let (feed, state) = match self {
            Self::Sum8 => (Feed::Sum8, 0),
            Self::Xor8 => (Feed::Xor8, 0),
            Self::Lrc8 => (Feed::Lrc8, 0),
            Self::Fletcher8 => (Feed::Fletcher8, 0),
            Self::Hj212 => (Feed::Hj212, 0xFFFF),
            Self::Crc(crc) => {
                let way = Way::of(crc);
                (Feed::Crc(way, crc), way.initial(crc))
            }
        };
        Digest { feed, state }
    }

    /// The check value of `bytes`.
    #[must_use]
    #[inline]
    pub fn checksum(self, bytes: &[u8]) -> u32 {
        let mut digest = self.digest();
        digest.update(bytes);
        digest.finish()
    }
}

/// A checksum over bytes that come in parts. A copy goes on by itself.
#[derive(Debug, Clone, Copy)]
pub struct Digest {
    feed: Feed,
    state: u32,
}

#[derive(Debug, Clone, Copy)]
enum Feed {
    Sum8,
    Xor8,
    Lrc8,
    Fletcher8,
    Hj212,
    Crc(Way, Crc),
}

impl Digest {
    /// Takes the next bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.state = match self.feed {
            Feed::Sum8 | Feed::Lrc8 => self.state.wrapping_add(sum(bytes)),
            Feed::Xor8 => self.state ^ u32::from(bytes.iter().fold(0, |state, byte| state ^ byte)),
            Feed::Fletcher8 => feed_fletcher(self.state, bytes),
            Feed::Hj212 => feed_hj212(self.state, bytes),
            Feed::Crc(way, _) => way.update(self.state, bytes),
        };
    }

    /// The check value of the bytes so far.
    #[must_use]
    #[inline]
    pub const fn finish(self) -> u32 {
        match self.feed {
            Feed::Sum8 => self.state & 0xFF,
            Feed::Lrc8 => self.state.wrapping_neg() & 0xFF,
            Feed::Xor8 | Feed::Fletcher8 | Feed::Hj212 => self.state,
            Feed::Crc(way, crc) => way.finish(self.state, crc),
        }
    }
}

#[inline]
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, &byte| sum.wrapping_add(u32::from(byte)))
}

/// The state is the sum in the second byte and the sum of sums in the lowest, as the check value has them.
#[inline]
fn feed_fletcher(state: u32, bytes: &[u8]) -> u32 {
    const BLOCK: usize = 32;
    const WEIGHTS: [u32; BLOCK] = {
        let mut weights = [0; BLOCK];
        let mut i = 0;
        #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // at compile time
        while i < BLOCK {
            weights[i] = (BLOCK - i) as u32;
            i += 1;
        }
        weights
    };
    let [second, first, ..] = state.to_le_bytes();
    let (mut first, mut second) = (u32::from(first), u32::from(second));
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        // A byte adds to the sum of sums once for itself and once for each byte behind it in the block.
        let weighted = block.iter().zip(&WEIGHTS);
        second = second.wrapping_add(first << BLOCK.trailing_zeros()).wrapping_add(
            weighted.fold(0, |sum, (&byte, weight)| u32::from(byte).wrapping_mul(*weight).wrapping_add(sum)),
        );
        first = first.wrapping_add(sum(block));
    }
    for &byte in rest {
        first = first.wrapping_add(u32::from(byte));
        second = second.wrapping_add(first);
    }
    let ([first, ..], [second, ..]) = (first.to_le_bytes(), second.to_le_bytes());
    u32::from_le_bytes([second, first, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::catalogue;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The definition, with nothing clever: one bit at a time in a wide register.
    fn by_definition(crc: Crc, bytes: &[u8]) -> u32 {
        let width = u32::from(crc.width);
        let reverse = |value: u64, bits: u32| value.reverse_bits() >> (64 - bits);
        let mask = (1_u64 << width) - 1;
        let mut register = u64::from(crc.init) & mask;
        for &byte in bytes {
            let byte = if crc.reflect_in { byte.reverse_bits() } else { byte };
            for bit in (0..8).rev() {
                let top = (register >> (width - 1)) & 1;
                register = (register << 1) & mask;
                if top ^ u64::from((byte >> bit) & 1) == 1 {
                    register ^= u64::from(crc.poly) & mask;
                }
            }
        }
        let register = if crc.reflect_out { reverse(register, width) } else { register };
        u32::try_from((register ^ u64::from(crc.xor_out)) & mask).expect("32 bits at the most")
    }

    fn fletcher_by_definition(bytes: &[u8]) -> u32 {
        let (first, second) = bytes.iter().fold((0_u8, 0_u8), |(first, second), &byte| {
            let first = first.wrapping_add(byte);
            (first, second.wrapping_add(first))
        });
        u32::from(first) << 8 | u32::from(second)
    }

    fn hj212_by_definition(bytes: &[u8]) -> u32 {
        let mut register = 0xFFFF_u32;
        for &byte in bytes {
            register = (register >> 8) ^ u32::from(byte);
            for _ in 0..8 {
                register = if register & 1 == 1 { (register >> 1) ^ 0xA001 } else { register >> 1 };
            }
        }
        register
    }

    /// The entry of the crate `crc` for each entry of ours that it has.
    fn oracle(crc: Crc, bytes: &[u8]) -> Option<u32> {
        macro_rules! of {
            ($width:ty, $($ours:ident = $theirs:ident),*) => {
                $(if crc == catalogue::$ours {
                    return Some(u32::from(crc::Crc::<$width>::new(&crc::$theirs).checksum(bytes)));
                })*
            };
        }
        of!(u8, CRC_8_SMBUS = CRC_8_SMBUS, CRC_8_MAXIM_DOW = CRC_8_MAXIM_DOW, CRC_8_I_432_1 = CRC_8_I_432_1);
        of!(u16, CRC_16_MODBUS = CRC_16_MODBUS, CRC_16_ARC = CRC_16_ARC, CRC_16_USB = CRC_16_USB);
        of!(u16, CRC_16_MCRF4XX = CRC_16_MCRF4XX, CRC_16_IBM_SDLC = CRC_16_IBM_SDLC, CRC_16_KERMIT = CRC_16_KERMIT);
        of!(u16, CRC_16_IBM_3740 = CRC_16_IBM_3740, CRC_16_XMODEM = CRC_16_XMODEM, CRC_16_DNP = CRC_16_DNP);
        of!(u16, CRC_16_SPI_FUJITSU = CRC_16_SPI_FUJITSU, CRC_16_GENIBUS = CRC_16_GENIBUS);
        of!(u16, CRC_16_EN_13757 = CRC_16_EN_13757);
        of!(u32, CRC_24_LTE_A = CRC_24_LTE_A, CRC_32_ISO_HDLC = CRC_32_ISO_HDLC, CRC_32_ISCSI = CRC_32_ISCSI);
        of!(u32, CRC_32_MPEG_2 = CRC_32_MPEG_2);
        None
    }

    #[test]
    fn check_values() {
        let known = [
            ("sum8", 0xDD),
            ("xor8", 0x31),
            ("lrc8", 0x23),
            ("fletcher8", 0xDD15),
            ("CRC-8", 0xF4),
            ("CRC-8/MAXIM-DOW", 0xA1),
            ("crc-16/modbus", 0x4B37),
            ("CRC-16/ARC", 0xBB3D),
            ("CRC-16/MCRF4XX", 0x6F91),
            ("CRC-16/X-25", 0x906E),
            ("CRC-16/KERMIT", 0x2189),
            ("CRC-16/CCITT-FALSE", 0x29B1),
            ("CRC-16/XMODEM", 0x31C3),
            ("CRC-16/DNP", 0xEA82),
            ("CRC-16/EN-13757", 0xC2B7),
            ("CRC-24Q", 0xCD_E703),
            ("CRC-32", 0xCBF4_3926),
            ("CRC-32C", 0xE306_9283),
            ("CRC-32/MPEG-2", 0x0376_E6E7),
        ];
        for (name, expected) in known {
            let algorithm = Algorithm::named(name).expect(name);
            assert_eq!(algorithm.checksum(b"123456789"), expected, "{name}");
        }
        assert_eq!(Algorithm::named("CRC-16"), None);
    }

    #[test]
    fn every_name_is_that_of_the_oracle_at_every_length() {
        let bytes: Vec<u8> = (0..200_u32).map(|i| i.wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect();
        for (name, crc) in NAMES {
            for len in 0..bytes.len() {
                let (slice, found) = (&bytes[..len], Algorithm::Crc(crc).checksum(&bytes[..len]));
                assert_eq!(Some(found), oracle(crc, slice), "{name}, {len} bytes");
            }
        }
    }

    #[test]
    fn hj_212_gives_the_official_samples_value() {
        let segment =
            b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&";
        assert_eq!(Algorithm::Hj212.checksum(segment), 0x1C80);
    }

    #[test]
    fn the_widths_are_those_of_the_values() {
        let widths = [("sum8", 1), ("hj212", 2), ("CRC-8", 1), ("CRC-16/DNP", 2), ("CRC-24Q", 3), ("CRC-32", 4)];
        for (name, width) in widths {
            assert_eq!(Algorithm::named(name).expect(name).width(), width, "{name}");
        }
        let odd = |width| Algorithm::Crc(Crc { width, ..catalogue::CRC_8_SMBUS });
        assert_eq!([0, 8, 9, 17, 25, 200].map(|width| odd(width).width()), [1, 1, 2, 3, 4, 4]);
    }

    fn any_crc() -> impl Strategy<Value = Crc> {
        let ways = (any::<bool>(), any::<bool>());
        let drawn = (8_u8..=32, any::<u32>(), any::<u32>(), ways, any::<u32>()).prop_map(
            |(width, poly, init, (reflect_in, reflect_out), xor_out)| Crc {
                width,
                poly,
                init,
                reflect_in,
                reflect_out,
                xor_out,
            },
        );
        let varied = (proptest::sample::select(NAMES.to_vec()), any::<u32>(), any::<bool>())
            .prop_map(|((_, crc), init, reflect_out)| Crc { init, reflect_out, ..crc });
        prop_oneof![drawn, varied]
    }

    proptest! {
        #[test]
        fn any_parameters_give_what_the_definition_says(
            crc in any_crc(),
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            prop_assert_eq!(Algorithm::Crc(crc).checksum(&bytes), by_definition(crc, &bytes));
        }

        #[test]
        fn sums_give_what_their_definitions_say(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(Algorithm::Fletcher8.checksum(&bytes), fletcher_by_definition(&bytes));
            prop_assert_eq!(Algorithm::Hj212.checksum(&bytes), hj212_by_definition(&bytes));
            let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            prop_assert_eq!(Algorithm::Sum8.checksum(&bytes), u32::from(sum));
            prop_assert_eq!(Algorithm::Lrc8.checksum(&bytes), u32::from(sum.wrapping_neg()));
            prop_assert_eq!(Algorithm::Xor8.checksum(&bytes), u32::from(bytes.iter().fold(0, |sum, byte| sum ^ byte)));
        }

        #[test]
        fn parts_give_the_same_as_the_whole(
            crc in any_crc(),
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let sums = [Algorithm::Sum8, Algorithm::Xor8, Algorithm::Lrc8, Algorithm::Fletcher8, Algorithm::Hj212];
            for algorithm in sums.into_iter().chain([Algorithm::Crc(crc)]) {
                let mut digest = algorithm.digest();
                digest.update(head);
                digest.update(tail);
                prop_assert_eq!(digest.finish(), algorithm.checksum(&bytes), "{:?}", algorithm);
            }
        }
    }
}
