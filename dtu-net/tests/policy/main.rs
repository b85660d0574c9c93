//! Policies from files: what they are built to, and what each error names.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

#[cfg(feature = "serde")]
mod controller_file;
mod specs;
