//! Datagrams that did nothing: counted by cause, and told.

use crate::driver::hub::Hub;
use core::fmt;
use core::mem;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use dtu_proto::message::DatagramError;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a datagram did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropCause {
    /// It is not one whole intact frame with a stream and a message.
    Malformed(DatagramError),
    /// No session goes by its stream, and it does not open one.
    UnknownStream {
        /// The stream.
        stream: u64,
    },
    /// It names another stream than the link's, or than the REGISTER inside it.
    OtherStream {
        /// The stream.
        stream: u64,
    },
    /// It names a session and comes from another address than the session's, which has not echoed a nonce.
    OtherSource,
    /// It belongs to a handshake that is over.
    Late,
    /// It was to be sent as the answer to a stranger, and the socket had no room.
    NoRoom,
    /// The system did not send it, or the network said about an earlier one that it did not arrive.
    Transport(io::ErrorKind),
}

impl DropCause {
    /// The cause as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.name(),
            Self::UnknownStream { .. } => "unknown_stream",
            Self::OtherStream { .. } => "other_stream",
            Self::OtherSource => "other_source",
            Self::Late => "late",
            Self::NoRoom => "no_room",
            Self::Transport(_) => "transport",
        }
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::UnknownStream { stream } => write!(f, "no session goes by stream {stream:#x}"),
            Self::OtherStream { stream } => write!(f, "stream {stream:#x} does not belong here"),
            Self::OtherSource => f.write_str("it comes from an address that has echoed no nonce"),
            Self::Late => f.write_str("its handshake is over"),
            Self::NoRoom => f.write_str("the socket has no room for an answer"),
            Self::Transport(kind) => write!(f, "the network: {kind}"),
        }
    }
}

impl core::error::Error for DropCause {}

/// Datagrams of one cause that did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedEvent {
    /// Where the last of them came from, or was to go.
    pub peer: SocketAddr,
    /// Why; of several the last one, as they differ at most in their numbers.
    pub cause: DropCause,
    /// How many since the last event of this cause.
    pub count: u64,
}

/// The books of one socket. What strangers send must not crowd other events out, so that a server tells it added up.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    total: AtomicU64,
    /// At most one for each cause.
    untold: Mutex<Vec<DroppedEvent>>,
}

impl Drops {
    pub(crate) fn count(&self, peer: SocketAddr, cause: DropCause) {
        self.total.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("dtu_datagrams_dropped_total", "cause" => cause.name()).increment(1);
        tracing::debug!(%peer, %cause, "datagram dropped");
        let mut untold = self.lock();
        match untold.iter_mut().find(|event| event.cause.name() == cause.name()) {
            Some(event) => *event = DroppedEvent { peer, cause, count: event.count + 1 },
            None => untold.push(DroppedEvent { peer, cause, count: 1 }),
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, hub: &Hub) {
        let untold = mem::take(&mut *self.lock());
        untold.into_iter().for_each(|event| hub.dropped(event));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DroppedEvent>> {
        // Poison is no concern: no change of the list panics half-way.
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
