//! The end of a simulation, in figures.

use super::books::{Books, ByCause};
use super::device::Story;
use crate::times::{Percentiles, Times};
use core::fmt;
use core::mem;
use core::time::Duration;
use serde::Serialize;

/// How many dials a device made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Dials {
    total: u64,
    mean: f64,
    max: u64,
}

/// The ledgers of all devices, added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Total {
    taken: u64,
    acked: u64,
    expired: u64,
    refused: u64,
    abandoned: u64,
    pending: u64,
    /// Devices whose link counted something else than they did, or whose ledger does not balance.
    off: u64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    seed: u64,
    devices: u32,
    rate: f64,
    /// How long it ran, in seconds, without the end.
    seconds: f64,
    /// How long the network was to be away, in seconds; 0 for never.
    outage: f64,
    /// Devices that were connected at the end, that were not, and, of these, that never were.
    up: u64,
    away: u64,
    never_up: u64,
    first_up_ms: Option<Percentiles>,
    /// How often a device came back, and how long that took.
    recoveries: u64,
    recovery_ms: Option<Percentiles>,
    /// Links that were up and broke, by cause.
    lost: ByCause,
    dials: Dials,
    /// Dials that came to nothing, by cause; and those that the server refused, by its code.
    failed: ByCause,
    refused: ByCause,
    acked_ms: Option<Percentiles>,
    round_trip_ms: Option<Percentiles>,
    ledger: Total,
    missed_events: u64,
    /// Of this process, with all devices.
    peak_resident_bytes: Option<u64>,
    #[serde(skip)]
    round_trips: Times,
}

impl Summary {
    pub(super) fn new(seed: u64, devices: u32, rate: f64, ran: Duration, outage: Option<Duration>) -> Self {
        let outage = outage.unwrap_or_default().as_secs_f64();
        Self { seed, devices, rate, seconds: ran.as_secs_f64(), outage, ..Self::default() }
    }

    /// Adds a device.
    pub(super) fn add(&mut self, story: &Story) {
        self.up += u64::from(story.up_at_end);
        self.away += u64::from(!story.up_at_end);
        self.never_up += u64::from(!story.was_up && !story.up_at_end);
        self.dials.total += story.dials;
        self.dials.max = self.dials.max.max(story.dials);
        self.missed_events += story.missed_events;
        story.round_trip.into_iter().for_each(|time| self.round_trips.add(time));
        let (total, ledger) = (&mut self.ledger, &story.ledger);
        for (total, of_one) in [
            (&mut total.taken, ledger.taken),
            (&mut total.acked, ledger.acked),
            (&mut total.expired, ledger.expired),
            (&mut total.refused, ledger.refused),
            (&mut total.abandoned, ledger.abandoned),
            (&mut total.pending, ledger.pending),
        ] {
            *total += of_one;
        }
        total.off += u64::from(!story.own.agrees(ledger));
    }

    /// Takes over what the devices have written into their books.
    pub(super) fn conclude(&mut self, books: &Books, peak_resident_bytes: Option<u64>) {
        let mut pages = books.open();
        self.dials.mean = self.dials.total as f64 / f64::from(self.devices);
        (self.first_up_ms, self.recovery_ms) = (pages.first_up.percentiles(), pages.recovery.percentiles());
        (self.acked_ms, self.round_trip_ms) = (pages.acked.percentiles(), self.round_trips.percentiles());
        self.recoveries = pages.recovery.count();
        (self.lost, self.failed) = (mem::take(&mut pages.lost), mem::take(&mut pages.failed));
        (self.refused, self.peak_resident_bytes) = (mem::take(&mut pages.refused), peak_resident_bytes);
    }

    fn all_up(&self) -> bool {
        self.away == 0 && self.up == u64::from(self.devices)
    }

    fn balances(&self) -> bool {
        let Total { taken, acked, expired, refused, abandoned, pending, off } = self.ledger;
        off == 0 && pending == 0 && taken == acked + expired + refused + abandoned
    }

    /// Whether every device was connected at the end and every DATA has its outcome.
    pub(super) fn holds(&self) -> bool {
        self.all_up() && self.balances()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, devices, rate, seconds, outage, ledger, dials, .. } = self;
        writeln!(f, "seed {seed}, {devices} devices, {rate} DATA a second each, {seconds:.1} s")?;
        if *outage > 0.0 {
            writeln!(f, "  outage      {outage} s")?;
        }
        writeln!(f, "  up          {} at the end, {} away, {} of them never up", self.up, self.away, self.never_up)?;
        self.times(f, "first up", self.first_up_ms)?;
        self.causes(f, "lost", &self.lost)?;
        writeln!(f, "  recoveries  {}", self.recoveries)?;
        self.times(f, "recovery", self.recovery_ms)?;
        writeln!(f, "  dials       {:.2} a device, at most {}", dials.mean, dials.max)?;
        self.causes(f, "failed", &self.failed)?;
        self.causes(f, "refused", &self.refused)?;
        self.times(f, "to the ACK", self.acked_ms)?;
        self.times(f, "round trip", self.round_trip_ms)?;
        let Total { taken, acked, expired, refused, abandoned, pending, off } = ledger;
        writeln!(f, "  ledger      {taken} taken = {acked} acked + {expired} expired")?;
        writeln!(f, "              + {refused} refused + {abandoned} abandoned + {pending} pending")?;
        if *off > 0 {
            writeln!(f, "              {off} devices counted otherwise than their links")?;
        }
        if let Some(bytes) = self.peak_resident_bytes {
            writeln!(f, "  memory      {:.1} MB at the most, of this process", bytes as f64 / 1e6)?;
        }
        if self.missed_events > 0 {
            writeln!(f, "  missed      {} events: times and causes are incomplete", self.missed_events)?;
        }
        f.write_str(match (self.all_up(), self.balances()) {
            (true, true) => "every device is connected, and the ledger balances",
            (false, true) => "NOT EVERY DEVICE IS CONNECTED; the ledger balances",
            (true, false) => "every device is connected; THE LEDGER DOES NOT BALANCE",
            (false, false) => "NOT EVERY DEVICE IS CONNECTED; THE LEDGER DOES NOT BALANCE",
        })
    }
}

