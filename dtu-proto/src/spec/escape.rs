//! Escapes: bytes that would be taken for markers, replaced by two.

use super::marker::Marker;

/// How many pairs a [`Rule::Map`] can have.
pub const MAX_ESCAPES: usize = 8;

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSet([u128; 2]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 2]);

    /// The same with the bytes from `first` to `last`, both included.
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // bytes are below 256
    pub const fn with(mut self, first: u8, last: u8) -> Self {
        let mut byte = first as usize;
        while byte <= last as usize {
            self.0[byte / 128] |= 1 << (byte % 128);
            byte += 1;
        }
        self
    }

    /// Whether `byte` is in the set.
    #[must_use]
    #[allow(clippy::as_conversions, clippy::arithmetic_side_effects)] // bytes are below 256
    pub const fn contains(&self, byte: u8) -> bool {
        let [low, high] = self.0;
        let half = if byte < 128 { low } else { high };
        (half >> (byte % 128)) & 1 == 1
    }
}

/// An escape rule: a byte that is replaced is written as the lead and a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escape {
    /// The byte in front of each code.
    pub lead: u8,
    /// Which bytes are replaced, and by which codes.
    pub rule: Rule,
}

/// The codes of an escape rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Pairs of a code and the byte that it stands for. Every other code is malformed.
    Map([Option<(u8, u8)>; MAX_ESCAPES]),
    /// The code is the byte with some bits turned over; every code is read.
    Xor {
        /// The bits.
        bits: u8,
        /// The bytes that are written so besides the lead and the markers.
        also: ByteSet,
    },
}

impl Escape {
    /// The rule of the pairs `(code, byte)`.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_ESCAPES`].
    #[must_use]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // below both lengths
    pub const fn map(lead: u8, pairs: &[(u8, u8)]) -> Self {
        assert!(pairs.len() <= MAX_ESCAPES, "there are at most MAX_ESCAPES pairs");
        let mut map = [None; MAX_ESCAPES];
        let mut slot = 0;
        while slot < pairs.len() {
            map[slot] = Some(pairs[slot]);
            slot += 1;
        }
        Self { lead, rule: Rule::Map(map) }
    }

    /// The rule that turns over `bits`, of the lead and the markers.
    #[must_use]
    pub const fn xor(lead: u8, bits: u8) -> Self {
        Self { lead, rule: Rule::Xor { bits, also: ByteSet::EMPTY } }
    }

    /// The rule that turns over `bits`, of the lead, the markers and the bytes of `also`.
    #[must_use]
    pub const fn xor_also(lead: u8, bits: u8, also: ByteSet) -> Self {
        Self { lead, rule: Rule::Xor { bits, also } }
    }

    /// The byte that `code` stands for.
    pub(super) fn byte_of(&self, code: u8) -> Option<u8> {
        match &self.rule {
            Rule::Map(pairs) => pairs.iter().flatten().find(|(known, _)| *known == code).map(|(_, byte)| *byte),
            Rule::Xor { bits, .. } => Some(code ^ bits),
        }
    }

    /// The code that `byte` is written as, if it is replaced.
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // below the number of slots
    pub(super) const fn code_of(&self, byte: u8) -> Option<u8> {
        match &self.rule {
            Rule::Map(pairs) => {
                let mut slot = 0;
                while slot < MAX_ESCAPES {
                    if let Some((code, replaced)) = pairs[slot]
                        && replaced == byte
                    {
                        return Some(code);
                    }
                    slot += 1;
                }
                None
            }
            Rule::Xor { bits, also } => {
                if byte == self.lead || also.contains(byte) {
                    Some(byte ^ *bits)
                } else {
                    None
                }
            }
        }
    }

    /// The same with the bytes of `marker` among those that are replaced, where the rule is not a list.
    pub(super) const fn guarding(self, marker: &Marker) -> Self {
        match self.rule {
            Rule::Map(_) => self,
            Rule::Xor { bits, also } => {
                if marker.is_empty() {
                    return self;
                }
                let also = also.with(marker.first(), marker.first());
                Self { rule: Rule::Xor { bits, also }, ..self }
            }
        }
    }
}

/// Bytes as they stand on the line, one run without escapes after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs<'a> {
    pub(super) escape: Option<Escape>,
    pub(super) rest: &'a [u8],
}

/// A run, or an escape that is none.
pub(super) enum Run<'a> {
    /// Bytes that mean themselves.
    Plain(&'a [u8]),
    /// A byte that is written as two.
    Escaped([u8; 1]),
    /// A lead with no code that the rule knows behind it.
    Wrong,
}

impl<'a> Run<'a> {
    /// The bytes that are meant.
    pub(super) fn meant(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Escaped(byte) => byte,
            Self::Wrong => &[],
        }
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let plain = self.escape.and_then(|escape| memchr::memchr(escape.lead, self.rest)).unwrap_or(self.rest.len());
        if let Some((run, behind)) = self.rest.split_at_checked(plain)
            && plain > 0
        {
            self.rest = behind;
            return Some(Run::Plain(run));
        }
        let (escape, line) = (self.escape?, self.rest);
        self.rest = line.get(2..).unwrap_or_default();
        Some(line.get(1).and_then(|code| escape.byte_of(*code)).map_or(Run::Wrong, |byte| Run::Escaped([byte])))
    }
}
