//! Which interval comes next. A function of what was learned, and of nothing else.

use super::memory::Learned;
use super::options::AdaptiveOptions;
use core::time::Duration;

/// How far apart `good` and `bad` may be when the search ends, in thousandths. With [`MARGIN`](super::MARGIN) the interval in
/// the end is at least 0.9 / 1.1 = 0.82 of what the NAT allows.
pub const RESOLUTION: u32 = 1_100;

/// An interval, and what is expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) interval: Duration,
    /// It is not known to hold, so its failure should be seen soon.
    pub(super) trial: bool,
}

/// The interval under these circumstances; `retry` asks for `bad` once more when the search is over.
pub(super) fn plan(learned: &Learned, options: &AdaptiveOptions, ceiling: Duration, retry: bool) -> Plan {
    let AdaptiveOptions { floor, start, step, margin, .. } = *options;
    // What was learned elsewhere may be anything.
    let trial = |interval: Duration| Plan { interval: interval.max(floor).min(ceiling), trial: true };
    let used = |interval: Duration| Plan { interval: interval.max(floor).min(ceiling), trial: false };
    match (learned.good, learned.bad) {
        (None, None) => used(start),
        (None, Some(bad)) if scaled(start, RESOLUTION) <= bad => used(start),
        (None, Some(bad)) if scaled(floor, RESOLUTION) < bad => trial(mean(floor, bad)),
        (_, Some(bad)) if retry => trial(bad),
        (None, Some(_)) => used(floor),
        // Nothing has failed there, so there is nothing to stay away from.
        (Some(good), None) if scaled(good, RESOLUTION) >= ceiling => used(ceiling),
        (Some(good), None) => trial(scaled(good, step)),
        (Some(good), Some(bad)) if scaled(good, RESOLUTION) >= bad.min(ceiling) => used(scaled(good, margin)),
        (Some(good), Some(bad)) => trial(mean(good, bad)),
    }
}

/// The next interval of a search that has only begun, which is as far from `low` as from `high`.
fn mean(low: Duration, high: Duration) -> Duration {
    // The product of two durations of less than 500 years fits.
    let nanos = low.as_nanos().saturating_mul(high.as_nanos()).isqrt();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn scaled(duration: Duration, permille: u32) -> Duration {
    duration.saturating_mul(permille) / 1_000
}
