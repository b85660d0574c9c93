//! How many of the calls of the last time failed.

use super::config::{FailureRate, PERMILLE};
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
    began: Instant,
    /// The part that runs, counted from `began`.
    tick: u64,
    parts: [Part; PARTS as usize],
    /// The sum of `parts`.
    sum: Part,
}

impl Window {
    pub(super) fn new(rate: FailureRate, now: Instant) -> Self {
        Self { rate, began: now, tick: 0, parts: [Part::default(); PARTS as usize], sum: Part::default() }
    }

    /// Counts a call. Gives the failures and the calls of the window when they are too many.
    pub(super) fn record(&mut self, is_failure: bool, now: Instant) -> Option<(u64, u64)> {
        self.advance(now);
        let slot = (self.tick % PARTS) as usize;
        for part in [&mut self.parts[slot], &mut self.sum] {
            part.calls += 1;
            part.failures += u64::from(is_failure);
        }
        let Part { calls, failures } = self.sum;
        let is_over = failures * u64::from(PERMILLE) >= calls * u64::from(self.rate.permille);
        (calls >= u64::from(self.rate.min_calls) && is_over).then_some((failures, calls))
    }

    /// Moves on to `now`. A call that comes with a time slightly before is counted in the part that runs; when the time
    /// went back by a window or more, all begins anew, so that no jump of a clock keeps old calls.
    fn advance(&mut self, now: Instant) {
        let part = self.rate.window.as_nanos() / u128::from(PARTS);
        let since = now.saturating_duration_since(self.began).as_nanos();
        let tick = u64::try_from(since / part).unwrap_or(u64::MAX);
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
    }
}
