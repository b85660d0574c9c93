//! The UDP proxy.

mod link;
mod pipe;

use super::draw::Direction;
use super::proxy::Setup;
use core::net::SocketAddr;
use core::time::Duration;
use link::Link;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

/// The most client addresses at a time; what comes from others is turned away.
pub(super) const MAX_LINKS: usize = 16_384;

/// Datagrams that wait for their link's task; what comes beyond is lost.
const INBOX: usize = 64;

/// The longest datagram there is, in bytes.
const MAX_DATAGRAM: usize = 65_535;

/// A link over which nothing came or went for so long is forgotten, and its port to the upstream with it.
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// How long a datagram that changes places with the next one waits for it. When none comes, it goes on alone.
pub(super) const REORDER_WAIT: Duration = Duration::from_secs(1);

/// How often links that have ended are forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// Starts a proxy; returns the address that it listens on.
pub(super) fn start(listen: SocketAddr, setup: Setup) -> io::Result<SocketAddr> {
    let socket = std::net::UdpSocket::bind(listen)?;
    socket.set_nonblocking(true)?;
    let listen = UdpSocket::from_std(socket)?;
    let local_addr = listen.local_addr()?;
    let tasks = setup.tasks.clone();
    tasks.spawn(Receiver { listen: Arc::new(listen), setup, links: HashMap::new(), links_seen: 0 }.run());
    Ok(local_addr)
}

/// Takes what clients send, and gives it to their links.
struct Receiver {
    listen: Arc<UdpSocket>,
    setup: Setup,
    links: HashMap<SocketAddr, Sender<Vec<u8>>>,
    links_seen: u64,
}

impl Receiver {
    async fn run(mut self) {
        let cancel = self.setup.cancel.clone();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut datagram = Vec::with_capacity(MAX_DATAGRAM);
            tokio::select! {
                () = cancel.cancelled() => return,
                _tick = sweep.tick() => self.links.retain(|_, link| !link.is_closed()),
                received = self.listen.recv_buf_from(&mut datagram) => match received {
                    Ok((_, client)) => {
                        datagram.shrink_to_fit();
                        self.hand_over(client, datagram);
                    }
                    // What came back for an answer to a client. It is cleared by being read.
                    Err(_) => self.setup.counters.links.accept_failed.add(1),
                },
            }
        }
    }

    fn hand_over(&mut self, client: SocketAddr, mut datagram: Vec<u8>) {
        let flow = self.setup.counters.flow(Direction::Up);
        if let Some(link) = self.links.get(&client) {
            match link.try_send(datagram) {
                Ok(()) => return,
                Err(TrySendError::Full(datagram)) => return flow.overflowed_unseen(datagram.len()),
                // It was idle for long and has ended: a new one begins.
                Err(TrySendError::Closed(back)) => datagram = back,
            }
        } else if self.links.len() >= MAX_LINKS {
            self.setup.counters.links.turned_away.add(1);
            return flow.discarded_unseen(datagram.len());
        }
        let (sender, inbox) = channel(INBOX);
        // A new inbox has room.
        let _sent = sender.try_send(datagram);
        self.links.insert(client, sender);
        self.links_seen += 1;
        self.setup.counters.links.connections.add(1);
        let link = Link {
            number: self.links_seen,
            client,
            listen: Arc::clone(&self.listen),
            inbox,
            setup: self.setup.clone(),
        };
        self.setup.tasks.spawn(link.run());
    }
}

#[cfg(test)]
mod tests;
