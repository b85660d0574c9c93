//! The network between the devices and their servers: it is TCP, and can be taken away.

use crate::address::Servers;
use anyhow::Context as _;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// The first address of the devices of a loopback server. Those below are in use by others.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);

/// Taken away while the count of changes is odd.
#[derive(Debug)]
pub(super) struct Network {
    /// One at least.
    servers: Box<[SocketAddr]>,
    /// At which of them each device is. It goes to the next one when a dial comes to nothing.
    places: Box<[AtomicUsize]>,
    /// How often it was taken away and given back.
    changes: AtomicU64,
    /// Who reads on the line of which device.
    readers: Box<[Mutex<Option<Waker>>]>,
}

impl Network {
    /// A network with these servers, one at least, over which the devices are spread evenly.
    pub(super) fn to(servers: Vec<SocketAddr>, devices: u32) -> Self {
        Self {
            servers: servers.into(),
            places: (0..devices).map(|number| AtomicUsize::new(index(number))).collect(),
            changes: AtomicU64::new(0),
            readers: (0..devices).map(|_| Mutex::default()).collect(),
        }
    }

    /// Looks the servers up; each has one address, as the devices of a fleet do not share their load by chance.
    ///
    /// # Errors
    /// Which of them has none.
    pub(super) async fn look_up(servers: &Servers, devices: u32) -> anyhow::Result<Self> {
        let mut addrs = Vec::new();
        for server in &servers.0 {
            let looked_up = lookup_host(server).await.with_context(|| format!("cannot look up {server}"))?;
            addrs.push({ looked_up }.next().with_context(|| format!("{server} has no address"))?);
        }
        Ok(Self::to(addrs, devices))
    }

    /// Breaks every connection; dials fail until [`mend`](Self::mend).
    pub(super) fn cut(&self) {
        self.changes.fetch_or(1, Ordering::SeqCst);
        for reader in &self.readers {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner).take();
            reader.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn mend(&self) {
        let mended = |changes: u64| (changes % 2 == 1).then(|| changes + 1);
        let _was_there = self.changes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, mended);
    }

    /// Connects the device `number` to its server.
    ///
    /// # Errors
    /// Those of the system; and `NetworkUnreachable` without a network.
    pub(super) async fn dial(self: Arc<Self>, number: u32) -> io::Result<Line> {
        let began = self.changes.load(Ordering::SeqCst);
        if began % 2 == 1 {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let place = self.places.get(index(number)).expect("every device has its place");
        let server = self.servers[place.load(Ordering::Relaxed) % self.servers.len()];
        // A dial that is given up by its device has come to nothing too.
        place.fetch_add(1, Ordering::Relaxed);
        let stream = connect(server, number).await?;
        place.fetch_sub(1, Ordering::Relaxed);
        // Small frames leave at once. A socket that refuses the wish is slower, not wrong.
        let _slower = stream.set_nodelay(true);
        Ok(Line { stream, network: self, began, number })
    }

    /// Whether a connection of that time is broken.
    fn is_broken(&self, began: u64) -> bool {
        self.changes.load(Ordering::SeqCst) != began
    }

    /// Remembers whom to wake when it is taken away.
    fn sleep(&self, number: u32, waker: &Waker) {
        let reader = self.readers.get(index(number));
        let mut reader = reader.expect("every device has its place").lock().unwrap_or_else(PoisonError::into_inner);
        if !reader.as_ref().is_some_and(|reader| reader.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

async fn connect(server: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source(server.ip(), number) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(server).await
}

/// The address that the device `number` comes from: its own, where the server is on this machine and the system has all of
/// 127.0.0.0/8.
fn source(server: IpAddr, number: u32) -> Option<IpAddr> {
    let own = cfg!(target_os = "linux") && server.is_ipv4() && server.is_loopback();
    own.then(|| Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + number).into())
}

/// The connection of one device.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    network: Arc<Network>,
    /// The network's changes when it was dialled.
    began: u64,
    number: u32,
}

impl Line {
    fn check(&self) -> io::Result<()> {
        if self.network.is_broken(self.began) { Err(io::ErrorKind::NetworkDown.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // First, so that a cut behind the check wakes this task.
        self.network.sleep(self.number, context.waker());
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, bytes)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_cut_breaks_what_is_there_and_a_mended_network_carries_what_is_new() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Arc::new(Network::to(vec![listener.local_addr().unwrap()], 2));
        let mut old = Arc::clone(&network).dial(1).await.unwrap();
        let mut reading = tokio::spawn(async move { (old.read_u8().await.unwrap_err().kind(), old) });
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        network.cut();
        // The reader is woken by the cut, although nothing came.
        let (kind, mut old) = (&mut reading).await.unwrap();
        assert_eq!(kind, io::ErrorKind::NetworkDown);
        let error = Arc::clone(&network).dial(0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        network.mend();
        assert_eq!(old.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::NetworkDown, "it stays broken");
        let mut new = Arc::clone(&network).dial(1).await.unwrap();
        new.write_all(b"y").await.unwrap();
        let (_, _) = listener.accept().await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        assert_eq!(peer.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn devices_are_spread_over_the_servers_and_go_on_when_theirs_is_gone() {
        let [one, other] = [TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0")];
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        let addrs = [&one, &other].map(|listener| listener.local_addr().unwrap());
        let network = Arc::new(Network::to(addrs.to_vec(), 3));
        let at =
            async |number: u32| Arc::clone(&network).dial(number).await.map(|line| line.stream.peer_addr().unwrap());
        for _ in 0..2 {
            for (number, addr) in [(0, addrs[0]), (1, addrs[1]), (2, addrs[0])] {
                assert_eq!(at(number).await.unwrap(), addr, "it stays where it is served");
            }
        }
        drop(one);
        assert_eq!(at(0).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!([at(0).await.unwrap(), at(0).await.unwrap(), at(1).await.unwrap()], [addrs[1]; 3]);
        drop(other);
        for _ in 0..3 {
            assert_eq!(at(0).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn cutting_twice_or_mending_twice_is_once() {
        let network = Network::to(vec!["127.0.0.1:1".parse().unwrap()], 0);
        let changes = || network.changes.load(Ordering::SeqCst);
        network.mend();
        assert_eq!(changes(), 0);
        network.cut();
        network.cut();
        assert_eq!(changes(), 1);
        network.mend();
        network.mend();
        assert_eq!(changes(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn at_a_loopback_server_each_device_has_an_address_of_its_own() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        let sources: HashSet<_> = (0..1_000_000).map(|number| source(loopback, number).unwrap()).collect();
        assert_eq!(sources.len(), 1_000_000);
        assert!(sources.iter().all(IpAddr::is_loopback) && !sources.contains(&loopback));
        for elsewhere in ["::1", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(source(elsewhere.parse().unwrap(), 5), None);
        }
    }
}
