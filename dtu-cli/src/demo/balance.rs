//! What was sent, what became of it, what came: the two ends of each link put together.

use super::content::Digest;
use super::end::Books;
use super::harm::Harm;
use crate::times::{Percentiles, Times};
use core::fmt;
use serde::Serialize;

/// Numbers of frames, one bit each.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    /// Adds `number`; returns whether it is new.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.get_mut(word).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many of `self` are not in `other`.
    fn without(&self, other: &Self) -> u64 {
        let others = other.0.iter().copied().chain(core::iter::repeat(0));
        self.0.iter().zip(others).map(|(word, other)| u64::from((word & !other).count_ones())).sum()
    }

    /// How many are `end` or more.
    fn from(&self, end: u32) -> u64 {
        let all = |word: usize| {
            let below = u64::from(end).saturating_sub(u64::try_from(word).unwrap_or(u64::MAX).saturating_mul(64));
            if below >= 64 { 0 } else { u64::MAX << below }
        };
        self.0.iter().enumerate().map(|(place, word)| u64::from((word & all(place)).count_ones())).sum()
    }
}

/// The frames of one direction, of one device or of all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Handed to `send`, and taken.
    pub(super) sent: u64,
    /// The four outcomes.
    pub(super) acked: u64,
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) abandoned: u64,
    /// That the other end's application got, each counted once.
    pub(super) delivered: u64,
    /// Acknowledged and not delivered, or without an outcome.
    pub(super) lost: u64,
    /// Delivered more than once.
    pub(super) duplicated: u64,
    /// Delivered and never sent, or not as they were sent.
    pub(super) unexpected: u64,
    /// Delivered behind another one than the one before.
    pub(super) out_of_order: u64,
    /// Links whose own ledger says something else.
    pub(super) ledgers_off: u64,
}

impl Tally {
    /// What one end sent, and the other got.
    fn of(sender: &Books, receiver: &Books) -> Self {
        let acked = sender.acked.count();
        let (sent, ledger) = (u64::from(sender.sent), sender.ledger);
        let theirs = [ledger.taken, ledger.acked, ledger.expired, ledger.refused, ledger.abandoned, ledger.pending];
        let ours = [sent, acked, sender.expired, sender.refused, sender.abandoned, sender.open];
        Self {
            sent,
            acked,
            expired: sender.expired,
            refused: sender.refused,
            abandoned: sender.abandoned,
            delivered: receiver.delivered.count(),
            lost: sender.acked.without(&receiver.delivered) + sender.open,
            duplicated: receiver.duplicated,
            unexpected: receiver.unexpected + receiver.delivered.from(sender.sent),
            out_of_order: receiver.out_of_order,
            ledgers_off: u64::from(theirs != ours || !ledger.balances()),
        }
    }

    fn add(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.sent, other.sent),
            (&mut self.acked, other.acked),
            (&mut self.expired, other.expired),
            (&mut self.refused, other.refused),
            (&mut self.abandoned, other.abandoned),
            (&mut self.delivered, other.delivered),
            (&mut self.lost, other.lost),
            (&mut self.duplicated, other.duplicated),
            (&mut self.unexpected, other.unexpected),
            (&mut self.out_of_order, other.out_of_order),
            (&mut self.ledgers_off, other.ledgers_off),
        ] {
            *ours += theirs;
        }
    }

    /// Whether all that was sent is acknowledged, and came once and in order, and nothing else did.
    fn holds(&self) -> bool {
        let good = Self { sent: self.sent, acked: self.sent, delivered: self.sent, ..Self::default() };
        *self == good
    }
}

