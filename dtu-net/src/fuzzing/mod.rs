//! The bodies of the fuzz targets: each takes any bytes and panics when a promise of the crate is broken.
//!
//! A target in `fuzz/` is one line that calls one of them, and the replay of `corpus/` calls the same functions.
// A panic is what these are for.
#![allow(clippy::unwrap_used)]

mod end;
mod ops;
mod world;

pub use ops::link_ops;

/// A fuzz target: its name, which is also its folder in `corpus/`, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: [Target; 1] = [("link_ops", link_ops)];
