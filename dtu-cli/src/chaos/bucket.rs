//! A token bucket: so many bytes a second.

use core::num::NonZeroU64;
use core::time::Duration;
use tokio::time::Instant;

/// What an idle direction may pass at once: so much time of its rate, and one byte at least.
pub(super) const BURST: Duration = Duration::from_millis(100);

const NANOSECONDS: u128 = 1_000_000_000;

/// A bucket of tokens, one a byte, kept as the time at which it is full again.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: NonZeroU64,
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) const fn new(rate: NonZeroU64, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// How many bytes may pass at `now`.
    pub(super) fn allowed(&self, now: Instant) -> usize {
        let missing = self.full_at.saturating_duration_since(now);
        let there = BURST.saturating_sub(missing).as_nanos() * u128::from(self.rate.get()) / NANOSECONDS;
        // A bucket too small for a byte would pass none, ever.
        usize::try_from(there).unwrap_or(usize::MAX).max(usize::from(missing.is_zero()))
    }

    /// When `count` bytes may pass at once, or as many as the bucket holds.
    pub(super) fn ready_at(&self, count: usize) -> Instant {
        let wait_from = BURST.saturating_sub(self.time_of(count));
        self.full_at.checked_sub(wait_from).unwrap_or(self.full_at)
    }

    /// Takes `count` tokens, which may be more than there are: later bytes wait for it.
    pub(super) fn take(&mut self, now: Instant, count: usize) {
        self.full_at = self.full_at.max(now) + self.time_of(count);
    }

    /// The time of so many bytes, rounded up.
    fn time_of(&self, count: usize) -> Duration {
        let count = u128::try_from(count).unwrap_or(u128::MAX);
        let nanoseconds = (count * NANOSECONDS).div_ceil(u128::from(self.rate.get()));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes bytes as fast as the bucket lets them, at most `most` at once; returns the time of the last.
    fn time_to_pass(rate: u64, total: usize, most: usize) -> Duration {
        let start = Instant::now();
        let mut now = start;
        let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap(), now);
        let mut left = total;
        while left > 0 {
            let wanted = left.min(most);
            now = now.max(bucket.ready_at(wanted));
            let count = bucket.allowed(now).min(wanted);
            assert!(count > 0, "ready, and nothing passes: {left} left at {rate} a second");
            bucket.take(now, count);
            left -= count;
        }
        now - start
    }

    #[test]
    fn the_rate_is_kept_after_the_first_burst() {
        for (rate, total) in [(1, 4), (5, 100), (1000, 10_000), (960, 9600), (1_000_000, 1_000_000), (3, 7)] {
            for most in [1, 7, 1500, usize::MAX] {
                let seconds = time_to_pass(rate, total, most).as_secs_f64();
                let rated = total as f64 / rate as f64;
                // The burst is free, and so is the first byte of a bucket that is smaller than a byte.
                let free = BURST.as_secs_f64().max(1.0 / rate as f64);
                assert!(
                    seconds >= rated - free - 1e-6 && seconds <= rated + 1e-3,
                    "{seconds} s for {total} at {rate} a second, {most} at once"
                );
            }
        }
    }

    #[test]
    fn idle_time_is_saved_up_to_the_burst_and_no_further() {
        let now = Instant::now();
        let mut bucket = Bucket::new(NonZeroU64::new(1000).unwrap(), now);
        assert_eq!(bucket.allowed(now), 100);
        bucket.take(now, 100);
        assert_eq!(bucket.allowed(now), 0);
        assert_eq!(bucket.allowed(now + Duration::from_millis(30)), 30);
        assert_eq!(bucket.allowed(now + Duration::from_secs(60)), 100);
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_for_after() {
        let now = Instant::now();
        let mut bucket = Bucket::new(NonZeroU64::new(1000).unwrap(), now);
        assert!(bucket.ready_at(1500) <= now);
        bucket.take(now, 1500);
        assert_eq!(bucket.ready_at(1500), now + Duration::from_millis(1500));
        assert_eq!(bucket.ready_at(1), now + Duration::from_millis(1401));
    }
}