/// The end of the demo.
#[derive(Debug, Default, Serialize)]
pub(super) struct Balance {
    seed: u64,
    /// How long it took, in seconds.
    seconds: f64,
    devices: u32,
    /// Of both directions.
    #[serde(flatten)]
    total: Tally,
    up: Tally,
    down: Tally,
    /// Connections that were welcomed besides the first of each device.
    reconnects: u64,
    /// From the last sign of life of a connection, as the device sees it, to the next that was welcomed.
    recovery_ms: Option<Percentiles>,
    /// From `send` to the acknowledgement.
    acked_ms: Option<Percentiles>,
    proxy: Harm,
    /// A digest of what was delivered: with --frames the same for the same seed.
    content: String,
    #[serde(skip)]
    times: (Times, Times),
    #[serde(skip)]
    digest: Digest,
}

impl Balance {
    /// A balance without any links so far.
    pub(super) fn new(seed: u64, devices: u32, seconds: f64, proxy: Harm) -> Self {
        Self { seed, devices, seconds, proxy, ..Self::default() }
    }

    /// Adds a link, in the order of the devices.
    pub(super) fn add(&mut self, device: &Books, server: &Books, recoveries: &Times) {
        let (up, down) = (Tally::of(device, server), Tally::of(server, device));
        self.up.add(&up);
        self.down.add(&down);
        self.total.add(&up);
        self.total.add(&down);
        self.reconnects += device.connected.saturating_sub(1);
        self.digest.add(&server.digest.0.to_be_bytes());
        self.digest.add(&device.digest.0.to_be_bytes());
        self.content = format!("{:016x}", self.digest.0);
        let (recovered, acked) = &mut self.times;
        recovered.add_all(recoveries);
        acked.add_all(&device.acked_after);
        acked.add_all(&server.acked_after);
        (self.recovery_ms, self.acked_ms) = (recovered.percentiles(), acked.percentiles());
    }

    /// Counts sessions that belong to no device of the demo, or to one that has one already.
    pub(super) const fn add_strangers(&mut self, strangers: u64) {
        self.up.unexpected += strangers;
        self.total.unexpected += strangers;
    }

