//! How often a device can connect at most; the module above derives it.

use super::Backoff;
use core::time::Duration;

impl Backoff {
    /// The most connects that a device can make in any `window` (both ends included), whatever its server does.
    ///
    /// It walks once through the delays that still grow. Limits of attempts and of time would lower the number and are left
    /// out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use dtu_net::backoff::Backoff;
    /// # use std::time::Duration;
    /// // 0.2 s, 0.3 s and 0.45 s are the shortest first delays.
    /// assert_eq!(Backoff::RECONNECT.max_attempts_within(Duration::from_millis(949)), 3);
    /// assert_eq!(Backoff::RECONNECT.max_attempts_within(Duration::from_millis(950)), 4);
    /// assert_eq!(Backoff::RECONNECT.max_attempts_within(Duration::from_secs(60)), 30);
    /// ```
    #[must_use]
    pub fn max_attempts_within(&self, window: Duration) -> u64 {
        let more = if window < self.stable_after { self.without_reset(window) } else { self.with_resets(window) };
        u64::try_from(more).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The greatest `r` with `S(r) <= window`.
    fn without_reset(&self, window: Duration) -> u128 {
        let mut left = window.as_nanos();
        let mut count = 0;
        for shortest in self.climb() {
            if shortest > left {
                return count;
            }
            left -= shortest;
            count += 1;
        }
        count + left / self.shortest_at_end()
    }

    /// The whole part of `(window + stable) / c`.
    fn with_resets(&self, window: Duration) -> u128 {
        let stable = self.stable_after.as_nanos();
        // A run at the greatest delay without end. One that ends there costs more than the better of this and the climb.
        let (mut cost, mut count) = (self.shortest_at_end(), 1);
        let mut sum = stable;
        for (attempt, shortest) in (1_u128..).zip(self.climb()) {
            sum += shortest;
            if sum * count < cost * attempt {
                (cost, count) = (sum, attempt);
            }
        }
        (window.as_nanos() + stable) * count / cost
    }

    /// The shortest delay of every attempt as long as delays grow, in nanoseconds. With a factor of 1 they never do, and
    /// the cap is not reached.
    fn climb(&self) -> impl Iterator<Item = u128> {
        let greatest = self.delay(u32::MAX);
        (0..).take_while(move |attempts| self.delay(*attempts) < greatest).map(|attempts| self.shortest(attempts))
    }

    fn shortest_at_end(&self) -> u128 {
        self.shortest(u32::MAX)
    }

    fn shortest(&self, attempts: u32) -> u128 {
        self.interval(attempts).start().as_nanos()
    }
}
