//! Accept, identify, session: a server for devices.

use super::accept::{self, still_there, turn_away};
use super::entrance::{Entrance, Full, Place, TurnedAway};
use super::front::{Front, Host};
use super::hub::{Hub, LinkEvent};
use super::now;
use super::reception::{Connection, Ends, House};
use super::registry::{Flapping, Registry};
use super::session::Session;
use super::tap::{Tap, Tapped};
use super::udp;
use super::udp::drops::Drops;
use crate::door::DoorLimits;
use crate::keys::KeyStore;
use crate::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN, Limits, MAX_DATAGRAM};
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_proto::message::CloseCode;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{broadcast, mpsc};
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use super::reception::Admission;

/// Connections at a time, identified or not, on TCP and on UDP together.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Sessions at a time, of devices that are there and of devices that are away.
pub const MAX_SESSIONS: usize = 65_536;

/// The bytes that all sessions may hold before nobody else is taken.
pub const MAX_MEMORY: usize = 1 << 30;

/// New sessions that may wait to be accepted by the application.
pub const ACCEPT_QUEUE: usize = 1024;

/// Events that a slow listener may be behind before it misses some.
pub const EVENT_QUEUE: usize = 1024;

/// How often the timers of sessions without a connection are looked at.
pub const SWEEP: Duration = Duration::from_secs(1);

/// The same at the end, when the server waits for them.
const LAST_SWEEP: Duration = Duration::from_millis(50);

/// Into how many parts the time of a drain is cut, at most.
const DRAIN_STEPS: u32 = 1000;

/// Where a [`Server`] listens. A device may come by either and goes on in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listen {
    /// For connections on TCP, or on TLS.
    pub tcp: Option<SocketAddr>,
    /// For datagrams.
    pub udp: Option<SocketAddr>,
}

/// How a [`Server`] serves.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The bounds of each link.
    pub limits: Limits,
    /// See [`MAX_CONNECTIONS`]. Who comes beyond is refused as busy, as at every other of these bounds; [`Bound`] names them.
    ///
    /// [`Bound`]: super::Bound
    pub max_connections: usize,
    /// Connections at a time from one address; none by default, as thousands of devices come from one address of an operator.
    pub max_per_address: Option<usize>,
    /// How many may wait to be identified, and when the others are told to come again.
    pub door: DoorLimits,
    /// See [`MAX_MEMORY`]. Looked at once in [`SWEEP`], so it may be passed by what comes in that time, and by what the sessions
    /// there are may still take under their own [`limits`](Self::limits).
    pub max_memory: usize,
    /// How often one device may come again; see [`Flapping`].
    pub flapping: Option<Flapping>,
    /// See [`MAX_SESSIONS`]. A device that has none is refused as busy beyond; as many as register in the same moment may pass it.
    pub max_sessions: usize,
    /// Connections that may wait to be accepted from the system.
    pub backlog: u32,
    /// The system's receive buffer of each connection, in bytes; chosen by the system by default, up to megabytes.
    pub receive_buffer: Option<u32>,
    /// See [`ACCEPT_QUEUE`].
    pub accept_queue: usize,
    /// See [`EVENT_QUEUE`].
    pub event_queue: usize,
    /// The keys of the devices. With them every device has to prove that it has its key.
    pub keys: Option<Arc<dyn KeyStore>>,
    /// Who may in besides; everyone by default.
    pub admission: Option<Admission>,
    /// Sees all that comes and goes; nobody by default.
    pub tap: Option<Arc<dyn Tap>>,
    /// The server's certificate. With it connections are TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<super::tls::ServerTls>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_connections: MAX_CONNECTIONS,
            max_per_address: None,
            door: DoorLimits::default(),
            max_memory: MAX_MEMORY,
            flapping: Some(Flapping::default()),
            max_sessions: MAX_SESSIONS,
            backlog: accept::BACKLOG,
            receive_buffer: None,
            accept_queue: ACCEPT_QUEUE,
            event_queue: EVENT_QUEUE,
            keys: None,
            admission: None,
            tap: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// The longest queue of sessions or of events that a server takes; events have their places from the start.
