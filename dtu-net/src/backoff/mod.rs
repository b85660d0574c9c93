//! How long to wait before the next attempt, so that neither one device nor a fleet hammers a server.
//!
//! [`Backoff`] is the plan: how delays grow, how they are spread, when to give up. [`Delays`] is where one device stands
//! in it. Neither reads a clock or owns a random source.
//!
//! # Example: a loop that connects again
//!
//! ```
//! use dtu_net::backoff::{Backoff, Delays};
//! use rand_pcg::{Pcg32, rand_core::SeedableRng};
//! use std::time::{Duration, Instant};
//!
//! struct Refused {
//!     retry_after: Duration, // zero: the server gave no hint
//! }
//! # let mut answers = [Err(Duration::ZERO), Err(Duration::from_secs(5)), Ok(())].into_iter();
//! # let mut connect = || answers.next().expect("three tries are enough").map_err(|retry_after| Refused { retry_after });
//!
//! let mut rng = Pcg32::seed_from_u64(7); // a device seeds it from its system
//! let mut delays = Delays::new(Backoff::RECONNECT.max_attempts(10));
//! let mut now = Instant::now();
//! loop {
//!     match connect() {
//!         Ok(link) => {
//!             delays.answered(now); // WELCOME has come
//!             // Use the link until it breaks; if it held long enough, the next delay is a first one again.
//! #           break;
//!         }
//!         Err(Refused { retry_after }) => {
//!             let Some(delay) = delays.next_at_least(now, retry_after, &mut rng) else {
//!                 break; // all attempts are used up: raise an alarm
//!             };
//!             assert!(delay >= retry_after);
//!             now += delay; // a device sleeps here
//!         }
//!     }
//! }
//! assert_eq!(delays.attempts(), 2);
//! ```
//!
//! # Example: delays without a clock
//!
//! ```
//! # use dtu_net::backoff::{Backoff, Jitter};
//! # use rand_pcg::{Pcg32, rand_core::SeedableRng};
//! # use std::time::Duration;
//! let plan = Backoff::exponential(Duration::from_secs(1), 2_000, Duration::from_secs(5)).jitter(Jitter::None);
//! let seconds: Vec<u64> = plan.delays(Pcg32::seed_from_u64(7)).map(|delay| delay.as_secs()).take(5).collect();
//! assert_eq!(seconds, [1, 2, 4, 5, 5]);
//! ```
//!
//! # Jitter
//!
//! Every delay is drawn evenly from an interval whose upper end is the delay without jitter, or lies below the cap. So the
//! cap holds after jitter, a fleet at the cap is spread over the same share as everywhere, and the first retry is
//! spread too. No delay is below [`Backoff::floor`]. For [`Backoff::RECONNECT`] (1 s, times 1.5, cap 30 s), in seconds:
//!
//! | jitter | 1st | 5th | at the cap (10th and later) |
//! |---|---|---|---|
//! | [`Jitter::None`] | 1 | 5.0625 | 30 |
//! | [`Jitter::Full`] | 0.1 to 1 | 0.1 to 5.0625 | 0.1 to 30 |
//! | [`Jitter::Equal`] | 0.5 to 1 | 2.53125 to 5.0625 | 15 to 30 |
//! | [`Jitter::Decorrelated`] | 1 to 3 | 1 to 30 | 1 to 30 |
//! | [`Jitter::Proportional`]`(800)`, the default | 0.2 to 1 | 1.0125 to 5.0625 | 6 to 30 |
//!
//! The default spreads a fleet over four fifths of what `Full` does, and still has a shortest delay that grows; the bound
//! below lives on that.
//!
//! # When attempts begin anew
//!
//! A connect that succeeds proves little: a server that accepts and drops would be hammered with first delays. Attempts
//! go back to zero only when the peer has *answered* ([`Delays::answered`]) and the link then held for
//! [`Backoff::stable_after`].
//!
//! # How often a device can connect
//!
//! Let `s(k)` be the shortest delay after `k` attempts, which never falls as `k` grows; `S(r) = s(0) + … + s(r - 1)`; and
//! `stable` the time of the rule above. Between two connects lies at least the next `s`, or, where the attempts began
//! anew, `stable + s(0)`. A window of length `W` with `m` connects after its first is cut at the resets into runs of
//! `r` connects. Each run but the first costs `S(r) + stable`, the first `S(r)`. With `c` the least of
//! `(S(r) + stable) / r` over all `r`, together they cost at least `m c - stable`. So, whatever the server accepts, refuses
//! or drops, and whenever it does so,
//!
//! ```text
//! n(W) <= 1 + the greatest r with S(r) <= W      while W < stable, where no reset fits in
//! n(W) <= 1 + (W + stable) / c                   for every W
//! ```
//!
//! [`Backoff::max_attempts_within`] gives this number: 30 in a minute for `RECONNECT`, 1538 in an hour. A device that
//! calls [`Delays::reset`] by hand, or starts again with new [`Delays`], is outside of it.

