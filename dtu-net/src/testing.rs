//! What the machines' tests share.

use std::time::Instant;

/// The instant at which a test's own clock begins; the machines only ever see differences to it.
#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
