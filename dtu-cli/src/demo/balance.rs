//! What was sent, what stayed whole, what came: the books of the demo.

use core::sync::atomic::{AtomicU64, Ordering};
use serde::Serialize;

/// Numbers of frames, one bit each.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    /// Adds `number`; returns whether it is new.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = Self::place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.get_mut(word).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }

    fn place(number: u32) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many of `self` are not in `other`.
    pub(super) fn without(&self, other: &Self) -> u64 {
        let others = other.0.iter().copied().chain(core::iter::repeat(0));
        self.0.iter().zip(others).map(|(word, other)| u64::from((word & !other).count_ones())).sum()
    }
}

/// Figures that change while the demo runs.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) sent: AtomicU64,
    pub(super) intact: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) line_bytes: AtomicU64,
    pub(super) skipped_bytes: AtomicU64,
}

impl Live {
    pub(super) fn add(figure: &AtomicU64, more: u64) {
        figure.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn read(figure: &AtomicU64) -> u64 {
        figure.load(Ordering::Relaxed)
    }
}

/// The end of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Balance {
    pub(super) seed: u64,
    /// How long devices sent, in seconds.
    pub(super) seconds: f64,
    pub(super) devices: u32,
    /// The share of frames that were damaged on the way.
    pub(super) rate: f64,
    /// Frames sent into the damager.
    pub(super) sent: u64,
    /// Frames that stood whole on the line behind it, at least once.
    pub(super) intact: u64,
    /// Frames that the server's application got, each counted once.
    pub(super) delivered: u64,
    /// Intact frames that it did not get.
    pub(super) lost: u64,
    /// Frames that it got more than once.
    pub(super) duplicated: u64,
    /// Frames that it got and nobody sent, or that did not stand whole on the line.
    pub(super) unexpected: u64,
    /// Frames that came twice over the line, and were held back the second time.
    pub(super) repeated: u64,
    /// Bytes on the line that belonged to no frame.
    pub(super) skipped_bytes: u64,
    /// Bytes on the line.
    pub(super) line_bytes: u64,
    /// A digest of the damage to the first frames of each device: the same for the same seed, rate and devices.
    pub(super) damage: String,
    /// How many frames of each device it covers.
    pub(super) damage_frames: u32,
}

impl Balance {
    /// Whether something was sent, and all that stood whole came once, and nothing else.
    pub(super) const fn holds(&self) -> bool {
        self.sent > 0 && self.lost == 0 && self.duplicated == 0 && self.unexpected == 0 && self.delivered == self.intact
    }
}

impl core::fmt::Display for Balance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(
            f,
            "seed {}, {} devices, {:.1} s; damage at {} in 1000 frames",
            self.seed,
            self.devices,
            self.seconds,
            (self.rate * 1000.0).round()
        )?;
        for (name, figure, what) in [
            ("sent", self.sent, "frames"),
            ("intact", self.intact, "whole on the line: some damage stands beside a frame"),
            ("delivered", self.delivered, "reached the server's application"),
            ("lost", self.lost, "intact and not delivered"),
            ("duplicated", self.duplicated, "delivered more than once"),
            ("unexpected", self.unexpected, "delivered and never sent, or not intact"),
            ("repeated", self.repeated, "came twice, held back the second time"),
            ("skipped bytes", self.skipped_bytes, "belonged to no frame"),
            ("line bytes", self.line_bytes, "in all"),
        ] {
            writeln!(f, "  {name:<14}{figure:>12}  {what}")?;
        }
        writeln!(f, "damage digest {1} (first {0} frames a device)", self.damage_frames, self.damage)?;
        f.write_str(if self.holds() {
            "balance holds: every intact frame was delivered once, and nothing else"
        } else {
            "BALANCE DOES NOT HOLD"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Balance {
        Balance {
            seed: 1,
            seconds: 1.0,
            devices: 1,
            rate: 0.1,
            sent: 10,
            intact: 9,
            delivered: 9,
            lost: 0,
            duplicated: 0,
            unexpected: 0,
            repeated: 1,
            skipped_bytes: 30,
            line_bytes: 300,
            damage: String::new(),
            damage_frames: 256,
        }
    }

    #[test]
    fn every_way_of_being_wrong_breaks_the_balance() {
        assert!(good().holds());
        let wrong = [
            ("nothing was sent", Balance { sent: 0, intact: 0, delivered: 0, ..good() }),
            ("lost", Balance { lost: 1, ..good() }),
            ("duplicated", Balance { duplicated: 1, ..good() }),
            ("unexpected", Balance { unexpected: 1, ..good() }),
            ("delivered differs", Balance { delivered: 8, ..good() }),
        ];
        for (what, balance) in wrong {
            assert!(!balance.holds(), "{what}");
            assert!(balance.to_string().ends_with("BALANCE DOES NOT HOLD"), "{what}");
        }
    }
}
