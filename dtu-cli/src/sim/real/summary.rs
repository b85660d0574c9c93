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
    first_up_ms: Percentiles,
    /// How often a device came back, and how long that took.
    recoveries: u64,
    recovery_ms: Percentiles,
    /// Links that were up and broke, by cause.
    lost: ByCause,
    dials: Dials,
    /// Dials that came to nothing, by cause; and those that the server refused, by its code.
    failed: ByCause,
    refused: ByCause,
    acked_ms: Percentiles,
    round_trip_ms: Percentiles,
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
        self.times(f, "first up", &self.first_up_ms)?;
        self.causes(f, "lost", &self.lost)?;
        writeln!(f, "  recoveries  {}", self.recoveries)?;
        self.times(f, "recovery", &self.recovery_ms)?;
        writeln!(f, "  dials       {:.2} a device, at most {}", dials.mean, dials.max)?;
        self.causes(f, "failed", &self.failed)?;
        self.causes(f, "refused", &self.refused)?;
        self.times(f, "to the ACK", &self.acked_ms)?;
        self.times(f, "round trip", &self.round_trip_ms)?;
        let Total { taken, acked, expired, refused, abandoned, pending, off } = ledger;
        writeln!(f, "  ledger      {taken} taken = {acked} acked + {expired} expired + {refused} refused")?;
        writeln!(f, "              + {abandoned} abandoned + {pending} pending; {off} devices off")?;
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
    fn times(&self, f: &mut fmt::Formatter<'_>, name: &str, times: &Percentiles) -> fmt::Result {
        let Percentiles { p50, p99, max } = times;
        writeln!(f, "  {name:<12}half in {p50:.1} ms, 99 of 100 in {p99:.1} ms, all in {max:.1} ms")
    }

    fn causes(&self, f: &mut fmt::Formatter<'_>, name: &str, by_cause: &ByCause) -> fmt::Result {
        write!(f, "  {name:<12}{}", by_cause.values().sum::<u64>())?;
        for (place, (cause, count)) in by_cause.iter().enumerate() {
            write!(f, "{} {cause} {count}", if place == 0 { ":" } else { "," })?;
        }
        writeln!(f)
    }
}
