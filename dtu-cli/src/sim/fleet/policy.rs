//! When a device comes again: by this library's machine, or by the delay functions of others, for comparison.

use super::model::{MILLISECOND, SECOND};
use crate::sim::random::Random;
use core::time::Duration;

/// Whose delays a device keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Policy {
    /// This library: 1 s, times 1.5, cap 30 s, four fifths drawn, and what a REFUSE says.
    Dtu,
    /// The default of async-nats 0.51: none, then 2 ms doubled up to 4 s, without jitter.
    AsyncNats,
    /// rumqttc 0.25, which has none, with the 1 s that applications sleep after an error.
    #[value(name = "rumqttc-sleep-1s")]
    RumqttcSleep,
    /// gRPC's connection backoff: 1 s, times 1.6, cap 120 s, a fifth up and down, from the beginning of the try before.
    Grpc,
    /// The full jitter of the AWS Architecture Blog: up to 1 s doubled, cap 30 s.
    AwsFullJitter,
}

/// Where one device stands in a delay function of others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tries {
    /// Since the last success.
    failed: u32,
    /// When the last one began.
    began: u64,
}

impl Tries {
    pub(super) const fn begin(&mut self, now: u64) {
        self.began = now;
    }

    #[cfg(test)]
    pub(super) const fn is_new(&self) -> bool {
        self.failed == 0
    }

    /// They all begin anew as soon as the server has answered.
    pub(super) const fn succeed(&mut self) {
        self.failed = 0;
    }
}

impl Policy {
    /// The name as it is given on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dtu => "dtu",
            Self::AsyncNats => "async-nats",
            Self::RumqttcSleep => "rumqttc-sleep-1s",
            Self::Grpc => "grpc",
            Self::AwsFullJitter => "aws-full-jitter",
        }
    }

    /// How long a device waits for its connection, and again for WELCOME; none where the library's own times count.
    ///
    /// async-nats and rumqttc give both together 5 s, gRPC at least 20 s. Here each gets the whole, as the first of them takes
    /// a round trip only where no SYN is lost.
    pub(super) const fn patience(self) -> Option<Duration> {
        match self {
            Self::Dtu | Self::AwsFullJitter => None,
            Self::AsyncNats | Self::RumqttcSleep => Some(Duration::from_secs(5)),
            Self::Grpc => Some(Duration::from_secs(20)),
        }
    }

    /// How long the device waits now that a try has failed or its connection broke; none where the machine knows it.
    pub(super) fn delay(self, tries: &mut Tries, now: u64, random: &mut Random) -> Option<u64> {
        let failed = tries.failed;
        let delay = match self {
            Self::Dtu => return None,
            // `reconnect_delay_callback_default` in its connector.rs, asked before each try with the number of it.
            Self::AsyncNats if failed == 0 => 0,
            Self::AsyncNats => ((2 * MILLISECOND) << failed.min(12).saturating_sub(1)).min(4 * SECOND),
            Self::RumqttcSleep => SECOND,
            // doc/connection-backoff.md of grpc/grpc.
            Self::Grpc => {
                let plain = SECOND as f64 * 1.6_f64.powi(failed.min(64) as i32);
                let plain = plain.min(120.0 * SECOND as f64) as u64;
                let drawn = random.between(plain - plain / 5, plain + plain / 5);
                (tries.began + drawn).saturating_sub(now)
            }
            // "Exponential Backoff And Jitter", 2015.
            Self::AwsFullJitter => random.between(0, (SECOND << failed.min(5)).min(30 * SECOND)),
        };
        tries.failed = failed.saturating_add(1);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(policy: Policy, count: usize) -> Vec<u64> {
        let (mut tries, mut random) = (Tries::default(), Random::new(1));
        tries.begin(5 * SECOND);
        (0..count).filter_map(|_| policy.delay(&mut tries, 5 * SECOND, &mut random)).collect()
    }

    #[test]
    fn async_nats_waits_as_its_own_tests_say() {
        // Its attempts count from 1: `0` and `1` are nothing, `4` is 8 ms, `12` is 2048 ms, `13` and later are 4 s.
        let delays = delays(Policy::AsyncNats, 50);
        assert_eq!([delays[0], delays[1], delays[3]], [0, 2 * MILLISECOND, 8 * MILLISECOND]);
        assert_eq!([delays[11], delays[12], delays[49]], [2048 * MILLISECOND, 4 * SECOND, 4 * SECOND]);
    }

    #[test]
    fn grpc_counts_from_the_beginning_of_a_try_and_stays_within_its_jitter() {
        for (index, delay) in delays(Policy::Grpc, 40).into_iter().enumerate() {
            let plain = (1.6_f64.powi(index as i32)).min(120.0) * SECOND as f64;
            assert!((plain * 0.799..=plain * 1.201).contains(&(delay as f64)), "{index}: {delay} for {plain}");
        }
        let mut tries = Tries::default();
        tries.begin(SECOND);
        assert_eq!(Policy::Grpc.delay(&mut tries, 21 * SECOND, &mut Random::new(1)), Some(0), "the try took longer");
    }

    #[test]
    fn full_jitter_draws_from_nothing_to_a_doubled_second() {
        let delays = delays(Policy::AwsFullJitter, 2_000);
        for (index, bound) in [1, 2, 4, 8, 16, 30].into_iter().enumerate() {
            assert!(delays[index] <= bound * SECOND, "{index}");
        }
        let (least, most) = (delays.iter().skip(6).min(), delays.iter().max());
        assert!(least < Some(&SECOND) && most > Some(&(29 * SECOND)) && most <= Some(&(30 * SECOND)));
    }

    #[test]
    fn the_machine_keeps_its_own_delays_and_one_second_is_one_second() {
        assert!(delays(Policy::Dtu, 3).is_empty());
        assert_eq!(delays(Policy::RumqttcSleep, 2), [SECOND, SECOND]);
    }

    #[test]
    fn a_success_begins_anew() {
        let (mut tries, mut random) = (Tries::default(), Random::new(1));
        for _ in 0..20 {
            let _delay = Policy::AsyncNats.delay(&mut tries, 0, &mut random);
        }
        tries.succeed();
        assert_eq!(Policy::AsyncNats.delay(&mut tries, 0, &mut random), Some(0));
    }
}