mod bound;
mod delays;
mod jitter;
mod power;

pub use delays::Delays;
pub use jitter::Jitter;
pub(crate) use jitter::draw;

use core::ops::RangeInclusive;
use core::time::Duration;
use power::UNITY;
use rand_core::Rng;

/// The shortest base. Timers of drivers count in milliseconds.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// The longest base and the longest cap. A device that tries less often than once a day is better served by an alarm.
pub const LONGEST: Duration = Duration::from_hours(24);

/// The longest hint that counts; longer ones count as this. A server must not park a device for the 49 days that fit in
/// the field.
pub const HINT_MAX: Duration = Duration::from_hours(1);

/// Which part of a hint, at most, a device comes later than it was told: an eighth.
pub const HINT_SPREAD: u64 = 8;

/// How long a link must have held after the peer's answer before attempts begin anew, unless set otherwise. As long as
/// [`IDENTIFY`](crate::limits::IDENTIFY), the longest first deadline of a session: a server that answers and drops at it
/// has not served. Links of hours, the usual case, are far above.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Which part of the base is the floor under every delay: a tenth.
const FLOOR_PART: u64 = 10;

/// A plan of delays. Parameters that contradict each other are moved to the nearest that do not, as each constructor says.
///
/// # Examples
///
/// ```
/// # use dtu_net::backoff::{Backoff, Jitter};
/// # use std::time::Duration;
/// const POLL: Backoff = Backoff::exponential(Duration::from_millis(200), 1_500, Duration::from_secs(10))
///     .jitter(Jitter::Equal)
///     .max_attempts(8)
///     .max_elapsed(Duration::from_secs(60));
/// assert_eq!(POLL.delay(2), Duration::from_millis(450));
/// assert_eq!(POLL.delay(u32::MAX), Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// From `SHORTEST` to `LONGEST`.
    base: Duration,
    /// From `base` to `LONGEST`.
    cap: Duration,
    /// In permille, at least `UNITY`.
    factor: u32,
    jitter: Jitter,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
    stable_after: Duration,
}

impl Backoff {
    /// For links: 1 s, times 1.5, cap 30 s, without end.
    pub const RECONNECT: Self = Self::exponential(Duration::from_secs(1), 1_500, Duration::from_secs(30));

    /// For requests on a link that holds: 1 s, times 2, cap 60 s, without end.
    pub const REQUEST: Self = Self::exponential(Duration::from_secs(1), 2_000, Duration::from_secs(60));

    /// Three attempts, 2 s apart. The jitter takes up to a fifth off, so that a fleet does not keep step.
    pub const FIXED: Self = Self::fixed(Duration::from_secs(2)).jitter(Jitter::Proportional(200)).max_attempts(3);

