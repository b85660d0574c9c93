//! Accept, identify, session: a server for units without a protocol of their own.

use super::super::accept;
use super::super::accept::still_there;
use super::super::entrance::{Entrance, Full, Place, TurnedAway};
use super::super::front::{Front, Host};
use super::super::now;
use super::super::registry::Flapping;
use super::super::server::{ACCEPT_QUEUE, EVENT_QUEUE, MAX_CONNECTIONS, MAX_MEMORY, MAX_SESSIONS, SWEEP};
use super::super::tap::{Tap, Tapped};
use super::connection::House;
use super::hub::{Hub, UnitEvent};
use super::registry::Registry;
use super::session::TransparentSession;
use crate::door::DoorLimits;
use crate::transparent::{Profile, Unknown};
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use dtu_proto::message::CloseCode;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc};
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Whose ids the owner knows. It is asked on the task of a connection and must not block.
pub type Known = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How a [`TransparentServer`] serves.
#[derive(Clone)]
#[non_exhaustive]
pub struct TransparentConfig {
    /// How the units behave.
    pub profile: Profile,
    /// Whose ids are known; for a profile that refuses the others.
    pub known: Option<Known>,
    /// As [`ServerConfig::max_connections`](crate::driver::ServerConfig::max_connections). Who comes beyond is hung up on: units
    /// do not understand a word of why.
    pub max_connections: usize,
    /// Connections at a time from one address; none by default.
    pub max_per_address: Option<usize>,
    /// How many may wait to be identified.
    pub door: DoorLimits,
    /// As [`ServerConfig::max_memory`](crate::driver::ServerConfig::max_memory): what all sessions
    /// [hold](crate::transparent::Transparent::memory), looked at once in [`SWEEP`]. Nobody else is taken above it.
    pub max_memory: usize,
    /// Sessions at a time, of units that are there and of those that are away.
    pub max_sessions: usize,
    /// How often one unit may come again.
    pub flapping: Option<Flapping>,
    /// Connections that may wait to be accepted from the system.
    pub backlog: u32,
    /// The system's receive buffer of each connection, in bytes; chosen by the system by default.
    pub receive_buffer: Option<u32>,
    /// New sessions that may wait to be accepted by the application.
    pub accept_queue: usize,
    /// Events that a slow listener may be behind before it misses some.
    pub event_queue: usize,
    /// Sees all that comes and goes; nobody by default.
    pub tap: Option<Arc<dyn Tap>>,
}

impl TransparentConfig {
    /// The bounds of a native server, for units of this profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            known: None,
            max_connections: MAX_CONNECTIONS,
            max_per_address: None,
            door: DoorLimits::default(),
            max_memory: MAX_MEMORY,
            max_sessions: MAX_SESSIONS,
            flapping: Some(Flapping::default()),
            backlog: accept::BACKLOG,
            receive_buffer: None,
            accept_queue: ACCEPT_QUEUE,
            event_queue: EVENT_QUEUE,
            tap: None,
        }
    }
}

impl fmt::Debug for TransparentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransparentConfig")
            .field("profile", &self.profile)
            .field("max_connections", &self.max_connections)
            .field("max_sessions", &self.max_sessions)
            .field("known", &self.known.is_some())
            .finish_non_exhaustive()
    }
}

/// What a server has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransparentCount {
    /// Connections that were accepted from the system.
    pub connections: u64,
    /// Connections there are now.
    pub open: usize,
    /// Those of them that are not identified so far.
    pub unidentified: usize,
    /// Units that were refused for want of room, by the bound that they met.
    pub busy: TurnedAway,
    /// Connections that were not let in. The causes are told by the events and the metrics.
    pub refused: u64,
    /// Sessions there are now.
    pub sessions: usize,
    /// The bytes that they hold together, as seen at the last [`SWEEP`]; see [`max_memory`](TransparentConfig::max_memory).
    pub memory: usize,
}

/// A server for units on TCP. Its tasks end when it is dropped, or by the token that it was given.
pub struct TransparentServer {
    local_addr: SocketAddr,
    sessions: mpsc::Receiver<TransparentSession>,
    house: Arc<House>,
    connections: Arc<AtomicU64>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl fmt::Debug for TransparentServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counters();
        f.debug_struct("TransparentServer").field("local_addr", &self.local_addr).field("counters", &counters).finish()
    }
}

