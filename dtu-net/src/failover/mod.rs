//! Several endpoints for one device: which of them it tries, stays with, and goes back to. Facts in, work out; no socket, no
//! clock, and random numbers from a seed.
//!
//! # Which one is tried
//!
//! An endpoint is *available* when its own pause is over and its [breaker](crate::breaker) is not open. Of the available
//! ones, first to last:
//!
//! 1. the one that the device goes back to, or whose connection had held and just broke: once, available or not;
//! 2. those of the lowest priority number; among them the one used last, or else one at random by weight;
//! 3. when none is available, the one whose time comes first; and the device waits for that.
//!
//! | what happened ([`Verdict`]) | pause of the endpoint | breaker |
//! |---|---|---|
//! | WELCOME | | success |
//! | the connection broke after it had held for [`stable_after`](crate::backoff::Backoff::stable_after) | none: it is tried once more | |
//! | it broke earlier; no connection, no WELCOME in time, silence, a broken rule, CLOSE | its next delay | failure, where WELCOME had not come |
//! | REFUSE with BUSY, or another code | its next delay, at least `retry_after` | failure |
//! | REFUSE with UNAUTHORIZED, or a proof is asked for and there is no key | at least [`UNWANTED`](crate::limits::UNWANTED) | |
//! | an error of this side: no network, no address to dial from | its next delay | |
//!
//! The delays between two tries of the *device* stay those of its link ([`DeviceConfig::backoff`](crate::DeviceConfig)),
//! whichever endpoints they go to. So [`Backoff::max_attempts_within`](crate::backoff::Backoff::max_attempts_within) holds over
//! all endpoints together. A pause can only make it slower: when every endpoint is in one, the device waits for the earliest.
//!
//! # When it goes back
//!
//! While a device is connected to one endpoint, those of lower priority numbers are probed: a connection is made, by TLS where
//! the endpoint has it, and dropped. When an endpoint has answered every probe for [`FailBack::hold`], and then for a time that
//! is drawn from [`FailBack::spread`], the device sends nothing new, waits at most [`MOVE`] until all it sent is acknowledged,
//! ends its connection with CLOSE and GOING_DOWN, which keeps the session at the server it leaves, and goes there. A probe that fails begins it all anew, and counts as a failure of the endpoint. The move
//! follows upon a probe that has just been answered. Two probes of one endpoint are at least half of [`FailBack::probe_every`]
//! apart, and only one is under way at a time.
//!
//! # Examples
//!
//! ```
//! use dtu_net::failover::{Failover, FailoverConfig, Plan, Rank, Verdict};
//! use std::time::{Duration, Instant};
//!
//! # fn main() -> Result<(), dtu_net::failover::FailoverError> {
//! let plan = Plan::new(&[Rank::new(0), Rank::new(1)], FailoverConfig::DEFAULT)?;
//! let mut now = Instant::now();
//! let mut failover = Failover::new(&plan, 7, now);
//! assert_eq!(failover.choose(now), 0);
//! failover.handle_lost(now, Verdict::Failed);
//! assert_eq!(failover.choose(now), 1, "the first is in its pause");
//! failover.handle_lost(now, Verdict::Busy(Duration::from_secs(300)));
//!
//! now = failover.available_at(now);
//! assert_eq!(failover.choose(now), 0, "its time has come first");
//! # Ok(())
//! # }
//! ```

mod health;
mod plan;
mod verdict;

pub use plan::{
    ENDPOINTS_MAX, FailBack, FailoverConfig, FailoverError, Field, HOLD, MOVE, PAUSE, PROBE_EVERY, PROBE_EVERY_MIN,
    Plan, Rank, SPREAD,
};
pub use verdict::Verdict;

use crate::backoff::draw;
use core::time::Duration;
use health::{Health, Probes};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;
use std::time::Instant;

/// What keeps the random numbers here apart from those of the link, which has the same seed.
const SEQUENCE: u64 = 0xfa11_04e7;

