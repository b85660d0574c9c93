//! What the scheduler knows of one target: its limits, and what is ready for it.

use super::budget::{Budget, Tokens};
use super::job::JobId;
use super::{TARGET_IN_FLIGHT, policy::Policies};
use crate::breaker::{Breaker, BreakerConfig};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// The limits of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetConfig {
    pub(super) breaker: BreakerConfig,
    pub(super) budget: Budget,
    pub(super) max_in_flight: u32,
}

impl TargetConfig {
    /// The default breaker, [`Budget::TARGET`], and [`TARGET_IN_FLIGHT`] attempts at a time.
    pub const DEFAULT: Self =
        Self { breaker: BreakerConfig::DEFAULT, budget: Budget::TARGET, max_in_flight: TARGET_IN_FLIGHT };

    /// Opens and closes this way.
    #[must_use]
    pub const fn breaker(self, breaker: BreakerConfig) -> Self {
        Self { breaker, ..self }
    }

    /// Allows so many retries.
    #[must_use]
    pub const fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Runs so many attempts at a time, one at least.
    #[must_use]
    pub const fn max_in_flight(self, max_in_flight: u32) -> Self {
        Self { max_in_flight, ..self }
    }
}

impl Default for TargetConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A target's number; one that is removed and added again is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TargetId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: Arc<str>,
    pub(super) config: TargetConfig,
    pub(super) breaker: Arc<Breaker>,
    pub(super) tokens: Tokens,
    pub(super) in_flight: u32,
    pub(super) jobs: BTreeSet<JobId>,
    /// Those operations of which something is ready or in flight.
    lanes: BTreeMap<Arc<str>, Lane>,
    /// The lanes with a free slot and something ready, by the turn of that.
    first_heads: BTreeMap<u64, Arc<str>>,
    retry_heads: BTreeMap<u64, Arc<str>>,
    /// In the scheduler's ring: it may have something to start.
    pub(super) is_queued: bool,
    /// Among those who wait for a token of the process.
    pub(super) waits_for_process: bool,
    /// When its breaker may let something through; from the last refusal on until it is asked again.
    pub(super) refused_until: Option<Instant>,
    /// Its entry in the scheduler's timers.
    pub(super) timer: Option<Instant>,
}

/// The jobs of one operation on one target.
#[derive(Debug, Default)]
struct Lane {
    in_flight: u32,
    firsts: BTreeSet<(u64, JobId)>,
    retries: BTreeSet<(u64, JobId)>,
    /// Its entries in `first_heads` and `retry_heads`.
    listed: [Option<u64>; 2],
}

impl Target {
    pub(super) fn new(name: Arc<str>, config: TargetConfig, now: Instant) -> Self {
        Self {
            name,
            config,
            breaker: Arc::new(Breaker::new(config.breaker, now)),
            tokens: Tokens::full(config.budget, now),
            in_flight: 0,
            jobs: BTreeSet::new(),
            lanes: BTreeMap::new(),
            first_heads: BTreeMap::new(),
            retry_heads: BTreeMap::new(),
            is_queued: false,
            waits_for_process: false,
            refused_until: None,
            timer: None,
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.in_flight >= self.config.max_in_flight
    }

    pub(super) fn is_lane_full(&self, policies: &Policies, operation: &str) -> bool {
        let limit = policies.of(&self.name, operation).concurrency;
        self.lanes.get(operation).is_some_and(|lane| lane.in_flight >= limit)
    }

    /// The first attempt that is ready for longest, in a lane with a free slot.
    pub(super) fn first_head(&self) -> Option<(u64, JobId)> {
        self.head(&self.first_heads, |lane| &lane.firsts)
    }

    /// The same for retries.
    pub(super) fn retry_head(&self) -> Option<(u64, JobId)> {
        self.head(&self.retry_heads, |lane| &lane.retries)
    }

    fn head(
        &self,
        heads: &BTreeMap<u64, Arc<str>>,
        of: impl Fn(&Lane) -> &BTreeSet<(u64, JobId)>,
    ) -> Option<(u64, JobId)> {
        let (_, operation) = heads.first_key_value()?;
        let lane = self.lanes.get(operation).expect("a lane that is listed exists");
        Some(*of(lane).first().expect("a lane is listed for what is ready in it"))
    }

    pub(super) fn insert_ready(&mut self, policies: &Policies, operation: &Arc<str>, ready: Ready) {
        let lane = self.lanes.entry(Arc::clone(operation)).or_default();
        lane.ready(ready.is_retry).insert((ready.turn, ready.id));
        self.list(policies, operation);
    }

    pub(super) fn remove_ready(&mut self, policies: &Policies, operation: &Arc<str>, ready: Ready) {
        let lane = self.lanes.get_mut(operation).expect("what is ready stands in a lane");
        lane.ready(ready.is_retry).remove(&(ready.turn, ready.id));
        self.list(policies, operation);
    }

    pub(super) fn take_slot(&mut self, policies: &Policies, operation: &Arc<str>) {
        self.in_flight += 1;
        self.lanes.entry(Arc::clone(operation)).or_default().in_flight += 1;
        self.list(policies, operation);
    }

    pub(super) fn free_slot(&mut self, policies: &Policies, operation: &Arc<str>) {
        self.in_flight -= 1;
        self.lanes.get_mut(operation).expect("a lane stays while a slot of it is taken").in_flight -= 1;
        self.list(policies, operation);
    }

    /// Lists the lane under what is first in it now, and drops it when nothing is.
    fn list(&mut self, policies: &Policies, operation: &Arc<str>) {
        let is_full = self.is_lane_full(policies, operation);
        let lane = self.lanes.get_mut(operation).expect("the caller has just used it");
        for (kind, heads) in [&mut self.first_heads, &mut self.retry_heads].into_iter().enumerate() {
            let head = lane.ready(kind == 1).first().map(|(turn, _)| *turn).filter(|_| !is_full);
            if lane.listed[kind] == head {
                continue;
            }
            if let Some(listed) = core::mem::replace(&mut lane.listed[kind], head) {
                heads.remove(&listed);
            }
            if let Some(turn) = head {
                heads.insert(turn, Arc::clone(operation));
            }
        }
        if lane.in_flight == 0 && lane.firsts.is_empty() && lane.retries.is_empty() {
            self.lanes.remove(operation);
        }
    }
}

/// Where a job stands in its lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) turn: u64,
    pub(super) id: JobId,
    pub(super) is_retry: bool,
}

impl Lane {
    const fn ready(&mut self, is_retry: bool) -> &mut BTreeSet<(u64, JobId)> {
        if is_retry { &mut self.retries } else { &mut self.firsts }
    }
}
