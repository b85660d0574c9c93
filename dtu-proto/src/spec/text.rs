//! Reading a specification from a file: bytes as hex text, the escape rule and the checksum as tables.
//!
//! Nothing here needs an allocator. An error names the key that it is at, and the reader of the format says where it stands.

use super::escape::{ByteSet, Escape, MAX_ESCAPES, Rule};
use super::fields::{Check, Endian, Fixed, Text};
use super::marker::{MAX_MARKER_LEN, Marker};
use super::{MAX_FIXED, MAX_STARTS};
use crate::checksum::{Algorithm, Crc};
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

pub(super) const fn all_bits() -> u32 {
    u32::MAX
}

pub(super) const fn no_starts() -> [Marker; MAX_STARTS] {
    [Marker::EMPTY; MAX_STARTS]
}

pub(super) fn no_fixed() -> [Fixed; MAX_FIXED] {
    [Fixed::default(); MAX_FIXED]
}

/// The bytes of hex text, of which spaces may separate the digits; `None` when it is none or longer than a marker.
fn marker_of(text: &str) -> Option<Marker> {
    let (mut bytes, mut len) = ([0; MAX_MARKER_LEN], 0_usize);
    let mut digits = text.chars().filter(|char| *char != ' ').map(|digit| digit.to_digit(16));
    while let Some(high) = digits.next() {
        let byte = u8::try_from(high? << 4 | digits.next()??).ok()?;
        *bytes.get_mut(len)? = byte;
        len = len.saturating_add(1);
    }
    Marker::of(bytes.get(..len)?)
}

fn byte_of(text: &str) -> Option<u8> {
    match marker_of(text)?.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// Text that is read by a function, with what it should be.
struct Parsed<T>(fn(&str) -> Option<T>, &'static str);

impl<T> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

const A_MARKER: &str = "1 to 8 bytes as hex digits";
const A_BYTE: &str = "one byte as two hex digits";

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is there and empty would be taken for what is not there.
        let read = |text: &str| marker_of(text).filter(|marker| !marker.is_empty());
        deserializer.deserialize_str(Parsed(read, A_MARKER))
    }
}

/// A byte as hex text.
#[derive(Clone, Copy)]
struct Byte(u8);

impl<'de> Deserialize<'de> for Byte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(byte_of, A_BYTE)).map(Self)
    }
}

pub(super) fn maybe_byte<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    Byte::deserialize(deserializer).map(|Byte(byte)| Some(byte))
}

/// A list that has an entry, and no more than `N`.
struct Few<T, const N: usize>(PhantomData<T>, &'static str);

impl<'de, T: Deserialize<'de> + Copy + Default, const N: usize> Visitor<'de> for Few<T, N> {
    type Value = [T; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of 1 to {N} {}", self.1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<[T; N], A::Error> {
        let mut few = [T::default(); N];
        let mut count = 0_usize;
        while let Some(value) = list.next_element()? {
            *few.get_mut(count).ok_or_else(|| A::Error::invalid_length(count.saturating_add(1), &self))? = value;
            count = count.saturating_add(1);
        }
        if count == 0 {
            return Err(A::Error::invalid_length(0, &self));
        }
        Ok(few)
    }
}

pub(super) fn starts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Marker; MAX_STARTS], D::Error> {
    deserializer.deserialize_seq(Few(PhantomData, "start markers as hex digits"))
}

pub(super) fn fixed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Fixed; MAX_FIXED], D::Error> {
    deserializer.deserialize_seq(Few(PhantomData, "markers"))
}

/// `chars`: bytes and runs of them, as `7E 7D 00-1F`.
fn byte_set(text: &str) -> Option<ByteSet> {
    text.split_ascii_whitespace().try_fold(ByteSet::EMPTY, |set, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (byte_of(first)?, byte_of(last)?);
        (first <= last).then(|| set.with(first, last))
    })
}

struct Chars(ByteSet);

impl<'de> Deserialize<'de> for Chars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Parsed(byte_set, "bytes and runs of bytes as hex digits, as `7E 7D 00-1F`"))
            .map(Self)
    }
}

/// The lead and a code, as it stands on the line.
struct Sequence([u8; 2]);

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sequence = |text: &str| marker_of(text)?.as_bytes().try_into().ok();
        deserializer.deserialize_str(Parsed(sequence, "the lead and a code as four hex digits")).map(Self)
    }
}

