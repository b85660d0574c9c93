//! One UDP link through the proxy: a client's address, a socket of its own to the upstream, two pipes.

use super::pipe::Pipe;
use crate::chaos::draw::Direction;
use crate::chaos::proxy::Setup;
use crate::chaos::schedule::{Moment, Schedule, until};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::sync::Arc;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often a datagram is tried: a refusal is that of an earlier one.
const TRIES: u8 = 2;

/// A client that sends to the proxy.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) client: SocketAddr,
    /// The socket that clients send to, and get their answers from.
    pub(super) listen: Arc<UdpSocket>,
    /// What the client sent.
    pub(super) inbox: mpsc::Receiver<Vec<u8>>,
    pub(super) setup: Setup,
}

impl Link {
    /// Carries datagrams until the link is idle for long, or cancelled.
    pub(super) async fn run(mut self) {
        let now = Instant::now();
        let Setup { plan, counters, cancel, .. } = self.setup.clone();
        let [mut up, mut down] =
            [Direction::Up, Direction::Down].map(|direction| Pipe::new(&plan, self.number, direction, now));
        cancel.run_until_cancelled(self.carry(&mut up, &mut down)).await;
        up.clear(counters.flow(Direction::Up));
        down.clear(counters.flow(Direction::Down));
        self.inbox.close();
        while let Ok(datagram) = self.inbox.try_recv() {
            counters.flow(Direction::Up).discarded_unseen(datagram.len());
        }
    }

    async fn carry(&mut self, up: &mut Pipe, down: &mut Pipe) {
        let counters = Arc::clone(&self.setup.counters);
        let Ok(mut socket) = self.connect().await else {
            return counters.links.refused.add(1);
        };
        let mut now = Instant::now();
        let mut schedule = Schedule::new(&self.setup.plan, self.number, now);
        let mut last = now;
        loop {
            // A link that always has something to do shares its thread.
            tokio::task::coop::consume_budget().await;
            match schedule.poll(now) {
                Moment::Cut => {
                    match self.connect().await {
                        // The new socket is bound while the old one still is, so its port is another one.
                        Ok(rebound) => {
                            counters.links.cuts.add(1);
                            socket = rebound;
                        }
                        Err(_) => counters.links.refused.add(1),
                    }
                    schedule.cut_again(now);
                }
                Moment::Stalled { begins } => {
                    counters.links.stalls.add(usize::from(begins));
                    until(schedule.next()).await;
                    now = Instant::now();
                    continue;
                }
                Moment::Passing => {}
            }
            // Each stays in its pipe until it is sent: who is cancelled in between finds it there.
            while let Some(datagram) = up.front(now) {
                self.send_up(&socket, &datagram).await;
                up.advance(now);
                last = now;
            }
            while let Some(datagram) = down.front(now) {
                self.send_down(&datagram).await;
                down.advance(now);
                last = now;
            }
            let held = up.next().into_iter().chain(down.next()).min();
            let idle = last + super::IDLE;
            if held.is_none() && idle <= now {
                return;
            }
            let next = schedule.next().into_iter().chain([held.unwrap_or(idle)]).min();
            tokio::select! {
                () = until(next) => now = Instant::now(),
                datagram = self.inbox.recv() => {
                    // The proxy has ended: nothing more can come.
                    let Some(datagram) = datagram else { return };
                    now = Instant::now();
                    last = now;
                    up.push(now, datagram, counters.flow(Direction::Up));
                }
                _ready = socket.readable() => {
                    now = Instant::now();
                    let mut datagram = Vec::with_capacity(super::MAX_DATAGRAM);
                    match socket.try_recv_buf(&mut datagram) {
                        Ok(_) => {
                            last = now;
                            down.push(now, datagram, counters.flow(Direction::Down));
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // What came back for a datagram; the next one may be answered.
                        Err(_) => counters.links.refused.add(1),
                    }
                }
            }
        }
    }

    /// A socket with a port of its own, that sends to the upstream and takes only from there.
    async fn connect(&self) -> io::Result<UdpSocket> {
        let upstream = lookup_host(&*self.setup.upstream).await?.next().ok_or(io::ErrorKind::NotFound)?;
        let any = if upstream.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(upstream).await?;
        Ok(socket)
    }

    async fn send_up(&self, socket: &UdpSocket, datagram: &[u8]) {
        let links = &self.setup.counters.links;
        let flow = self.setup.counters.flow(Direction::Up);
        for _ in 0..TRIES {
            match socket.send(datagram).await {
                Ok(_) => return flow.passed(datagram.len()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => links.refused.add(1),
                Err(_) => break,
            }
        }
        flow.discarded(datagram.len());
    }

    async fn send_down(&self, datagram: &[u8]) {
        let flow = self.setup.counters.flow(Direction::Down);
        match self.listen.send_to(datagram, self.client).await {
            Ok(_) => flow.passed(datagram.len()),
            Err(_) => flow.discarded(datagram.len()),
        }
    }
}
