//! A plan of delays from a file.

use super::error::{Bound, Field, PolicyError, count, time};
use crate::backoff::{Backoff, Jitter, LONGEST, SHORTEST, STABLE_AFTER};
use crate::breaker::PERMILLE;
use core::time::Duration;

/// The greatest factor. From the shortest base it passes the longest cap after three delays.
pub const FACTOR_MAX: u32 = 1_000;

/// A [`Backoff`] that is not built yet. The default is [`Backoff::RECONNECT`].
///
/// # Examples
///
/// ```
/// use dtu_net::backoff::Backoff;
/// use dtu_net::policy::BackoffSpec;
///
/// assert_eq!(BackoffSpec::default().build(), Ok(Backoff::RECONNECT));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct BackoffSpec {
    /// The first delay in milliseconds, from [`SHORTEST`] to [`LONGEST`] and no more than the cap or the elapsed time.
    pub base_ms: u64,
    /// How much longer the next delay is, 1 to [`FACTOR_MAX`]; thousandths count. With 1 all delays are the same.
    pub factor: f64,
    /// The longest delay in milliseconds, up to [`LONGEST`].
    pub cap_ms: u64,
    /// How delays are spread; `Proportional` up to 1000.
    pub jitter: Jitter,
    /// After how many delays to give up, at least 1. Without it: never.
    pub max_attempts: Option<u32>,
    /// After how many milliseconds to give up. Without it: never.
    pub max_elapsed_ms: Option<u64>,
    /// How many milliseconds a link has to hold before attempts begin anew, from [`SHORTEST`] to [`LONGEST`].
    pub stable_after_ms: u64,
}

impl BackoffSpec {
    /// Checks every field and gives the plan.
    ///
    /// # Errors
    ///
    /// The first field that is outside of its bounds. A base below [`SHORTEST`], zero too; a time above [`LONGEST`]; a base
    /// above the cap or above the elapsed time; a factor that is not finite, below 1 or above [`FACTOR_MAX`]; a jitter
    /// above 1000; no attempts.
    pub fn build(&self) -> Result<Backoff, PolicyError> {
        let [base, cap, stable_after] = [self.base_ms, self.cap_ms, self.stable_after_ms].map(Duration::from_millis);
        time(Field::Base, base, SHORTEST, LONGEST)?;
        time(Field::Cap, cap, SHORTEST, LONGEST)?;
        if base > cap {
            return Err(PolicyError::new(Field::Base, Bound::AtMostField(Field::Cap)));
        }
        let factor = self.factor_permille()?;
        if let Jitter::Proportional(permille) = self.jitter {
            count(Field::Jitter, permille.into(), 0, PERMILLE.into())?;
        }
        time(Field::StableAfter, stable_after, SHORTEST, LONGEST)?;
        let mut plan = Backoff::exponential(base, factor, cap).jitter(self.jitter).stable_after(stable_after);
        if let Some(max_attempts) = self.max_attempts {
            count(Field::MaxAttempts, max_attempts, 1, u32::MAX)?;
            plan = plan.max_attempts(max_attempts);
        }
        if let Some(max_elapsed) = self.max_elapsed_ms.map(Duration::from_millis) {
            if base > max_elapsed {
                return Err(PolicyError::new(Field::Base, Bound::AtMostField(Field::MaxElapsed)));
            }
            plan = plan.max_elapsed(max_elapsed);
        }
        Ok(plan)
    }

    fn factor_permille(&self) -> Result<u32, PolicyError> {
        let bound = if !self.factor.is_finite() {
            Bound::Finite
        } else if self.factor < 1.0 {
            Bound::AtLeast(1)
        } else if self.factor > f64::from(FACTOR_MAX) {
            Bound::AtMost(FACTOR_MAX)
        } else {
            return Ok((self.factor * f64::from(PERMILLE)).round() as u32);
        };
        Err(PolicyError::new(Field::Factor, bound))
    }
}

impl Default for BackoffSpec {
    fn default() -> Self {
        Self {
            base_ms: 1_000,
            factor: 1.5,
            cap_ms: 30_000,
            jitter: Jitter::DEFAULT,
            max_attempts: None,
            max_elapsed_ms: None,
            stable_after_ms: STABLE_AFTER.as_millis() as u64,
        }
    }
}
