//! What the caller says about an attempt that failed.

use core::time::Duration;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum FailureClass {
    /// The target did not serve, and may do so later.
    Transient,
    /// The target asked for a pause. As [`Transient`](Self::Transient), with a least delay.
    RetryAfter(Duration),
    /// The target has answered that it will never do it. It lives, so the breaker takes this as a success.
    Permanent,
    /// This side failed before it reached the target, for want of memory or of descriptors. No verdict on the target.
    Local,
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
            Self::Local => "local",
            Self::TimedOut => "timed out",
            Self::Panicked => "panicked",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A failed attempt: how it failed, and whether it provably did nothing.
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
///         ErrorKind::InvalidInput => Failure::PERMANENT,
///         _ => Failure::TRANSIENT,
///     }
/// }
/// assert!(classify(&ErrorKind::ConnectionRefused.into()).is_unsent());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    class: FailureClass,
    unsent: bool,
}

impl Failure {
    /// See [`FailureClass::Transient`].
    pub const TRANSIENT: Self = Self { class: FailureClass::Transient, unsent: false };

    /// See [`FailureClass::Permanent`].
    pub const PERMANENT: Self = Self { class: FailureClass::Permanent, unsent: false };

    /// See [`FailureClass::Local`]; unsent by its nature.
    pub const LOCAL: Self = Self { class: FailureClass::Local, unsent: true };

    /// See [`FailureClass::Panicked`].
    pub const PANICKED: Self = Self { class: FailureClass::Panicked, unsent: false };

    /// See [`FailureClass::Interrupted`].
    pub const INTERRUPTED: Self = Self { class: FailureClass::Interrupted, unsent: false };

    pub(super) const TIMED_OUT: Self = Self { class: FailureClass::TimedOut, unsent: false };

    /// See [`FailureClass::RetryAfter`]. Of the pause counts no more than [`HINT_MAX`](crate::backoff::HINT_MAX).
    #[must_use]
    pub const fn retry_after(pause: Duration) -> Self {
        Self { class: FailureClass::RetryAfter(pause), unsent: false }
    }

    /// Says that the attempt provably did nothing at the target: no byte of it went out, or the target refused it before
    /// it took it up.
    #[must_use]
    pub const fn unsent(self) -> Self {
        Self { unsent: true, ..self }
    }

    /// How it failed.
    #[must_use]
    pub const fn class(self) -> FailureClass {
        self.class
    }

    /// Whether it provably did nothing at the target.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        self.unsent
    }
}
