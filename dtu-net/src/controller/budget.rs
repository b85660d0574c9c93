//! How many retries there may be, measured against first attempts.

use crate::backoff::{LONGEST, SHORTEST};
use crate::policy::{self, Field, PolicyError};
use core::time::Duration;
use std::time::Instant;

/// What a retry costs, in thousandths of itself.
const RETRY: u64 = 1000;

/// The largest burst of a budget, in retries.
pub const BURST_MAX: u32 = 1_000_000;

/// A token bucket for retries: each first attempt deposits a share of a retry, each retry withdraws a whole one. It
/// begins full.
///
/// Over any time, with `f` first attempts, there are no more retries than
///
/// ```text
/// burst + f * share + time / trickle
/// ```
///
/// The trickle is for targets with little traffic: without it, a job that waits for the budget waits for the first
/// attempts of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub(crate) share_permille: u16,
    pub(crate) burst: u32,
    pub(crate) trickle: Option<Duration>,
}

impl Budget {
    /// For one target: a fifth of the traffic, 10 at once, and one each 10 s.
    pub const TARGET: Self = Self { share_permille: 200, burst: 10, trickle: Some(Duration::from_secs(10)) };

    /// For the process: a fifth of the traffic, 100 at once, and one each second.
    pub const PROCESS: Self = Self { share_permille: 200, burst: 100, trickle: Some(Duration::from_secs(1)) };

    /// Retries of so many thousandths of the first attempts, and so many at once. Without a trickle.
    ///
    /// # Errors
    /// A share over 1000, for which each first attempt would allow more than one retry and a storm could grow; a burst of
    /// zero, which no retry fits in, or over [`BURST_MAX`].
    pub const fn new(share_permille: u16, burst: u32) -> Result<Self, PolicyError> {
        if let Err(error) = policy::count(Field::BudgetShare, share_permille as u32, 0, RETRY as u32) {
            return Err(error);
        }
        if let Err(error) = policy::count(Field::BudgetBurst, burst, 1, BURST_MAX) {
            return Err(error);
        }
        Ok(Self { share_permille, burst, trickle: None })
    }

    /// One retry more each `interval`, whatever the traffic.
    ///
    /// # Errors
    /// An interval below [`SHORTEST`] or above [`LONGEST`].
    pub const fn trickle(self, interval: Duration) -> Result<Self, PolicyError> {
        if let Err(error) = policy::time(Field::BudgetTrickle, interval, SHORTEST, LONGEST) {
            return Err(error);
        }
        Ok(Self { trickle: Some(interval), ..self })
    }

    const fn capacity(self) -> u64 {
        self.burst as u64 * RETRY
    }
}

/// The tokens in the bucket of a [`Budget`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    budget: Budget,
    /// In thousandths of a retry, at most the burst.
    thousandths: u64,
    /// Up to when the trickle has been added. Never goes back, so that a clock that swings adds nothing.
    filled: Instant,
}

impl Tokens {
    pub(super) const fn full(budget: Budget, now: Instant) -> Self {
        Self { budget, thousandths: budget.capacity(), filled: now }
    }

    /// What a snapshot has kept; a smaller burst than then holds.
    pub(super) fn restore(&mut self, thousandths: u64) {
        self.thousandths = thousandths.min(self.budget.capacity());
    }

    pub(super) const fn thousandths(&self) -> u64 {
        self.thousandths
    }

    /// A first attempt is made.
    pub(super) fn deposit(&mut self) {
        let more = self.thousandths + u64::from(self.budget.share_permille);
        self.thousandths = more.min(self.budget.capacity());
    }

    /// Whether there is a token for a retry.
    pub(super) fn is_ready(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.thousandths >= RETRY
    }

    /// A retry is made, after [`is_ready`](Self::is_ready) has said so.
    pub(super) const fn withdraw(&mut self) {
        self.thousandths = self.thousandths.checked_sub(RETRY).expect("a retry is made only with a token for it");
    }

