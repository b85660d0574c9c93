//! The circuit breaker on a clock of the test's own: by its rules one by one, and against a naive model.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod model;
mod rules;

use core::time::Duration;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}