/// Where one device stands among its endpoints.
#[derive(Debug)]
pub struct Failover {
    plan: Plan,
    endpoints: Box<[Health]>,
    random: Pcg32,
    /// The one that was chosen last.
    current: Option<usize>,
    /// The one that is chosen next.
    preferred: Option<usize>,
    probing: Option<(Probe, Instant)>,
    probes: u32,
    /// The endpoint that the device shall go back to now.
    back_to: Option<usize>,
}

/// A probe that is to be made, or is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Of which endpoint.
    pub endpoint: usize,
    number: u32,
}

impl Failover {
    /// Every endpoint is available. `seed` is random.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64, now: Instant) -> Self {
        Self {
            plan: plan.clone(),
            endpoints: plan.ranks.iter().map(|_| Health::new(&plan.config, now)).collect(),
            random: Pcg32::new(seed, SEQUENCE),
            current: None,
            preferred: None,
            probing: None,
            probes: 0,
            back_to: None,
        }
    }

    /// The endpoint that was chosen last, or is in use.
    #[must_use]
    pub const fn current(&self) -> Option<usize> {
        self.current
    }

    /// Chooses the endpoint for the try that begins now. Every choice is followed by [`handle_lost`](Self::handle_lost).
    pub fn choose(&mut self, now: Instant) -> usize {
        let chosen = self.pick(now);
        self.current = Some(chosen);
        if let Some(health) = self.endpoints.get_mut(chosen) {
            health.begin(now);
        }
        chosen
    }

    fn pick(&mut self, now: Instant) -> usize {
        if let Some(preferred) = self.preferred.take() {
            return preferred;
        }
        let times: Vec<_> = self.endpoints.iter().map(|health| health.available_at(now)).collect();
        let is_available = |index: &usize| times.get(*index).is_some_and(|at| *at <= now);
        let priority = |index: &usize| self.plan.ranks.get(*index).map_or(u16::MAX, |rank| rank.priority);
        let all = 0..self.endpoints.len();
        let Some(best) = all.clone().filter(is_available).map(|index| priority(&index)).min() else {
            let earliest = all.min_by_key(|index| (times.get(*index).copied(), priority(index)));
            return earliest.expect("a plan has an endpoint");
        };
        let equals: Vec<_> = all.filter(|index| is_available(index) && priority(index) == best).collect();
        match self.current.filter(|current| equals.contains(current)) {
            Some(current) => current,
            None => self.draw_by_weight(&equals),
        }
    }

    fn draw_by_weight(&mut self, among: &[usize]) -> usize {
        let weight = |index: &usize| self.plan.ranks.get(*index).map_or(0, |rank| u64::from(rank.weight));
        let total: u64 = among.iter().map(weight).sum();
        let mut drawn = draw(1, total, &mut self.random);
        let chosen = among.iter().find(|index| {
            let weight = weight(index);
            let hit = drawn <= weight;
            drawn = drawn.saturating_sub(weight);
            hit
        });
        *chosen.expect("what was drawn is at most the sum of all weights, and none is zero")
    }

    /// When the first endpoint is available; `now` when one is already.
    #[must_use]
    pub fn available_at(&self, now: Instant) -> Instant {
        let earliest = self.endpoints.iter().map(|health| health.available_at(now)).min();
        earliest.expect("a plan has an endpoint").max(now)
    }

    /// The server that was chosen has let the device in.
    pub fn handle_answered(&mut self, now: Instant) {
        let Some(current) = self.current else { return };
        if let Some(health) = self.endpoints.get_mut(current) {
            health.answered(now);
        }
        let Some(fail_back) = self.plan.config.fail_back else { return };
        let ranks = &self.plan.ranks;
        let Some(priority) = ranks.get(current).map(|rank| rank.priority) else { return };
        for (rank, health) in ranks.iter().zip(&mut self.endpoints) {
            if rank.is_probed && rank.priority < priority {
                let due = now + between_probes(&fail_back, &mut self.random);
                health.probes = Probes { due: Some(due.max(health.available_at(now))), ..Probes::default() };
            }
        }
    }

    /// The connection, or the try, is over.
    pub fn handle_lost(&mut self, now: Instant, verdict: Verdict) {
        self.forget_probes();
        let Some(current) = self.current else { return };
        let (endpoints, random) = (&mut self.endpoints, &mut self.random);
        let Some(health) = endpoints.get_mut(current) else { return };
        let held = health.held(now);
        match verdict {
            Verdict::Broke if held => {
                // One that is about to be gone back to comes before.
                self.preferred.get_or_insert(current);
            }
            Verdict::Broke | Verdict::Failed => {
                health.failed(now);
                health.pause(now, Duration::ZERO, random);
            }
            Verdict::Busy(retry_after) => {
                health.failed(now);
                health.pause(now, retry_after, random);
            }
            Verdict::Unwanted(time) => health.pause(now, time, random),
            Verdict::Local => health.pause(now, Duration::ZERO, random),
            Verdict::None => {}
        }
        health.given_up();
    }

    fn forget_probes(&mut self) {
        if let Some((probe, _)) = self.probing.take()
            && let Some(health) = self.endpoints.get_mut(probe.endpoint)
        {
            health.given_up();
        }
        self.endpoints.iter_mut().for_each(|health| health.probes = Probes::default());
        self.back_to = None;
    }

    /// When [`poll_probe`](Self::poll_probe) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.probing.is_some() {
            return None;
        }
        self.endpoints.iter().filter_map(|health| health.probes.due).min()
    }

    /// The probe that is to be made now.
    #[must_use]
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        let is_due = |health: &Health| health.probes.due.is_some_and(|due| due <= now);
        let endpoint = self.endpoints.iter().position(is_due)?;
        let health = self.endpoints.get_mut(endpoint)?;
        health.begin(now);
        health.probes.due = None;
        self.probes = self.probes.wrapping_add(1);
        let probe = Probe { endpoint, number: self.probes };
        self.probing = Some((probe, now));
        Some(probe)
    }

    /// A probe was answered, or not. One of an older connection does nothing.
    pub fn handle_probe(&mut self, now: Instant, probe: Probe, answered: bool) {
        let Some((_, sent)) = self.probing.take_if(|(probing, _)| *probing == probe) else { return };
        let Some(fail_back) = self.plan.config.fail_back else { return };
        let Some(health) = self.endpoints.get_mut(probe.endpoint) else { return };
        let next = now + between_probes(&fail_back, &mut self.random);
        if !answered {
            health.failed(now);
            health.pause(now, Duration::ZERO, &mut self.random);
            health.probes = Probes { due: Some(next.max(health.available_at(now))), ..Probes::default() };
            return;
        }
        health.reached(now);
        // After a suspend nobody knows what was in between. How long an answer takes is no silence.
        let unseen = |before: Instant| sent.saturating_duration_since(before) > fail_back.probe_every * 2;
        if health.probes.answered.is_none_or(unseen) {
            health.probes.back_at = None;
        }
        health.probes.answered = Some(now);
        let random = &mut self.random;
        let back_at = *health
            .probes
            .back_at
            .get_or_insert_with(|| now + fail_back.hold + drawn(Duration::ZERO, fail_back.spread, random));
        if back_at <= now {
            self.back_to = Some(probe.endpoint);
        }
        health.probes.due = Some(next.min(back_at.max(now + fail_back.probe_every / 2)));
    }

    /// The endpoint that the device shall go back to now. When its connection is ended with [`Verdict::None`], that one is
    /// chosen next.
    #[must_use]
    pub fn poll_fail_back(&mut self) -> Option<usize> {
        let back_to = self.back_to.take()?;
        self.preferred = Some(back_to);
        Some(back_to)
    }
}

/// Between half of the time and all of it.
fn between_probes(fail_back: &FailBack, random: &mut impl Rng) -> Duration {
    drawn(fail_back.probe_every / 2, fail_back.probe_every, random)
}

fn drawn(least: Duration, most: Duration, random: &mut impl Rng) -> Duration {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(draw(nanos(least), nanos(most), random))
}
