//! Damage to the bytes of one direction: runs that are dropped, then bits that are flipped in what is left.
//!
//! Where damage falls is a matter of the byte's place in the stream alone, so any split of the stream takes the same.

use super::draw::{Direction, Draw, Purpose};
use super::plan::Plan;

/// The longest run of bytes that is dropped at once.
pub(super) const MAX_RUN: u64 = 16;

/// How many bits a flipped byte has to choose from.
const BITS: u64 = 8;

/// Decides at which bytes something happens.
#[derive(Debug)]
struct Hits {
    draw: Draw,
    share: f64,
    /// Bytes before the next hit.
    left: u64,
}

impl Hits {
    fn new(mut draw: Draw, share: f64) -> Self {
        let left = draw.gap(share);
        Self { draw, share, left }
    }

    fn draw_next(&mut self) {
        self.left = self.draw.gap(self.share);
    }
}

/// What was done to some bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Bytes that are gone.
    pub(super) dropped: u64,
    /// Bits that are flipped, at most one in a byte.
    pub(super) flipped: u64,
}

/// The damage of one direction.
#[derive(Debug)]
pub(super) struct Damage {
    drops: Hits,
    flips: Hits,
    /// Bytes of a run that are still to be dropped.
    run: u64,
}

impl Damage {
    pub(super) fn new(plan: &Plan, connection: u64, direction: Direction) -> Self {
        let draw = |purpose| Draw::new(plan.seed, connection, purpose);
        Self {
            drops: Hits::new(draw(Purpose::Drop(direction)), plan.drop_bytes),
            flips: Hits::new(draw(Purpose::Flip(direction)), plan.corrupt),
            run: 0,
        }
    }

    /// Damages the next bytes of the stream.
    pub(super) fn apply(&mut self, bytes: &mut Vec<u8>) -> Done {
        let dropped = self.drop_runs(bytes);
        Done { dropped, flipped: self.flip(bytes) }
    }

    fn drop_runs(&mut self, bytes: &mut Vec<u8>) -> u64 {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            let rest = bytes.len() - at;
            if self.run > 0 {
                let gone = within(self.run, rest);
                at += gone;
                self.run -= length(gone);
            } else if self.drops.left == 0 {
                self.run = 1 + self.drops.draw.below(MAX_RUN);
                self.drops.draw_next();
            } else {
                let stay = within(self.drops.left, rest);
                if kept != at {
                    bytes.copy_within(at..at + stay, kept);
                }
                at += stay;
                kept += stay;
                self.drops.left -= length(stay);
            }
        }
        bytes.truncate(kept);
        length(at - kept)
    }

    fn flip(&mut self, bytes: &mut [u8]) -> u64 {
        let mut flipped = 0;
        let mut rest = bytes;
        while let Some(byte) = usize::try_from(self.flips.left).ok().and_then(|left| rest.get_mut(left)) {
            *byte ^= 1 << self.flips.draw.below(BITS);
            flipped += 1;
            let next = within(self.flips.left, rest.len()) + 1;
            rest = rest.get_mut(next..).unwrap_or_default();
            self.flips.draw_next();
        }
        self.flips.left -= length(rest.len());
        flipped
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The smaller of the two.
fn within(count: u64, limit: usize) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, corrupt: f64, drop_bytes: f64) -> Plan {
        Plan { seed, corrupt, drop_bytes, ..Plan::default() }
    }

    /// Damages `count` bytes, which count up, in chunks of `chunk`.
    fn damaged(plan: &Plan, direction: Direction, count: usize, chunk: usize) -> (Vec<u8>, Done) {
        let mut damage = Damage::new(plan, 1, direction);
        let (mut out, mut total) = (Vec::new(), Done::default());
        for chunk in stream(count).chunks(chunk) {
            let mut bytes = chunk.to_vec();
            let done = damage.apply(&mut bytes);
            assert_eq!(bytes.len() as u64 + done.dropped, chunk.len() as u64);
            total = Done { dropped: total.dropped + done.dropped, flipped: total.flipped + done.flipped };
            out.extend(bytes);
        }
        (out, total)
    }

    fn stream(count: usize) -> Vec<u8> {
        (0..=u8::MAX).cycle().take(count).collect()
    }

    #[test]
    fn a_harmless_plan_changes_nothing() {
        let (out, done) = damaged(&plan(3, 0.0, 0.0), Direction::Up, 100_000, 999);
        assert_eq!((out, done), (stream(100_000), Done::default()));
    }

    #[test]
    fn as_many_bits_differ_as_are_counted() {
        for share in [1e-4, 0.01, 0.5, 1.0] {
            let (out, done) = damaged(&plan(4, share, 0.0), Direction::Up, 100_000, 1000);
            let differ = out.iter().zip(stream(100_000)).map(|(out, byte)| u64::from((out ^ byte).count_ones())).sum();
            assert_eq!(done, Done { dropped: 0, flipped: differ }, "share {share}");
            let expected = share * 100_000.0;
            // Six standard deviations of a binomial count, and one.
            assert!((differ as f64 - expected).abs() <= 6.0 * expected.sqrt() + 1.0, "{differ} at {share}");
        }
    }

    #[test]
    fn runs_of_up_to_the_longest_are_dropped_and_the_rest_keeps_its_order() {
        // Rarely enough that no two runs of this seed touch.
        let (out, done) = damaged(&plan(5, 0.0, 1e-4), Direction::Down, 1_000_000, 16 * 1024);
        assert_eq!(out.len() as u64 + done.dropped, 1_000_000);
        let gaps: Vec<u8> =
            out.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) - 1).filter(|&gap| gap > 0).collect();
        assert!(gaps.iter().all(|&gap| u64::from(gap) <= MAX_RUN), "{gaps:?}");
        assert!(gaps.contains(&1) && gaps.contains(&16), "{gaps:?}");
        assert!((60..=140).contains(&gaps.len()), "{} runs for 100 expected", gaps.len());
        let seen: u64 = gaps.iter().map(|&gap| u64::from(gap)).sum();
        assert_eq!(seen, done.dropped, "no run stands at the start or the end");
    }

    #[test]
    fn everything_is_dropped_at_a_share_of_one() {
        let (out, done) = damaged(&plan(6, 1.0, 1.0), Direction::Up, 5000, 7);
        assert_eq!((out.len(), done), (0, Done { dropped: 5000, flipped: 0 }));
    }

    #[test]
    fn any_split_of_the_stream_takes_the_same_damage() {
        let plan = plan(7, 0.02, 0.01);
        let whole = damaged(&plan, Direction::Up, 20_000, 20_000);
        assert!(whole.1.dropped > 0 && whole.1.flipped > 0);
        for chunk in [1, 2, 3, 5, 16, 17, 100, 4096, 19_999] {
            assert_eq!(damaged(&plan, Direction::Up, 20_000, chunk), whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn another_seed_connection_or_direction_takes_other_damage() {
        let of = |seed, direction| damaged(&plan(seed, 0.02, 0.01), direction, 20_000, 512);
        assert_eq!(of(1, Direction::Up), of(1, Direction::Up));
        assert_ne!(of(1, Direction::Up), of(2, Direction::Up));
        assert_ne!(of(1, Direction::Up), of(1, Direction::Down));
    }
}
