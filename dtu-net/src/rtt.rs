//! How long an answer may take, estimated from how long answers took (RFC 6298).

use core::time::Duration;

/// The timeout before anything is known (RFC 6298, rule 2.1).
pub const TIMEOUT_FIRST: Duration = Duration::from_secs(1);

/// The least timeout (RFC 6298, rule 2.4). TCP stacks go lower, to 200 ms; here the RFC's value stays. A cellular modem that
/// has let its radio sleep adds hundreds of milliseconds to the next trip, after samples that show none of it, and a
/// timeout in vain costs paid traffic.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The greatest timeout (RFC 6298, rule 2.5, allows a bound from 60 s), and the longest sample that counts.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The granularity of the clock, `G` in the RFC: the timers of drivers count in milliseconds.
pub const GRANULARITY: Duration = Duration::from_millis(1);

/// The round trip of one link, in 16 bytes.
///
/// Counts in whole microseconds and rounds down, so the smoothed value can stay up to 8 µs below the true one.
///
/// # Examples
///
/// ```
/// use dtu_net::rtt::RoundTrip;
/// use std::time::Duration;
///
/// let mut round_trip = RoundTrip::new();
/// round_trip.sample(Duration::from_millis(800));
/// assert_eq!(round_trip.timeout(), Duration::from_millis(800 + 4 * 400));
/// round_trip.timed_out();
/// assert_eq!(round_trip.timeout(), Duration::from_millis(4800));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    estimate: Option<Estimate>,
    /// In microseconds, within its bounds.
    timeout: u32,
}

/// In microseconds, each at most `TIMEOUT_MAX`; sums of eight fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Estimate {
    smoothed: u32,
    variation: u32,
}

impl RoundTrip {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { estimate: None, timeout: micros(TIMEOUT_FIRST) }
    }

    /// Takes the time from a request to its answer; more than [`TIMEOUT_MAX`] counts as that.
    ///
    /// Give no sample of a request that was sent more than once, since nobody knows which one was answered (Karn's rule).
    pub fn sample(&mut self, round_trip: Duration) {
        let sample = micros(round_trip);
        let estimate = match self.estimate {
            // Rule 2.2.
            None => Estimate { smoothed: sample, variation: sample / 2 },
            // Rule 2.3: the variation takes the smoothed value from before this sample.
            Some(Estimate { smoothed, variation }) => Estimate {
                smoothed: (7 * smoothed + sample) / 8,
                variation: (3 * variation + smoothed.abs_diff(sample)) / 4,
            },
        };
        let timeout = estimate.smoothed + (4 * estimate.variation).max(micros(GRANULARITY));
        self.timeout = timeout.clamp(micros(TIMEOUT_MIN), micros(TIMEOUT_MAX));
        self.estimate = Some(estimate);
    }

    /// Notes that no answer came in time: the timeout doubles, up to [`TIMEOUT_MAX`], and stays so until the next sample
    /// (rule 5.5).
    pub fn timed_out(&mut self) {
        self.timeout = (2 * self.timeout).min(micros(TIMEOUT_MAX));
    }

    /// How long to wait for an answer, from [`TIMEOUT_MIN`] to [`TIMEOUT_MAX`].
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_micros(self.timeout as u64)
    }

    /// The smoothed round trip, `SRTT` in the RFC, or `None` before the first sample.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|estimate| Duration::from_micros(estimate.smoothed.into()))
    }

    /// The mean deviation from it, `RTTVAR` in the RFC, or `None` before the first sample.
    #[must_use]
    pub fn variation(&self) -> Option<Duration> {
        self.estimate.map(|estimate| Duration::from_micros(estimate.variation.into()))
    }
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self::new()
    }
}

