//! What a breaker tells: its state, its changes, its counts.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// The changes of state that wait to be polled. Of more, the oldest go, and are counted.
pub const EVENTS: usize = 16;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Every call is admitted.
    Closed,
    /// No call is admitted.
    Open {
        /// When the first probe may go.
        until: Instant,
    },
    /// Only probes are admitted.
    HalfOpen,
    /// No call is admitted until someone says otherwise.
    ForcedOpen,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Too many failures in a row: opened.
    Consecutive {
        /// How many.
        failures: u32,
    },
    /// Too many failures within the window: opened.
    Rate {
        /// How many.
        failures: u64,
        /// Of how many calls.
        calls: u64,
    },
    /// A probe failed: open again.
    ProbeFailed,
    /// A probe had no result at its deadline: open again.
    ProbeOverdue,
    /// The time of being open is over: half-open.
    Recovering,
    /// All probes succeeded: closed.
    ProbesSucceeded,
    /// [`Breaker::force_open`](super::Breaker::force_open).
    ForcedOpen,
    /// [`Breaker::reset`](super::Breaker::reset): closed.
    Reset,
}

/// A breaker has changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerEvent {
    /// The state it changed to.
    pub state: BreakerState,
    /// Why.
    pub change: Change,
    /// When.
    pub at: Instant,
    /// Events right before this one that were not polled in time and are gone.
    pub missed: u64,
}

/// What a breaker has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BreakerCounters {
    /// Times it opened, by itself or by hand.
    pub opened: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Probes that were admitted.
    pub probes: u64,
    /// Probes that were given back without a result.
    pub returned: u64,
    /// Results that came too late to count: of calls admitted before the last change of state.
    pub stale: u64,
    /// Events that were not polled in time.
    pub missed: u64,
}

/// No call now; it is the breaker that says so, not the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// How long until asking again is worth it: while open, until the first probe may go; while all probes are out, at
    /// most [`PROBES_OUT`](super::PROBES_OUT); while held open by hand, the time that it would be open by itself.
    pub retry_after: Duration,
    /// Why.
    pub cause: RefusedCause,
}

/// Why a breaker admits no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedCause {
    /// It is open.
    Open,
    /// It is half-open, and all probes are out.
    ProbesOut,
    /// It is held open by hand.
    ForcedOpen,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.cause {
            RefusedCause::Open => "the breaker is open",
            RefusedCause::ProbesOut => "the breaker is half-open and its probes are out",
            RefusedCause::ForcedOpen => "the breaker is held open by hand",
        };
        write!(f, "{why}, ask again in {} ms", self.retry_after.as_millis())
    }
}

impl core::error::Error for Refused {}

/// The events that wait, [`EVENTS`] at most.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: VecDeque<BreakerEvent>,
    /// Gone since the last event was polled.
    missed: u64,
}

impl EventQueue {
    /// Adds one, and says how many went for it.
    pub(super) fn push(&mut self, event: BreakerEvent) -> u64 {
        let gone = u64::from(self.waiting.len() == EVENTS && self.waiting.pop_front().is_some());
        self.missed += gone;
        self.waiting.push_back(event);
        gone
    }

    pub(super) fn pop(&mut self) -> Option<BreakerEvent> {
        let event = self.waiting.pop_front()?;
        Some(BreakerEvent { missed: core::mem::take(&mut self.missed), ..event })
    }
}
