//! A budget of retries from a file.

use super::error::{Bound, Field, PolicyError};
use super::period::Period;
use crate::controller::Budget;

/// A [`Budget`] that is not built yet. A field that is left out is that of the budget which it overrides.
///
/// # Examples
///
/// ```
/// use dtu_net::controller::Budget;
/// use dtu_net::policy::BudgetSpec;
///
/// assert_eq!(BudgetSpec::default().build(Budget::TARGET), Ok(Budget::TARGET));
/// let none = BudgetSpec { burst: Some(0), ..BudgetSpec::default() };
/// assert_eq!(none.build(Budget::TARGET).unwrap_err().to_string(), "budget.burst has to be at least 1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct BudgetSpec {
    /// The thousandths of a retry that a first attempt brings, up to 1000.
    pub share_permille: Option<u16>,
    /// How many retries there can be at once, from 1 to [`BURST_MAX`](crate::controller::BURST_MAX).
    pub burst: Option<u32>,
    /// The time for which there is one retry more, in milliseconds, from [`SHORTEST`](crate::backoff::SHORTEST) to
    /// [`LONGEST`](crate::backoff::LONGEST). Never is only for a budget with a share.
    pub trickle_ms: Option<Period>,
}

impl BudgetSpec {
    /// Checks every field and gives the budget; what is left out is that of `default`.
    ///
    /// # Errors
    ///
    /// The first field that is outside of the bounds that [`Budget`] names, or that there is neither a share nor a trickle:
    /// what has withdrawn its burst would be empty for good.
    pub fn build(&self, default: Budget) -> Result<Budget, PolicyError> {
        let share = self.share_permille.unwrap_or(default.share_permille);
        let budget = Budget::new(share, self.burst.unwrap_or(default.burst))?;
        match self.trickle_ms.map_or(default.trickle, Period::duration) {
            Some(interval) => budget.trickle(interval),
            None if share == 0 => {
                Err(PolicyError::new(Field::BudgetShare, Bound::RequiredWithout(Field::BudgetTrickle)))
            }
            None => Ok(budget),
        }
    }
}
