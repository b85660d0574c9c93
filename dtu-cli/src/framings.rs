//! Framings as the user names them, and `dtu framings`, which lists them.

mod carried;
mod choice;
mod choose;
mod either;
mod file;
mod list;
mod named;
mod plan;
mod way;

pub(crate) use carried::carried;
pub(crate) use choice::Choice;
pub(crate) use choose::{AUTO, NATIVE, choose};
pub(crate) use list::{Args, run};
pub(crate) use named::Named;
pub(crate) use plan::{Plan, Selection, Source};
pub(crate) use way::Way;
