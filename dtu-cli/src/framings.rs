//! Framings as the user names them, and `dtu framings`, which lists them.

mod choice;
mod either;
mod named;
mod plan;
mod way;

pub(crate) use choice::Choice;
pub(crate) use named::Named;
pub(crate) use plan::{Plan, Selection, Source};
pub(crate) use way::Way;

/// What the framing of this toolkit is called.
pub(crate) const NATIVE: &str = "native";
