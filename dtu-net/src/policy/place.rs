//! Where in the file of a retry controller something is wrong.

use super::error::{Field, PolicyError};
use core::fmt;

/// A field in the file of a [`ControllerSpec`](super::ControllerSpec) has a value outside of its bound. It has the names of
/// the file, so that it can tell the whole path of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacedError {
    /// In which table.
    pub place: Place,
    /// Which field of it, and what its value has to be.
    pub error: PolicyError,
}

/// A table in the file of a [`ControllerSpec`](super::ControllerSpec). Without a target it belongs to the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `process`
    Process,
    /// `defaults`, or `targets.<target>`
    Target {
        /// The name of the target.
        target: Option<String>,
    },
    /// `policy` in one of these.
    Policy {
        /// The name of the target.
        target: Option<String>,
    },
    /// `operations.<operation>` in one of these.
    Operation {
        /// The name of the target.
        target: Option<String>,
        /// The name of the operation.
        operation: String,
    },
}

impl Place {
    pub(super) const fn error(self, error: PolicyError) -> PlacedError {
        PlacedError { place: self, error }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("process"),
            Self::Target { target } => OfTarget(target.as_deref()).fmt(f),
            Self::Policy { target } => write!(f, "{}.policy", OfTarget(target.as_deref())),
            Self::Operation { target, operation } => {
                write!(f, "{}.operations.{}", OfTarget(target.as_deref()), Key(operation))
            }
        }
    }
}

impl fmt::Display for PlacedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, error: PolicyError { field, bound } } = self;
        if matches!(field, Field::Policies | Field::NameLen) {
            return write!(f, "{} in {place} {bound}", field.name());
        }
        let table = field.table().map_or(String::new(), |table| format!("{table}."));
        write!(f, "{place}.{table}{} {bound}", field.name())
    }
}

impl core::error::Error for PlacedError {}

struct OfTarget<'a>(Option<&'a str>);

impl fmt::Display for OfTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "targets.{}", Key(name)),
            None => f.write_str("defaults"),
        }
    }
}

/// A key as TOML has it: in quotes where it has to be.
struct Key<'a>(&'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !self.0.is_empty() && self.0.bytes().all(is_bare) { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}
