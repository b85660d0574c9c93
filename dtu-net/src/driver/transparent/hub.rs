//! Where the events of units go: a bounded channel, the metrics facade, and tracing.

use super::super::hub::RefusedEvent;
use crate::error::Cause;
use crate::event::Epoch;
use crate::line::LineCounters;
use crate::transparent::TransparentEvent;
use core::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Something that happened in the session of a unit, or at the door of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitEvent {
    /// In the session of a unit. [`TransparentEvent::Settled`] is not told here: the tickets and the ledger tell it.
    Session {
        /// The unit.
        device: Arc<str>,
        /// Its connection of now, or the last one.
        epoch: Epoch,
        /// What happened.
        event: TransparentEvent,
    },
    /// A connection was not let in.
    Refused(RefusedEvent),
    /// A connection could not be accepted, for want of descriptors or memory; the server goes on after a pause.
    AcceptFailed(std::io::ErrorKind),
}

/// Counts a request that has reached its outcome, or was refused.
pub(super) fn count_request(outcome: &'static str) {
    metrics::counter!("dtu_requests_total", "outcome" => outcome).increment(1);
}

/// Counts the frames that nobody asked for since the last time.
pub(super) fn count_unsolicited(before: &LineCounters, now: &LineCounters) {
    let kinds = [
        ("idle", before.idle, now.idle),
        ("mismatched", before.mismatched, now.mismatched),
        ("late", before.late, now.late),
    ];
    for (kind, before, now) in kinds {
        if now > before {
            metrics::counter!("dtu_unsolicited_frames_total", "kind" => kind).increment(now - before);
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Hub {
    sender: broadcast::Sender<UnitEvent>,
}

impl Hub {
    pub(super) fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.max(1)) }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<UnitEvent> {
        self.sender.subscribe()
    }

    pub(super) fn tell(&self, device: &Arc<str>, epoch: Epoch, event: TransparentEvent) {
        // As a text, which the log escapes: who says an id may say anything.
        let span = tracing::info_span!("unit", device = &**device, epoch = epoch.number());
        span.in_scope(|| match &event {
            TransparentEvent::State(change) => {
                let (state, cause) = (change.state.name(), change.cause.as_ref().map_or("", Cause::name));
                metrics::counter!("dtu_state_changes_total", "state" => state, "cause" => cause).increment(1);
                tracing::info!(state, cause, "state changed");
            }
            TransparentEvent::Identified { registration, .. } => {
                let resumed = if epoch.number() > 1 { "yes" } else { "no" };
                metrics::counter!("dtu_connects_total", "resumed" => resumed).increment(1);
                tracing::debug!(registration = ?registration, "identified");
            }
            TransparentEvent::Settled { outcome, .. } => count_request(outcome.name()),
            TransparentEvent::Heartbeat { index } => {
                metrics::counter!("dtu_unit_heartbeats_total").increment(1);
                tracing::trace!(?index, "heartbeat");
            }
            TransparentEvent::Skipped { bytes, cause } => {
                metrics::counter!("dtu_skipped_bytes_total", "cause" => cause.name()).increment(*bytes as u64);
                tracing::debug!(bytes, cause = %cause, "skipped");
            }
            TransparentEvent::Control { kind } => tracing::debug!(kind, "an envelope of another kind"),
            TransparentEvent::Overrun { bytes } => {
                metrics::counter!("dtu_unit_frames_lost_total").increment(1);
                tracing::warn!(bytes, "the application is behind: a frame was lost");
            }
            TransparentEvent::Unsendable { bytes, error } => {
                metrics::counter!("dtu_unit_requests_unsendable_total").increment(1);
                tracing::warn!(bytes, %error, "the envelope does not carry it");
            }
            TransparentEvent::ReplyDropped { bytes } => {
                metrics::counter!("dtu_unit_replies_dropped_total").increment(1);
                tracing::debug!(bytes, "an answer was not sent");
            }
        });
        if !matches!(event, TransparentEvent::Settled { .. }) {
            self.send(UnitEvent::Session { device: Arc::clone(device), epoch, event });
        }
    }

    pub(super) fn refused(&self, peer: SocketAddr, device: Option<Arc<str>>, cause: Cause) {
        metrics::counter!("dtu_refused_total", "cause" => cause.name()).increment(1);
        tracing::info!(%peer, device = device.as_deref().unwrap_or(""), cause = %cause, "not let in");
        self.send(UnitEvent::Refused(RefusedEvent { peer, device, cause }));
    }

    pub(super) fn accept_failed(&self, error: &std::io::Error) {
        metrics::counter!("dtu_accept_failures_total").increment(1);
        tracing::warn!(%error, "cannot accept");
        self.send(UnitEvent::AcceptFailed(error.kind()));
    }

    fn send(&self, event: UnitEvent) {
        // Without a listener it has been counted and traced.
        let _nobody = self.sender.send(event);
    }
}
