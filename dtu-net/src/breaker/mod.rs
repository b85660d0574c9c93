//! A circuit breaker: after too many failures of a peer it admits no calls for a while, then a few to see whether the peer
//! is back.
//!
//! ```text
//!            too many failures                  the time is over
//!  Closed ----------------------> Open -----------------------------> HalfOpen
//!    ^                             ^                                   |   |
//!    |                             +---- a probe failed or is overdue -+   |
//!    +-------------------------- all probes succeeded ---------------------+
//!
//!  force_open: any state -> ForcedOpen        reset: any state -> Closed
//! ```
//!
//! | state | calls | leaves when |
//! |---|---|---|
//! | closed | all | [`consecutive`](BreakerConfig::consecutive) failures came in a row, or the [`rate`](BreakerConfig::rate) of failures is reached |
//! | open | none | [`open_for`](BreakerConfig::open_for) is over; a call that asks then is the first probe |
//! | half-open | [`probes`](BreakerConfig::probes), no more, whoever asks and however often | all of them succeeded, one failed, or one had no result by the [`probe_deadline`](BreakerConfig::probe_deadline) |
//! | forced open | none | [`Breaker::reset`] |
//!
//! A call that is admitted holds a [`Permit`]. A permit is a value: it ends in a verdict on the peer, or is dropped and
//! goes back without one. What this side did (a call that was cancelled, an error before anything was sent) is no verdict. A
//! verdict on a call that was admitted before the last change of state counts for nothing; it would speak of a
//! peer as it was then.
//!
//! No state sticks: a probe whose permit is leaked is taken for a failure at its deadline. The deadline runs from the last
//! probe that was admitted, and is a time as every other here: it is looked at when the breaker is asked, and what has
//! happened by then is dated as if somebody had looked at once.
//!
//! Closed and with no failure counted, admitting a call reads one word and a success reads it once more; nothing is written.
//! With a rate to keep, a success adds one to that word. Neither allocates. All else takes a lock that is held for a few
//! instructions.
//!
//! # Examples
//!
//! ```
//! use dtu_net::breaker::{Breaker, BreakerConfig, BreakerState};
//! use std::time::{Duration, Instant};
//!
//! let mut now = Instant::now();
//! let breaker = Breaker::new(BreakerConfig::DEFAULT, now);
//! for _ in 0..5 {
//!     breaker.acquire(now).expect("it is closed").fail(now);
//! }
//! let refused = breaker.acquire(now).expect_err("five failures opened it");
//! assert_eq!(refused.retry_after, Duration::from_secs(30));
//!
//! now += refused.retry_after;
//! let probe = breaker.acquire(now).expect("one probe");
//! assert!(probe.is_probe() && breaker.acquire(now).is_err());
//! probe.succeed(now);
//! assert_eq!(breaker.state(now), BreakerState::Closed);
//! ```

mod config;
mod event;
mod machine;
mod permit;
mod sync;
mod window;
mod word;

pub use config::{
    BreakerConfig, CONSECUTIVE, CONSECUTIVE_MAX, FailureRate, MIN_CALLS_MAX, OPEN_FOR, PERMILLE, PROBE_DEADLINE,
    PROBES, PROBES_MAX, WINDOW_MIN,
};
pub use event::{BreakerCounters, BreakerEvent, BreakerState, Change, EVENTS, Refused, RefusedCause};
pub use permit::Permit;

use core::fmt;
use core::sync::atomic::Ordering;
use core::time::Duration;
use machine::Machine;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use sync::{AtomicU64, Mutex, MutexGuard};
use word::{Ticket, Word};

/// The longest that a refused call is told to wait while all probes are out: their results come with a round trip.
pub const PROBES_OUT: Duration = Duration::from_secs(1);

