//! Which servers there are to compare, and how each is started.

use crate::plain_server;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use dtu_net::driver::{self, ServerConfig, Session};
use std::io;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// How many DATA a device may have unacknowledged at the sessions' server.
const WINDOW: u16 = 32;

/// Connections that the sessions' server takes, which is more than any measurement opens.
const MAX_CONNECTIONS: usize = 65_536;

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// Without sessions: [`plain_server`].
    Plain,
    /// The same with as long a queue of connections to accept as the sessions' server has.
    PlainDeep,
    /// With sessions: [`driver::Server`], and one task of the application for each.
    DtuNet,
}

impl Server {
    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::PlainDeep => "plain-deep",
            Self::DtuNet => "dtu-net",
        }
    }

    /// Starts it on a free port of 127.0.0.1, in tasks of the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start(self) -> io::Result<SocketAddr> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match self {
            Self::Plain => {
                let listener = TcpListener::bind(any_port).await?;
                let address = listener.local_addr()?;
                tokio::spawn(plain_server::serve(listener));
                Ok(address)
            }
            Self::PlainDeep => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(any_port)?;
                let listener = socket.listen(ServerConfig::default().backlog)?;
                let address = listener.local_addr()?;
                tokio::spawn(plain_server::serve(listener));
                Ok(address)
            }
            Self::DtuNet => start_sessions(ServerConfig::default()),
        }
    }
}

/// Starts the sessions' server on a free port of 127.0.0.1; its window and its bound on connections are those of all measurements.
///
/// # Errors
///
/// When it cannot listen.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start_sessions(mut config: ServerConfig) -> io::Result<SocketAddr> {
    (config.limits.window, config.max_connections) = (WINDOW, MAX_CONNECTIONS);
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = driver::Server::bind(any_port, config, CancellationToken::new())?;
    let address = server.local_addr();
    tokio::spawn(accept(server));
    Ok(address)
}

/// The application of the server with sessions: acknowledges whatever comes.
async fn accept(mut server: driver::Server) {
    while let Some(session) = server.accept().await {
        tokio::spawn(commit(session));
    }
}

async fn commit(session: Session) {
    let mut batch = Vec::new();
    while session.recv_many(&mut batch, usize::from(WINDOW)).await > 0 {
        if let Some(last) = batch.last() {
            // It was received on this stream, so only a device that has forgotten it meanwhile makes this an error.
            let _forgotten = session.commit(last.mark());
        }
        batch.clear();
    }
}

impl From<Server> for &'static str {
    fn from(server: Server) -> Self {
        server.name()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
