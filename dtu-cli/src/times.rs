//! How long things took: counted in buckets, so that a long run takes no more memory than a short one.

use core::time::Duration;
use serde::Serialize;

/// The buckets of one octave, as a power of two: 16, so that no percentile is more than a sixteenth too high.
const OCTAVE_BITS: u32 = 4;

/// Times, in microseconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times {
    buckets: Vec<u64>,
    count: u64,
    most: u64,
}

/// What is told of them, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.add_many(bucket(time), 1);
        self.most = self.most.max(time);
    }

    pub(crate) fn add_all(&mut self, others: &Self) {
        for (bucket, &count) in others.buckets.iter().enumerate() {
            self.add_many(bucket, count);
        }
        self.most = self.most.max(others.most);
    }

    fn add_many(&mut self, bucket: usize, count: u64) {
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(of) = self.buckets.get_mut(bucket) {
            *of += count;
            self.count += count;
        }
    }

    /// A time that so many of 100 do not pass.
    fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map_or(0, |bucket| upper(bucket).min(self.most))
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// `None` when there were no times.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let [p50, p99, max] = [self.percentile(50), self.percentile(99), self.most].map(|time| time as f64 / 1000.0);
        (self.count > 0).then_some(Percentiles { p50, p99, max })
    }
}

/// The bucket of a time: each octave has as many of them, of equal width.
fn bucket(time: u64) -> usize {
    let octave = time.checked_ilog2().unwrap_or(0).saturating_sub(OCTAVE_BITS);
    let place = (u64::from(octave) << OCTAVE_BITS) + (time >> octave);
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The longest time in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let octave = (bucket >> OCTAVE_BITS).saturating_sub(1);
    let place = bucket - (octave << OCTAVE_BITS);
    // The last one ends where the type does.
    ((u128::from(place) + 1) << octave).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_that_ends_at_most_a_sixteenth_above_it() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for time in edges.chain(0..5000).chain([u64::MAX]) {
            let end = upper(bucket(time));
            assert!(end >= time && end - time <= time / 16, "{time} in a bucket to {end}");
            assert!(end == u64::MAX || bucket(end + 1) == bucket(time) + 1, "{time}");
        }
    }

    #[test]
    fn percentiles_are_those_of_all_parts_together() {
        let (mut times, mut others) = (Times::default(), Times::default());
        assert_eq!(times.percentiles(), None);
        (1..=50).for_each(|time| times.add(Duration::from_millis(time)));
        (51..=100).for_each(|time| others.add(Duration::from_millis(time)));
        times.add_all(&others);
        let Percentiles { p50, p99, max } = times.percentiles().unwrap();
        assert!((50.0..=53.2).contains(&p50) && (99.0..=100.0).contains(&p99), "{p50} {p99}");
        assert!((max - 100.0).abs() < 1e-9, "{max}");
    }
}
