//! The sessions of units, by id: who comes again finds the one there is.

use super::super::entrance::Bound;
use super::super::now;
use super::super::registry::Flapping;
use super::hub::Hub;
use super::session::TransparentSession;
use super::shared::Shared;
use crate::error::Cause;
use crate::event::{Epoch, State};
use crate::transparent::{Identified, Profile, Takeover, Transparent};
use core::sync::atomic::Ordering;
use dtu_proto::message::{CloseCode, RefuseCode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Sessions = HashMap<Arc<str>, Arc<Shared>>;

#[derive(Debug)]
pub(super) struct Registry {
    sessions: Mutex<Sessions>,
    profile: Arc<Profile>,
    max_sessions: usize,
    flapping: Option<Flapping>,
    /// From where the time of visits is counted.
    began: Instant,
    hub: Hub,
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
        Self { sessions: Mutex::default(), profile, max_sessions, flapping, began: now(), hub }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // Poison is no concern: no change of the map panics half-way.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Gives a connection to the session of its unit, to a new one when there is none. An older connection is over.
    pub(super) fn admit(&self, identified: Identified) -> Result<Admitted, Refusal> {
        let at = now();
        let seed = getrandom::u64().map_err(|error| {
            tracing::error!(%error, "the system gives no random number");
            Refusal::new(Cause::TurnedAway(RefuseCode::BUSY))
        })?;
        let mut sessions = self.lock();
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

    /// Runs the timers of the sessions without a connection, lets go of those that are closed, and returns how many are left.
    pub(super) fn sweep(&self) -> usize {
        let mut closed = false;
        for shared in self.all() {
            closed |= shared.task(|inner, now| {
                // One with a connection is run by that connection's task, which reads before it judges silence.
                if inner.session.state() == State::Disconnected {
                    inner.session.handle_timeout(now);
                }
                inner.is_closed()
            });
        }
        if closed {
            self.lock().retain(|_, shared| !shared.task(|inner, _| inner.is_closed()));
        }
        let sessions = self.len();
        metrics::gauge!("dtu_transparent_sessions").set(u32::try_from(sessions).unwrap_or(u32::MAX));
        sessions
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    /// Closes every session.
    pub(super) fn close(&self, code: CloseCode) {
        for shared in self.all() {
            shared.application(|inner| {
                inner.session.close(now(), code);
                ((), true)
            });
        }
    }
}