pub const QUEUE_MAX: usize = 1 << 20;

/// A field of [`ServerConfig`] with which no server can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidServer {
    /// `accept_queue` is above [`QUEUE_MAX`].
    AcceptQueue(usize),
    /// `event_queue` is above [`QUEUE_MAX`].
    EventQueue(usize),
    /// `limits.heartbeat` is one that a device does not take: see [`HEARTBEAT_MIN`] and [`HEARTBEAT_MAX`].
    Heartbeat(Duration),
    /// `limits.window` is zero: no device could send.
    Window,
}

impl fmt::Display for InvalidServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptQueue(found) => write!(f, "accept_queue is {found}, and the most is {QUEUE_MAX}"),
            Self::EventQueue(found) => write!(f, "event_queue is {found}, and the most is {QUEUE_MAX}"),
            Self::Heartbeat(found) => {
                write!(f, "limits.heartbeat is {found:?}, and devices take {HEARTBEAT_MIN:?} to {HEARTBEAT_MAX:?}")
            }
            Self::Window => f.write_str("limits.window is 0, so no device could send"),
        }
    }
}

impl core::error::Error for InvalidServer {}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("limits", &self.limits)
            .field("max_connections", &self.max_connections)
            .field("max_sessions", &self.max_sessions)
            .field("backlog", &self.backlog)
            .field("keys", &self.keys.is_some())
            .finish_non_exhaustive()
    }
}

impl ServerConfig {
    fn check(&self) -> Result<(), InvalidServer> {
        if self.accept_queue > QUEUE_MAX {
            return Err(InvalidServer::AcceptQueue(self.accept_queue));
        }
        if self.event_queue > QUEUE_MAX {
            return Err(InvalidServer::EventQueue(self.event_queue));
        }
        // A device reads whole milliseconds.
        if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&self.limits.heartbeat) {
            return Err(InvalidServer::Heartbeat(self.limits.heartbeat));
        }
        if self.limits.window == 0 {
            return Err(InvalidServer::Window);
        }
        Ok(())
    }

    /// Whether anybody may in who knows an id: no keys are asked for, no certificate of the device, and no admission is
    /// set. To be told to the operator.
    #[must_use]
    pub fn is_open(&self) -> bool {
        #[cfg(feature = "tls")]
        let certified = self.tls.as_ref().is_some_and(super::tls::ServerTls::is_mutual);
        #[cfg(not(feature = "tls"))]
        let certified = false;
        self.keys.is_none() && self.admission.is_none() && !certified
    }
}

/// What a server has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Connections that were accepted from the system.
    pub connections: u64,
    /// Connections there are now, and those of them that are not identified so far.
    pub open: usize,
    /// See [`open`](Self::open).
    pub unidentified: usize,
    /// Devices that were refused as busy, by the bound that they met.
    pub busy: TurnedAway,
    /// Connections that were not let in. The causes are told by the events and the metrics.
    pub refused: u64,
    /// Sessions there are now.
    pub sessions: usize,
    /// The bytes that they hold together, as seen at the last [`SWEEP`]; see [`max_memory`](ServerConfig::max_memory).
    pub memory: usize,
    /// Datagrams that did nothing. The causes are told by the events and the metrics.
    pub dropped: u64,
}

/// A server for devices on TCP, on TLS, and on UDP. Its tasks end when it is dropped, or by the token that it was given.
pub struct Server {
    local_addr: SocketAddr,
    udp_addr: Option<SocketAddr>,
    sessions: mpsc::Receiver<Session>,
    house: Arc<House>,
    connections: Arc<AtomicU64>,
    tasks: TaskTracker,
    /// Connections are accepted until then.
    accepting: CancellationToken,
    cancel: CancellationToken,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr).field("counters", &self.counters()).finish()
    }
}

