//! How an operation ended that did not succeed.

use crate::breaker::Refused;
use core::error::Error;
use core::fmt;
use core::time::Duration;

/// An operation has not succeeded, and is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryError<E> {
    /// Why it is not tried any more.
    pub end: End,
    /// The attempts that were begun.
    pub attempts: u32,
    /// How long it all took.
    pub elapsed: Duration,
    /// How the last attempt ended that came to an end; `None` when none did.
    pub last: Option<Last<E>>,
}

/// Why an operation is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The last error is permanent.
    Permanent,
    /// All attempts are used up.
    AttemptsUsedUp,
    /// The time is over, or would be before the next attempt.
    Deadline,
    /// Its token was cancelled.
    Cancelled,
    /// The breaker admits no attempt now.
    BreakerOpen(Refused),
    /// The last attempt may have reached the peer, and the operation is not declared idempotent.
    NotRepeatable,
}

/// How an attempt ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Last<E> {
    /// With this error.
    Failed(E),
    /// By the timeout of an attempt.
    TimedOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permanent => f.write_str("the error is permanent"),
            Self::AttemptsUsedUp => f.write_str("all attempts are used up"),
            Self::Deadline => f.write_str("the deadline leaves no time for another attempt"),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::BreakerOpen(refused) => refused.fmt(f),
            Self::NotRepeatable => f.write_str("the attempt may have reached the peer and must not be repeated"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, milliseconds) = (self.attempts, self.elapsed.as_millis());
        write!(f, "given up after {attempts} attempts and {milliseconds} ms: {}", self.end)?;
        match &self.last {
            Some(Last::Failed(error)) => write!(f, "; the last error: {error}"),
            Some(Last::TimedOut) => f.write_str("; the last attempt timed out"),
            None => Ok(()),
        }
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.last {
            Some(Last::Failed(error)) => Some(error),
            Some(Last::TimedOut) | None => None,
        }
    }
}
