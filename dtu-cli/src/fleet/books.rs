//! The books of a session: what went each way, and what became of it.

use super::device::{Device, Hand};
use super::row::{Kind, Standing, standing};
use dtu_net::LinkCounters;
use dtu_net::line::{LineCounters, LineLedger};
use dtu_net::transparent::TransparentCounters;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The books of one session, over all its connections. Those of the other kind are missing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Books {
    /// Whose session it is.
    #[schema(value_type = String)]
    pub(crate) device: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) state: Standing,
    /// Connections in it.
    pub(crate) connections: u64,
    /// Of a native device: what it sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiving: Option<Receiving>,
    /// Of a native device: what was sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sending: Option<Sending>,
    /// Of a transparent DTU: what became of the requests to its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<Requests>,
    /// Of a transparent DTU: what its line said besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<LineBooks>,
}

/// The stream of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Receiving {
    /// DATA handed on, each number once.
    pub(crate) data: u64,
    /// Numbers that the device said will not come.
    pub(crate) missing: u64,
    /// DATA that came again and was held back.
    pub(crate) repeated: u64,
}

/// The ledger of what was sent: `taken` is the sum of the outcomes and what is pending.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sending {
    pub(crate) taken: u64,
    pub(crate) acked: u64,
    pub(crate) expired: u64,
    pub(crate) refused: u64,
    pub(crate) abandoned: u64,
    pub(crate) pending: u64,
    /// DATA sent once more.
    pub(crate) resent: u64,
}

/// The ledger of a line: `asked` is the sum of all the others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Requests {
    pub(crate) asked: u64,
    pub(crate) replied: u64,
    pub(crate) sent: u64,
    pub(crate) timed_out: u64,
    pub(crate) refused: u64,
    pub(crate) expired: u64,
    pub(crate) cancelled: u64,
    pub(crate) line_gone: u64,
    pub(crate) pending: u64,
}

/// What a line has seen besides its requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineBooks {
    pub(crate) received_bytes: u64,
    pub(crate) heartbeats: u64,
    /// Frames that came while no request was on the line.
    pub(crate) idle: u64,
    /// Frames that were not the reply to the request on the line.
    pub(crate) mismatched: u64,
    /// Frames that were, or could be, the reply to a request whose time was up.
    pub(crate) late: u64,
    pub(crate) skipped_bytes: u64,
    /// Frames that nobody took in time.
    pub(crate) lost: u64,
}

impl Books {
    pub(super) fn of(device: &Device) -> Self {
        let (id, state) = (Arc::clone(device.id()), standing(device));
        match &device.hand {
            Hand::Native(session) => Self::native(id, state, &session.counters()),
            Hand::Unit(session, _) => {
                Self::unit(id, state, &session.counters(), &session.ledger(), &session.line_counters())
            }
            #[cfg(test)]
            Hand::Played(_) => Self::native(id, state, &LinkCounters::default()),
        }
    }

    fn native(device: Arc<str>, state: Standing, counters: &LinkCounters) -> Self {
        let LinkCounters { ledger, connected, received, skipped, repeated, resent, .. } = *counters;
        let receiving = Receiving { data: received, missing: skipped, repeated };
        let sending = Sending {
            taken: ledger.taken,
            acked: ledger.acked,
            expired: ledger.expired,
            refused: ledger.refused,
            abandoned: ledger.abandoned,
            pending: ledger.pending,
            resent,
        };
        Self {
            device,
            kind: Kind::Native,
            state,
            connections: connected,
            receiving: Some(receiving),
            sending: Some(sending),
            requests: None,
            line: None,
        }
    }

    fn unit(
        device: Arc<str>,
        state: Standing,
        counters: &TransparentCounters,
        ledger: &LineLedger,
        line: &LineCounters,
    ) -> Self {
        let requests = Requests {
            asked: ledger.asked,
            replied: ledger.replied,
            sent: ledger.sent,
            timed_out: ledger.timed_out,
            refused: ledger.refused,
            expired: ledger.expired,
            cancelled: ledger.cancelled,
            line_gone: ledger.line_gone,
            pending: ledger.pending,
        };
        let line = LineBooks {
            received_bytes: counters.received_bytes,
            heartbeats: counters.heartbeats,
            idle: line.idle,
            mismatched: line.mismatched,
            late: line.late,
            skipped_bytes: line.skipped_bytes + counters.envelope_skipped_bytes,
            lost: counters.overruns,
        };
        let connections = counters.connections;
        let kind = Kind::Transparent;
        Self {
            device,
            kind,
            state,
            connections,
            receiving: None,
            sending: None,
            requests: Some(requests),
            line: Some(line),
        }
    }
}