impl Summary {
    fn times(&self, f: &mut fmt::Formatter<'_>, name: &str, times: Option<Percentiles>) -> fmt::Result {
        let Some(times) = times else { return writeln!(f, "  {name:<12}none") };
        let [p50, p99, max] = [times.p50, times.p99, times.max].map(milliseconds);
        writeln!(f, "  {name:<12}half in {p50} ms, 99 of 100 in {p99} ms, all in {max} ms")
    }

    fn causes(&self, f: &mut fmt::Formatter<'_>, name: &str, by_cause: &ByCause) -> fmt::Result {
        write!(f, "  {name:<12}{}", by_cause.values().sum::<u64>())?;
        for (place, (cause, count)) in by_cause.iter().enumerate() {
            write!(f, "{} {cause} {count}", if place == 0 { ":" } else { "," })?;
        }
        writeln!(f)
    }
}

/// With one decimal where that says something.
fn milliseconds(time: f64) -> String {
    if time < 100.0 { format!("{time:.1}") } else { format!("{time:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtu_net::Cause;

    /// A device that sent three and was connected.
    fn good() -> Story {
        let mut story = Story { up_at_end: true, was_up: true, dials: 2, ..Story::default() };
        (story.own.sent, story.own.acked, story.own.expired) = (3, 2, 1);
        (story.ledger.taken, story.ledger.acked, story.ledger.expired) = (3, 2, 1);
        story
    }

    fn summary(stories: &[Story]) -> Summary {
        let devices = u32::try_from(stories.len()).unwrap();
        let mut summary = Summary::new(7, devices, 0.5, Duration::from_secs(9), Some(Duration::from_millis(1500)));
        stories.iter().for_each(|story| summary.add(story));
        summary.conclude(&Books::default(), Some(5_000_000));
        summary
    }

    #[test]
    fn it_holds_when_every_device_is_up_and_every_ledger_is_right() {
        let all = summary(&[good(), Story { dials: 5, round_trip: Some(Duration::from_millis(4)), ..good() }]);
        assert!(all.holds(), "{all}");
        assert_eq!(all.dials, Dials { total: 7, mean: 3.5, max: 5 });
        assert_eq!((all.ledger.taken, all.ledger.acked, all.ledger.expired, all.up), (6, 4, 2, 2));
        assert!((all.round_trip_ms.unwrap().max - 4.0).abs() < 1e-9);
        type Change = fn(&mut Story);
        let changes: [(&str, Change); 6] = [
            ("away", |story| story.up_at_end = false),
            ("not counted by the link", |story| story.own.sent += 1),
            ("other outcomes", |story| (story.own.acked, story.own.expired) = (1, 2)),
            ("out of balance", |story| (story.ledger.taken, story.own.sent) = (4, 4)),
            ("refused, by the link alone", |story| story.ledger.refused = 1),
            ("without an outcome", |story| {
                (story.own.sent, story.own.pending, story.ledger.taken, story.ledger.pending) = (4, 1, 4, 1);
            }),
        ];
        for (what, change) in changes {
            let mut wrong = good();
            change(&mut wrong);
            let summary = summary(&[good(), wrong]);
            assert!(!summary.holds(), "{what}: {summary}");
            assert!(summary.to_string().lines().last().unwrap().contains("NOT"), "{what}");
        }
        let mut one_too_few = summary(&[good()]);
        one_too_few.devices = 2;
        assert!(!one_too_few.holds());
    }

    #[test]
    fn causes_are_told_each_with_its_count_and_refusals_by_their_code() {
        let books = Books::default();
        let refused = |code| Cause::Refused { code: dtu_proto::message::RefuseCode(code), retry_after: Duration::ZERO };
        for cause in [refused(3), refused(3), refused(9), Cause::Disconnected] {
            books.failed(Some(&cause));
        }
        books.lost(Some(&Cause::Disconnected));
        let mut summary = summary(&[good()]);
        summary.conclude(&books, None);
        let text = summary.to_string();
        for line in
            ["refused     3: busy 2, code_9 1", "failed      1: disconnected 1", "lost        1: disconnected 1"]
        {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn the_text_fits_80_columns() {
        let mut summary = summary(&[good()]);
        (summary.seed, summary.devices, summary.rate) = (u64::MAX, 1_000_000, 0.333);
        (summary.up, summary.away, summary.never_up) = (1_000_000, 1_000_000, 1_000_000);
        let times = Percentiles { p50: 86_400_000.0, p99: 86_400_000.0, max: 86_400_000.0 };
        (summary.recovery_ms, summary.acked_ms) = (Some(times), Some(times));
        let most = 999_999_999;
        summary.ledger =
            Total { taken: most, acked: most, expired: most, refused: most, abandoned: most, pending: most, off: most };
        summary.missed_events = most;
        for line in summary.to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
