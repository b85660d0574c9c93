//! One operation through its attempts: what is decided, and the driver on tokio's paused clock.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

#[cfg(feature = "tokio")]
mod driver;
mod plan;

use core::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
