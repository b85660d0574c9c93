//! Accept, identify, session: a TCP server for devices.

use super::accept::{self, accept, listen};
use super::connection::Connection;
use super::session::{Inbox, Session};
use super::{now, random_stream};
use crate::error::Ended;
use crate::event::{Event, LinkCounters, Registration};
use crate::limits::Limits;
use crate::link::Link;
use crate::server::Server;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_proto::message::{CloseCode, Reason, Refuse, RefuseCode};
use dtu_proto::{Message, Native};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at a time, identified or not.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Events that may wait for the application, of all connections together.
pub const EVENT_QUEUE: usize = 256;

/// What a device is told when there is no room for it.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Who may in: sees each registration, on the task of its connection, and must not block.
pub type Admission = Arc<dyn Fn(&Registration) -> Result<(), RefuseCode> + Send + Sync>;

/// How a [`TcpServer`] serves.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The bounds of each link.
    pub limits: Limits,
    /// See [`MAX_CONNECTIONS`]. Who comes beyond is refused as busy.
    pub max_connections: usize,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// The system's receive buffer of each connection, in bytes; chosen by the system by default, up to megabytes.
    pub receive_buffer: Option<u32>,
    /// See [`EVENT_QUEUE`].
    pub event_queue: usize,
    /// Who may in; everyone by default.
    pub admission: Admission,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_connections: MAX_CONNECTIONS,
            backlog: accept::BACKLOG,
            receive_buffer: None,
            event_queue: EVENT_QUEUE,
            admission: Arc::new(|_| Ok(())),
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("limits", &self.limits)
            .field("max_connections", &self.max_connections)
            .field("backlog", &self.backlog)
            .field("event_queue", &self.event_queue)
            .finish_non_exhaustive()
    }
}

/// Something that happened at a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// On one connection. A registration has been answered already when it is told: by WELCOME, or by a REFUSE that
    /// [`Ended::TurnedAway`] then tells.
    Link {
        /// The number of the connection, from 1 in the order of acceptance.
        connection: u64,
        /// Where it comes from.
        peer: SocketAddr,
        /// Who it is; `None` before it has registered.
        device: Option<Arc<str>>,
        /// The hand on it.
        session: Session,
        /// What happened.
        event: Event,
    },
    /// A connection could not be accepted, for want of descriptors or memory. The server goes on after a pause.
    AcceptFailed(io::Error),
}

/// A TCP server for devices. Its tasks end when it is dropped, or by the token that it was given.
#[derive(Debug)]
pub struct TcpServer {
    local_addr: SocketAddr,
    events: mpsc::Receiver<ServerEvent>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    untold: Arc<AtomicU64>,
}