/// In microseconds, at most [`TIMEOUT_MAX`].
const fn micros(duration: Duration) -> u32 {
    let micros = duration.as_micros();
    let most = TIMEOUT_MAX.as_micros();
    (if micros < most { micros } else { most }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    fn after(samples: &[Duration]) -> RoundTrip {
        let mut round_trip = RoundTrip::new();
        for sample in samples {
            round_trip.sample(*sample);
        }
        round_trip
    }

    #[test]
    fn it_is_small_and_knows_nothing_at_first() {
        assert_eq!(size_of::<RoundTrip>(), 16);
        let round_trip = RoundTrip::default();
        assert_eq!((round_trip.smoothed(), round_trip.variation()), (None, None));
        assert_eq!(round_trip.timeout(), TIMEOUT_FIRST);
    }

    #[test]
    fn estimates_are_those_of_the_formulas() {
        // Rule 2.2: RTTVAR = 800 / 2, timeout = 800 + 4 * 400.
        let mut round_trip = after(&[ms(800)]);
        assert_eq!((round_trip.smoothed(), round_trip.variation()), (Some(ms(800)), Some(ms(400))));
        assert_eq!(round_trip.timeout(), ms(2400));
        // Rule 2.3: RTTVAR = 3/4 * 400 + 1/4 * |800 - 1600|, SRTT = 7/8 * 800 + 1/8 * 1600.
        round_trip.sample(ms(1600));
        assert_eq!((round_trip.smoothed(), round_trip.variation()), (Some(ms(900)), Some(ms(500))));
        assert_eq!(round_trip.timeout(), ms(2900));
        // RTTVAR = 375 + 700 / 4 = 550, SRTT = 787.5 + 25 = 812.5.
        round_trip.sample(ms(200));
        assert_eq!((round_trip.smoothed(), round_trip.variation()), (Some(us(812_500)), Some(ms(550))));
        assert_eq!(round_trip.timeout(), us(3_012_500));
    }

    #[test]
    fn a_steady_line_comes_down_to_its_round_trip_and_the_granularity() {
        let round_trip = after(&[ms(2000); 100]);
        assert_eq!(round_trip.smoothed(), Some(ms(2000)));
        // Three quarters, rounded down, reach zero.
        assert_eq!(round_trip.variation(), Some(Duration::ZERO));
        assert_eq!(round_trip.timeout(), ms(2001));
    }

    #[test]
    fn the_timeout_keeps_its_bounds() {
        assert_eq!(after(&[Duration::ZERO; 3]).timeout(), TIMEOUT_MIN);
        assert_eq!(after(&[ms(40); 50]).timeout(), TIMEOUT_MIN);
        let slow = after(&[Duration::MAX; 3]);
        assert_eq!((slow.smoothed(), slow.timeout()), (Some(TIMEOUT_MAX), TIMEOUT_MAX));
        // From one end to the other and back nothing overflows.
        let swinging = after(&[Duration::MAX, Duration::ZERO].repeat(50));
        assert_eq!(swinging.timeout(), TIMEOUT_MAX);
    }

    #[test]
    fn a_doubled_timeout_stays_until_the_next_sample() {
        let mut round_trip = after(&[ms(800)]);
        let doubled = [4_800, 9_600, 19_200, 38_400, 60_000, 60_000].map(|expected| {
            round_trip.timed_out();
            (round_trip.timeout(), ms(expected))
        });
        assert!(doubled.iter().all(|(seen, expected)| seen == expected), "{doubled:?}");
        assert_eq!(round_trip.smoothed(), Some(ms(800)));
        // RTTVAR = 3/4 * 400, SRTT = 800.
        round_trip.sample(ms(800));
        assert_eq!(round_trip.timeout(), ms(2000));

        let mut unknown = RoundTrip::new();
        unknown.timed_out();
        assert_eq!((unknown.timeout(), unknown.smoothed()), (ms(2000), None));
    }

    #[test]
    fn the_smoothed_value_stays_less_than_eight_microseconds_below_a_steady_one() {
        let mut round_trip = after(&[ms(10)]);
        for _ in 0..1000 {
            round_trip.sample(ms(700));
        }
        let smoothed = round_trip.smoothed().expect("there were samples");
        assert!(smoothed > ms(700) - us(8) && smoothed < ms(700), "{smoothed:?}");
    }
}
