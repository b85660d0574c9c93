//! How one operation is repeated, from a file.

use super::backoff::BackoffSpec;
use super::error::{Bound, Field, PolicyError, time};
use crate::backoff::{LONGEST, SHORTEST};
use crate::retry::{ATTEMPT_TIMEOUT, ATTEMPTS, DEADLINE, Policy};
use core::time::Duration;

/// A [`Policy`] that is not built yet. The default is [`Policy::EXPONENTIAL_WITH_JITTER`].
///
/// Whether an operation may be repeated is not for a file to say: the code that knows the operation calls
/// [`Policy::idempotent`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct RetrySpec {
    /// The delays between attempts. Here it is replaced as a whole: a field that is left out has the default of
    /// [`BackoffSpec`].
    pub backoff: BackoffSpec,
    /// How long all attempts may take together, in milliseconds, from [`SHORTEST`] to [`LONGEST`].
    pub deadline_ms: u64,
    /// How long one attempt may take, in milliseconds, from [`SHORTEST`] to the deadline.
    pub attempt_timeout_ms: u64,
}

impl RetrySpec {
    /// Checks every field and gives the policy.
    ///
    /// # Errors
    ///
    /// What [`BackoffSpec::build`] says, or a deadline or a timeout outside of its bounds.
    pub fn build(&self) -> Result<Policy, PolicyError> {
        let backoff = self.backoff.build()?;
        let [deadline, timeout] = [self.deadline_ms, self.attempt_timeout_ms].map(Duration::from_millis);
        time(Field::Deadline, deadline, SHORTEST, LONGEST)?;
        time(Field::AttemptTimeout, timeout, SHORTEST, LONGEST)?;
        if timeout > deadline {
            return Err(PolicyError::new(Field::AttemptTimeout, Bound::AtMostField(Field::Deadline)));
        }
        Ok(Policy::new(backoff).deadline(deadline).attempt_timeout(timeout))
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            backoff: BackoffSpec {
                factor: 2.0,
                cap_ms: 60_000,
                max_attempts: Some(ATTEMPTS),
                ..BackoffSpec::default()
            },
            deadline_ms: DEADLINE.as_millis() as u64,
            attempt_timeout_ms: ATTEMPT_TIMEOUT.as_millis() as u64,
        }
    }
}