impl TransparentServer {
    /// Listens and starts to accept. Cancelling `cancel` ends it as [`close`](Self::close) does.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on; `InvalidInput` when the profile refuses whom nobody knows, and
    /// [`known`](TransparentConfig::known) is not set.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(addr: SocketAddr, config: TransparentConfig, cancel: CancellationToken) -> io::Result<Self> {
        match (config.profile.unknown(), &config.known) {
            (Unknown::Refuse, None) => return Err(io::ErrorKind::InvalidInput.into()),
            (Unknown::Accept, _) => tracing::warn!(%addr, "the server is open: it lets in whoever says an id"),
            (Unknown::Refuse, Some(_)) => {}
        }
        let listener = accept::listen(addr, config.backlog, config.receive_buffer)?;
        let local_addr = listener.local_addr()?;
        let (accepted, sessions) = mpsc::channel(config.accept_queue.max(1));
        let (hub, cancel) = (Hub::new(config.event_queue), cancel.child_token());
        let profile = Arc::new(config.profile);
        let entrance = Entrance::new(config.max_connections, config.max_per_address, config.door, now());
        let house = Arc::new(House {
            registry: Registry::new(Arc::clone(&profile), config.max_sessions, config.flapping, hub.clone()),
            profile,
            entrance: Arc::new(entrance),
            known: config.known,
            tap: config.tap,
            hub,
            accepted,
            refused: AtomicU64::new(0),
            cancel: cancel.clone(),
        });
        let (tasks, connections) = (TaskTracker::new(), Arc::<AtomicU64>::default());
        let front = Front {
            host: Welcome(Arc::clone(&house)),
            entrance: Arc::clone(&house.entrance),
            connections: Arc::clone(&connections),
            tasks: tasks.clone(),
            accepting: cancel.clone(),
        };
        tasks.spawn(unconstrained(front.run(listener)));
        tasks.spawn(keep_house(Arc::clone(&house), config.max_memory));
        Ok(Self { local_addr, sessions, house, connections, tasks, cancel })
    }

    /// The address listened on, with the port that the system chose where none was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits for a unit that has no session yet. `None` when the server has ended. A unit that comes again goes on in the session
    /// it has.
    pub async fn accept(&mut self) -> Option<TransparentSession> {
        tokio::select! {
            biased;
            session = self.sessions.recv() => session,
            () = self.cancel.cancelled() => None,
        }
    }

    /// Listens to events from now on. A listener that is too slow is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<UnitEvent> {
        self.house.hub.subscribe()
    }

    /// What the server has seen.
    #[must_use]
    pub fn counters(&self) -> TransparentCount {
        let (open, unidentified) = self.house.entrance.count();
        TransparentCount {
            connections: self.connections.load(Ordering::Relaxed),
            open,
            unidentified,
            busy: self.house.entrance.turned_away(),
            refused: self.house.refused.load(Ordering::Relaxed),
            sessions: self.house.registry.len(),
            memory: self.house.registry.memory(),
        }
    }

    /// Stops accepting, and closes every session. What was asked of their lines is gone.
    pub fn close(&self) {
        self.cancel.cancel();
        self.house.registry.close(CloseCode::GOING_DOWN);
    }

    /// Closes, and waits until every task has ended.
    pub async fn shut_down(mut self) {
        self.close();
        self.sessions.close();
        while self.sessions.recv().await.is_some() {}
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for TransparentServer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Runs the timers of the sessions without a connection; at the end, closes all.
async fn keep_house(house: Arc<House>, max_memory: usize) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while house.cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let memory = house.registry.sweep().memory;
        house.entrance.set_out_of_memory(memory > max_memory);
    }
    house.registry.close(CloseCode::GOING_DOWN);
    house.registry.sweep();
}

/// What becomes of a connection that the system gives.
struct Welcome(Arc<House>);

impl Host for Welcome {
    fn call(&self, tasks: &TaskTracker, socket: TcpStream, peer: SocketAddr, place: Place) {
        let Self(house) = self;
        let house = Arc::clone(house);
        match house.tap.clone() {
            None => tasks.spawn(house.receive(async move { still_there(socket) }, peer, place)),
            Some(tap) => {
                let opened = async move {
                    let local = socket.local_addr()?;
                    Ok(Tapped::new(still_there(socket)?, tap.opened(peer, local)))
                };
                tasks.spawn(house.receive(opened, peer, place))
            }
        };
    }

    /// A unit without a protocol has no word for it.
    fn turn_away(&self, socket: TcpStream, _: Full) {
        drop(socket);
    }

    fn accept_failed(&self, error: &io::Error) {
        let Self(house) = self;
        house.hub.accept_failed(error);
    }
}
