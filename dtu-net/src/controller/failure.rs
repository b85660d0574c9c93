//! What the caller says about an attempt that failed.

use crate::retry::{self, Class, Verdict};
use core::time::Duration;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum FailureClass {
    /// The next attempt may do better.
    Transient,
    /// The target asked for a pause. As [`Transient`](Self::Transient), with a least delay.
    RetryAfter(Duration),
    /// No attempt will do better.
    Permanent,
    /// The attempt took longer than its policy allows. A failure of the target.
    TimedOut,
    /// The operation panicked. Never repeated, and no verdict on the target.
    Panicked,
    /// The attempt was cut off: by a restart, or by whoever ran it. No verdict on the target.
    Interrupted,
}

impl FailureClass {
    /// A short name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RetryAfter(_) => "retry after",
            Self::Permanent => "permanent",
            Self::TimedOut => "timed out",
            Self::Panicked => "panicked",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A failed attempt: how it failed, what that says about the target, and whether it provably did nothing there. It is what
/// [`retry::Failure`] says without the error itself, and can be made from one.
///
/// A job that was not declared repeatable is attempted again only after a failure that is [`unsent`](Self::unsent);
/// after any other it ends in [`Outcome::InDoubt`](super::Outcome::InDoubt).
///
/// # Examples
///
/// ```
/// # use dtu_net::controller::Failure;
/// # use std::io::{Error, ErrorKind};
/// fn classify(error: &Error) -> Failure {
///     match error.kind() {
///         ErrorKind::ConnectionRefused => Failure::TRANSIENT.unsent(), // nothing went out
///         ErrorKind::OutOfMemory => Failure::TRANSIENT.local().unsent(),
///         ErrorKind::InvalidInput => Failure::PERMANENT,
///         _ => Failure::TRANSIENT,
///     }
/// }
/// assert!(classify(&ErrorKind::ConnectionRefused.into()).is_unsent());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    class: FailureClass,
    verdict: Verdict,
    unsent: bool,
}

impl Failure {
    /// See [`FailureClass::Transient`]. For the breaker a failure of the target.
    pub const TRANSIENT: Self = Self::new(FailureClass::Transient, Verdict::Failed);

    /// See [`FailureClass::Permanent`]. No verdict on the target, unless it is [`answered`](Self::answered).
    pub const PERMANENT: Self = Self::new(FailureClass::Permanent, Verdict::None);

    /// See [`FailureClass::Panicked`].
    pub const PANICKED: Self = Self::new(FailureClass::Panicked, Verdict::None);

    /// See [`FailureClass::Interrupted`].
    pub const INTERRUPTED: Self = Self::new(FailureClass::Interrupted, Verdict::None);

    pub(super) const TIMED_OUT: Self = Self::new(FailureClass::TimedOut, Verdict::Failed);

    const fn new(class: FailureClass, verdict: Verdict) -> Self {
        Self { class, verdict, unsent: false }
    }

    /// See [`FailureClass::RetryAfter`]. Of the pause counts no more than [`HINT_MAX`](crate::backoff::HINT_MAX). For the
    /// breaker a failure of the target.
    #[must_use]
    pub const fn retry_after(pause: Duration) -> Self {
        Self::new(FailureClass::RetryAfter(pause), Verdict::Failed)
    }

    /// Says that the attempt provably did nothing at the target: no byte of it went out, or the target refused it before
    /// it took it up.
    #[must_use]
    pub const fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// Says that the fault is on this side: no verdict on the target.
    #[must_use]
    pub const fn local(self) -> Self {
        Self { verdict: Verdict::None, ..self }
    }

    /// Says that the target has answered and works, though not for this job. For its breaker that is a success.
    #[must_use]
    pub const fn answered(self) -> Self {
        Self { verdict: Verdict::Answered, ..self }
    }

    /// How it failed.
    #[must_use]
    pub const fn class(self) -> FailureClass {
        self.class
    }

    /// What it says about the target.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        self.verdict
    }

    /// Whether it provably did nothing at the target.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        self.unsent
    }
}

impl<E> From<retry::Failure<E>> for Failure {
    fn from(failure: retry::Failure<E>) -> Self {
        let class = match failure.class() {
            Class::Transient => FailureClass::Transient,
            Class::RetryAfter(pause) => FailureClass::RetryAfter(pause),
            Class::Permanent => FailureClass::Permanent,
        };
        Self { class, verdict: failure.verdict(), unsent: failure.is_unsent() }
    }
}
