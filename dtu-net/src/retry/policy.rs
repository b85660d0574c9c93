//! How often, how long and whether at all one operation is repeated.

use crate::backoff::{Backoff, Jitter, LONGEST};
use core::time::Duration;

/// How many delays the exponential presets have; with the first try they make six attempts.
pub const ATTEMPTS: u32 = 5;

/// How long all attempts may take together, unless set otherwise.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// How long one attempt may take, unless set otherwise.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether an operation may run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeatable {
    /// Only when it is certain that the peer has nothing of the attempt before: see
    /// [`Failure::unsent`](super::Failure::unsent).
    #[default]
    OnlyIfUnsent,
    /// Always: it is idempotent.
    Always,
}

/// How one operation is repeated.
///
/// # Examples
///
/// ```
/// use dtu_net::backoff::Backoff;
/// use dtu_net::retry::Policy;
/// use std::time::Duration;
///
/// const READ_METER: Policy = Policy::new(Backoff::FIXED).deadline(Duration::from_secs(10)).idempotent();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(super) backoff: Backoff,
    pub(super) deadline: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) repeatable: Repeatable,
}

impl Policy {
    /// At a fixed interval: after 2 s, three times; the jitter takes up to a fifth off.
    pub const FIXED_INTERVAL: Self = Self::new(Backoff::FIXED);

    /// After 1, 2, 4, 8 and 16 s exactly. For one caller alone, as many keep step.
    pub const EXPONENTIAL: Self = Self::new(Backoff::REQUEST.jitter(Jitter::None).max_attempts(ATTEMPTS));

    /// The same, each delay drawn from a fifth of it to all of it.
    pub const EXPONENTIAL_WITH_JITTER: Self = Self::new(Backoff::REQUEST.max_attempts(ATTEMPTS));

    /// Repeats by `backoff`, within [`DEADLINE`] and with [`ATTEMPT_TIMEOUT`], and only what the peer provably never got.
    #[must_use]
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, deadline: DEADLINE, attempt_timeout: ATTEMPT_TIMEOUT, repeatable: Repeatable::OnlyIfUnsent }
    }

    /// Ends everything after this time, a running attempt too. An attempt that could only begin later is not waited for.
    /// Limited to [`LONGEST`].
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: limited(deadline), ..self }
    }

    /// Ends one attempt after this time, as a failure of the peer that may be repeated. At or above the deadline it has
    /// no effect. Limited to [`LONGEST`].
    #[must_use]
    pub const fn attempt_timeout(self, attempt_timeout: Duration) -> Self {
        Self { attempt_timeout: limited(attempt_timeout), ..self }
    }

    /// Declares that the operation may run twice.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self { repeatable: Repeatable::Always, ..self }
    }
}

const fn limited(time: Duration) -> Duration {
    if time.as_nanos() > LONGEST.as_nanos() { LONGEST } else { time }
}
