//! How many of the calls of the last time failed.

use super::config::{FailureRate, PERMILLE};
use core::time::Duration;
use std::time::Instant;

/// Into how many parts a window is cut; it moves on by one of them.
const PARTS: u64 = 10;

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    calls: u64,
    failures: u64,
}

/// The calls of a window that moves on by tenths of its length: it holds those of the tenth that runs and of the nine
/// before it.
#[derive(Debug)]
pub(super) struct Window {
    rate: FailureRate,
    /// The length of a part.
    part: Duration,
    began: Instant,
    /// The part that runs, counted from `began`, and its beginning.
    tick: u64,
    part_began: Duration,
    parts: [Part; PARTS as usize],
    /// The sum of `parts`.
    sum: Part,
}

impl Window {
    pub(super) fn new(rate: FailureRate, now: Instant) -> Self {
        Self {
            rate,
            part: rate.window / PARTS as u32,
            began: now,
            tick: 0,
            part_began: Duration::ZERO,
            parts: [Part::default(); PARTS as usize],
            sum: Part::default(),
        }
    }

    /// Counts a success at `now`.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.advance(now);
        self.add(1, 0);
    }

    /// Counts a failure at `now`. Gives the failures and the calls of the window when they are too many.
    pub(super) fn failed(&mut self, now: Instant) -> Option<(u64, u64)> {
        self.advance(now);
        self.add(1, 1);
        let Part { calls, failures } = self.sum;
        let is_over = failures * u64::from(PERMILLE) >= calls * u64::from(self.rate.permille);
        (calls >= u64::from(self.rate.min_calls) && is_over).then_some((failures, calls))
    }

    /// Counts successes that came while this part was running.
    pub(super) fn absorb(&mut self, successes: u64) {
        self.add(successes, 0);
    }

    /// When the part that runs is over.
    pub(super) fn part_end(&self) -> Instant {
        self.began + self.part_began + self.part
    }

    fn add(&mut self, calls: u64, failures: u64) {
        for part in [&mut self.parts[(self.tick % PARTS) as usize], &mut self.sum] {
            part.calls += calls;
            part.failures += failures;
        }
    }

    /// Moves on to `now`. A call that comes with a time slightly before is counted in the part that runs; when the time
    /// went back by a window or more, all begins anew, so that no jump of a clock keeps old calls.
    fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.began);
        if since >= self.part_began && since - self.part_began < self.part {
            return;
        }
        let tick = u64::try_from(since.as_nanos() / self.part.as_nanos()).unwrap_or(u64::MAX);
        if tick.abs_diff(self.tick) >= PARTS {
            self.parts = Default::default();
            self.sum = Part::default();
            self.tick = tick;
        }
        while self.tick < tick {
            self.tick += 1;
            let over = core::mem::take(&mut self.parts[(self.tick % PARTS) as usize]);
            self.sum.calls -= over.calls;
            self.sum.failures -= over.failures;
        }
        self.part_began = Duration::from_nanos_u128(u128::from(self.tick) * self.part.as_nanos());
    }
}
