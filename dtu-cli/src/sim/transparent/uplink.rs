//! What leaves the DTU: the network holds back what is said, so that it goes out glued, and cuts it where it likes.

use crate::sim::random::Random;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// One in so many packets is held back, and what comes meanwhile goes out with it.
const HOLDS: u64 = 8;
const HOLD_MS: [u64; 2] = [20, 400];

/// One in so many is cut in two.
const CUTS: u64 = 8;
/// How long the second part takes longer.
const CUT_MS: [u64; 2] = [1, 100];

/// Packets on their way out, in order.
#[derive(Debug)]
pub(super) struct Uplink {
    random: Random,
    writes: VecDeque<(Instant, Vec<u8>)>,
    /// Times that a packet was cut.
    pub(super) cut: u64,
    /// Times that a packet was glued to the one before.
    pub(super) glued: u64,
}

impl Uplink {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), writes: VecDeque::new(), cut: 0, glued: 0 }
    }

    /// Says a packet.
    pub(super) fn push(&mut self, now: Instant, packet: Vec<u8>) {
        let [is_held, is_cut] = [HOLDS, CUTS].map(|one_in| self.random.between(1, one_in) == 1);
        let [hold, pause] =
            [HOLD_MS, CUT_MS].map(|[least, most]| Duration::from_millis(self.random.between(least, most)));
        let at = self.random.between(1, (packet.len() as u64).max(2) - 1) as usize;
        if let Some((_, last)) = self.writes.back_mut() {
            last.extend(packet);
            self.glued += 1;
            return;
        }
        let until = if is_held { now + hold } else { now };
        match packet.split_at_checked(at) {
            Some((first, second)) if is_cut && !second.is_empty() => {
                self.writes.extend([(until, first.to_vec()), (until + pause, second.to_vec())]);
                self.cut += 1;
            }
            _ => self.writes.push_back((until, packet)),
        }
    }

    /// The next bytes whose time has come, for one write.
    #[must_use]
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.writes.front().filter(|(at, _)| *at <= now)?;
        self.writes.pop_front().map(|(_, bytes)| bytes)
    }

    /// When the next bytes are sent.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.writes.front().map(|(at, _)| *at)
    }

    /// The connection is lost, and what is on its way with it.
    pub(super) fn clear(&mut self) {
        self.writes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_held_glued_and_cut_and_stay_in_order() {
        let (mut held, mut cut) = (0, 0);
        for seed in 0..256 {
            let begin = Instant::now();
            let mut uplink = Uplink::new(seed);
            uplink.push(begin, b"0123456789".to_vec());
            // It is on its way, so the next one goes with it, or with its second part.
            uplink.push(begin, b"ab".to_vec());
            assert_eq!(uplink.glued, 1, "seed {seed}");
            let (mut came, mut times) = (Vec::new(), Vec::new());
            while let Some(at) = uplink.poll_timeout() {
                assert!(at == begin || uplink.poll_transmit(at - Duration::from_nanos(1)).is_none(), "seed {seed}");
                came.push(uplink.poll_transmit(at).expect("its time has come"));
                times.push(at);
            }
            assert_eq!(came.concat(), b"0123456789ab", "seed {seed}");
            assert!(came.last().is_some_and(|last| last.ends_with(b"9ab")), "seed {seed}");
            assert!(times.is_sorted_by(|first, second| first < second), "seed {seed}: in two parts at one time");
            assert_eq!(uplink.cut, came.len() as u64 - 1, "seed {seed}");
            held += u32::from(times[0] > begin);
            cut += uplink.cut;
        }
        assert!((16..=64).contains(&held) && (16..=64).contains(&cut), "{held} held, {cut} cut");
    }
}
