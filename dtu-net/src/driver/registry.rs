//! The sessions of a server, by device: who comes again finds the one there is.

use super::entrance::{Bound, Full};
use super::hub::Hub;
use super::now;
use super::random_stream;
use super::rota::Rota;
use super::session::Session;
use super::share::Share;
use super::shared::Shared;
use crate::event::Epoch;
use crate::handshake::Handshake;
use crate::limits::Limits;
use crate::link::Link;
use crate::server::Server;
use core::borrow::Borrow;
use core::hash::{Hash, Hasher};
use core::mem;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use dtu_proto::message::CloseCode;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Sessions = HashSet<ByDevice>;

/// How often one device may come again: `burst` times in a row, and then once in `every`. One that comes more often is refused
/// as busy until it may: it takes the place of many others, and would not stay now either.
///
/// By default 30 and 4 s. A device that follows [`Backoff::RECONNECT`](crate::backoff::Backoff::RECONNECT) comes 30 times a
/// minute at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// How often it may come in a row; 0 counts as 1.
    pub burst: u32,
    /// After how long it may once more. At least a millisecond.
    pub every: Duration,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { burst: 30, every: Duration::from_secs(4) }
    }
}

impl Flapping {
    fn every(&self) -> u64 {
        milliseconds(self.every).max(1)
    }

    /// How long a device has to stay away that has used up its visits up to `used_until`; both are milliseconds of one clock.
    pub(crate) fn judge(&self, used_until: u64, now: u64) -> Result<(), Duration> {
        let burst = u64::from(self.burst.max(1)) - 1;
        let ahead = used_until.saturating_sub(now);
        let wait = ahead.saturating_sub(burst.saturating_mul(self.every()));
        if wait == 0 { Ok(()) } else { Err(Duration::from_millis(wait)) }
    }

    /// Up to when its visits are used up after one more.
    pub(crate) fn visit(&self, used_until: u64, now: u64) -> u64 {
        used_until.max(now).saturating_add(self.every())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A session, found by its device. The name stands in the session alone.
#[derive(Debug, Clone)]
pub(crate) struct ByDevice(Arc<Shared<Server>>);

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
    flapping: Option<Flapping>,
    /// From where the time of visits is counted.
    began: Instant,
    hub: Hub,
    /// What the last sweep found.
    share: Share,
    /// The sessions whose last connection is over; some of them may have another one since.
    away: Mutex<Vec<Arc<Shared<Server>>>>,
    /// The deadlines of those that have one.
    rota: Arc<Rota<Server>>,
}

/// What a sweep has found.
pub(crate) struct Swept {
    pub(crate) sessions: usize,
    /// The bytes that they hold.
    pub(crate) memory: usize,
}

/// A device was let in.
pub(crate) struct Admitted {
    pub(crate) shared: Arc<Shared<Server>>,
    pub(crate) epoch: Epoch,
    /// For the application, when this device had no session.
    pub(crate) new: Option<Session>,
}

impl Registry {
    pub(crate) fn new(limits: Arc<Limits>, max_sessions: usize, flapping: Option<Flapping>, hub: Hub) -> Self {
        Self {
            sessions: Mutex::default(),
            limits,
            max_sessions,
            flapping,
            began: now(),
            hub,
            share: Share::new("dtu_sessions", "dtu_session_memory_bytes"),
            away: Mutex::default(),
            rota: Arc::new(Rota::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // Poison is no concern: no change of the map panics half-way.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The bytes that the sessions hold, as the last sweep found.
    pub(crate) fn memory(&self) -> usize {
        self.share.memory()
    }

    /// Whether a device that comes finds a place, and does not come too often.
    pub(crate) fn judge(&self, device: &str, now: Instant) -> Result<(), Full> {
        let sessions = self.lock();
        let Some(ByDevice(known)) = sessions.get(device) else {
            let has_room = sessions.len() < self.max_sessions;
            return if has_room { Ok(()) } else { Err(Full::new(Bound::Sessions)) };
        };
        let Some(flapping) = &self.flapping else { return Ok(()) };
        let judged = flapping.judge(known.used_until.load(Ordering::Relaxed), self.since_began(now));
        judged.map_err(|retry_after| Full { bound: Bound::Flapping, retry_after })
    }

    fn since_began(&self, now: Instant) -> u64 {
        milliseconds(now.saturating_duration_since(self.began))
    }

    /// Gives a connection to the session of its device, to a new one when there is none. An older connection is over.
    pub(crate) fn admit(&self, device: &str, peer: SocketAddr, handshake: Handshake) -> io::Result<Option<Admitted>> {
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
            if let Some(flapping) = &self.flapping {
                let used_until = flapping.visit(shared.used_until.load(Ordering::Relaxed), self.since_began(now));
                shared.used_until.store(used_until, Ordering::Relaxed);
            }
            let before = inner.take_task();
            inner.peer.set(peer);
            (inner.link.handle_registered(now, handshake), before)
        });
        if let Some(before) = before {
            before.wake();
        }
        Ok(epoch.map(|epoch| Admitted { shared, epoch, new }))
    }

    /// Who sees to the far deadlines of connections.
    pub(crate) const fn rota(&self) -> &Arc<Rota<Server>> {
        &self.rota
    }

    /// The connection of a session is over: from now on [`sweep`](Self::sweep) runs its timers.
    pub(crate) fn left(&self, shared: &Arc<Shared<Server>>) {
        if !shared.task(|inner, _| mem::replace(&mut inner.is_listed, true)) {
            self.lock_away().push(Arc::clone(shared));
        }
    }

    fn lock_away(&self) -> MutexGuard<'_, Vec<Arc<Shared<Server>>>> {
        // Poison is no concern: no change of the list panics half-way.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the timers of the sessions without a connection, lets go of those that are closed, and returns what is left. Those
    /// that are connected, of which there are most, are not looked at unless one was closed.
    pub(crate) fn sweep(&self) -> Swept {
        self.rota.sweep();
        let mut away = mem::take(&mut *self.lock_away());
        away.retain(|shared| {
            shared.task(|inner, now| {
                // One with a connection is run by that connection's task, which reads before it judges silence.
                inner.is_listed = !inner.link.is_live(inner.link.epoch());
                if inner.is_listed {
                    inner.link.handle_timeout(now);
                }
                inner.is_listed && !inner.is_closed()
            })
        });
        self.lock_away().append(&mut away);
        if self.hub.totals().take_closed() {
            self.lock().retain(|known| !known.0.task(|inner, _| inner.is_closed()));
        }
        let memory = self.hub.totals().memory();
        let sessions = self.len();
        self.share.tell(sessions, memory);
        Swept { sessions, memory }
    }

    pub(crate) fn all(&self) -> Vec<ByDevice> {
        self.lock().iter().cloned().collect()
    }

    /// Closes sessions. One whose device is there has `drain` for what is in its outbox; of the others none would come
    /// back in time.
    pub(crate) fn close(sessions: &[ByDevice], code: CloseCode, drain: Duration) {
        let drain = |link: &Link<Server>| if link.state().is_up() { Some(drain) } else { Some(Duration::ZERO) };
        Self::close_with(sessions, code, drain);
    }

    /// Closes the sessions that are not closing yet, at once.
    pub(crate) fn close_rest(&self, code: CloseCode) {
        Self::close_with(&self.all(), code, |link| (!link.is_closing()).then_some(Duration::ZERO));
    }

    fn close_with(sessions: &[ByDevice], code: CloseCode, drain: impl Fn(&Link<Server>) -> Option<Duration>) {
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
