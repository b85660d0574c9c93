//! The sessions of a server, by device: who comes again finds the one there is.

use super::hub::Hub;
use super::now;
use super::random_stream;
use super::session::Session;
use super::shared::Shared;
use crate::event::Epoch;
use crate::handshake::Handshake;
use crate::limits::Limits;
use crate::link::Link;
use crate::server::Server;
use core::borrow::Borrow;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use dtu_proto::message::CloseCode;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Sessions = HashSet<ByDevice>;

/// A session, found by its device. The name stands in the session alone.
#[derive(Debug, Clone)]
struct ByDevice(Arc<Shared<Server>>);

impl Borrow<str> for ByDevice {
    fn borrow(&self) -> &str {
        &self.0.device
    }
}

impl Hash for ByDevice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self.borrow(), state);
    }
}

impl PartialEq for ByDevice {
    fn eq(&self, other: &Self) -> bool {
        self.0.device == other.0.device
    }
}

impl Eq for ByDevice {}

#[derive(Debug)]
pub(crate) struct Registry {
    sessions: Mutex<Sessions>,
    limits: Arc<Limits>,
    max_sessions: usize,
    hub: Hub,
}

/// A device was let in.
pub(crate) struct Admitted {
    pub(crate) shared: Arc<Shared<Server>>,
    pub(crate) epoch: Epoch,
    /// For the application, when this device had no session.
    pub(crate) new: Option<Session>,
}

impl Registry {
    pub(crate) fn new(limits: Arc<Limits>, max_sessions: usize, hub: Hub) -> Self {
        Self { sessions: Mutex::default(), limits, max_sessions, hub }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // Poison is no concern: no change of the map panics half-way.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether a device that comes finds a place.
    pub(crate) fn has_room_for(&self, device: &str) -> bool {
        let sessions = self.lock();
        sessions.len() < self.max_sessions || sessions.contains(device)
    }

    /// Gives a connection to the session of its device, to a new one when there is none. An older connection is over.
    pub(crate) fn admit(&self, device: &str, handshake: Handshake) -> io::Result<Option<Admitted>> {
        let mut sessions = self.lock();
        let known = sessions.get(device).filter(|known| !known.0.task(|inner, _| inner.is_closed()));
        let known = known.map(|known| Arc::clone(&known.0));
        let (shared, new) = match known {
            Some(shared) => (shared, None),
            None => {
                let (device, began): (Arc<str>, _) = (device.into(), now());
                let link = Link::server(Arc::clone(&self.limits), random_stream()?, began);
                let shared = Shared::new(Arc::clone(&device), link, self.hub.clone(), began);
                sessions.replace(ByDevice(Arc::clone(&shared)));
                (Arc::clone(&shared), Some(Session::new(shared)))
            }
        };
        drop(sessions);
        let (epoch, before) = shared.task(|inner, now| {
            let before = inner.take_task();
            (inner.link.handle_registered(now, handshake), before)
        });
        if let Some(before) = before {
            before.wake();
        }
        Ok(epoch.map(|epoch| Admitted { shared, epoch, new }))
    }

    /// Runs the timers of the sessions without a connection, lets go of those that are closed, and returns how many are
    /// left.
    pub(crate) fn sweep(&self) -> usize {
        let sessions: Vec<_> = self.lock().iter().cloned().collect();
        let mut closed = false;
        for ByDevice(shared) in sessions {
            closed |= shared.task(|inner, now| {
                // One with a connection is run by that connection's task, which reads before it judges silence.
                if !inner.link.is_live(inner.link.epoch()) {
                    inner.link.handle_timeout(now);
                }
                inner.is_closed()
            });
        }
        if closed {
            self.lock().retain(|known| !known.0.task(|inner, _| inner.is_closed()));
        }
        let left = self.len();
        metrics::gauge!("dtu_sessions").set(u32::try_from(left).unwrap_or(u32::MAX));
        left
    }

    /// Closes every session. One whose device is there has `drain` for what is in its outbox; of the others none would come
    /// back in time.
    pub(crate) fn close(&self, code: CloseCode, drain: Duration) {
        self.close_with(code, |link| if link.state().is_up() { Some(drain) } else { Some(Duration::ZERO) });
    }

    /// Closes the sessions that are not closing yet, at once.
    pub(crate) fn close_rest(&self, code: CloseCode) {
        self.close_with(code, |link| (!link.is_closing()).then_some(Duration::ZERO));
    }

    fn close_with(&self, code: CloseCode, drain: impl Fn(&Link<Server>) -> Option<Duration>) {
        let sessions: Vec<_> = self.lock().iter().cloned().collect();
        for ByDevice(shared) in sessions {
            shared.application(|inner| {
                if let Some(drain) = drain(&inner.link) {
                    inner.link.close(now(), code, "", drain);
                }
                ((), true)
            });
        }
    }
}
