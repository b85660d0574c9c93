//! Both ends of a link on a clock of the test's own, without a socket. Each test is named after what it proves; the rules
//! are those of `spec/session.md`.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod adaptive;
mod adaptive_rules;
mod bad_input;
mod closing;
mod data;
mod datagrams;
mod heartbeat;
mod line;
mod nat;
mod opening;
mod outbox;
mod pair;
mod proof;
mod reconnect;
mod resume;
