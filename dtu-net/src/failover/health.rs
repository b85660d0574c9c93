//! What is known of one endpoint.

use super::plan::FailoverConfig;
use crate::backoff::{Backoff, Delays, HINT_MAX};
use crate::breaker::{Breaker, BreakerState, Permit};
use core::time::Duration;
use rand_pcg::Pcg32;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Health {
    pause: Backoff,
    delays: Delays,
    breaker: Arc<Breaker>,
    /// Of the try, or the probe, that is under way and has had no answer.
    permit: Option<Permit<Arc<Breaker>>>,
    /// It is not tried again before.
    paused_until: Instant,
    /// When the server answered on the connection of now.
    answered: Option<Instant>,
    pub(super) probes: Probes,
}

/// What probes have shown of an endpoint that is better than the one in use.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// When the next one is due; none while nobody wants to know.
    pub(super) due: Option<Instant>,
    /// When the last answer came.
    pub(super) answered: Option<Instant>,
    /// When the device may go back, if it answers until then.
    pub(super) back_at: Option<Instant>,
}

impl Health {
    pub(super) fn new(config: &FailoverConfig, now: Instant) -> Self {
        Self {
            pause: config.pause,
            delays: Delays::new(config.pause),
            breaker: Arc::new(Breaker::new(config.breaker, now)),
            permit: None,
            paused_until: now,
            answered: None,
            probes: Probes::default(),
        }
    }

    /// When it may be tried: the end of its pause, or of the time for which its breaker is open.
    pub(super) fn available_at(&self, now: Instant) -> Instant {
        match self.breaker.state(now) {
            BreakerState::Open { until } => self.paused_until.max(until),
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::ForcedOpen => self.paused_until,
        }
    }

    /// A try or a probe begins. Without a permit it says nothing to the breaker.
    pub(super) fn begin(&mut self, now: Instant) {
        self.permit = self.breaker.acquire_owned(now).ok();
    }

    /// The server has let the device in.
    pub(super) fn answered(&mut self, now: Instant) {
        self.delays.answered(now);
        self.answered = Some(now);
        // It was tried before its time, and that was right.
        self.paused_until = now;
        self.reached(now);
    }

    /// The endpoint is there.
    pub(super) fn reached(&mut self, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.succeed(now);
        }
    }

    /// It is not, or not for this device.
    pub(super) fn failed(&mut self, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.fail(now);
        }
    }

    /// The try or the probe ended without saying anything of it.
    pub(super) fn given_up(&mut self) {
        self.permit = None;
    }

    /// The connection of now is over. Returns whether it had held for long enough since the server answered.
    pub(super) fn held(&mut self, now: Instant) -> bool {
        let stable = self.pause.stability();
        self.answered.take().is_some_and(|answered| now.saturating_duration_since(answered) >= stable)
    }

    /// Leaves it alone for the next delay, and for `hint` at least.
    pub(super) fn pause(&mut self, now: Instant, hint: Duration, random: &mut Pcg32) {
        let delay = self.delays.next_at_least(now, hint, random);
        // Where the plan allows no more delays: an endpoint is never given up.
        let delay = delay.unwrap_or_else(|| self.pause.cap().max(hint.min(HINT_MAX)));
        self.paused_until = self.paused_until.max(now + delay);
    }
}
