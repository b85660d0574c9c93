//! How often, how fast and for how long the jobs of an operation are attempted.

use super::{DEADLINE_MAX, NAME_LEN_MAX, POLICIES};
use crate::backoff::{Backoff, SHORTEST};
use crate::policy::{self, Bound, Field, PolicyError};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rules for the jobs of one operation on one target. Checked when it goes into [`Policies`].
///
/// # Examples
///
/// ```
/// use dtu_net::backoff::Backoff;
/// use dtu_net::controller::Policy;
/// use std::time::Duration;
///
/// const WRITE: Policy = Policy::DEFAULT.backoff(Backoff::FIXED).max_attempts(3).deadline(Duration::from_secs(60));
/// assert_eq!(WRITE.check(), Ok(()));
/// assert!(WRITE.max_attempts(0).check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(super) backoff: Backoff,
    pub(super) max_attempts: u32,
    pub(super) attempt_timeout: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) concurrency: u32,
}

impl Policy {
    /// [`Backoff::REQUEST`], 10 attempts of at most 10 s, all within 1 h, 16 at a time.
    pub const DEFAULT: Self = Self {
        backoff: Backoff::REQUEST,
        max_attempts: 10,
        attempt_timeout: Duration::from_secs(10),
        deadline: Some(Duration::from_hours(1)),
        concurrency: 16,
    };

    /// Waits this way between attempts. Its own limits, of delays and of elapsed time, count too.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Attempts a job so many times at most, the first included. A job keeps the number that stood when it was submitted.
    #[must_use]
    pub const fn max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }

    /// Ends an attempt that takes longer; that is a failure of the target.
    #[must_use]
    pub const fn attempt_timeout(self, attempt_timeout: Duration) -> Self {
        Self { attempt_timeout, ..self }
    }

    /// Ends a job that is so old, whatever it waits for; unless the job has a deadline of its own.
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Lets jobs wait without end.
    #[must_use]
    pub const fn without_deadline(self) -> Self {
        Self { deadline: None, ..self }
    }

    /// Runs so many jobs of the operation at a time on one target.
    #[must_use]
    pub const fn concurrency(self, concurrency: u32) -> Self {
        Self { concurrency, ..self }
    }

    /// Whether the rules agree with each other.
    ///
    /// # Errors
    /// The first field that does not.
    pub const fn check(&self) -> Result<(), PolicyError> {
        if let Err(error) = policy::count(Field::MaxAttempts, self.max_attempts, 1, u32::MAX) {
            return Err(error);
        }
        if let Err(error) = policy::count(Field::Concurrency, self.concurrency, 1, u32::MAX) {
            return Err(error);
        }
        if let Err(error) = policy::time(Field::AttemptTimeout, self.attempt_timeout, SHORTEST, DEADLINE_MAX) {
            return Err(error);
        }
        let Some(deadline) = self.deadline else { return Ok(()) };
        if self.attempt_timeout.as_nanos() > deadline.as_nanos() {
            return Err(PolicyError::new(Field::AttemptTimeout, Bound::AtMostField(Field::Deadline)));
        }
        policy::time(Field::Deadline, deadline, SHORTEST, DEADLINE_MAX)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which policy a job has: that of its target and operation together, else of its target, else of its operation, else
/// the default.
///
/// # Examples
///
/// ```
/// # use dtu_net::controller::{Policies, Policy};
/// # fn main() -> Result<(), dtu_net::policy::PolicyError> {
/// let policies = Policies::new(Policy::DEFAULT)?
///     .operation("read", Policy::DEFAULT.max_attempts(3))?
///     .target("slow meter", Policy::DEFAULT.max_attempts(20))?
///     .pair("slow meter", "read", Policy::DEFAULT.max_attempts(2))?;
/// assert_eq!(*policies.of("meter", "write"), Policy::DEFAULT);
/// assert_eq!(*policies.of("meter", "read"), Policy::DEFAULT.max_attempts(3));
/// assert_eq!(*policies.of("slow meter", "write"), Policy::DEFAULT.max_attempts(20));
/// assert_eq!(*policies.of("slow meter", "read"), Policy::DEFAULT.max_attempts(2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policies {
    default: Policy,
    operations: BTreeMap<Arc<str>, Policy>,
    targets: BTreeMap<Arc<str>, Special>,
    /// How many there are besides the default, at most [`POLICIES`].
    count: usize,
}

/// What one target has for itself.
#[derive(Debug, Clone, Default)]
struct Special {
    all: Option<Policy>,
    operations: BTreeMap<Arc<str>, Policy>,
}

impl Policies {
    /// One policy for all.
    ///
    /// # Errors
    /// The field of `default` that contradicts another.
    pub fn new(default: Policy) -> Result<Self, PolicyError> {
        default.check()?;
        Ok(Self { default, ..Self::default() })
    }

    /// Sets the policy of an operation, on all targets that have none of their own.
    ///
    /// # Errors
    /// A field that contradicts another, a name that is too long, or too many policies.
    pub fn operation(mut self, operation: &str, policy: Policy) -> Result<Self, PolicyError> {
        admit(policy, &[operation])?;
        let replaced = self.operations.insert(operation.into(), policy);
        self.counted(replaced)
    }

    /// Sets the policy of a target, for all operations that have none on it.
    ///
    /// # Errors
    /// As [`operation`](Self::operation).
    pub fn target(mut self, target: &str, policy: Policy) -> Result<Self, PolicyError> {
        admit(policy, &[target])?;
        let replaced = self.targets.entry(target.into()).or_default().all.replace(policy);
        self.counted(replaced)
    }

    /// Sets the policy of one operation on one target.
    ///
    /// # Errors
    /// As [`operation`](Self::operation).
    pub fn pair(mut self, target: &str, operation: &str, policy: Policy) -> Result<Self, PolicyError> {
        admit(policy, &[target, operation])?;
        let replaced = self.targets.entry(target.into()).or_default().operations.insert(operation.into(), policy);
        self.counted(replaced)
    }

    /// The policy of an operation on a target.
    #[must_use]
    pub fn of(&self, target: &str, operation: &str) -> &Policy {
        let special = self.targets.get(target);
        special
            .and_then(|special| special.operations.get(operation).or(special.all.as_ref()))
            .or_else(|| self.operations.get(operation))
            .unwrap_or(&self.default)
    }

    fn counted(mut self, replaced: Option<Policy>) -> Result<Self, PolicyError> {
        if replaced.is_none() {
            self.count += 1;
        }
        if self.count > POLICIES {
            return Err(PolicyError::new(Field::Policies, Bound::AtMost(POLICIES as u32)));
        }
        Ok(self)
    }
}

fn admit(policy: Policy, names: &[&str]) -> Result<(), PolicyError> {
    if names.iter().any(|name| name.len() > NAME_LEN_MAX) {
        return Err(PolicyError::new(Field::NameLen, Bound::AtMost(NAME_LEN_MAX as u32)));
    }
    policy.check()
}