    /// When the trickle brings the next token; `None` when there is one, or no trickle.
    pub(super) fn next_token(&self) -> Option<Instant> {
        if self.thousandths >= RETRY {
            return None;
        }
        self.budget.trickle.map(|interval| self.filled + interval)
    }

    fn fill(&mut self, now: Instant) {
        let Some(interval) = self.budget.trickle else { return };
        let elapsed = now.saturating_duration_since(self.filled);
        let drops = elapsed.as_nanos() / interval.as_nanos();
        if drops == 0 {
            return;
        }
        let missing = u128::from(self.budget.capacity() - self.thousandths);
        if drops * u128::from(RETRY) >= missing {
            self.thousandths = self.budget.capacity();
            // Nothing is saved up beyond the burst.
            self.filled = now;
        } else {
            // There are fewer drops than a burst has tokens.
            self.thousandths += drops as u64 * RETRY;
            self.filled += interval * drops as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to make an `Instant`; only differences matter"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn spend(tokens: &mut Tokens, now: Instant) -> u32 {
        let mut spent = 0;
        while tokens.is_ready(now) {
            tokens.withdraw();
            spent += 1;
        }
        spent
    }

    #[test]
    fn a_share_of_the_first_attempts_comes_back_and_no_more_than_the_burst_is_kept() {
        let now = start();
        let mut tokens = Tokens::full(Budget::new(200, 3).unwrap(), now);
        assert_eq!(spend(&mut tokens, now), 3);
        for firsts in 1..=4 {
            tokens.deposit();
            assert!(!tokens.is_ready(now), "{firsts}");
        }
        tokens.deposit();
        assert_eq!(spend(&mut tokens, now), 1);
        (0..1000).for_each(|_| tokens.deposit());
        assert_eq!(spend(&mut tokens, now), 3);
        assert_eq!(spend(&mut tokens, now + 1000 * SECOND), 0, "there is no trickle");
        assert_eq!(tokens.next_token(), None);
    }

    #[test]
    fn a_trickle_keeps_its_pace_through_a_clock_that_jumps() {
        let now = start();
        let mut tokens = Tokens::full(Budget::new(0, 3).unwrap().trickle(10 * SECOND).unwrap(), now);
        // Full for a long time: nothing is saved up.
        assert_eq!(spend(&mut tokens, now + 15 * SECOND), 3);
        assert_eq!(tokens.next_token(), Some(now + 25 * SECOND));
        assert_eq!(spend(&mut tokens, now + 24 * SECOND), 0);
        // Late by 7 s, so that the one after comes 3 s later.
        assert_eq!(spend(&mut tokens, now + 32 * SECOND), 1);
        assert_eq!(spend(&mut tokens, now + 35 * SECOND), 1);
        // Back by an hour and forth again, many times: each time counts once.
        for _ in 0..10 {
            assert_eq!(spend(&mut tokens, now), 0);
            assert_eq!(spend(&mut tokens, now + 36 * SECOND), 0);
        }
        assert_eq!(spend(&mut tokens, now + 1_000_000 * SECOND), 3);
    }

    #[test]
    fn budgets_out_of_range_name_their_field() {
        assert_eq!(Budget::new(1001, 1).unwrap_err().field, Field::BudgetShare);
        assert_eq!(Budget::new(1, 0).unwrap_err().field, Field::BudgetBurst);
        assert_eq!(Budget::new(1, BURST_MAX + 1).unwrap_err().field, Field::BudgetBurst);
        assert_eq!(Budget::TARGET.trickle(Duration::ZERO).unwrap_err().field, Field::BudgetTrickle);
        assert_eq!(Budget::TARGET.trickle(LONGEST + SHORTEST).unwrap_err().field, Field::BudgetTrickle);
        assert!(Budget::new(1000, BURST_MAX).unwrap().trickle(LONGEST).is_ok());
    }
}
