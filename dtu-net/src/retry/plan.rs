//! Whether and when there is a next attempt, on a clock of the caller's own.

use super::error::End;
use super::failure::Class;
use super::policy::{Policy, Repeatable};
use crate::backoff::Delays;
use crate::limits::after;
use core::time::Duration;
use rand_core::Rng;
use std::time::Instant;

/// One operation on its way through its attempts. It reads no clock and runs nothing; `retry`, under the feature `tokio`,
/// adds both.
///
/// # Examples
///
/// ```
/// use dtu_net::backoff::{Backoff, Jitter};
/// use dtu_net::retry::{Class, End, Plan, Policy};
/// use rand_pcg::{Pcg32, rand_core::SeedableRng};
/// use std::time::{Duration, Instant};
///
/// let mut rng = Pcg32::seed_from_u64(7);
/// let (began, second) = (Instant::now(), Duration::from_secs(1));
/// let policy = Policy::new(Backoff::fixed(second).jitter(Jitter::None).max_attempts(1)).idempotent();
/// let mut plan = Plan::new(policy, began);
/// assert_eq!(plan.begin(began).map(|attempt| attempt.number), Ok(1));
/// assert_eq!(plan.failed(Class::Transient, false, began, &mut rng), Ok(began + second));
/// assert_eq!(plan.begin(began + second).map(|attempt| attempt.number), Ok(2));
/// assert_eq!(plan.failed(Class::Transient, false, began + second, &mut rng), Err(End::AttemptsUsedUp));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    policy: Policy,
    delays: Delays,
    began: Instant,
    attempts: u32,
}

/// One attempt of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which it is, from 1.
    pub number: u32,
    /// When it is cut off.
    pub until: Instant,
    /// Whether the deadline of the whole cuts it off, and not the timeout of an attempt.
    pub is_last_chance: bool,
}

impl Plan {
    /// Begins an operation; its deadline runs from `now`.
    #[must_use]
    pub const fn new(policy: Policy, now: Instant) -> Self {
        Self { policy, delays: Delays::new(policy.backoff), began: now, attempts: 0 }
    }

    /// Begins an attempt.
    ///
    /// # Errors
    ///
    /// [`End::Deadline`] when there is no time left for one.
    pub fn begin(&mut self, now: Instant) -> Result<Attempt, End> {
        let left = self.left(now);
        if left.is_zero() {
            return Err(End::Deadline);
        }
        self.attempts = self.attempts.saturating_add(1);
        let is_last_chance = left <= self.policy.attempt_timeout;
        let until = after(now, left.min(self.policy.attempt_timeout));
        Ok(Attempt { number: self.attempts, until, is_last_chance })
    }

    /// The attempt that runs has failed at `now`. Gives the time of the next one; draws at most one number from `rng`.
    ///
    /// # Errors
    ///
    /// Why there is no next one.
    pub fn failed(&mut self, class: Class, is_unsent: bool, now: Instant, rng: &mut impl Rng) -> Result<Instant, End> {
        let hint = match class {
            Class::Transient => Duration::ZERO,
            Class::RetryAfter(after) => after,
            Class::Permanent => return Err(End::Permanent),
        };
        if !is_unsent && self.policy.repeatable == Repeatable::OnlyIfUnsent {
            return Err(End::NotRepeatable);
        }
        let Some(delay) = self.delays.next_at_least(now, hint, rng) else {
            let is_used_up = self.policy.backoff.attempt_limit().is_some_and(|limit| self.delays.attempts() >= limit);
            return Err(if is_used_up { End::AttemptsUsedUp } else { End::Deadline });
        };
        if delay >= self.left(now) { Err(End::Deadline) } else { Ok(after(now, delay)) }
    }

    /// The attempts begun so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The time since the operation began.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    fn left(&self, now: Instant) -> Duration {
        self.policy.deadline.saturating_sub(self.elapsed(now))
    }
}
