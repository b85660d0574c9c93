//! A network between one device and one server that does to datagrams what a test tells it, by kind and number: no
//! chance, no time.

use core::net::{Ipv4Addr, SocketAddr};
use dtu_proto::message::Datagram;
use dtu_proto::{Message, Native};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

pub(crate) const REGISTER: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const REFUSE: u8 = 0x03;
pub(crate) const PING: u8 = 0x04;
pub(crate) const PONG: u8 = 0x05;
pub(crate) const DATA: u8 = 0x06;
pub(crate) const ACK: u8 = 0x07;
pub(crate) const CLOSE: u8 = 0x08;
pub(crate) const CHALLENGE: u8 = 0x09;
pub(crate) const PROOF: u8 = 0x0A;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Up,
    Down,
}

pub(crate) enum Fate {
    Pass,
    Drop,
    Twice,
    /// It waits, and leaves after the next one of its kind and way.
    Behind,
}

/// What came by, before its fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) way: Way,
    pub(crate) kind: u8,
    pub(crate) stream: u64,
    /// How often the relay had changed its port.
    pub(crate) binds: usize,
}

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    rebind: mpsc::Sender<oneshot::Sender<()>>,
}

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

impl Relay {
    /// `fate` is asked for each datagram, with its kind and how many of that kind went this way before.
    pub(crate) async fn start(server: SocketAddr, fate: impl FnMut(Way, u8, usize) -> Fate + Send + 'static) -> Self {
        let front = UdpSocket::bind(loopback()).await.unwrap();
        let addr = front.local_addr().unwrap();
        let seen = Arc::default();
        let (rebind, commands) = mpsc::channel(1);
        tokio::spawn(run(front, server, fate, Arc::clone(&seen), commands));
        Self { addr, seen, rebind }
    }

    pub(crate) async fn clean(server: SocketAddr) -> Self {
        Self::start(server, |_, _, _| Fate::Pass).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The device's datagrams come from another port from now on, and nothing is received on the old one.
    pub(crate) async fn rebind(&self) {
        let (done, wait) = oneshot::channel();
        self.rebind.send(done).await.unwrap();
        wait.await.unwrap();
    }
}

async fn run(
    front: UdpSocket,
    server: SocketAddr,
    mut fate: impl FnMut(Way, u8, usize) -> Fate,
    log: Arc<Mutex<Vec<Seen>>>,
    mut commands: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut outer = UdpSocket::bind(loopback()).await.unwrap();
    let (mut device, mut binds) = (None, 0);
    let mut counts = HashMap::<(Way, u8), usize>::new();
    let mut held = HashMap::<(Way, u8), Vec<u8>>::new();
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    loop {
        let (way, bytes) = tokio::select! {
            received = front.recv_from(&mut up) => {
                let (length, from) = received.unwrap();
                device = Some(from);
                (Way::Up, &up[..length])
            }
            received = outer.recv_from(&mut down) => (Way::Down, &down[..received.unwrap().0]),
            command = commands.recv() => {
                let Some(done) = command else { return };
                outer = UdpSocket::bind(loopback()).await.unwrap();
                binds += 1;
                done.send(()).unwrap();
                continue;
            }
        };
        let datagram = Datagram::open(&Native::new(), bytes).unwrap();
        let kind = datagram.message.kind();
        log.lock().unwrap().push(Seen { way, kind, stream: datagram.stream, binds });
        let count = counts.entry((way, kind)).or_default();
        let fate = fate(way, kind, *count);
        *count += 1;
        let mut leaving = vec![bytes.to_vec()];
        match fate {
            Fate::Pass => leaving.extend(held.remove(&(way, kind))),
            Fate::Drop => leaving.clear(),
            Fate::Twice => leaving.push(bytes.to_vec()),
            Fate::Behind => leaving = held.insert((way, kind), bytes.to_vec()).into_iter().collect(),
        }
        for bytes in leaving {
            match way {
                Way::Up => outer.send_to(&bytes, server).await.unwrap(),
                Way::Down => front.send_to(&bytes, device.unwrap()).await.unwrap(),
            };
        }
    }
}

/// A peer written by hand: it sends and receives single datagrams, and nothing by itself.
pub(crate) struct Bare {
    pub(crate) socket: UdpSocket,
}

impl Bare {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        socket.connect(server).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn send(&self, stream: u64, message: Message<'_>) {
        self.socket.send(&sealed(stream, message)).await.unwrap();
    }

    /// The kind of the next datagram, and the nonce inside when there is one.
    pub(crate) async fn recv(&self) -> (u8, Option<u64>) {
        let mut bytes = [0; 2048];
        let length = crate::soon(self.socket.recv(&mut bytes)).await.unwrap();
        let message = Datagram::open(&Native::new(), &bytes[..length]).unwrap().message;
        let nonce = if let Message::Ping { nonce } | Message::Pong { nonce } = message { Some(nonce) } else { None };
        (message.kind(), nonce)
    }

    /// Proves that nothing has come that was not read. On the loopback what was sent is there.
    pub(crate) fn assert_quiet(self) {
        let socket = self.socket.into_std().unwrap();
        let kind = socket.recv(&mut [0; 2048]).map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::WouldBlock));
    }
}

pub(crate) fn sealed(stream: u64, message: Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(&Datagram { stream, message }, &mut bytes).unwrap();
    bytes
}
