//! What is wrong with a policy, by field and bound.

use core::fmt;
use core::time::Duration;

/// A field of a policy has a value outside of its bound.
///
/// # Examples
///
/// ```
/// use dtu_net::policy::{BackoffSpec, Bound, Field};
///
/// let spec = BackoffSpec { base_ms: 5_000, cap_ms: 2_000, ..BackoffSpec::default() };
/// let error = spec.build().expect_err("the base is above the cap");
/// assert_eq!((error.field, error.bound), (Field::Base, Bound::AtMostField(Field::Cap)));
/// assert_eq!(error.to_string(), "base_ms has to be at most cap_ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// Which field.
    pub field: Field,
    /// What its value has to be.
    pub bound: Bound,
}

/// A field of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The first delay.
    Base,
    /// How much longer the next delay is.
    Factor,
    /// The longest delay.
    Cap,
    /// The thousandths of `Jitter::Proportional`.
    Jitter,
    /// How many delays there are.
    MaxAttempts,
    /// When the last delay has to end.
    MaxElapsed,
    /// How long a link has to hold before attempts begin anew.
    StableAfter,
    /// How long all attempts may take together.
    Deadline,
    /// How long one attempt may take.
    AttemptTimeout,
    /// How many failures in a row open a breaker.
    Consecutive,
    /// The time over which a rate of failures is taken.
    RateWindow,
    /// The rate of failures that opens a breaker.
    RatePermille,
    /// How many calls a rate needs.
    RateMinCalls,
    /// How long a breaker stays open.
    OpenFor,
    /// How many probes a half-open breaker admits.
    Probes,
    /// How long probes may take.
    ProbeDeadline,
    /// How many jobs of an operation run at a time on a target.
    Concurrency,
    /// How many attempts run at a time.
    MaxInFlight,
    /// How many jobs there are.
    MaxJobs,
    /// How many targets there are.
    MaxTargets,
    /// The thousandths of a retry that a first attempt brings.
    BudgetShare,
    /// How many retries there can be at once.
    BudgetBurst,
    /// The time for which there is one retry more.
    BudgetTrickle,
    /// How many policies there are.
    Policies,
    /// The bytes of a name.
    NameLen,
}

impl Field {
    /// Its name in a configuration file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base_ms",
            Self::Factor => "factor",
            Self::Cap => "cap_ms",
            Self::Jitter => "jitter.proportional_permille",
            Self::MaxAttempts => "max_attempts",
            Self::MaxElapsed => "max_elapsed_ms",
            Self::StableAfter => "stable_after_ms",
            Self::Deadline => "deadline_ms",
            Self::AttemptTimeout => "attempt_timeout_ms",
            Self::Consecutive => "consecutive",
            Self::RateWindow => "rate.window_ms",
            Self::RatePermille => "rate.permille",
            Self::RateMinCalls => "rate.min_calls",
            Self::OpenFor => "open_for_ms",
            Self::Probes => "probes",
            Self::ProbeDeadline => "probe_deadline_ms",
            Self::Concurrency => "concurrency",
            Self::MaxInFlight => "max_in_flight",
            Self::MaxJobs => "max_jobs",
            Self::MaxTargets => "max_targets",
            Self::BudgetShare => "budget.share_permille",
            Self::BudgetBurst => "budget.burst",
            Self::BudgetTrickle => "budget.trickle_ms",
            Self::Policies => "the number of policies",
            Self::NameLen => "the length of a name",
        }
    }

    /// The table that it stands in, in the file of a retry controller, where its name does not say that.
    pub(super) const fn table(self) -> Option<&'static str> {
        match self {
            Self::Base | Self::Factor | Self::Cap | Self::Jitter => Some("backoff"),
            Self::Consecutive
            | Self::RateWindow
            | Self::RatePermille
            | Self::RateMinCalls
            | Self::OpenFor
            | Self::Probes
            | Self::ProbeDeadline => Some("breaker"),
            Self::MaxAttempts
            | Self::MaxElapsed
            | Self::StableAfter
            | Self::Deadline
            | Self::AttemptTimeout
            | Self::Concurrency
            | Self::MaxInFlight
            | Self::MaxJobs
            | Self::MaxTargets
            | Self::BudgetShare
            | Self::BudgetBurst
            | Self::BudgetTrickle
            | Self::Policies
            | Self::NameLen => None,
        }
    }
}

/// What the value of a field has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// A number that is finite.
    Finite,
    /// This number or more.
    AtLeast(u32),
    /// This number or less.
    AtMost(u32),
    /// A time of this length or more.
    NoShorterThan(Duration),
    /// A time of this length or less.
    NoLongerThan(Duration),
    /// No more than the other field.
    AtMostField(Field),
    /// No less than the other field.
    AtLeastField(Field),
    /// There, as the other field is not.
    RequiredWithout(Field),
}

impl PolicyError {
    pub(crate) const fn new(field: Field, bound: Bound) -> Self {
        Self { field, bound }
    }
}

/// Checks a count against its bounds.
pub(crate) const fn count(field: Field, value: u32, least: u32, most: u32) -> Result<(), PolicyError> {
    if value < least {
        Err(PolicyError::new(field, Bound::AtLeast(least)))
    } else if value > most {
        Err(PolicyError::new(field, Bound::AtMost(most)))
    } else {
        Ok(())
    }
}

/// Checks a time against its bounds.
pub(crate) const fn time(
    field: Field,
    value: Duration,
    shortest: Duration,
    longest: Duration,
) -> Result<(), PolicyError> {
    if value.as_nanos() < shortest.as_nanos() {
        Err(PolicyError::new(field, Bound::NoShorterThan(shortest)))
    } else if value.as_nanos() > longest.as_nanos() {
        Err(PolicyError::new(field, Bound::NoLongerThan(longest)))
    } else {
        Ok(())
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field.name(), self.bound)
    }
}

/// As it follows the name of a field.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite => f.write_str("has to be a finite number"),
            Self::AtLeast(least) => write!(f, "has to be at least {least}"),
            Self::AtMost(most) => write!(f, "has to be at most {most}"),
            Self::NoShorterThan(shortest) => write!(f, "has to be at least {} ms", shortest.as_millis()),
            Self::NoLongerThan(longest) => write!(f, "has to be at most {} ms", longest.as_millis()),
            Self::AtMostField(other) => write!(f, "has to be at most {}", other.name()),
            Self::AtLeastField(other) => write!(f, "has to be at least {}", other.name()),
            Self::RequiredWithout(other) => write!(f, "or {} has to be there", other.name()),
        }
    }
}

impl core::error::Error for PolicyError {}
