//! How many connections a server lets wait for it, and when it tells the rest to come again. No IO.
//!
//! After an outage a whole fleet comes at once, and a device that waits for longer than its patience gives up and comes again:
//! a server that takes them all works for peers that are gone. So as many wait as can be served in time, which is the rate
//! at which they are served (measured) times their patience, and each of the others gets an appointment: the time of its place behind
//! all that were told before, at that rate. The devices keep it ([`Delays::next_at_least`]), so the server is neither
//! overrun nor idle until all are back.
//!
//! ```text
//!   arrival ──> waiting for the server ── turn ──> under way: the peer's word is awaited ── served ──> in
//!      │           (at most `limit`)  <── wait ──      └── left: gave up, too slow, not let in
//!      └──> REFUSE with its appointment
//! ```
//!
//! | | rule |
//! |---|---|
//! | rate | counted in windows of [`WINDOW`]. A window in which always somebody waited shows what the server can do, and the estimate goes halfway down to it, or up to it at once; any other shows only what was asked for, and can only raise it |
//! | limit | rate × patience, from `min_waiting` to `max_unidentified`. Who is under way does not count: a slow network is not a slow server |
//! | refusing | takes at most one [`REFUSING`]th of the time, but for a fleet of [`REFUSED_AT_ONCE`]. Who comes beyond is left in the system's queue for a while ([`Door::refuses_from`]), and hears later; when that is full, not at all |
//! | appointments | one place each `1 / rate`, behind those that wait; a third denser: who comes too early costs one more REFUSE, an idle server costs everybody time, and devices come up to an eighth late. What refusing takes is added to the measured rate, as nobody is to be refused by then. When the queue runs low before the appointments do, they are not kept, and half of the time is given anew |
//!
//! [`Delays::next_at_least`]: crate::backoff::Delays::next_at_least

use crate::limits::after;
use core::mem;
use core::time::Duration;
use std::time::Instant;

/// How long a connection may wait for the server at a time; see [`DoorLimits::patience`]. A fifth of
/// [`IDENTIFY`](crate::limits::IDENTIFY): with TLS and a proof a device waits four times.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The registrations a second that a server counts on before it has measured any. A slower one finds out within some windows.
pub const INITIAL_RATE: u32 = 4_000;

/// How many may wait however slow it goes: enough to measure by.
pub const MIN_WAITING: usize = 64;

/// How many connections may be unidentified at a time, waiting or under way: as many as a server takes at all by default, so that
/// of a fleet at once nobody is refused who can be served in time.
pub const MAX_UNIDENTIFIED: usize = 16_384;

/// The longest appointment. What is behind it, nobody can know.
pub const HINT_MAX: Duration = Duration::from_secs(300);

/// Over how long the rate is counted.
pub const WINDOW: Duration = Duration::from_millis(500);

/// No registration takes less, in nanoseconds.
const SHORTEST: u64 = 1_000;

/// The part of the time between two appointments that is left out.
const DENSER: u64 = 3;

/// What a REFUSE takes of the server's time: accept, write, close. Measured on Linux over loopback, 18 000 at once (the example `refusals`
/// of the benches: 22 to 26 us). It counts for the appointments only, not for how many may wait.
pub const REFUSE_COST: Duration = Duration::from_micros(25);

/// The part of the time that refusing may take for long: one in so many. At ten times what a server can do, refusing all the others
/// takes a ninth of it from those that are served.
pub const REFUSING: u32 = 16;

/// How many may be refused at once before that counts. A fleet that comes back is told its appointments without delay.
pub const REFUSED_AT_ONCE: u32 = 20_000;

/// How far refusing may be ahead of its part of the time, whatever is asked for.
const AHEAD_MAX: Duration = Duration::from_secs(3600);

/// How long nobody is accepted when refusing has had its part, so that it is not stopped for each of them.
const PAUSE: Duration = Duration::from_millis(20);

/// At least this part of a window counts as time for those that were served, however many were refused.
const SERVING: u64 = 8;

/// A queue below this part of its limit runs low.
const LOW: usize = 4;

/// The bounds of a [`Door`]. Start from `DoorLimits::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DoorLimits {
    /// How long a connection may wait for the server at a time. Well below the time after which the devices give up, their
    /// limit [`identify`](crate::Limits::identify).
    pub patience: Duration,
    /// See [`INITIAL_RATE`]; 0 counts as 1.
    pub initial_rate: u32,
    /// See [`MIN_WAITING`]; 0 counts as 1.
    pub min_waiting: usize,
    /// See [`MAX_UNIDENTIFIED`].
    pub max_unidentified: usize,
    /// See [`HINT_MAX`].
    pub hint_max: Duration,
    /// See [`REFUSED_AT_ONCE`].
    pub refused_at_once: u32,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            initial_rate: INITIAL_RATE,
            min_waiting: MIN_WAITING,
            max_unidentified: MAX_UNIDENTIFIED,
            hint_max: HINT_MAX,
            refused_at_once: REFUSED_AT_ONCE,
        }
    }
}

