//! The byte patterns that are taken out of a stream.

use core::fmt;
use core::num::NonZeroUsize;

/// The most patterns in one set.
pub const MAX_TOKENS: usize = 8;

/// The longest pattern, in bytes. Registration strings with an id and a SIM card's number fit.
pub const MAX_TOKEN_LEN: usize = 64;

/// Why a pattern was not taken into a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// The pattern has no byte, so it would match everywhere.
    Empty,
    /// The pattern is longer than [`MAX_TOKEN_LEN`].
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// There are [`MAX_TOKENS`] patterns in the set already.
    TooMany,
    /// The set has this pattern.
    Repeated {
        /// Its index there.
        index: usize,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("token has no byte"),
            Self::TooLong { length } => write!(f, "token of {length} bytes is over the limit of {MAX_TOKEN_LEN}"),
            Self::TooMany => write!(f, "more than {MAX_TOKENS} tokens"),
            Self::Repeated { index } => write!(f, "token repeats token {index}"),
        }
    }
}

impl core::error::Error for TokenError {}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Pattern {
    bytes: [u8; MAX_TOKEN_LEN],
    /// At most `MAX_TOKEN_LEN`; 0 in places that hold no pattern.
    len: usize,
}

impl Pattern {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The patterns that are taken out of a stream, each with the index at which it was added.
///
/// # Examples
///
/// ```
/// use dtu_proto::tokens::{TokenError, TokenSet};
///
/// let tokens = TokenSet::of(&[b"PING", &[0x55, 0xAA]])?;
/// assert_eq!(tokens.pattern(1), Some(&[0x55, 0xAA][..]));
/// assert_eq!(TokenSet::of(&[b""]), Err(TokenError::Empty));
/// # Ok::<(), TokenError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSet {
    patterns: [Pattern; MAX_TOKENS],
    count: usize,
}

impl Default for TokenSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.patterns()).finish()
    }
}

/// What begins at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The longest pattern that stands there whole: its index and its length in bytes.
    pub(super) whole: Option<(usize, usize)>,
    /// How many bytes a longer one lacks, when it may stand there but the bytes end in it; the least of them.
    pub(super) cut: Option<NonZeroUsize>,
}

impl TokenSet {
    /// A set without a pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self { patterns: [Pattern { bytes: [0; MAX_TOKEN_LEN], len: 0 }; MAX_TOKENS], count: 0 }
    }

    /// A set of `patterns`; their indices are those of the slice.
    ///
    /// # Errors
    ///
    /// See [`add`](Self::add).
    pub fn of(patterns: &[&[u8]]) -> Result<Self, TokenError> {
        let mut tokens = Self::new();
        for pattern in patterns {
            tokens.add(pattern)?;
        }
        Ok(tokens)
    }

    /// Adds a pattern and returns its index, which is the number of those before it.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; the set is as before.
    pub fn add(&mut self, pattern: &[u8]) -> Result<usize, TokenError> {
        if pattern.is_empty() {
            return Err(TokenError::Empty);
        }
        if let Some(index) = self.patterns().position(|earlier| earlier == pattern) {
            return Err(TokenError::Repeated { index });
        }
        let mut bytes = [0; MAX_TOKEN_LEN];
        let len = pattern.len();
        bytes.get_mut(..len).ok_or(TokenError::TooLong { length: len })?.copy_from_slice(pattern);
        let index = self.count;
        *self.patterns.get_mut(index).ok_or(TokenError::TooMany)? = Pattern { bytes, len };
        self.count = index.saturating_add(1);
        Ok(index)
    }

    /// The patterns in the order of their indices.
    pub fn patterns(&self) -> impl Iterator<Item = &[u8]> {
        self.patterns.iter().take(self.count).map(Pattern::as_bytes)
    }

    /// The pattern at `index`.
    #[must_use]
    pub fn pattern(&self, index: usize) -> Option<&[u8]> {
        self.patterns().nth(index)
    }

    /// Whether there is no pattern.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The length of the longest pattern, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.patterns().map(<[u8]>::len).max().unwrap_or(0)
    }

    /// What begins at the front of `bytes`.
    pub(super) fn at_front(&self, bytes: &[u8]) -> Found {
        let lacking = |pattern: &[u8]| NonZeroUsize::new(pattern.len().saturating_sub(bytes.len()));
        let cut_off = self.patterns().filter(|pattern| pattern.starts_with(bytes));
        Found { whole: self.whole_within(bytes, bytes.len()), cut: cut_off.filter_map(lacking).min() }
    }

    /// The longest pattern that stands whole at the front of `bytes` and has at most `limit` bytes.
    pub(super) fn whole_within(&self, bytes: &[u8], limit: usize) -> Option<(usize, usize)> {
        let whole = self.patterns().enumerate().filter(|(_, pattern)| bytes.starts_with(pattern));
        whole
            .map(|(index, pattern)| (index, pattern.len()))
            .filter(|&(_, len)| len <= limit)
            .max_by_key(|&(_, len)| len)
    }
}
