//! The future that sends for one connection of a session, and keeps its time.

use super::drops::DropCause;
use super::seats::Seat;
use super::{OUT, Unsent};
use crate::driver::reception::House;
use crate::driver::shared::Inner;
use crate::driver::tap::Way;
use crate::driver::turns::{Turn, Turns};
use crate::server::Server;
use core::mem;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use dtu_proto::message::Datagram;
use dtu_proto::{Message, Native};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;

/// Waits until the socket may take a datagram. On the heap, and only while it does not.
type Writable = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ready when the connection is over and its last words are with the socket.
pub(super) struct Sender {
    socket: Arc<UdpSocket>,
    house: Arc<House>,
    seat: Arc<Seat>,
    unsent: Option<Unsent>,
    writable: Option<Writable>,
    turns: Turns,
}

impl Sender {
    pub(super) fn new(socket: Arc<UdpSocket>, house: Arc<House>, seat: Arc<Seat>) -> Self {
        Self { socket, house, seat, unsent: None, writable: None, turns: Turns::default() }
    }

    /// Appends the datagram that leaves next, and returns where to. An address that has proved nothing gets the answer to
    /// its REGISTER and the PING, nothing else.
    fn next(&self, inner: &mut Inner<Server>, now: Instant, out: &mut Vec<u8>) -> Option<SocketAddr> {
        //= spec/session.md#S-24
        let mut path = self.seat.path();
        if path.is_answer_due() && inner.link.poll_transmit(self.seat.epoch, now, out) {
            path.answered();
            return Some(path.address());
        }
        if let Some((address, nonce)) = path.take_probe() {
            let ping = Datagram { stream: self.seat.stream, message: Message::Ping { nonce } };
            Native::new().encode_to(&ping, out).expect("a PING fits a frame");
            return Some(address);
        }
        let more = path.is_proven() && inner.link.poll_transmit(self.seat.epoch, now, out);
        more.then(|| path.address())
    }

    /// Sends what the socket takes. Returns whether everything has left.
    fn send(&mut self, context: &mut Context<'_>, inner: &mut Inner<Server>, now: Instant) -> bool {
        OUT.with_borrow_mut(|out| {
            while self.is_writable(context) {
                out.clear();
                let to = match &self.unsent {
                    Some(unsent) => {
                        out.extend_from_slice(&unsent.bytes);
                        Some(unsent.to)
                    }
                    None => self.next(inner, now, out),
                };
                let Some(to) = to else { return true };
                match self.socket.try_send_to(out, to) {
                    Ok(_) => {
                        self.house.tap_datagram(&self.socket, to, Way::Down, out);
                        self.unsent = None;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.unsent = Some(Unsent { bytes: out.as_slice().into(), to });
                        let socket = Arc::clone(&self.socket);
                        self.writable = Some(Box::pin(async move {
                            // An error shows when it is tried again.
                            let _shown = socket.writable().await;
                        }));
                    }
                    // It is lost as on the network: what matters is sent again.
                    Err(error) => {
                        self.unsent = None;
                        self.house.drops.count(to, DropCause::Transport(error.kind()));
                    }
                }
            }
            false
        })
    }

    fn is_writable(&mut self, context: &mut Context<'_>) -> bool {
        let waits = self.writable.as_mut().is_some_and(|writable| writable.as_mut().poll(context).is_pending());
        if !waits {
            self.writable = None;
        }
        !waits
    }
}

impl Future for Sender {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let rota = Arc::clone(this.house.registry.rota());
        let (seat, mut turns) = (Arc::clone(&this.seat), mem::take(&mut this.turns));
        let done = turns.poll(context, &seat.shared, seat.epoch, Some(&rota), |context, inner, now| {
            if inner.link.is_live(seat.epoch) {
                inner.link.handle_timeout(now);
            }
            // Another task receives.
            Turn { more: false, left: this.send(context, inner, now) }
        });
        this.turns = turns;
        done
    }
}
