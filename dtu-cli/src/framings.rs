//! Framings as the user names them, and `dtu framings`, which lists them.

mod either;
mod named;
mod plan;
mod way;

pub(crate) use named::Named;
pub(crate) use plan::{Plan, Start};
pub(crate) use way::Way;

/// What the framing of this toolkit is called.
pub(crate) const NATIVE: &str = "native";
