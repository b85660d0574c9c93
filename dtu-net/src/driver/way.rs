//! The way to one endpoint: its addresses, and how a connection to it is made.

use super::dial;
use super::endpoints::Target;
use super::hub::Hub;
use super::linger::linger;
use super::resolve::{Names, Resolve};
#[cfg(feature = "tls")]
use super::tls::TlsStream;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::task::TaskTracker;

#[derive(Debug)]
pub(crate) struct Way {
    target: Target,
    names: Names,
    local_ip: Option<IpAddr>,
    /// The address that took the last connection, as long as no WELCOME came by it: the next dial tries it last. It may
    /// accept and do nothing more.
    doubtful: Option<SocketAddr>,
    /// Dials so far.
    tries: usize,
}

/// What carries a connection.
pub(crate) enum Road {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    Udp(UdpSocket),
}

impl Way {
    pub(crate) fn new(
        target: Target,
        endpoint: usize,
        local_ip: Option<IpAddr>,
        resolver: Arc<dyn Resolve>,
        hub: Hub,
    ) -> Self {
        let names = Names::new(target.address(), endpoint, resolver, hub);
        Self { target, names, local_ip, doubtful: None, tries: 0 }
    }

    /// Looks the name up and connects. `limit` is the time that the caller gives to all of it.
    pub(crate) async fn dial(&mut self, limit: Duration) -> io::Result<Road> {
        let addresses = self.names.addresses(limit).await?;
        let mut addresses = dial::of_family(addresses, self.local_ip)?;
        addresses.sort_by_key(|address| Some(*address) == self.doubtful);
        let tries = self.tries;
        self.tries = tries.wrapping_add(1);
        match &self.target {
            Target::Tcp(_) => {
                let stream = dial::race(addresses, self.local_ip).await?;
                self.doubtful = stream.peer_addr().ok();
                Ok(Road::Tcp(stream))
            }
            #[cfg(feature = "tls")]
            Target::Tls(_, tls) => {
                let stream = dial::race(addresses, self.local_ip).await?;
                self.doubtful = stream.peer_addr().ok();
                Ok(Road::Tls(Box::new(tls.connect(stream).await?)))
            }
            Target::Udp(_) => Ok(Road::Udp(super::udp::client::dial(addresses, self.local_ip, tries).await?)),
        }
    }

    /// The server let the device in by the last connection.
    pub(crate) const fn welcomed(&mut self) {
        self.doubtful = None;
    }
}

impl Road {
    /// Ends a connection that has served as a probe.
    pub(crate) fn leave(self, limit: Duration, tasks: &TaskTracker) {
        match self {
            Self::Tcp(stream) => drop(tasks.spawn(linger(stream, limit))),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => drop(tasks.spawn(linger(stream, limit))),
            Self::Udp(socket) => drop(socket),
        }
    }
}
