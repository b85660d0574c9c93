//! What a breaker knows, behind its lock.

use super::PROBES_OUT;
use super::config::BreakerConfig;
use super::event::{BreakerCounters, BreakerEvent, BreakerState, Change, EventQueue, Refused, RefusedCause};
use super::window::Window;
use super::word::{CLEAN, COUNTING, SHUT, TALLYING, Ticket, Word};
use core::time::Duration;
use std::time::Instant;

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        /// Probes without a result.
        out: u32,
        succeeded: u32,
        /// When probes that are out are taken for failures.
        deadline: Instant,
    },
    ForcedOpen,
}

/// The state machine. Results are taken only with a ticket of the generation that runs, and every change of phase begins
/// a new one.
#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    phase: Phase,
    generation: u64,
    /// Failures in a row, while closed.
    failures: u32,
    window: Option<Box<Window>>,
    events: EventQueue,
    counters: BreakerCounters,
}

impl Machine {
    pub(super) fn new(config: BreakerConfig, now: Instant) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            generation: 0,
            failures: 0,
            window: config.rate.map(|rate| Box::new(Window::new(rate, now))),
            events: EventQueue::default(),
            counters: BreakerCounters::default(),
        }
    }

    /// What can be seen without the lock.
    pub(super) const fn word(&self) -> Word {
        match self.phase {
            Phase::Closed if self.failures > 0 => Word::new(self.generation, COUNTING),
            Phase::Closed if self.window.is_some() => Word::new(self.generation, TALLYING),
            Phase::Closed => Word::new(self.generation, CLEAN),
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::ForcedOpen => Word::new(self.generation, SHUT),
        }
    }

    /// Takes over the successes that `word` has tallied, if it is of this generation.
    pub(super) fn absorb(&mut self, word: Word) {
        if let Some(window) = &mut self.window
            && word.generation() == self.generation
        {
            window.absorb(word.tally());
        }
    }

    /// Until when successes can be tallied without the lock.
    pub(super) fn tally_end(&self) -> Option<Instant> {
        self.window.as_ref().map(|window| window.part_end())
    }

    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Refused> {
        self.settle(now);
        self.follow(now);
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            self.enter(Phase::HalfOpen { out: 0, succeeded: 0, deadline: now }, Change::Recovering, now);
        }
        match &mut self.phase {
            Phase::Closed => Ok(self.word().ticket()),
            Phase::HalfOpen { out, succeeded, deadline } => {
                if *out + *succeeded >= self.config.probes {
                    let left = deadline.saturating_duration_since(now);
                    return Err(self.refuse(RefusedCause::ProbesOut, left.min(PROBES_OUT)));
                }
                *out += 1;
                *deadline = now + self.config.probe_deadline;
                self.counters.probes += 1;
                Ok(Ticket::probe(self.generation))
            }
            &mut Phase::Open { until } => Err(self.refuse(RefusedCause::Open, until.saturating_duration_since(now))),
            Phase::ForcedOpen => Err(self.refuse(RefusedCause::ForcedOpen, self.config.open_for)),
        }
    }

    pub(super) fn succeeded(&mut self, ticket: Ticket, now: Instant) {
        self.settle(now);
        if !self.is_current(ticket) {
            return;
        }
        match &mut self.phase {
            Phase::Closed => {
                self.failures = 0;
                if let Some(window) = &mut self.window {
                    window.succeeded(now);
                }
            }
            Phase::HalfOpen { out, succeeded, .. } => {
                *out -= 1;
                *succeeded += 1;
                if *succeeded >= self.config.probes {
                    self.enter(Phase::Closed, Change::ProbesSucceeded, now);
                }
            }
            Phase::Open { .. } | Phase::ForcedOpen => unreachable!("no call is admitted in such a generation"),
        }
    }

    pub(super) fn failed(&mut self, ticket: Ticket, now: Instant) {
        self.settle(now);
        if !self.is_current(ticket) {
            return;
        }
        match self.phase {
            Phase::Closed => {
                let rate = self.window.as_mut().and_then(|window| window.failed(now));
                // Without that rule nothing is counted, and a success need not take it back.
                self.failures += u32::from(self.config.consecutive.is_some());
                if self.config.consecutive.is_some_and(|consecutive| self.failures >= consecutive) {
                    self.open(Change::Consecutive { failures: self.failures }, now);
                } else if let Some((failures, calls)) = rate {
                    self.open(Change::Rate { failures, calls }, now);
                }
            }
            Phase::HalfOpen { .. } => self.open(Change::ProbeFailed, now),
            Phase::Open { .. } | Phase::ForcedOpen => unreachable!("no call is admitted in such a generation"),
        }
    }

    /// A probe comes back without a result. It comes without a time as well, and so nothing is judged by one.
    pub(super) fn returned(&mut self, ticket: Ticket) {
        if let Phase::HalfOpen { out, .. } = &mut self.phase
            && ticket.generation() == self.generation
        {
            *out -= 1;
            self.counters.returned += 1;
        }
    }

    pub(super) fn force_open(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::ForcedOpen) {
            self.counters.opened += 1;
            self.enter(Phase::ForcedOpen, Change::ForcedOpen, now);
        }
    }

    pub(super) fn reset(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            self.begin_generation(now);
        } else {
            self.enter(Phase::Closed, Change::Reset, now);
        }
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        let until = match self.phase {
            Phase::Closed => return BreakerState::Closed,
            Phase::ForcedOpen => return BreakerState::ForcedOpen,
            Phase::Open { until } => until.min(now + self.config.open_for),
            Phase::HalfOpen { .. } => match self.overdue(now) {
                Some(deadline) => deadline + self.config.open_for,
                None => return BreakerState::HalfOpen,
            },
        };
        if now < until { BreakerState::Open { until } } else { BreakerState::HalfOpen }
    }

    pub(super) fn pop_event(&mut self) -> Option<BreakerEvent> {
        self.events.pop()
    }

    pub(super) const fn counters(&self) -> BreakerCounters {
        self.counters
    }

    /// Does what time alone does.
    fn settle(&mut self, now: Instant) {
        if let Some(deadline) = self.overdue(now) {
            // It opened then, though nobody looked.
            self.open(Change::ProbeOverdue, deadline);
        }
    }

    /// Makes no wait longer than it was set when the clock of those who ask went back. A result may come with a time of
    /// before and moves nothing.
    fn follow(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Open { until } => *until = (*until).min(now + self.config.open_for),
            Phase::HalfOpen { deadline, .. } => *deadline = (*deadline).min(now + self.config.probe_deadline),
            Phase::Closed | Phase::ForcedOpen => {}
        }
    }

    /// The deadline that a probe has missed.
    fn overdue(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::HalfOpen { out, deadline, .. } if out > 0 && now >= deadline => Some(deadline),
            Phase::HalfOpen { .. } | Phase::Closed | Phase::Open { .. } | Phase::ForcedOpen => None,
        }
    }

    fn is_current(&mut self, ticket: Ticket) -> bool {
        let is_current = ticket.generation() == self.generation;
        self.counters.stale += u64::from(!is_current);
        is_current
    }

    fn refuse(&mut self, cause: RefusedCause, retry_after: Duration) -> Refused {
        self.counters.refused += 1;
        Refused { retry_after, cause }
    }

    fn open(&mut self, change: Change, at: Instant) {
        self.counters.opened += 1;
        self.enter(Phase::Open { until: at + self.config.open_for }, change, at);
    }

    fn enter(&mut self, phase: Phase, change: Change, at: Instant) {
        self.phase = phase;
        self.begin_generation(at);
        let state = match phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { until } => BreakerState::Open { until },
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::ForcedOpen => BreakerState::ForcedOpen,
        };
        self.counters.missed += self.events.push(BreakerEvent { state, change, at, missed: 0 });
    }

    fn begin_generation(&mut self, now: Instant) {
        self.generation += 1;
        self.failures = 0;
        if let (Some(window), Some(rate)) = (&mut self.window, self.config.rate) {
            **window = Window::new(rate, now);
        }
    }
}