    /// The same delay before every attempt, limited to [`SHORTEST`] and [`LONGEST`].
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self::exponential(delay, UNITY, delay)
    }

    /// Delays that begin with `base` and grow by `factor_permille` (1500 is times 1.5) up to `cap`.
    ///
    /// `base` is limited to [`SHORTEST`] and [`LONGEST`], `cap` to `base` and [`LONGEST`]; a factor below 1000 counts as
    /// 1000. The jitter is [`Jitter::DEFAULT`].
    #[must_use]
    pub const fn exponential(base: Duration, factor_permille: u32, cap: Duration) -> Self {
        let base = limited(base, SHORTEST, LONGEST);
        Self {
            base,
            cap: limited(cap, base, LONGEST),
            factor: if factor_permille < UNITY { UNITY } else { factor_permille },
            jitter: Jitter::DEFAULT,
            max_attempts: None,
            max_elapsed: None,
            stable_after: STABLE_AFTER,
        }
    }

    /// Spreads delays this way.
    #[must_use]
    pub const fn jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// Gives up after so many delays. The first try comes before the first delay and is not counted.
    #[must_use]
    pub const fn max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts: Some(max_attempts), ..self }
    }

    /// Gives up when the next delay would end later than this, counted from the first time a delay was asked for.
    #[must_use]
    pub const fn max_elapsed(self, max_elapsed: Duration) -> Self {
        Self { max_elapsed: Some(max_elapsed), ..self }
    }

    /// Begins anew when a link held for so long after the peer's answer; [`STABLE_AFTER`] unless set.
    #[must_use]
    pub const fn stable_after(self, stable_after: Duration) -> Self {
        Self { stable_after, ..self }
    }

    /// The delay without jitter after so many `attempts`; zero gives the base.
    #[must_use]
    pub const fn delay(&self, attempts: u32) -> Duration {
        Duration::from_nanos(self.nanos(attempts))
    }

    /// The most that any delay without a hint can be.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// How long a link has to hold before attempts begin anew.
    pub(crate) const fn stability(&self) -> Duration {
        self.stable_after
    }

    /// The least that any delay can be: a tenth of the base, and never zero.
    #[must_use]
    pub const fn floor(&self) -> Duration {
        Duration::from_nanos(self.floor_nanos())
    }

    /// The shortest and the longest delay that can come after so many `attempts` without a hint.
    #[must_use]
    pub fn interval(&self, attempts: u32) -> RangeInclusive<Duration> {
        let before = self.base_nanos().saturating_mul(jitter::DECORRELATED_GROWTH.saturating_pow(attempts));
        let (shortest, longest) = self.bounds(attempts, before);
        Duration::from_nanos(shortest)..=Duration::from_nanos(longest)
    }

    /// After how many delays it gives up.
    pub(crate) const fn attempt_limit(&self) -> Option<u32> {
        self.max_attempts
    }

    /// The delays one after another, without a clock: the time that elapsed is the sum of the delays given so far.
    pub fn delays<R: Rng>(self, mut rng: R) -> impl Iterator<Item = Duration> {
        let mut state = Delays::new(self);
        let mut elapsed = Duration::ZERO;
        core::iter::from_fn(move || {
            let delay = state.draw(elapsed, Duration::ZERO, &mut rng)?;
            elapsed = elapsed.saturating_add(delay);
            Some(delay)
        })
        .fuse()
    }

    /// The interval after so many `attempts`, in nanoseconds, where `previous` is the delay given last.
    const fn bounds(&self, attempts: u32, previous: u64) -> (u64, u64) {
        let cap = nanos(self.cap);
        match self.jitter {
            Jitter::Decorrelated => {
                let longest = previous.saturating_mul(jitter::DECORRELATED_GROWTH);
                (self.base_nanos(), if longest < cap { longest } else { cap })
            }
            Jitter::None | Jitter::Full | Jitter::Equal | Jitter::Proportional(_) => {
                let longest = self.nanos(attempts);
                let shortest = longest - self.jitter.width(longest);
                let floor = self.floor_nanos();
                (if shortest < floor { floor } else { shortest }, longest)
            }
        }
    }

    const fn nanos(&self, attempts: u32) -> u64 {
        let grown = power::scaled(self.base_nanos(), self.factor, attempts);
        let cap = nanos(self.cap);
        if grown < cap as u128 { grown as u64 } else { cap }
    }

    const fn base_nanos(&self) -> u64 {
        nanos(self.base)
    }

    const fn floor_nanos(&self) -> u64 {
        self.base_nanos() / FLOOR_PART
    }
}

const fn limited(value: Duration, least: Duration, most: Duration) -> Duration {
    if value.as_nanos() < least.as_nanos() {
        least
    } else if value.as_nanos() > most.as_nanos() {
        most
    } else {
        value
    }
}

/// A duration of at most [`LONGEST`] in nanoseconds.
const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
