//! Units that speak no protocol of ours, on a virtual clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "a test")]

mod bench;
mod envelope;
mod pattern;
mod profile;
#[path = "../simulation/random.rs"]
#[allow(dead_code, reason = "the simulation of links uses the rest of it")]
mod random;
mod reception;
#[path = "../line/rtu.rs"]
mod rtu;
mod session;
mod simulation;
mod world;