    pub(super) fn holds(&self) -> bool {
        self.up.sent > 0 && self.up.holds() && self.down.holds() && self.total.holds()
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { up, down, proxy, recovery_ms, acked_ms, .. } = self;
        writeln!(f, "seed {}, {} devices, {:.1} s", self.seed, self.devices, self.seconds)?;
        writeln!(f, "  frames      {:>12}{:>12}", "up", "down")?;
        for (name, up, down, what) in [
            ("sent", up.sent, down.sent, ""),
            ("acked", up.acked, down.acked, "the other end took responsibility"),
            ("expired", up.expired, down.expired, ""),
            ("refused", up.refused, down.refused, ""),
            ("abandoned", up.abandoned, down.abandoned, "the link was closed first"),
            ("delivered", up.delivered, down.delivered, "reached the other end, counted once"),
            ("lost", up.lost, down.lost, "acked and not delivered, or forgotten"),
            ("duplicated", up.duplicated, down.duplicated, "delivered more than once"),
            ("unexpected", up.unexpected, down.unexpected, "delivered and not sent like that"),
            ("disordered", up.out_of_order, down.out_of_order, "delivered out of order"),
            ("ledgers off", up.ledgers_off, down.ledgers_off, "links with other books than these"),
        ] {
            writeln!(f, "{}", format!("  {name:<12}{up:>12}{down:>12}  {what}").trim_end())?;
        }
        writeln!(
            f,
            "  reconnects {} after {} cuts, {} of them half-open; {} stalls",
            self.reconnects, proxy.cuts, proxy.half_open, proxy.stalls
        )?;
        writeln!(
            f,
            "  of {} bytes {} had a bit flipped, {} were dropped,\n  {} went with their connection or datagram",
            proxy.bytes, proxy.flipped_bits, proxy.dropped_bytes, proxy.discarded_bytes
        )?;
        for (name, times) in [("recovery", recovery_ms), ("to the ACK", acked_ms)] {
            let Some(Percentiles { p50, p99, max }) = times else {
                writeln!(f, "  {name:<12}none")?;
                continue;
            };
            writeln!(f, "  {name:<12}half in {p50:.0} ms, 99 of 100 in {p99:.0} ms, all in {max:.0} ms")?;
        }
        writeln!(f, "content digest {}", self.content)?;
        f.write_str(if self.holds() {
            "balance holds: every frame was acknowledged and delivered once, and nothing else"
        } else {
            "BALANCE DOES NOT HOLD"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtu_net::Ledger;

    /// The books of an end that sent three frames and got two.
    fn books() -> Books {
        let mut books = Books::default();
        (books.sent, books.connected) = (3, 2);
        (0..3).for_each(|number| assert!(books.acked.insert(number)));
        (0..2).for_each(|number| assert!(books.delivered.insert(number)));
        books.ledger = ledger(3);
        books
    }

    fn other() -> Books {
        let mut books = Books::default();
        books.sent = 2;
        (0..2).for_each(|number| assert!(books.acked.insert(number)));
        (0..3).for_each(|number| assert!(books.delivered.insert(number)));
        books.ledger = ledger(2);
        books
    }

    fn ledger(acked: u64) -> Ledger {
        let mut ledger = Ledger::default();
        (ledger.taken, ledger.acked) = (acked, acked);
        ledger
    }

    fn balance(device: &Books, server: &Books) -> Balance {
        let mut balance = Balance::default();
        balance.add(device, server, &Times::default());
        balance
    }

    #[test]
    fn every_way_of_being_wrong_breaks_the_balance() {
        let good = balance(&books(), &other());
        assert!(good.holds(), "{good}");
        assert_eq!((good.total.sent, good.total.acked, good.reconnects), (5, 5, 1));
        type Change = (&'static str, fn(&mut Books));
        let changes: [Change; 12] = [
            ("not acknowledged", |books| books.acked = Numbers(vec![0b1])),
            ("sent once more", |books| books.sent += 1),
            ("without an outcome", |books| books.open = 1),
            ("expired", |books| books.expired = 1),
            ("refused", |books| books.refused = 1),
            ("abandoned", |books| books.abandoned = 1),
            ("not delivered", |books| books.delivered = Numbers(vec![0b01])),
            ("delivered and not sent", |books| books.delivered = Numbers(vec![0b1011])),
            ("duplicated", |books| books.duplicated = 1),
            ("unexpected", |books| books.unexpected = 1),
            ("out of order", |books| books.out_of_order = 1),
            ("another ledger", |books| books.ledger.pending = 1),
        ];
        for (what, change) in changes {
            let (mut wrong, mut wrong_server) = (books(), other());
            change(&mut wrong);
            change(&mut wrong_server);
            for balance in [balance(&wrong, &other()), balance(&books(), &wrong_server)] {
                assert!(!balance.holds(), "{what}: {balance}");
                assert!(balance.to_string().ends_with("BALANCE DOES NOT HOLD"), "{what}");
            }
        }
        let mut strange = balance(&books(), &other());
        strange.add_strangers(1);
        assert!(!strange.holds());
        assert!(!balance(&Books::default(), &Books::default()).holds(), "nothing was sent");
        assert!(!balance(&books(), &Books::default()).holds(), "the server's end is missing");
    }

    #[test]
    fn lost_is_what_was_acknowledged_and_did_not_come() {
        let mut server = other();
        server.delivered = Numbers(vec![0b101]);
        let tally = balance(&books(), &server).up;
        assert_eq!((tally.delivered, tally.lost, tally.unexpected), (2, 1, 0));
        server.delivered = Numbers(vec![0b111, 1]);
        assert_eq!(balance(&books(), &server).up.unexpected, 1);
    }

    #[test]
    fn the_text_fits_80_columns() {
        let mut balance = balance(&books(), &other());
        let most = 999_999_999_999;
        (balance.seed, balance.up.sent, balance.down.sent) = (u64::MAX, most, most);
        balance.proxy = Harm { bytes: most, flipped_bits: most / 10_000, discarded_bytes: most, ..Harm::default() };
        for line in balance.to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
