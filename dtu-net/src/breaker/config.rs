//! The rules of a breaker.

use crate::backoff::{LONGEST, SHORTEST};
use crate::policy::{Bound, Field, PolicyError, count, time};
use core::time::Duration;

/// How many failures in a row open a breaker, unless set otherwise.
pub const CONSECUTIVE: u32 = 5;

/// The most failures in a row that can be asked for.
pub const CONSECUTIVE_MAX: u32 = 10_000;

/// How long a breaker stays open, unless set otherwise.
pub const OPEN_FOR: Duration = Duration::from_secs(30);

/// How many probes a half-open breaker admits, unless set otherwise.
pub const PROBES: u32 = 1;

/// The most probes that can be asked for.
pub const PROBES_MAX: u32 = 1_000;

/// How long probes may take, unless set otherwise.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// The shortest window of a rate. Below, its tenths would be shorter than a round trip.
pub const WINDOW_MIN: Duration = Duration::from_millis(100);

/// The most calls that can be asked for before a rate counts.
pub const MIN_CALLS_MAX: u32 = 1_000_000;

/// All of a thousand.
pub const PERMILLE: u16 = 1_000;

/// A rate of failures that opens a breaker. It is looked at with each failure; a success opens none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRate {
    /// The time over which calls are counted; it moves on in tenths of itself. From [`WINDOW_MIN`] to
    /// [`LONGEST`].
    pub window: Duration,
    /// The failures in a thousand calls from which on the breaker opens, 1 to 1000.
    pub permille: u16,
    /// How many calls the window must hold before their rate says anything, 1 to [`MIN_CALLS_MAX`].
    pub min_calls: u32,
}

/// The rules of a [`Breaker`](super::Breaker). Every method checks what it is given.
///
/// # Examples
///
/// ```
/// use dtu_net::breaker::{BreakerConfig, FailureRate};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), dtu_net::policy::PolicyError> {
/// let half_of_twenty = FailureRate { window: Duration::from_secs(10), permille: 500, min_calls: 20 };
/// let config = BreakerConfig::DEFAULT.rate(half_of_twenty)?.open_for(Duration::from_secs(5))?.probes(2)?;
/// assert!(config.probes(0).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    pub(super) consecutive: Option<u32>,
    pub(super) rate: Option<FailureRate>,
    pub(super) open_for: Duration,
    pub(super) probes: u32,
    pub(super) probe_deadline: Duration,
}

impl BreakerConfig {
    /// Opens after 5 failures in a row for 30 s; then one probe, which has 30 s.
    pub const DEFAULT: Self = Self {
        consecutive: Some(CONSECUTIVE),
        rate: None,
        open_for: OPEN_FOR,
        probes: PROBES,
        probe_deadline: PROBE_DEADLINE,
    };

    /// Opens after so many failures in a row, 1 to [`CONSECUTIVE_MAX`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when it is outside of that.
    pub const fn consecutive(self, failures: u32) -> Result<Self, PolicyError> {
        match count(Field::Consecutive, failures, 1, CONSECUTIVE_MAX) {
            Ok(()) => Ok(Self { consecutive: Some(failures), ..self }),
            Err(error) => Err(error),
        }
    }

    /// Opens at this rate of failures too.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when one of its fields is outside of its bounds.
    pub const fn rate(self, rate: FailureRate) -> Result<Self, PolicyError> {
        if let Err(error) = time(Field::RateWindow, rate.window, WINDOW_MIN, LONGEST) {
            return Err(error);
        }
        if let Err(error) = count(Field::RatePermille, rate.permille as u32, 1, PERMILLE as u32) {
            return Err(error);
        }
        if let Err(error) = count(Field::RateMinCalls, rate.min_calls, 1, MIN_CALLS_MAX) {
            return Err(error);
        }
        Ok(Self { rate: Some(rate), ..self })
    }

    /// Leaves failures in a row uncounted, so that only the rate opens the breaker.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when there is no rate: nothing would ever open it.
    pub const fn without_consecutive(self) -> Result<Self, PolicyError> {
        match self.rate {
            Some(_) => Ok(Self { consecutive: None, ..self }),
            None => Err(PolicyError::new(Field::Consecutive, Bound::RequiredWithout(Field::RatePermille))),
        }
    }

    /// Stays open for so long, from [`SHORTEST`] to [`LONGEST`].
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when it is outside of that.
    pub const fn open_for(self, open_for: Duration) -> Result<Self, PolicyError> {
        match time(Field::OpenFor, open_for, SHORTEST, LONGEST) {
            Ok(()) => Ok(Self { open_for, ..self }),
            Err(error) => Err(error),
        }
    }

    /// Admits so many probes when half-open, 1 to [`PROBES_MAX`], and closes when all of them have succeeded.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when it is outside of that.
    pub const fn probes(self, probes: u32) -> Result<Self, PolicyError> {
        match count(Field::Probes, probes, 1, PROBES_MAX) {
            Ok(()) => Ok(Self { probes, ..self }),
            Err(error) => Err(error),
        }
    }

    /// Takes a probe without a result for a failure so long after the last one was admitted, from [`SHORTEST`] to
    /// [`LONGEST`]. It should be longer than a call's own timeout.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when it is outside of that.
    pub const fn probe_deadline(self, probe_deadline: Duration) -> Result<Self, PolicyError> {
        match time(Field::ProbeDeadline, probe_deadline, SHORTEST, LONGEST) {
            Ok(()) => Ok(Self { probe_deadline, ..self }),
            Err(error) => Err(error),
        }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
