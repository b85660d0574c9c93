//! What a registration or a heartbeat is answered with.

use super::error::Problem;
use super::pattern::{Captures, Pattern};
use super::text::{Part, parts};

/// The longest answer, in bytes, with its places filled.
pub const REPLY_MAX: usize = 1024;

/// What a registration or a heartbeat is answered with: nothing, what came, or bytes with places that are filled from the
/// registration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Template {
    /// Nothing.
    #[default]
    None,
    /// What came.
    Echo,
    /// These.
    Parts(Vec<TemplatePart>),
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// What stands in the registration at the place of this name.
    Place(Box<str>),
}

impl Template {
    /// Reads bytes as a [`Pattern`] writes them, with places `{name}` of the registration.
    ///
    /// # Errors
    ///
    /// [`Problem`]: what is malformed, or is named by no place of `pattern`.
    pub fn new(text: &str, pattern: &Pattern) -> Result<Self, Problem> {
        let mut len: usize = 0;
        let read = parts(text)?.into_iter().map(|part| {
            let (part, longest) = match part {
                Part::Bytes(bytes) => (TemplatePart::Bytes(bytes.as_slice().into()), bytes.len()),
                Part::Place { inside, at } => {
                    let longest = pattern.longest(inside).ok_or(Problem::UnknownName { at })?;
                    (TemplatePart::Place(inside.into()), longest)
                }
            };
            len = len.saturating_add(longest);
            Ok(part)
        });
        let parts: Vec<TemplatePart> = read.collect::<Result<_, _>>()?;
        if parts.is_empty() {
            return Err(Problem::Empty);
        }
        if len > REPLY_MAX { Err(Problem::TooLong { len, limit: REPLY_MAX }) } else { Ok(Self::Parts(parts)) }
    }

    /// Puts the answer to `came` behind `out`. Returns whether there is one.
    pub fn render(&self, came: &[u8], registration: &Captures, out: &mut Vec<u8>) -> bool {
        match self {
            Self::None => return false,
            Self::Echo => out.extend_from_slice(came),
            Self::Parts(parts) => {
                for part in parts {
                    match part {
                        TemplatePart::Bytes(bytes) => out.extend_from_slice(bytes),
                        TemplatePart::Place(name) => {
                            out.extend_from_slice(registration.place(name).unwrap_or_default());
                        }
                    }
                }
            }
        }
        true
    }
}
