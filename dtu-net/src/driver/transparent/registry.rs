//! The sessions of units, by id: who comes again finds the one there is.

use super::super::entrance::Bound;
use super::super::now;
use super::super::registry::{Flapping, Swept};
use super::super::share::Share;
use super::hub::Hub;
use super::session::TransparentSession;
use super::shared::Shared;
use crate::error::Cause;
use crate::event::{Epoch, State};
use crate::transparent::{Identified, Profile, Takeover, Transparent};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use dtu_proto::message::{CloseCode, RefuseCode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Sessions = HashMap<Arc<str>, Arc<Shared>>;

#[derive(Debug)]
pub(super) struct Registry {
    sessions: Mutex<Sessions>,
    /// Nobody is let in any more. It is set under the lock of the sessions.
    is_closed: AtomicBool,
    profile: Arc<Profile>,
    max_sessions: usize,
    flapping: Option<Flapping>,
    /// From where the time of visits is counted.
    began: Instant,
    hub: Hub,
    /// What the last sweep found.
    share: Share,
}

/// A unit was let in.
pub(super) struct Admitted {
    pub(super) shared: Arc<Shared>,
    pub(super) epoch: Epoch,
    /// For the application, when this unit had no session.
    pub(super) new: Option<TransparentSession>,
}

/// Why a unit was not let in.
pub(super) struct Refusal {
    pub(super) cause: Cause,
    /// The bound that it met, if it was one.
    pub(super) bound: Option<Bound>,
}

impl Refusal {
    pub(super) const fn new(cause: Cause) -> Self {
        Self { cause, bound: None }
    }

    const fn busy(bound: Bound) -> Self {
        Self { cause: Cause::TurnedAway(RefuseCode::BUSY), bound: Some(bound) }
    }
}

impl Registry {
    pub(super) fn new(profile: Arc<Profile>, max_sessions: usize, flapping: Option<Flapping>, hub: Hub) -> Self {
        Self {
            sessions: Mutex::default(),
            is_closed: AtomicBool::new(false),
            profile,
            max_sessions,
            flapping,
            began: now(),
            hub,
            share: Share::new("dtu_transparent_sessions", "dtu_transparent_memory_bytes"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // Poison is no concern: no change of the map panics half-way.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The bytes that the sessions hold, as the last sweep found.
    pub(super) fn memory(&self) -> usize {
        self.share.memory()
    }

    /// Gives a connection to the session of its unit, to a new one when there is none. An older connection is over.
    pub(super) fn admit(&self, identified: Identified, peer: SocketAddr) -> Result<Admitted, Refusal> {
        let at = now();
        let seed = getrandom::u64().map_err(|error| {
            tracing::error!(%error, "the system gives no random number");
            Refusal::new(Cause::TurnedAway(RefuseCode::BUSY))
        })?;
        let mut sessions = self.lock();
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Refusal::new(Cause::Closed(CloseCode::GOING_DOWN)));
        }
        let id = identified.registration.id();
        let known = sessions.get(id).filter(|known| !known.task(|inner, _| inner.is_closed())).map(Arc::clone);
        let (shared, new) = if let Some(shared) = known {
            self.judge(&shared, at)?;
            (shared, None)
        } else {
            let is_there = sessions.contains_key(id);
            if sessions.len() >= self.max_sessions && !is_there {
                return Err(Refusal::busy(Bound::Sessions));
            }
            let session = Transparent::new(Arc::clone(&self.profile), id.into(), seed, at);
            let shared = Shared::new(session, self.hub.clone(), at);
            sessions.insert(Arc::clone(&shared.device), Arc::clone(&shared));
            (Arc::clone(&shared), Some(TransparentSession::new(shared)))
        };
        drop(sessions);
        let (epoch, before) = shared.task(|inner, now| {
            let before = inner.take_task();
            inner.peer.set(peer);
            (inner.session.handle_identified(now, identified), before)
        });
        if let Some(before) = before {
            before.wake();
        }
        // It was closed this very moment, which the unit finds out by coming again.
        let epoch = epoch.ok_or(Refusal::new(Cause::Closed(CloseCode::GOING_DOWN)))?;
        Ok(Admitted { shared, epoch, new })
    }

    /// Whether a unit that has a session may take it over, which counts as a visit.
    fn judge(&self, shared: &Shared, at: Instant) -> Result<(), Refusal> {
        let is_up = shared.task(|inner, _| inner.session.state() == State::Connected);
        if is_up && self.profile.takeover() == Takeover::Refuse {
            return Err(Refusal::new(Cause::Taken));
        }
        let Some(flapping) = &self.flapping else { return Ok(()) };
        let since = u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let used_until = shared.used_until.load(Ordering::Relaxed);
        flapping.judge(used_until, since).map_err(|_| Refusal::busy(Bound::Flapping))?;
        shared.used_until.store(flapping.visit(used_until, since), Ordering::Relaxed);
        Ok(())
    }

    /// Runs the timers of the sessions without a connection, lets go of those that are closed, and returns what is left.
    pub(super) fn sweep(&self) -> Swept {
        let (mut closed, mut memory) = (false, 0_usize);
        for shared in self.all() {
            closed |= shared.task(|inner, now| {
                // One with a connection is run by that connection's task, which reads before it judges silence.
                if inner.session.state() == State::Disconnected {
                    inner.session.handle_timeout(now);
                }
                memory = memory.saturating_add(inner.session.memory());
                inner.is_closed()
            });
        }
        if closed {
            self.lock().retain(|_, shared| !shared.task(|inner, _| inner.is_closed()));
        }
        let sessions = self.len();
        self.share.tell(sessions, memory);
        Swept { sessions, memory }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    /// Closes every session, and lets nobody in from now on.
    pub(super) fn close(&self, code: CloseCode) {
        let sessions: Vec<_> = {
            let sessions = self.lock();
            self.is_closed.store(true, Ordering::Relaxed);
            sessions.values().cloned().collect()
        };
        for shared in sessions {
            shared.application(|inner| {
                inner.session.close(now(), code);
                ((), true)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Cause, CloseCode, Hub, Identified, Registry, now};
    use crate::transparent::{Profile, ProfileSpec, Reception, ReceptionEvent};

    fn identified(profile: &Arc<Profile>, registration: &[u8]) -> Identified {
        let mut reception = Reception::new(Arc::clone(profile), now());
        reception.handle_bytes(now(), registration);
        let Some(ReceptionEvent::Identified(identified)) = reception.poll_event() else { panic!("it registers") };
        identified
    }

    /// A connection may have said who it is at the very moment at which the server ends.
    #[test]
    fn nobody_is_let_in_behind_the_end() {
        let profile = Arc::new(ProfileSpec::new("modbus_rtu", "REG{id:digit*4};").build().expect("it is one"));
        let registry = Registry::new(Arc::clone(&profile), 10, None, Hub::new(1));
        let peer = (core::net::Ipv4Addr::LOCALHOST, 1).into();
        let first = registry.admit(identified(&profile, b"REG0001;"), peer).map_err(|refusal| refusal.cause);
        let first = first.expect("there is room");
        registry.close(CloseCode::GOING_DOWN);
        assert!(first.shared.task(|inner, _| inner.is_closed()));
        for registration in [b"REG0001;", b"REG0002;"] {
            let late = registry.admit(identified(&profile, registration), peer);
            assert_eq!(late.map(drop).map_err(|refusal| refusal.cause), Err(Cause::Closed(CloseCode::GOING_DOWN)));
        }
        assert_eq!(registry.sweep().sessions, 0);
    }
}
