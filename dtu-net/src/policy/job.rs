//! How the jobs of the retry controller are attempted, from a file.

use super::backoff::BackoffSpec;
use super::error::{Bound, Field, PolicyError};
use super::period::Period;
use super::retry::RetrySpec;
use crate::backoff::Jitter;
use crate::controller::Policy;
use core::time::Duration;

/// A [`Policy`] of the retry controller that is not built yet. A field that is left out is that of the policy which it
/// overrides; without any that is [`Policy::DEFAULT`].
///
/// Whether a job may be repeated is not for a file to say: the code that knows the operation calls
/// [`NewJob::repeatable`](crate::controller::NewJob::repeatable).
///
/// # Examples
///
/// ```
/// use dtu_net::controller::Policy;
/// use dtu_net::policy::PolicySpec;
///
/// assert_eq!(PolicySpec::default().build(), Ok(Policy::DEFAULT));
/// let patient = PolicySpec { max_attempts: Some(20), ..PolicySpec::default() };
/// let one_by_one = PolicySpec { concurrency: Some(1), ..PolicySpec::default() };
/// assert_eq!(one_by_one.over(&patient).build(), Ok(Policy::DEFAULT.max_attempts(20).concurrency(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct PolicySpec {
    /// How many attempts a job has, the first included; at least 1.
    pub max_attempts: Option<u32>,
    /// How long one attempt may take, in milliseconds, from [`SHORTEST`](crate::backoff::SHORTEST) to the deadline.
    pub attempt_timeout_ms: Option<u64>,
    /// How old a job may become, in milliseconds, up to [`DEADLINE_MAX`](crate::controller::DEADLINE_MAX).
    pub deadline_ms: Option<Period>,
    /// How many jobs of the operation run at a time on one target; at least 1.
    pub concurrency: Option<u32>,
    /// The delays between attempts.
    pub backoff: DelaysSpec,
}

/// The delays between the attempts of a job. When there is no further one the [`PolicySpec`] says alone, so this has no
/// limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct DelaysSpec {
    /// As [`BackoffSpec::base_ms`].
    pub base_ms: Option<u64>,
    /// As [`BackoffSpec::factor`].
    pub factor: Option<f64>,
    /// As [`BackoffSpec::cap_ms`].
    pub cap_ms: Option<u64>,
    /// As [`BackoffSpec::jitter`].
    pub jitter: Option<Jitter>,
}

impl PolicySpec {
    /// This, and where it says nothing, `base`.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(base.max_attempts),
            attempt_timeout_ms: self.attempt_timeout_ms.or(base.attempt_timeout_ms),
            deadline_ms: self.deadline_ms.or(base.deadline_ms),
            concurrency: self.concurrency.or(base.concurrency),
            backoff: DelaysSpec {
                base_ms: self.backoff.base_ms.or(base.backoff.base_ms),
                factor: self.backoff.factor.or(base.backoff.factor),
                cap_ms: self.backoff.cap_ms.or(base.backoff.cap_ms),
                jitter: self.backoff.jitter.or(base.backoff.jitter),
            },
        }
    }

    /// Checks every field and gives the policy; what is left out is that of [`Policy::DEFAULT`].
    ///
    /// # Errors
    ///
    /// The first field that [`BackoffSpec::build`] or [`Policy::check`] refuses. Of two that contradict each other, the one
    /// that is there.
    pub fn build(&self) -> Result<Policy, PolicyError> {
        self.build_over(&Self::default())
    }

    /// The policy of this over `base`, which is built already. An error names what this has, not what is from `base`.
    pub(super) fn build_over(&self, base: &Self) -> Result<Policy, PolicyError> {
        let whole = self.over(base);
        whole.policy().map_err(|error| self.blamed(error))
    }

    fn policy(&self) -> Result<Policy, PolicyError> {
        let request = RetrySpec::default().backoff;
        let delays = BackoffSpec {
            base_ms: self.backoff.base_ms.unwrap_or(request.base_ms),
            factor: self.backoff.factor.unwrap_or(request.factor),
            cap_ms: self.backoff.cap_ms.unwrap_or(request.cap_ms),
            jitter: self.backoff.jitter.unwrap_or(request.jitter),
            max_attempts: None,
            ..request
        };
        let mut policy = Policy::DEFAULT.backoff(delays.build()?);
        if let Some(max_attempts) = self.max_attempts {
            policy = policy.max_attempts(max_attempts);
        }
        if let Some(timeout) = self.attempt_timeout_ms {
            policy = policy.attempt_timeout(Duration::from_millis(timeout));
        }
        if let Some(deadline) = self.deadline_ms {
            policy = deadline.duration().map_or(policy.without_deadline(), |deadline| policy.deadline(deadline));
        }
        if let Some(concurrency) = self.concurrency {
            policy = policy.concurrency(concurrency);
        }
        policy.check()?;
        Ok(policy)
    }

    fn blamed(&self, error: PolicyError) -> PolicyError {
        if let Bound::AtMostField(other) = error.bound
            && !self.has(error.field)
            && self.has(other)
        {
            return PolicyError::new(other, Bound::AtLeastField(error.field));
        }
        error
    }

    /// Whether it has a field that can contradict another.
    fn has(&self, field: Field) -> bool {
        let fields = [
            (Field::Base, self.backoff.base_ms.is_some()),
            (Field::Cap, self.backoff.cap_ms.is_some()),
            (Field::AttemptTimeout, self.attempt_timeout_ms.is_some()),
            (Field::Deadline, self.deadline_ms.is_some()),
        ];
        fields.contains(&(field, true))
    }
}