/// `map`: sequences and the bytes that they stand for.
struct Pairs {
    pairs: [Option<(u8, u8)>; MAX_ESCAPES],
    /// The leads of the sequences, which must be one.
    lead: Option<u8>,
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_ESCAPES} sequences with one lead, and the byte that each stands for")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Pairs, A::Error> {
                let mut read = Pairs { pairs: [None; MAX_ESCAPES], lead: None };
                let mut count = 0_usize;
                while let Some((Sequence([lead, code]), Byte(byte))) = table.next_entry()? {
                    if *read.lead.get_or_insert(lead) != lead {
                        return Err(A::Error::custom("the sequences begin with different leads"));
                    }
                    let slot = read.pairs.get_mut(count);
                    *slot.ok_or_else(|| A::Error::invalid_length(count.saturating_add(1), &self))? = Some((code, byte));
                    count = count.saturating_add(1);
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

impl<'de> Deserialize<'de> for Escape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            lead: Byte,
            map: Option<Pairs>,
            xor: Option<u8>,
            chars: Option<Chars>,
        }
        let table = Table::deserialize(deserializer)?;
        let Byte(lead) = table.lead;
        let rule = match (table.map, table.xor, table.chars) {
            (Some(map), None, None) => {
                if map.lead.is_some_and(|found| found != lead) {
                    return Err(D::Error::custom("escape.map: a sequence begins with another byte than escape.lead"));
                }
                Rule::Map(map.pairs)
            }
            (None, Some(bits), chars) => Rule::Xor { bits, also: chars.map_or(ByteSet::EMPTY, |Chars(set)| set) },
            (None, None, _) => return Err(D::Error::custom("escape: `map` or `xor` is missing")),
            (Some(_), _, _) => return Err(D::Error::custom("escape.map: stands beside `xor` or `chars`")),
        };
        Ok(Self { lead, rule })
    }
}

/// `algo`: a name, or `crc` with its parameters beside it.
enum Algo {
    Crc,
    Named(Algorithm),
}

impl<'de> Deserialize<'de> for Algo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text {
            "crc" => Some(Self::Crc),
            name => Algorithm::named(name).map(Self::Named),
        };
        let expected = "the name of a checksum: sum8, xor8, lrc8, fletcher8, hj212, one of the catalogue of CRCs as \
                        CRC-16/MODBUS, or crc with width, poly, init, refin, refout and xorout";
        deserializer.deserialize_str(Parsed(read, expected))
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            algo: Algo,
            width: Option<u8>,
            poly: Option<u32>,
            init: Option<u32>,
            refin: Option<bool>,
            refout: Option<bool>,
            xorout: Option<u32>,
            #[serde(default)]
            from: usize,
            trim: Option<usize>,
            place: usize,
            #[serde(default)]
            endian: Endian,
            #[serde(default)]
            encoding: Text,
        }
        let table = Table::deserialize(deserializer)?;
        let algorithm = match table.algo {
            Algo::Crc => Algorithm::Crc(Crc {
                width: table.width.ok_or_else(|| D::Error::missing_field("check.width"))?,
                poly: table.poly.ok_or_else(|| D::Error::missing_field("check.poly"))?,
                init: table.init.unwrap_or(0),
                reflect_in: table.refin.unwrap_or(false),
                reflect_out: table.refout.unwrap_or(false),
                xor_out: table.xorout.unwrap_or(0),
            }),
            Algo::Named(named) => {
                let beside = [
                    ("width", table.width.is_some()),
                    ("poly", table.poly.is_some()),
                    ("init", table.init.is_some()),
                    ("refin", table.refin.is_some()),
                    ("refout", table.refout.is_some()),
                    ("xorout", table.xorout.is_some()),
                ];
                if let Some((key, _)) = beside.into_iter().find(|(_, is_there)| *is_there) {
                    return Err(D::Error::custom(format_args!(
                        "check.{key}: stands beside a checksum that has a name"
                    )));
                }
                named
            }
        };
        let (from, trim, place) = (table.from, table.trim, table.place);
        Ok(Self { algorithm, from, trim, place, endian: table.endian, encoding: table.encoding })
    }
}
