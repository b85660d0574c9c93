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

    /// Dials to see whether the endpoint is there. It is dialled next in the order that has just led to it: no WELCOME was
    /// to come, so its absence says nothing against the address that answered.
    pub(crate) async fn probe(&mut self, limit: Duration) -> io::Result<Road> {
        let before = self.doubtful;
        let road = self.dial(limit).await?;
        self.doubtful = before.filter(|before| self.doubtful != Some(*before));
        Ok(road)
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

#[cfg(test)]
mod tests {
    use super::super::resolve::Lookup;
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = crate::limits::CONNECT;

    #[derive(Debug)]
    struct Always(Vec<SocketAddr>);

    impl Resolve for Always {
        fn lookup(&self, _: &str) -> Lookup {
            let Self(addresses) = self;
            let addresses = addresses.clone();
            Box::pin(async { Ok(addresses) })
        }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    fn way(addresses: Vec<SocketAddr>) -> Way {
        Way::new(Target::Tcp("gateway.example:1".into()), 0, None, Arc::new(Always(addresses)), Hub::new(1))
    }

    fn peer(road: io::Result<Road>) -> SocketAddr {
        let Road::Tcp(stream) = road.unwrap() else { unreachable!("the target is TCP") };
        stream.peer_addr().unwrap()
    }

    #[tokio::test]
    async fn the_address_that_answered_a_probe_is_dialled_next() {
        let ((_first, first), (_second, second)) = (listener().await, listener().await);
        let mut way = way(vec![first, second]);
        for _ in 0..3 {
            assert_eq!(peer(way.probe(LIMIT).await), first);
        }
        assert_eq!(peer(way.dial(LIMIT).await), first);
        assert_eq!(peer(way.dial(LIMIT).await), second, "no WELCOME came by the first");
        assert_eq!(peer(way.dial(LIMIT).await), first);
    }

    #[tokio::test]
    async fn what_is_held_against_an_address_outlives_probes_of_the_other_one_only() {
        let ((first_listener, first), (second_listener, second)) = (listener().await, listener().await);
        let mut way = way(vec![first, second]);
        assert_eq!(peer(way.dial(LIMIT).await), first);
        for _ in 0..2 {
            assert_eq!(peer(way.probe(LIMIT).await), second);
        }
        drop(second_listener);
        assert_eq!(peer(way.probe(LIMIT).await), first);
        assert_eq!(way.doubtful, None, "it is all there is");
        drop(first_listener);
        assert!(way.probe(LIMIT).await.is_err());
    }
}
