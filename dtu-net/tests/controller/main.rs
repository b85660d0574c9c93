//! The retry controller: its scheduler on a clock of the test's own, and its driver on tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod bench;
mod budget;
mod crash;
#[cfg(feature = "tokio")]
mod driver;
mod fairness;
mod model;
mod restart;
mod rules;
mod snapshots;