impl Server {
    /// Listens on a TCP address and starts to accept, as [`listen`](Self::listen) does.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(addr: SocketAddr, config: ServerConfig, cancel: CancellationToken) -> io::Result<Self> {
        Self::listen(Listen { tcp: Some(addr), udp: None }, config, cancel)
    }

    /// Listens and starts to accept. Cancelling `cancel` ends it as [`close`](Self::close) does without a drain.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on; [`io::ErrorKind::InvalidInput`] when there is none, or around an [`InvalidServer`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn listen(listen: Listen, mut config: ServerConfig, cancel: CancellationToken) -> io::Result<Self> {
        config.check().map_err(|invalid| io::Error::new(io::ErrorKind::InvalidInput, invalid))?;
        // A certificate counts for nothing on UDP.
        if config.is_open() || listen.udp.is_some() && config.keys.is_none() && config.admission.is_none() {
            tracing::warn!(?listen, "the server is open: it asks for no key and no certificate");
        }
        let (backlog, receive_buffer) = (config.backlog, config.receive_buffer);
        let listener = listen.tcp.map(|addr| accept::listen(addr, backlog, receive_buffer)).transpose()?;
        let socket = listen.udp.map(udp::server::bind).transpose()?;
        if socket.is_some() {
            config.limits.max_datagram.get_or_insert(MAX_DATAGRAM);
        }
        let udp_addr = socket.as_ref().map(UdpSocket::local_addr).transpose()?;
        let tcp_addr = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let local_addr = tcp_addr.or(udp_addr).ok_or(io::ErrorKind::InvalidInput)?;
        let (accepted, sessions) = mpsc::channel(config.accept_queue.max(1));
        let (hub, cancel) = (Hub::new(config.event_queue), cancel.child_token());
        let limits = Arc::new(config.limits);
        let entrance = Entrance::new(config.max_connections, config.max_per_address, config.door, now());
        let house = Arc::new(House {
            registry: Registry::new(Arc::clone(&limits), config.max_sessions, config.flapping, hub.clone()),
            limits,
            entrance: Arc::new(entrance),
            keys: config.keys.clone(),
            admission: config.admission.clone(),
            tap: config.tap.clone(),
            hub,
            accepted,
            refused: AtomicU64::new(0),
            ends: Ends::new(&cancel),
            cancel: cancel.clone(),
            drops: Drops::default(),
        });
        let (tasks, connections) = (TaskTracker::new(), Arc::<AtomicU64>::default());
        if let Some(socket) = socket {
            let (house, connections) = (Arc::clone(&house), Arc::clone(&connections));
            tasks.spawn(udp::server::Door::new(socket, house, connections, tasks.clone()).run());
        }
        let accepting = cancel.child_token();
        if let Some(listener) = listener {
            let host = Welcome {
                house: Arc::clone(&house),
                #[cfg(feature = "tls")]
                tls: config.tls,
            };
            let front = Front {
                host,
                entrance: Arc::clone(&house.entrance),
                connections: Arc::clone(&connections),
                tasks: tasks.clone(),
                accepting: accepting.clone(),
            };
            tasks.spawn(unconstrained(front.run(listener)));
        }
        tasks.spawn(keep_house(Arc::clone(&house), config.max_memory, cancel.clone()));
        Ok(Self { local_addr, udp_addr, sessions, house, connections, tasks, accepting, cancel })
    }

    /// The address listened on, with the port that the system chose where none was asked for. Of two the one for TCP.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The same for datagrams, when it listens for them.
    #[must_use]
    pub const fn udp_addr(&self) -> Option<SocketAddr> {
        self.udp_addr
    }

    /// Waits for a device that has no session yet. `None` when the server has ended. A device that comes again goes on in
    /// the session it has.
    pub async fn accept(&mut self) -> Option<Session> {
        tokio::select! {
            biased;
            session = self.sessions.recv() => session,
            () = self.cancel.cancelled() => None,
        }
    }

    /// Listens to events from now on. A listener that is too slow is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<LinkEvent> {
        self.house.hub.subscribe()
    }

    /// What the server has seen.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        let (open, unidentified) = self.house.entrance.count();
        ServerCounters {
            connections: self.connections.load(Ordering::Relaxed),
            open,
            unidentified,
            busy: self.house.entrance.turned_away(),
            refused: self.house.refused.load(Ordering::Relaxed),
            sessions: self.house.registry.len(),
            memory: self.house.registry.memory(),
            dropped: self.house.drops.total(),
        }
    }

    /// Stops accepting from the system, and closes the sessions as going down one after the other, evenly over `spread`, so that
    /// their devices do not come all at once to where they go next. A session has `drain` for what is in its outbox. Meanwhile the
    /// application goes on, with [`accept`](Self::accept) too; when the future is ready, [`shut_down`](Self::shut_down) waits for
    /// the rest. Dropped before, it closes no more of them.
    pub fn drain(&self, spread: Duration, drain: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.accepting.cancel();
        self.house.entrance.close();
        let sessions = self.house.registry.all();
        async move {
            let steps = DRAIN_STEPS.min(u32::try_from(sessions.len()).unwrap_or(u32::MAX)).max(1);
            let each = sessions.len().div_ceil(usize::try_from(steps).unwrap_or(usize::MAX)).max(1);
            let mut ticks = interval((spread / steps).max(Duration::from_millis(1)));
            for part in sessions.chunks(each) {
                ticks.tick().await;
                Registry::close(part, CloseCode::GOING_DOWN, drain);
            }
            ticks.tick().await;
        }
    }

    /// Stops accepting, and closes every session as going down, waiting at most `drain` for what is in their outboxes.
    pub fn close(&self, drain: Duration) {
        Registry::close(&self.house.registry.all(), CloseCode::GOING_DOWN, drain);
        self.cancel.cancel();
    }

    /// Closes, and waits until every task has ended: at most `drain` and the time for the last bytes.
    pub async fn shut_down(mut self, drain: Duration) {
        self.close(drain);
        self.sessions.close();
        while self.sessions.recv().await.is_some() {}
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Runs the timers of the sessions without a connection; after the end, until all are closed.
async fn keep_house(house: Arc<House>, max_memory: usize, cancel: CancellationToken) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let memory = house.registry.sweep().memory;
        house.entrance.set_out_of_memory(memory > max_memory);
        house.drops.tell(&house.hub);
    }
    let mut ticks = interval(LAST_SWEEP);
    loop {
        // Also those that were let in at the last moment.
        house.registry.close_rest(CloseCode::GOING_DOWN);
        if house.registry.sweep().sessions == 0 {
            return;
        }
        ticks.tick().await;
    }
}

