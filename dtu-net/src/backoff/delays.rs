//! Where one device stands in its plan.

use super::{Backoff, HINT_MAX, HINT_SPREAD, jitter, nanos};
use core::time::Duration;
use rand_core::Rng;
use std::time::Instant;

/// The delays of one device, or of one operation, under a [`Backoff`].
///
/// | call | when |
/// |---|---|
/// | [`next`](Self::next), [`next_at_least`](Self::next_at_least) | an attempt failed, or the link broke |
/// | [`answered`](Self::answered) | the peer has answered, for a session with WELCOME |
/// | [`reset`](Self::reset) | what was attempted before no longer counts, for instance for a new target |
///
/// # Examples
///
/// An accept that is followed by a drop does not begin anew, a link that held does:
///
/// ```
/// use dtu_net::backoff::{Backoff, Delays, STABLE_AFTER};
/// use rand_pcg::{Pcg32, rand_core::SeedableRng};
/// use std::time::{Duration, Instant};
///
/// let mut rng = Pcg32::seed_from_u64(7);
/// let mut delays = Delays::new(Backoff::RECONNECT);
/// let mut now = Instant::now();
/// for attempts in 1..=3 {
///     delays.answered(now);
///     now += Duration::from_secs(1); // the server drops the link
///     now += delays.next(now, &mut rng).expect("there is no limit");
///     assert_eq!(delays.attempts(), attempts);
/// }
/// delays.answered(now);
/// now += STABLE_AFTER;
/// delays.next(now, &mut rng);
/// assert_eq!(delays.attempts(), 1);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    backoff: Backoff,
    attempts: u32,
    /// The delay given last, in nanoseconds, without what a hint added; the base before the first.
    previous: u64,
    /// When a delay was asked for first since the beginning.
    started: Option<Instant>,
    /// When the peer first answered since the last delay.
    answered: Option<Instant>,
}

impl Delays {
    /// Stands at the beginning of `backoff`.
    #[must_use]
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, attempts: 0, previous: backoff.base_nanos(), started: None, answered: None }
    }

    /// Stands where [`position`](Self::position) says, under a plan that may be another.
    pub(crate) const fn at(backoff: Backoff, attempts: u32, previous: u64, started: Option<Instant>) -> Self {
        let base = backoff.base_nanos();
        // Delays are drawn from the base up to what the one before allows.
        Self { backoff, attempts, previous: if previous < base { base } else { previous }, started, answered: None }
    }

    /// The delays given, the last of them in nanoseconds, and when one was asked for first.
    pub(crate) const fn position(&self) -> (u32, u64, Option<Instant>) {
        (self.attempts, self.previous, self.started)
    }

    /// How many delays were given since the beginning; a delay of `None` is not counted.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Goes back to the beginning, whatever happened.
    pub const fn reset(&mut self) {
        *self = Self::new(self.backoff);
    }

    /// Notes that the peer has answered at `now`. Only the first answer after a delay counts: from it on the link has to
    /// hold for [`Backoff::stable_after`], until [`next`](Self::next) is called.
    pub fn answered(&mut self, now: Instant) {
        self.answered.get_or_insert(now);
    }

    /// The delay before the next attempt, or `None` when the attempts or the time are used up. Draws one number from `rng`.
    ///
    /// Call it at once when an attempt failed or the link broke: the link counts as having held until `now`.
    #[must_use]
    pub fn next(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Duration> {
        self.next_at_least(now, Duration::ZERO, rng)
    }

    /// Like [`next`](Self::next), but by the appointment that a server has made: no shorter than `hint`, the `retry_after` of a
    /// REFUSE; of the hint counts no more than [`HINT_MAX`]. Zero is no hint.
    ///
    /// The server knows when it has room, so the hint takes the place of the delay of the plan, long or short, but for the
    /// shortest that the plan has at this attempt: 60 s is 60 s, and 1 s at the cap of 30 s is 6 s with
    /// [`Jitter::DEFAULT`](super::Jitter::DEFAULT). It is spread upwards by up to an eighth ([`HINT_SPREAD`](super::HINT_SPREAD)), and
    /// by no more than the jitter would spread a delay of that length: a server that tells everybody the same has told them at
    /// different times, and one that gives each its own time would have it blurred. So a delay never exceeds the cap or nine
    /// eighths of `HINT_MAX`, whichever is more.
    #[must_use]
    pub fn next_at_least(&mut self, now: Instant, hint: Duration, rng: &mut impl Rng) -> Option<Duration> {
        if let Some(answered) = self.answered.take()
            && now.saturating_duration_since(answered) >= self.backoff.stable_after
        {
            self.reset();
        }
        let started = *self.started.get_or_insert(now);
        self.draw(now.saturating_duration_since(started), hint, rng)
    }

    pub(super) fn draw(&mut self, elapsed: Duration, hint: Duration, rng: &mut impl Rng) -> Option<Duration> {
        if self.backoff.max_attempts.is_some_and(|max_attempts| self.attempts >= max_attempts) {
            return None;
        }
        let hint = nanos(hint.min(HINT_MAX));
        let (shortest, longest) = self.backoff.bounds(self.attempts, self.previous);
        let (shortest, latest) = if hint == 0 {
            (shortest, longest)
        } else {
            let appointed = shortest.max(hint);
            (appointed, self.spread(appointed).min(longest.max(self.spread(hint))))
        };
        let drawn = jitter::draw(shortest, latest, rng);
        let delay = Duration::from_nanos(drawn);
        if self.backoff.max_elapsed.is_some_and(|max_elapsed| elapsed.saturating_add(delay) > max_elapsed) {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.previous = drawn.min(longest);
        Some(delay)
    }

    /// The latest that an appointment is kept.
    const fn spread(&self, appointed: u64) -> u64 {
        let (jitter, most) = (self.backoff.jitter.width(appointed), appointed / HINT_SPREAD);
        appointed + if jitter < most { jitter } else { most }
    }
}
