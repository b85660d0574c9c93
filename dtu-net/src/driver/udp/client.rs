//! The device side: one connected socket for each connection, carried by one future.

use super::drops::{DropCause, Drops};
use super::{ERRORS_IN_A_ROW, IN, OUT, RECEIVE};
use crate::device::Device;
use crate::driver::shared::{Inner, Shared};
use crate::driver::turns::{Turn, Turns};
use crate::error::Cause;
use crate::event::Epoch;
use crate::wire::Carrier;
use core::mem;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use dtu_proto::Native;
use dtu_proto::message::Datagram;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Connects a new socket. Nothing is sent by that, so a dead address does not show here: the next try begins with the next
/// address.
pub(crate) async fn dial(
    mut addresses: Vec<SocketAddr>,
    local_ip: Option<IpAddr>,
    tries: usize,
) -> io::Result<UdpSocket> {
    let first = tries.checked_rem(addresses.len());
    addresses.rotate_left(first.unwrap_or(0));
    let mut failed = io::ErrorKind::NotFound.into();
    for address in addresses {
        match connect(address, local_ip).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn connect(address: SocketAddr, local_ip: Option<IpAddr>) -> io::Result<UdpSocket> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local_ip.unwrap_or(any), 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Carries the link until the connection is over. Ready when its last words are with the socket.
pub(crate) async fn carry(shared: &Arc<Shared<Device>>, epoch: Epoch, socket: UdpSocket) -> io::Result<()> {
    let peer = socket.peer_addr()?;
    shared.task(|inner, now| inner.link.handle_connected(epoch, now, Carrier::Datagrams));
    let (unsent, turns, drops) = (Vec::new(), Turns::default(), Drops::default());
    Post { socket, peer, shared: Arc::clone(shared), epoch, unsent, turns, drops, errors: 0 }.await;
    Ok(())
}

struct Post {
    socket: UdpSocket,
    peer: SocketAddr,
    shared: Arc<Shared<Device>>,
    epoch: Epoch,
    /// The datagram that the socket did not take yet.
    unsent: Vec<u8>,
    turns: Turns,
    drops: Drops,
    /// Errors since the last datagram or pause.
    errors: u32,
}

impl Post {
    /// Receives once. Returns whether there was something. What the application has no room for the link passes over, so
    /// that acknowledgements and signs of life behind it still come.
    fn receive(&mut self, context: &mut Context<'_>, inner: &mut Inner<Device>, now: Instant) -> bool {
        if !inner.link.is_live(self.epoch) {
            return false;
        }
        IN.with_borrow_mut(|buffer| {
            buffer.resize(RECEIVE, 0);
            let mut buffer = ReadBuf::new(buffer);
            match self.socket.poll_recv(context, &mut buffer) {
                Poll::Pending => {
                    self.errors = 0;
                    false
                }
                Poll::Ready(Ok(())) => {
                    self.errors = 0;
                    self.take(inner, now, buffer.filled());
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.failed(inner, now, &error);
                    true
                }
            }
        })
    }

    fn take(&self, inner: &mut Inner<Device>, now: Instant, bytes: &[u8]) {
        let native = Native::with_max_payload(inner.link.limits().max_payload);
        let dropped = match Datagram::open(&native, bytes) {
            Ok(datagram) if datagram.stream == inner.link.stream() => {
                return inner.link.handle_datagram(self.epoch, now, &datagram, bytes.len());
            }
            Ok(datagram) => DropCause::OtherStream { stream: datagram.stream },
            Err(error) => DropCause::Malformed(error),
        };
        self.drops.count(self.peer, dropped);
    }

    /// What ICMP says does not end the connection: anybody can forge it, and the server may be back in a moment.
    fn failed(&mut self, inner: &mut Inner<Device>, now: Instant, error: &io::Error) {
        //= spec/session.md#S-25
        self.drops.count(self.peer, DropCause::Transport(error.kind()));
        self.errors += 1;
        if self.errors >= ERRORS_IN_A_ROW {
            inner.link.handle_disconnected(self.epoch, now, Cause::Transport(error.kind()));
        }
    }

    /// Sends what the socket takes. Returns whether everything has left.
    fn send(&mut self, context: &mut Context<'_>, inner: &mut Inner<Device>, now: Instant) -> bool {
        OUT.with_borrow_mut(|out| {
            loop {
                out.clear();
                out.append(&mut self.unsent);
                if out.is_empty() && !inner.link.poll_transmit(self.epoch, now, out) {
                    self.unsent = Vec::new();
                    return true;
                }
                let mut sent = self.socket.poll_send(context, out);
                if let Poll::Ready(Err(error)) = &sent {
                    // Linux says here what ICMP said about an earlier datagram, and has not tried this one.
                    self.drops.count(self.peer, DropCause::Transport(error.kind()));
                    sent = self.socket.poll_send(context, out);
                }
                match sent {
                    Poll::Pending => {
                        self.unsent.extend_from_slice(out);
                        return false;
                    }
                    Poll::Ready(Ok(_)) => {}
                    // It is lost as on the network: what matters is sent again.
                    Poll::Ready(Err(error)) => self.drops.count(self.peer, DropCause::Transport(error.kind())),
                }
            }
        })
    }
}

impl Future for Post {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let (shared, epoch, mut turns) = (Arc::clone(&this.shared), this.epoch, mem::take(&mut this.turns));
        let done = turns.poll(context, &shared, epoch, None, |context, inner, now| {
            let more = this.receive(context, inner, now);
            if !more {
                inner.link.handle_timeout(now);
            }
            Turn { more, left: this.send(context, inner, now) }
        });
        this.turns = turns;
        this.drops.tell(shared.hub());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceConfig;
    use crate::driver::{hub::Hub, now};
    use crate::event::State;
    use crate::link::Link;

    #[tokio::test]
    async fn what_the_network_says_ends_nothing_until_it_says_nothing_else() {
        let began = now();
        let mut link = Link::device(DeviceConfig::new("meter-7").unwrap(), 9, 0, began);
        link.handle_timeout(began);
        let epoch = link.poll_connect().unwrap();
        link.handle_connected(epoch, began, Carrier::Datagrams);
        let shared = Shared::new("meter-7".into(), link, Hub::new(1), began);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let socket = connect(peer, None).await.unwrap();
        let (unsent, turns, drops) = (Vec::new(), Turns::default(), Drops::default());
        let mut post = Post { socket, peer, shared: Arc::clone(&shared), epoch, unsent, turns, drops, errors: 0 };
        for errors in 1..=ERRORS_IN_A_ROW {
            let refused = io::ErrorKind::ConnectionRefused.into();
            let state = shared.task(|inner, now| {
                post.failed(inner, now, &refused);
                inner.link.state()
            });
            let expected = if errors < ERRORS_IN_A_ROW { State::Registering } else { State::Disconnected };
            assert_eq!((state, post.drops.total()), (expected, u64::from(errors)));
        }
    }
}