/// Who waits at a server, and how fast they are served. See the [module](self).
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use dtu_net::door::{Door, DoorLimits};
/// # let now = std::time::Instant::now();
///
/// let mut limits = DoorLimits::default();
/// limits.initial_rate = 100; // so 200 may wait for 2 s
/// let mut door = Door::new(limits, now);
/// for _ in 0..200 {
///     assert_eq!(door.handle_arrival(now), Ok(()));
/// }
/// // The next one shall come when they are through, and the one behind it two thirds of a hundredth of a second later.
/// assert_eq!(door.handle_arrival(now), Err(Duration::from_nanos(2_006_666_667)));
/// assert_eq!(door.handle_arrival(now), Err(Duration::from_nanos(2_013_333_334)));
/// ```
#[derive(Debug)]
pub struct Door {
    limits: DoorLimits,
    /// The time that one registration takes, in nanoseconds.
    interval: u64,
    /// The same when nobody is to be refused.
    undisturbed: u64,
    waiting: usize,
    under_way: usize,
    /// The appointment given last.
    turn: Instant,
    /// When the refusals so far will have taken no more than their part of the time.
    even: Instant,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    served: u64,
    /// The queue ran low at some time in it, or nobody waited at all.
    ran_low: bool,
    ran_empty: bool,
    refused: u64,
}

impl Door {
    /// A door at which nobody waits.
    #[must_use]
    pub fn new(limits: DoorLimits, now: Instant) -> Self {
        let interval = (1_000_000_000 / u64::from(limits.initial_rate.max(1))).max(SHORTEST);
        let window = Window { began: now, served: 0, ran_low: true, ran_empty: true, refused: 0 };
        Self { limits, interval, undisturbed: interval, waiting: 0, under_way: 0, turn: now, even: now, window }
    }

    /// A connection came, and waits from now on.
    ///
    /// # Errors
    ///
    /// There is no place; how long it shall stay away, never zero.
    pub fn handle_arrival(&mut self, now: Instant) -> Result<(), Duration> {
        self.roll(now);
        if self.waiting >= self.limit() || self.unidentified() >= self.limits.max_unidentified {
            return Err(self.appoint(now));
        }
        self.waiting += 1;
        Ok(())
    }

    /// A connection was refused for another reason than [`handle_arrival`](Self::handle_arrival) gave, without work on it.
    pub fn handle_refused(&mut self, now: Instant) {
        // However many are refused although nobody was to be accepted, a pause is no longer than that.
        let most = now + self.ahead() + REFUSE_COST * REFUSING;
        self.even = (self.even.max(now) + REFUSE_COST * REFUSING).min(most);
    }

    /// Until when nobody is to be accepted, as refusing has had its part of the time. `None` when whoever is there may be accepted.
    #[must_use]
    pub fn refuses_from(&self, now: Instant) -> Option<Instant> {
        let ahead = self.ahead();
        (self.even.saturating_duration_since(now) > ahead).then(|| self.even - ahead + PAUSE)
    }

    /// How far refusing may be ahead of its part of the time.
    fn ahead(&self) -> Duration {
        (REFUSE_COST * REFUSING).saturating_mul(self.limits.refused_at_once).min(AHEAD_MAX)
    }

    /// The server works on one that waited: from now on it waits for its peer.
    pub fn handle_turn(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        self.under_way += 1;
        self.roll(now);
    }

    /// One that was under way waits for the server again.
    pub fn handle_wait(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.waiting += 1;
        self.roll(now);
    }

    /// One that was under way is in.
    pub fn handle_served(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.window.served += 1;
        self.roll(now);
    }

    /// One that was under way has given up, ran out of time, or was not let in.
    pub fn handle_left(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.roll(now);
    }

    /// How many wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many are connected and not in: they wait, or are under way.
    #[must_use]
    pub const fn unidentified(&self) -> usize {
        self.waiting + self.under_way
    }

    /// How many may wait.
    #[must_use]
    pub fn limit(&self) -> usize {
        let limit = usize::try_from(nanos(self.limits.patience) / self.interval).unwrap_or(usize::MAX);
        limit.min(self.limits.max_unidentified).max(self.limits.min_waiting).max(1)
    }

    /// How many registrations a second it counts on.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        1_000_000_000 / self.interval
    }

    /// Gives the place behind all others.
    fn appoint(&mut self, now: Instant) -> Duration {
        let waiting = u64::try_from(self.waiting).unwrap_or(u64::MAX);
        let longest = after(now, self.limits.hint_max);
        let through = longest.min(now + Duration::from_nanos(self.undisturbed.saturating_mul(waiting)));
        self.window.refused += 1;
        self.handle_refused(now);
        let next = Duration::from_nanos(self.undisturbed - self.undisturbed / DENSER);
        self.turn = (self.turn.max(through) + next).min(longest);
        // Zero would be no appointment.
        self.turn.saturating_duration_since(now).max(Duration::from_millis(1))
    }

    /// Ends a window that has lasted long enough.
    fn roll(&mut self, now: Instant) {
        let runs_low = self.waiting < self.limit().div_ceil(LOW);
        self.window.ran_low |= runs_low;
        self.window.ran_empty |= self.waiting == 0;
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < WINDOW {
            return;
        }
        let next = Window { began: now, served: 0, ran_low: runs_low, ran_empty: self.waiting == 0, refused: 0 };
        let Window { served, ran_low, ran_empty, refused, .. } = mem::replace(&mut self.window, next);
        let all = nanos(elapsed);
        let serving = all.saturating_sub(refused.saturating_mul(nanos(REFUSE_COST))).max(all / SERVING);
        for (interval, time) in [(&mut self.interval, all), (&mut self.undisturbed, serving)] {
            let measured = (time / served.max(1)).max(SHORTEST);
            if !ran_empty && measured > *interval {
                *interval = interval.midpoint(measured);
            } else if served > 0 {
                *interval = (*interval).min(measured);
            }
        }
        if ran_low {
            self.turn = now + self.turn.saturating_duration_since(now) / 2;
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
