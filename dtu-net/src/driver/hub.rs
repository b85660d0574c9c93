//! Where events go that are for whoever listens: a bounded channel that counts what a slow listener missed, the metrics
//! facade, and tracing.

use super::totals::Totals;
use super::udp::drops::DroppedEvent;
use crate::error::Cause;
use crate::event::{Epoch, Event, Outcome};
use core::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Something that happened on a link, or at a server's door.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// On the link of a device. [`Event::Settled`] is not told here: it comes once for each DATA, and the receipts and the
    /// ledger tell it.
    Link {
        /// The device.
        device: Arc<str>,
        /// Its connection of now, or the last one.
        epoch: Epoch,
        /// What happened.
        event: Event,
    },
    /// A connection was not let in.
    Refused(RefusedEvent),
    /// A connection could not be accepted, for want of descriptors or memory; the server goes on after a pause. Or a UDP
    /// socket said so.
    AcceptFailed(std::io::ErrorKind),
    /// A name was not looked up, or not in time. The dial goes on with the addresses of the last time.
    LookupFailed {
        /// Which of the client's targets, from 0.
        endpoint: usize,
        /// What the resolver said.
        error: std::io::ErrorKind,
        /// How many addresses there are of the last time; with none the dial has failed.
        kept: usize,
    },
    /// Datagrams did nothing. A server tells those of one cause added up, once in [`SWEEP`](super::server::SWEEP).
    Dropped(DroppedEvent),
}

/// A connection that was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedEvent {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Who it said it is, when it said so.
    pub device: Option<Arc<str>>,
    /// Why it was not let in.
    pub cause: Cause,
}

/// Counts DATA that has reached its outcome.
pub(crate) fn count_settled(outcome: Outcome, count: u32) {
    metrics::counter!("dtu_data_settled_total", "outcome" => outcome.name()).increment(u64::from(count));
}

#[derive(Debug, Clone)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sender: broadcast::Sender<LinkEvent>,
    totals: Totals,
}

impl Hub {
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, totals) = (broadcast::Sender::new(capacity.max(1)), Totals::default());
        Self { inner: Arc::new(Inner { sender, totals }) }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<LinkEvent> {
        self.inner.sender.subscribe()
    }

    /// What the links that tell here add up to.
    pub(crate) fn totals(&self) -> &Totals {
        &self.inner.totals
    }

    /// Tells what happened on a link.
    pub(crate) fn tell(&self, device: &Arc<str>, epoch: Epoch, event: Event) {
        // As a text, which the log escapes: who says an id or a reason may say anything.
        let span = tracing::info_span!("link", device = &**device, epoch = epoch.number());
        span.in_scope(|| match &event {
            Event::State(change) => {
                let (state, cause) = (change.state.name(), change.cause.as_ref().map_or("", Cause::name));
                metrics::counter!("dtu_state_changes_total", "state" => state, "cause" => cause).increment(1);
                match &change.cause {
                    Some(cause) => tracing::info!(state, cause = %cause, reason = &*change.reason, "state changed"),
                    None => tracing::info!(state, "state changed"),
                }
            }
            Event::Resumed(resumption) => {
                let (receiving, sending) = (resumption.receiving, resumption.sending);
                metrics::counter!("dtu_connects_total", "resumed" => if receiving { "yes" } else { "no" }).increment(1);
                tracing::debug!(receiving, sending, "streams go on");
            }
            Event::Endpoint { index, before } => {
                if before.is_some() {
                    metrics::counter!("dtu_failover_total", "endpoint" => index.to_string()).increment(1);
                }
                tracing::info!(index, ?before, "endpoint chosen");
            }
            Event::Settled { count, outcome, .. } => {
                count_settled(*outcome, *count);
            }
            Event::Skipped { bytes, cause } => {
                metrics::counter!("dtu_skipped_bytes_total", "cause" => cause.name()).increment(*bytes);
                tracing::debug!(bytes, cause = %cause, "skipped");
            }
            Event::HeartbeatLearned(learned) => {
                metrics::counter!("dtu_heartbeat_learned_total").increment(1);
                let (network, good, bad) = (learned.network.0, learned.good, learned.bad);
                tracing::info!(network, ?good, ?bad, "heartbeat learned");
            }
            Event::NetworkForgotten { network } => {
                metrics::counter!("dtu_networks_forgotten_total").increment(1);
                tracing::info!(network = network.0, "network forgotten");
            }
        });
        if !matches!(event, Event::Settled { .. }) {
            self.send(LinkEvent::Link { device: Arc::clone(device), epoch, event });
        }
    }

    pub(crate) fn refused(&self, peer: SocketAddr, device: Option<Arc<str>>, cause: Cause) {
        metrics::counter!("dtu_refused_total", "cause" => cause.name()).increment(1);
        tracing::info!(%peer, device = device.as_deref().unwrap_or(""), cause = %cause, "not let in");
        self.send(LinkEvent::Refused(RefusedEvent { peer, device, cause }));
    }

    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        metrics::counter!("dtu_accept_failures_total").increment(1);
        tracing::warn!(%error, "cannot accept");
        self.send(LinkEvent::AcceptFailed(error.kind()));
    }

    pub(crate) fn lookup_failed(&self, endpoint: usize, target: &str, error: &std::io::Error, kept: usize) {
        let answer = if kept > 0 { "kept" } else { "none" };
        metrics::counter!("dtu_lookup_failures_total", "answer" => answer).increment(1);
        tracing::warn!(endpoint, target, %error, kept, "a name was not looked up");
        self.send(LinkEvent::LookupFailed { endpoint, error: error.kind(), kept });
    }

    /// An endpoint was probed, or not reached by it: `error`.
    pub(crate) fn probed(&self, endpoint: usize, error: Option<&std::io::Error>) {
        let outcome = if error.is_none() { "answered" } else { "failed" };
        let counter =
            metrics::counter!("dtu_failover_probes_total", "endpoint" => endpoint.to_string(), "outcome" => outcome);
        counter.increment(1);
        match error {
            None => tracing::debug!(endpoint, "probe answered"),
            Some(error) => tracing::debug!(endpoint, %error, "probe failed"),
        }
    }

    /// They have been counted and traced one by one.
    pub(crate) fn dropped(&self, event: DroppedEvent) {
        self.send(LinkEvent::Dropped(event));
    }

    fn send(&self, event: LinkEvent) {
        // Without a listener it has been counted and traced.
        let _nobody = self.inner.sender.send(event);
    }
}
