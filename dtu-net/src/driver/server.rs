//! Accept, identify, session: a server for devices.

use super::accept::{self, accept};
use super::hub::{Hub, LinkEvent};
use super::reception::{BUSY_RETRY_AFTER, Connection, House};
use super::registry::Registry;
use super::session::Session;
use super::udp;
use super::udp::drops::Drops;
use crate::keys::KeyStore;
use crate::limits::{Limits, MAX_DATAGRAM};
use core::fmt;
use core::future::ready;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_proto::message::{CloseCode, Datagram, Reason, Refuse, RefuseCode};
use dtu_proto::{Message, Native};
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use super::reception::Admission;

/// Connections at a time, identified or not.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Sessions at a time, of devices that are there and of devices that are away.
pub const MAX_SESSIONS: usize = 65_536;

/// New sessions that may wait to be accepted by the application.
pub const ACCEPT_QUEUE: usize = 64;

/// Events that a slow listener may be behind before it misses some.
pub const EVENT_QUEUE: usize = 1024;

/// How often the timers of sessions without a connection are looked at.
pub const SWEEP: Duration = Duration::from_secs(1);

/// The same at the end, when the server waits for them.
const LAST_SWEEP: Duration = Duration::from_millis(50);

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
    /// See [`MAX_CONNECTIONS`]; on TCP and on UDP each. Who comes beyond is refused as busy.
    pub max_connections: usize,
    /// See [`MAX_SESSIONS`]. A device that has none is refused as busy beyond.
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
    /// The server's certificate. With it connections are TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<super::tls::ServerTls>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_connections: MAX_CONNECTIONS,
            max_sessions: MAX_SESSIONS,
            backlog: accept::BACKLOG,
            receive_buffer: None,
            accept_queue: ACCEPT_QUEUE,
            event_queue: EVENT_QUEUE,
            keys: None,
            admission: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

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
    /// Connections that were turned away for want of room, without a word of theirs.
    pub busy: u64,
    /// Connections that were not let in. The causes are told by the events and the metrics.
    pub refused: u64,
    /// Sessions there are now.
    pub sessions: usize,
    /// Datagrams that did nothing. The causes are told by the events and the metrics.
    pub dropped: u64,
}

/// A server for devices on TCP, on TLS, and on UDP. Its tasks end when it is dropped, or by the token that it was given.
pub struct Server {
    local_addr: SocketAddr,
    udp_addr: Option<SocketAddr>,
    sessions: mpsc::Receiver<Session>,
    house: Arc<House>,
    counted: Arc<Counted>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) connections: AtomicU64,
    busy: AtomicU64,
}

impl Counted {
    /// Counts a connection for which there is no room, and returns the frame that tells it so; in a datagram with the stream
    /// that it named.
    pub(super) fn busy(&self, stream: Option<u64>) -> Vec<u8> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("dtu_refused_total", "cause" => "busy").increment(1);
        let retry_after_ms = u32::try_from(BUSY_RETRY_AFTER.as_millis()).unwrap_or(u32::MAX);
        let message = Message::Refuse(Refuse { code: RefuseCode::BUSY, retry_after_ms, reason: Reason::EMPTY });
        let (native, mut bytes) = (Native::new(), Vec::new());
        let encoded = match stream {
            None => native.encode_to(&message, &mut bytes),
            Some(stream) => native.encode_to(&Datagram { stream, message }, &mut bytes),
        };
        encoded.expect("a vector grows to the size of a REFUSE");
        bytes
    }
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
    /// When an address cannot be listened on, or there is none.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn listen(listen: Listen, mut config: ServerConfig, cancel: CancellationToken) -> io::Result<Self> {
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
        let house = Arc::new(House {
            registry: Registry::new(Arc::clone(&limits), config.max_sessions, hub.clone()),
            limits,
            keys: config.keys.clone(),
            admission: config.admission.clone(),
            hub,
            accepted,
            refused: AtomicU64::new(0),
            cancel: cancel.clone(),
            drops: Drops::default(),
        });
        let (tasks, counted) = (TaskTracker::new(), Arc::<Counted>::default());
        if let Some(socket) = socket {
            let (house, counted) = (Arc::clone(&house), Arc::clone(&counted));
            let door = udp::server::Door::new(socket, house, counted, tasks.clone(), config.max_connections);
            tasks.spawn(door.run());
        }
        let front = Front {
            seats: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            house: Arc::clone(&house),
            counted: Arc::clone(&counted),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
            #[cfg(feature = "tls")]
            tls: config.tls,
        };
        if let Some(listener) = listener {
            tasks.spawn(front.run(listener));
        }
        tasks.spawn(keep_house(Arc::clone(&house), cancel.clone()));
        Ok(Self { local_addr, udp_addr, sessions, house, counted, tasks, cancel })
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
        ServerCounters {
            connections: self.counted.connections.load(Ordering::Relaxed),
            busy: self.counted.busy.load(Ordering::Relaxed),
            refused: self.house.refused.load(Ordering::Relaxed),
            sessions: self.house.registry.len(),
            dropped: self.house.drops.total(),
        }
    }

    /// Stops accepting, and closes every session as going down, waiting at most `drain` for what is in their outboxes.
    pub fn close(&self, drain: Duration) {
        self.house.registry.close(CloseCode::GOING_DOWN, drain);
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
async fn keep_house(house: Arc<House>, cancel: CancellationToken) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        house.registry.sweep();
        house.drops.tell(&house.hub);
    }
    let mut ticks = interval(LAST_SWEEP);
    loop {
        // Also those that were let in at the last moment.
        house.registry.close_rest(CloseCode::GOING_DOWN);
        if house.registry.sweep() == 0 {
            return;
        }
        ticks.tick().await;
    }
}

/// The task that accepts.
struct Front {
    house: Arc<House>,
    counted: Arc<Counted>,
    seats: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::ServerTls>,
}

impl Front {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = accept(&listener) => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.house.hub.accept_failed(&error);
                    continue;
                }
            };
            self.counted.connections.fetch_add(1, Ordering::Relaxed);
            // Nothing of this connection is awaited here: one that is silent holds up only itself.
            match Arc::clone(&self.seats).try_acquire_owned() {
                Ok(seat) => self.seat(socket, peer, seat),
                Err(_) => self.turn_away(&socket),
            }
        }
    }

    fn seat(&self, socket: TcpStream, peer: SocketAddr, seat: OwnedSemaphorePermit) {
        let house = Arc::clone(&self.house);
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            let opened = async move { tls.accept(socket).await };
            self.tasks.spawn(Connection::new(house, seat, opened, peer));
            return;
        }
        self.tasks.spawn(Connection::new(house, seat, ready(Ok(socket)), peer));
    }

    /// Says that there is no room, as far as the empty socket buffer takes it. Where TLS is spoken there is nobody to say it to
    /// before the handshake, which would be the work that there is no room for.
    fn turn_away(&self, socket: &TcpStream) {
        let busy = self.counted.busy(None);
        if !self.is_tls() {
            let _not_sent = socket.try_write(&busy);
        }
    }

    const fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }
}
