//! What the gateway as a whole has done.

use crate::fleet::{Census, Millis};
use crate::health::Health;
use crate::sink::SinkBook;
use dtu_net::driver::{Bound, ServerCounters};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use utoipa::ToSchema;

/// Who this gateway is, and what its servers have counted.
#[derive(Debug)]
pub(crate) struct Status {
    id: String,
    started: Instant,
    since: Millis,
    /// By listener.
    servers: Mutex<BTreeMap<String, ServerCounters>>,
}

/// The counters of the gateway since it started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counters {
    /// Which gateway.
    pub(crate) id: String,
    pub(crate) version: &'static str,
    /// When it started.
    pub(crate) since: Millis,
    pub(crate) uptime_ms: u64,
    /// Devices with a session, by whether they are there.
    pub(crate) devices: Devices,
    /// Connections of native devices that were accepted from the system.
    pub(crate) connections: u64,
    /// Of those, the ones there are now.
    pub(crate) open: usize,
    /// Of those, the ones that have not said who they are.
    pub(crate) unidentified: usize,
    /// Connections that were not let in, those for want of room not among them.
    pub(crate) refused: u64,
    /// Connections that were refused for want of room, by the bound that they met.
    pub(crate) busy: BTreeMap<&'static str, u64>,
    /// Datagrams that did nothing.
    pub(crate) dropped_datagrams: u64,
    /// How the sinks are, in the order of the configuration.
    pub(crate) sinks: Vec<SinkState>,
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) reasons: Vec<String>,
}

/// How a sink is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SinkState {
    /// Its kind; the second of a kind has `-2` behind it.
    pub(crate) name: String,
    /// Whether it kept what it was given last.
    pub(crate) up: bool,
    /// Whether it is left alone for a while.
    pub(crate) breaker_open: bool,
    /// Records that it has kept.
    pub(crate) records: u64,
    /// Batches that it did not keep, each time they came.
    pub(crate) failures: u64,
}

impl SinkState {
    fn of(sink: &SinkBook) -> Self {
        Self {
            name: sink.name.clone(),
            up: !sink.is_down(),
            breaker_open: sink.is_breaker_open(),
            records: sink.records(),
            failures: sink.failures(),
        }
    }
}

/// How many devices have a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Devices {
    pub(crate) connected: usize,
    pub(crate) disconnected: usize,
}

impl Status {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), started: Instant::now(), since: Millis::now(), servers: Mutex::default() }
    }

    /// What the server of a listener has counted by now.
    pub(crate) fn counted(&self, listener: &str, counters: ServerCounters) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        match servers.get_mut(listener) {
            Some(before) => *before = counters,
            None => drop(servers.insert(listener.to_owned(), counters)),
        }
    }

    pub(crate) fn counters(&self, census: Census, health: &Health) -> Counters {
        let Census { connected, disconnected } = census;
        let reasons = health.reasons();
        let mut sums = Counters {
            id: self.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            since: self.since,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            devices: Devices { connected, disconnected },
            connections: 0,
            open: 0,
            unidentified: 0,
            refused: 0,
            busy: Bound::ALL.map(|bound| (bound.name(), 0)).into(),
            dropped_datagrams: 0,
            sinks: health.sinks().sinks().iter().map(SinkState::of).collect(),
            ready: reasons.is_empty(),
            reasons,
        };
        for server in self.servers.lock().unwrap_or_else(PoisonError::into_inner).values() {
            sums.connections += server.connections;
            sums.open += server.open;
            sums.unidentified += server.unidentified;
            sums.refused += server.refused;
            sums.dropped_datagrams += server.dropped;
            for bound in Bound::ALL {
                *sums.busy.entry(bound.name()).or_default() += server.busy.by(bound);
            }
        }
        sums
    }
}
