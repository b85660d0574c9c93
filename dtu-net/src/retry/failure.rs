//! What the caller says about an attempt that failed.

use core::time::Duration;

/// Why an attempt failed, as the caller judges it.
///
/// | made by | repeated | the breaker counts |
/// |---|---|---|
/// | [`transient`](Self::transient) | by the policy | a failure |
/// | [`retry_after`](Self::retry_after) | no sooner than asked for | a failure |
/// | [`permanent`](Self::permanent) | never | nothing |
///
/// [`local`](Self::local) and [`answered`](Self::answered) change what the breaker counts, [`unsent`](Self::unsent)
/// whether an operation that is not idempotent may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<E> {
    /// What went wrong.
    pub error: E,
    class: Class,
    is_unsent: bool,
    verdict: Verdict,
}

/// Whether an attempt after this one may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may.
    Transient,
    /// It may, after this time.
    RetryAfter(Duration),
    /// It cannot.
    Permanent,
}

/// What a failure says about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has failed.
    Failed,
    /// It works: it has answered, if not as was hoped.
    Answered,
    /// Nothing.
    None,
}

impl<E> Failure<E> {
    const fn new(error: E, class: Class, verdict: Verdict) -> Self {
        Self { error, class, is_unsent: false, verdict }
    }

    /// The next attempt may do better.
    pub const fn transient(error: E) -> Self {
        Self::new(error, Class::Transient, Verdict::Failed)
    }

    /// The peer asks to be left alone for so long. Of the time counts no more than
    /// [`HINT_MAX`](crate::backoff::HINT_MAX), and the jitter spreads it upwards.
    pub const fn retry_after(error: E, after: Duration) -> Self {
        Self::new(error, Class::RetryAfter(after), Verdict::Failed)
    }

    /// No attempt will do better.
    pub const fn permanent(error: E) -> Self {
        Self::new(error, Class::Permanent, Verdict::None)
    }

    /// It is certain that the peer has nothing of this attempt: it was not even connected to, or has said so.
    #[must_use]
    pub fn unsent(self) -> Self {
        Self { is_unsent: true, ..self }
    }

    /// The fault is on this side, and says nothing about the peer.
    #[must_use]
    pub fn local(self) -> Self {
        Self { verdict: Verdict::None, ..self }
    }

    /// The peer has answered and works, though not for this operation. For its breaker that is a success.
    #[must_use]
    pub fn answered(self) -> Self {
        Self { verdict: Verdict::Answered, ..self }
    }

    /// Whether an attempt after this one may do better.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Whether the peer has nothing of this attempt.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// What it says about the peer.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }
}