impl TcpServer {
    /// Listens on `addr` and starts to accept. Cancelling `cancel` ends it in order, as [`close`](Self::close) does.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(addr: SocketAddr, config: ServerConfig, cancel: CancellationToken) -> io::Result<Self> {
        let listener = listen(addr, config.backlog, config.receive_buffer)?;
        let local_addr = listener.local_addr()?;
        let (sender, events) = mpsc::channel(config.event_queue.max(1));
        let tasks = TaskTracker::new();
        let front = Front {
            seats: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            seated: Arc::default(),
            config,
            sender,
            tasks: tasks.clone(),
            cancel: cancel.child_token(),
            untold: Arc::default(),
        };
        let (cancel, untold) = (front.cancel.clone(), Arc::clone(&front.untold));
        tasks.spawn(front.run(listener));
        Ok(Self { local_addr, events, tasks, cancel, untold })
    }

    /// The address listened on, with the port that the system chose where none was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many connections were not accepted, or turned away as there was no room, without an event: the application was
    /// behind with its events, and accepting does not wait for it.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// Waits for what happens next. `None` when the server has ended and everything is told.
    pub async fn next_event(&mut self) -> Option<ServerEvent> {
        self.events.recv().await
    }

    /// As [`next_event`](Self::next_event), for a thread outside the runtime.
    ///
    /// # Panics
    ///
    /// Inside a runtime.
    pub fn blocking_next_event(&mut self) -> Option<ServerEvent> {
        self.events.blocking_recv()
    }

    /// As [`next_event`](Self::next_event), without waiting: `None` when nothing is there at the moment.
    pub fn try_next_event(&mut self) -> Option<ServerEvent> {
        self.events.try_recv().ok()
    }

    /// Stops accepting and closes every session as going down. The events of the end are still to be taken.
    pub fn close(&self) {
        self.cancel.cancel();
    }

    /// Closes, drops the events that are left, and waits until every task has ended.
    pub async fn shut_down(mut self) {
        self.close();
        self.events.close();
        while self.events.recv().await.is_some() {}
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Who sits where: the newest connection of each device.
type Seated = Arc<Mutex<HashMap<Arc<str>, (u64, Session)>>>;

/// The task that accepts.
struct Front {
    config: ServerConfig,
    sender: mpsc::Sender<ServerEvent>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    seats: Arc<Semaphore>,
    seated: Seated,
    untold: Arc<AtomicU64>,
}

impl Front {
    /// Tells the application without waiting for it, or counts that it was not told.
    fn tell(&self, event: ServerEvent) {
        if self.sender.try_send(event).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn run(self, listener: TcpListener) {
        let mut connection: u64 = 0;
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = accept(&listener) => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.tell(ServerEvent::AcceptFailed(error));
                    continue;
                }
            };
            connection = connection.wrapping_add(1);
            // Nothing of this connection is awaited here: one that is silent holds up only itself.
            match Arc::clone(&self.seats).try_acquire_owned() {
                Ok(seat) => self.seat(socket, peer, connection, seat),
                Err(_) => self.turn_away(&socket, peer, connection),
            }
        }
    }

    fn seat(&self, socket: TcpStream, peer: SocketAddr, connection: u64, seat: OwnedSemaphorePermit) {
        let stream = match random_stream() {
            Ok(stream) => stream,
            Err(error) => {
                self.tell(ServerEvent::AcceptFailed(error));
                return;
            }
        };
        let (session, inbox) = Inbox::new(self.config.limits.max_body());
        let link = Link::server(self.config.limits, stream, now());
        let mut guest = Guest {
            connection,
            peer,
            session,
            device: None,
            seated: Arc::clone(&self.seated),
            admission: Arc::clone(&self.config.admission),
        };
        let task = Connection::new(socket, link, inbox);
        let (sender, cancel) = (self.sender.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            task.run(sender, cancel, |link, event| guest.translate(link, event)).await;
            drop(guest);
            drop(seat);
        });
    }

    /// Says that there is no room, as far as the empty socket buffer takes it, and tells the application.
    fn turn_away(&self, socket: &TcpStream, peer: SocketAddr, connection: u64) {
        let retry_after_ms = u32::try_from(BUSY_RETRY_AFTER.as_millis()).unwrap_or(u32::MAX);
        let refuse = Refuse { code: RefuseCode::BUSY, retry_after_ms, reason: Reason::EMPTY };
        let mut bytes = Vec::new();
        let encoded = Native::new().encode_to(&Message::Refuse(refuse), &mut bytes);
        encoded.expect("a vector grows to the size of a REFUSE");
        let _not_sent = socket.try_write(&bytes);
        let (session, _) = Inbox::new(0);
        let cause = Ended::TurnedAway(RefuseCode::BUSY);
        let event = Event::Closed { cause, reason: "".into(), counters: Box::<LinkCounters>::default() };
        self.tell(ServerEvent::Link { connection, peer, device: None, session, event });
    }
}

/// What the server knows of one connection.
struct Guest {
    connection: u64,
    peer: SocketAddr,
    session: Session,
    device: Option<Arc<str>>,
    seated: Seated,
    admission: Admission,
}

impl Guest {
    fn translate(&mut self, link: &mut Link<Server>, event: Event) -> ServerEvent {
        if let Event::Register(registration) = &event {
            match (self.admission)(registration) {
                Ok(()) => {
                    self.sit_down(registration);
                    link.welcome(now());
                }
                Err(code) => link.refuse(code, Duration::ZERO, Reason::EMPTY),
            }
        }
        let (connection, peer, device) = (self.connection, self.peer, self.device.clone());
        ServerEvent::Link { connection, peer, device, session: self.session.clone(), event }
    }

    /// The newest connection of a device has its place; the one before is closed.
    fn sit_down(&mut self, registration: &Registration) {
        let device: Arc<str> = registration.device.as_ref().into();
        self.device = Some(Arc::clone(&device));
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, session)) = seated.insert(device, (self.connection, self.session.clone())) {
            let reason = format!("connection {} took the place of {before}", self.connection);
            session.close(CloseCode::REPLACED, &reason);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(device) = &self.device else { return };
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        if seated.get(device).is_some_and(|(connection, _)| *connection == self.connection) {
            seated.remove(device);
        }
    }
}