/// What becomes of a connection that the system gives.
struct Welcome {
    house: Arc<House>,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::ServerTls>,
}

impl Host for Welcome {
    fn call(&self, tasks: &TaskTracker, socket: TcpStream, peer: SocketAddr, place: Place) {
        let house = Arc::clone(&self.house);
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            if let Some(tap) = house.tap.clone() {
                let opened = async move {
                    let local = socket.local_addr()?;
                    let stream = tls.accept(still_there(socket)?).await?;
                    Ok(Tapped::new(stream, tap.opened(peer, local)))
                };
                tasks.spawn(Connection::new(house, place, opened, peer));
                return;
            }
            let opened = async move { tls.accept(still_there(socket)?).await };
            tasks.spawn(Connection::new(house, place, opened, peer));
            return;
        }
        if let Some(tap) = house.tap.clone() {
            let opened = async move {
                let local = socket.local_addr()?;
                Ok(Tapped::new(still_there(socket)?, tap.opened(peer, local)))
            };
            tasks.spawn(Connection::new(house, place, opened, peer));
            return;
        }
        let opened = async move { still_there(socket) };
        tasks.spawn(Connection::new(house, place, opened, peer));
    }

    fn turn_away(&self, socket: TcpStream, full: Full) {
        // Where TLS is spoken there is nobody to say it to before the handshake, which would be the work for which there is no
        // room.
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return;
        }
        turn_away(&socket, &full.frame(None));
    }

    fn accept_failed(&self, error: &io::Error) {
        self.house.hub.accept_failed(error);
    }
}
