//! Dial, register, session: the device side on TCP. One connection and no second try.

use super::connection::Connection;
use super::session::{Inbox, Session};
use super::{now, random_stream};
use crate::event::Event;
use crate::limits::Limits;
use crate::link::Link;
use core::fmt;
use core::time::Duration;
use dtu_proto::message::{DeviceId, MessageError, Token};
use std::io;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long to wait for a connection.
pub const DIAL: Duration = Duration::from_secs(10);

/// Events that may wait for the application.
pub const EVENT_QUEUE: usize = 64;

/// How a [`TcpClient`] connects.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Who the device is: 1 to 64 bytes.
    pub device_id: String,
    /// What the server may ask for besides, at most 255 bytes.
    pub token: Vec<u8>,
    /// The bounds of the link.
    pub limits: Limits,
    /// See [`DIAL`]; for all addresses of a name together.
    pub dial: Duration,
}

impl ClientConfig {
    /// The configuration of a device without a token, with the default bounds.
    #[must_use]
    pub fn new(device_id: impl Into<String>) -> Self {
        Self { device_id: device_id.into(), token: Vec::new(), limits: Limits::default(), dial: DIAL }
    }
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The device id or the token cannot be said in a REGISTER.
    Identity(MessageError),
    /// The name does not resolve, or no address accepts.
    Io(io::Error),
    /// No address answered in time.
    TimedOut {
        /// The time there was.
        limit: Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::TimedOut { limit } => write!(f, "no answer within {limit:?}"),
        }
    }
}

impl core::error::Error for ConnectError {}

/// A connection to a server. Dropping it closes the session.
#[derive(Debug)]
pub struct TcpClient {
    session: Session,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl TcpClient {
    /// Dials and sends REGISTER. The first event says whether the server let the device in. Cancelling `cancel` ends the
    /// wait for the connection, and later closes the session as going down.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. A cancelled dial is [`io::ErrorKind::Interrupted`].
    pub async fn connect(
        addr: impl ToSocketAddrs,
        config: &ClientConfig,
        cancel: CancellationToken,
    ) -> Result<Self, ConnectError> {
        let id = DeviceId::new(&config.device_id).map_err(ConnectError::Identity)?;
        let token = Token::new(&config.token).map_err(ConnectError::Identity)?;
        let stream = random_stream().map_err(ConnectError::Io)?;
        let dialled = tokio::select! {
            () = cancel.cancelled() => return Err(ConnectError::Io(io::ErrorKind::Interrupted.into())),
            dialled = timeout(config.dial, TcpStream::connect(addr)) => dialled,
        };
        let socket = match dialled {
            Ok(socket) => socket.map_err(ConnectError::Io)?,
            Err(_) => return Err(ConnectError::TimedOut { limit: config.dial }),
        };
        // Small frames leave at once. A socket that refuses the wish is slower, not wrong.
        let _slower = socket.set_nodelay(true);
        let (session, inbox) = Inbox::new(config.limits.max_body());
        let link = Link::device(config.limits, id, token, stream, now());
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let task = tokio::spawn(Connection::new(socket, link, inbox).run(sender, cancel, |_, event| event));
        Ok(Self { session, events, task })
    }

    /// The hand on the session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits for what happens next; `None` after [`Event::Closed`].
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Drops the events that are left and waits until the connection's task has ended and its last bytes have left.
    pub async fn shut_down(self) {
        let Self { session, events, task } = self;
        drop((session, events));
        // The task is not aborted by anybody; had it panicked, the runtime has said so.
        let _panicked = task.await;
    }
}