/// Keeps calls from a peer that fails; the module above says how. It is shared by reference or by [`Arc`].
pub struct Breaker {
    /// The word of `machine`, for those who do not take the lock. They write its tally only.
    word: AtomicU64,
    /// Until when successes are tallied, in nanoseconds since `began`. A look at it that comes late moves a success by one
    /// tenth of the window.
    tally_end: AtomicU64,
    began: Instant,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let machine = Machine::new(config, now);
        let tally_end = machine.tally_end().map_or(0, |end| nanos(end, now));
        Self {
            word: AtomicU64::new(machine.word().0),
            tally_end: AtomicU64::new(tally_end),
            began: now,
            machine: Mutex::new(machine),
        }
    }

    /// A permit for one call.
    ///
    /// # Errors
    ///
    /// [`Refused`] when there is to be none now.
    #[inline]
    pub fn acquire(&self, now: Instant) -> Result<Permit<&Self>, Refused> {
        Ok(Permit::new(self, self.admit(now)?))
    }

    /// A permit for one call that can outlive this borrow.
    ///
    /// # Errors
    ///
    /// [`Refused`] when there is to be none now.
    #[inline]
    pub fn acquire_owned(self: &Arc<Self>, now: Instant) -> Result<Permit<Arc<Self>>, Refused> {
        let ticket = self.admit(now)?;
        Ok(Permit::new(Arc::clone(self), ticket))
    }

    /// Where it stands at `now`. [`Open`](BreakerState::Open) becomes [`HalfOpen`](BreakerState::HalfOpen) when its time
    /// is over, even before a call asks.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        if self.word().is_closed() { BreakerState::Closed } else { self.lock().state(now) }
    }

    /// Opens it until [`reset`](Self::reset). Calls in flight count for nothing any more.
    pub fn force_open(&self, now: Instant) {
        self.change(|machine| machine.force_open(now));
    }

    /// Closes it and forgets what was counted. Calls in flight count for nothing any more.
    pub fn reset(&self, now: Instant) {
        self.change(|machine| machine.reset(now));
    }

    /// The oldest change of state that was not polled yet. Of more than [`EVENTS`] the oldest are gone, and
    /// [`BreakerEvent::missed`] says how many.
    #[must_use]
    pub fn poll_event(&self) -> Option<BreakerEvent> {
        self.lock().pop_event()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> BreakerCounters {
        self.lock().counters()
    }

    #[inline]
    fn admit(&self, now: Instant) -> Result<Ticket, Refused> {
        let word = self.word();
        if word.is_closed() { Ok(word.ticket()) } else { self.change(|machine| machine.admit(now)) }
    }

    #[inline]
    fn succeeded(&self, ticket: Ticket, now: Instant) {
        let word = self.word();
        if !ticket.is_clean_in(word) {
            self.count_success(word, ticket, now);
        }
    }

    #[inline(never)]
    fn count_success(&self, word: Word, ticket: Ticket, now: Instant) {
        if !self.tally(word, ticket, now) {
            self.change(|machine| machine.succeeded(ticket, now));
        }
    }

    /// Counts a success without the lock, unless it may change more than a sum.
    fn tally(&self, mut word: Word, ticket: Ticket, now: Instant) -> bool {
        while let Some(tallied) = word.tallied(ticket)
            && nanos(now, self.began) < self.tally_end.load(Ordering::Acquire)
        {
            match self.word.compare_exchange(word.0, tallied.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => word = Word(other),
            }
        }
        false
    }

    fn failed(&self, ticket: Ticket, now: Instant) {
        self.change(|machine| machine.failed(ticket, now));
    }

    fn returned(&self, ticket: Ticket) {
        self.change(|machine| machine.returned(ticket));
    }

    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    #[cold]
    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.lock();
        if machine.tally_end().is_some() {
            return self.change_with_tally(&mut machine, change);
        }
        let changed = change(&mut machine);
        self.word.store(machine.word().0, Ordering::Release);
        changed
    }

    /// What was tallied before goes in first. What is tallied meanwhile comes after the change, or, where that begins a
    /// generation, belongs to the one before and goes with it.
    fn change_with_tally<T>(&self, machine: &mut Machine, change: impl FnOnce(&mut Machine) -> T) -> T {
        machine.absorb(Word(self.word.fetch_and(Word::WITHOUT_TALLY, Ordering::AcqRel)));
        let changed = change(machine);
        if let Some(end) = machine.tally_end() {
            self.tally_end.store(nanos(end, self.began), Ordering::Release);
        }
        machine.absorb(Word(self.word.swap(machine.word().0, Ordering::AcqRel)));
        changed
    }

    /// A panic of another thread while it held the lock is a broken invariant there; a breaker is still better than none.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time since `began`, in nanoseconds; what comes before it is at it.
fn nanos(now: Instant, began: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(began).as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("machine", &*self.lock()).finish_non_exhaustive()
    }
}
