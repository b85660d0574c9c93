//! A device as a row of a list.

use super::device::{Device, Hand, Sums};
use super::time::{Clock, Millis};
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use dtu_net::{State, StateChange};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use utoipa::ToSchema;

/// How a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The frames and sessions of this toolkit.
    Native,
    /// The bytes of its line, behind a registration.
    Transparent,
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Connected,
    /// Its session waits for it.
    Disconnected,
    /// Its session is over; it will be gone from the list.
    Closed,
}

impl Standing {
    /// For a place of one byte, in which 0 is none of them.
    pub(super) const fn mark(self) -> u8 {
        match self {
            Self::Connected => 1,
            Self::Disconnected => 2,
            Self::Closed => 3,
        }
    }

    const fn of(state: State) -> Self {
        match state {
            State::Connected | State::Suspect => Self::Connected,
            State::Disconnected | State::Connecting | State::Registering => Self::Disconnected,
            State::Closed => Self::Closed,
        }
    }
}

/// One device. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Row {
    /// Who it says it is; any text.
    #[schema(value_type = String)]
    pub(crate) id: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) state: Standing,
    /// Where its connection comes from, or the last one came from.
    #[schema(value_type = Option<String>)]
    pub(crate) peer: Option<SocketAddr>,
    /// Its round trip, of a native device: measured once in a connection, when somebody looks first.
    pub(crate) rtt_ms: Option<f64>,
    /// When its last byte came.
    pub(crate) last_seen: Option<Millis>,
    /// When it came into its state.
    pub(crate) since: Millis,
    /// Frames received in this session.
    pub(crate) frames: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Bytes that belonged to no frame.
    pub(crate) errors: u64,
    /// Connections of it that replaced a live one.
    pub(crate) takeovers: u64,
    /// Connections in this session.
    pub(crate) connections: u64,
}

/// What a session says of itself.
struct Said {
    kind: Kind,
    change: Option<StateChange>,
    peer: Option<SocketAddr>,
    round_trip: Option<Duration>,
    heard: Option<Instant>,
    connections: u64,
    takeovers: u64,
}

impl Said {
    fn by(hand: &Hand) -> Self {
        match hand {
            Hand::Native(session) => {
                let counters = session.counters();
                // Nobody looked so far: the next look has it.
                if counters.round_trip.is_none() {
                    session.measure();
                }
                Self {
                    kind: Kind::Native,
                    change: Some(session.state()),
                    peer: session.peer(),
                    round_trip: counters.round_trip,
                    heard: session.last_heard(),
                    connections: counters.connected,
                    takeovers: counters.replaced,
                }
            }
            Hand::Unit(session, _) => {
                let counters = session.counters();
                Self {
                    kind: Kind::Transparent,
                    change: Some(session.state()),
                    peer: session.peer(),
                    round_trip: None,
                    heard: session.last_heard(),
                    connections: counters.connections,
                    takeovers: counters.replaced,
                }
            }
            #[cfg(test)]
            Hand::Played(_) => Self {
                kind: Kind::Native,
                change: None,
                peer: None,
                round_trip: None,
                heard: None,
                connections: 1,
                takeovers: 0,
            },
        }
    }
}

impl Device {
    /// Whether it was heard since it was told last, or stands elsewhere: of changes of which there are too many at once some are
    /// not told by events.
    pub(super) fn is_other_than_told(&self, clock: &Clock) -> bool {
        if standing(self).mark() != self.told_standing.load(Ordering::Relaxed) {
            return true;
        }
        let heard = match &self.hand {
            Hand::Native(session) => session.last_heard(),
            Hand::Unit(session, _) => session.last_heard(),
            #[cfg(test)]
            Hand::Played(_) => None,
        };
        heard.is_some_and(|at| clock.millis(at).0 > self.told_heard.load(Ordering::Relaxed))
    }
}

impl Row {
    /// The device as it is now, to be told.
    pub(super) fn of(device: &Device, clock: &Clock) -> Self {
        let Said { kind, change, peer, round_trip, heard, connections, takeovers } = Said::by(&device.hand);
        let Sums { frames, bytes, errors } = device.sums();
        let last_seen = heard.map(|at| clock.millis(at));
        let state = change.as_ref().map_or(Standing::Connected, |change| Standing::of(change.state));
        device.told_heard.store(last_seen.unwrap_or_default().0, Ordering::Relaxed);
        device.told_standing.store(state.mark(), Ordering::Relaxed);
        Self {
            id: Arc::clone(device.id()),
            kind,
            state,
            peer,
            rtt_ms: round_trip.map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0),
            last_seen,
            since: change.map_or(device.entered, |change| clock.millis(change.at)),
            frames,
            bytes,
            errors,
            takeovers,
            connections,
        }
    }
}

/// Where a device stands, without all the rest.
pub(super) fn standing(device: &Device) -> Standing {
    match &device.hand {
        Hand::Native(session) => Standing::of(session.state().state),
        Hand::Unit(session, _) => Standing::of(session.state().state),
        #[cfg(test)]
        Hand::Played(_) => Standing::Connected,
    }
}
