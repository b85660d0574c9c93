//! The server side: one socket, and one task that receives on it, tells the sessions apart by their streams, and lets new
//! ones in.

use super::drops::DropCause;
use super::path::Path;
use super::seats::{Seat, Seats};
use super::sender::Sender;
use super::{ERRORS_IN_A_ROW, RECEIVE};
use crate::driver::entrance;
use crate::driver::now;
use crate::driver::reception::House;
use crate::driver::registry::Admitted;
use crate::driver::tap::Way;
use crate::error::{Cause, Violation};
use crate::handshake::{Handshake, HandshakeEvent, Registration};
use crate::wire::Carrier;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_proto::message::{CloseCode, Datagram, Resume};
use dtu_proto::{Message, Native};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::TaskTracker;

/// How often the deadlines of the handshakes are looked at.
const SWEEP: Duration = Duration::from_millis(100);

/// How long to wait after as many errors as a broken socket gives.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a handshake takes place: two that name one stream from two addresses do not disturb each other.
type Place = (SocketAddr, u64);

struct Pending {
    handshake: Handshake,
    resume: Resume,
    claimed: Option<Registration>,
    /// It has answered a CHALLENGE, which only this address has seen.
    proven: bool,
    room: entrance::Place,
}

/// Binds. The port of an old server is free at once on UDP.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// The task that receives.
pub(crate) struct Door {
    socket: Arc<UdpSocket>,
    house: Arc<House>,
    connections: Arc<AtomicU64>,
    tasks: TaskTracker,
    native: Native,
    seats: Arc<Seats>,
    pending: HashMap<Place, Pending>,
}

impl Door {
    pub(crate) fn new(socket: UdpSocket, house: Arc<House>, connections: Arc<AtomicU64>, tasks: TaskTracker) -> Self {
        let native = Native::with_max_payload(house.limits.max_payload);
        let (socket, seats, pending) = (Arc::new(socket), Arc::default(), HashMap::new());
        Self { socket, house, connections, tasks, native, seats, pending }
    }

    /// Receives until the end of the server, and then for the sessions that are left until they are over.
    pub(crate) async fn run(mut self) {
        let (socket, seats, house) = (Arc::clone(&self.socket), Arc::clone(&self.seats), Arc::clone(&self.house));
        let mut buffer = vec![0; RECEIVE];
        let mut errors = 0;
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends = false;
        loop {
            if ends && self.seats.len() == 0 {
                return house.drops.tell(&house.hub);
            }
            tokio::select! {
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        errors = 0;
                        self.take(buffer.get(..length).unwrap_or_default(), from);
                    }
                    // Some systems tell here what ICMP said about a datagram sent.
                    Err(error) => {
                        errors += 1;
                        house.hub.accept_failed(&error);
                        if errors >= ERRORS_IN_A_ROW {
                            sleep(PAUSE).await;
                        }
                    }
                },
                _ = ticks.tick(), if !self.pending.is_empty() => self.sweep(),
                () = house.cancel.cancelled(), if !ends => {
                    ends = true;
                    // Who comes from now on is refused as busy; who was let in at the last moment is closed here.
                    house.entrance.close();
                    self.pending = HashMap::new();
                    house.registry.close_rest(CloseCode::GOING_DOWN);
                }
                () = seats.left.notified() => {}
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        self.house.tap_datagram(&self.socket, from, Way::Up, bytes);
        //= spec/session.md#S-23
        let datagram = match Datagram::open(&self.native, bytes) {
            Ok(datagram) => datagram,
            Err(error) => return self.house.drops.count(from, DropCause::Malformed(error)),
        };
        let Datagram { stream, message } = datagram;
        let opens = matches!(message, Message::Register(_) | Message::Proof { .. });
        if opens && let Some(pending) = self.pending.get_mut(&(from, stream)) {
            pending.handshake.handle_datagram(now(), &message);
            return self.advance((from, stream));
        }
        let dropped = match (self.seats.find(stream), &message) {
            (_, Message::Register(register)) if register.resume.stream != stream => DropCause::OtherStream { stream },
            (Some(seat), Message::Register(register)) if seat.path().reopened(from, Some(&register.resume)) => {
                return seat.hand_over(&datagram, bytes.len());
            }
            // Its WELCOME is with the device, so the device has taken the connection for dead.
            (_, Message::Register(register)) => return self.open((from, stream), register.resume, &message),
            (Some(seat), Message::Proof { .. }) if seat.path().reopened(from, None) => {
                return seat.hand_over(&datagram, bytes.len());
            }
            (_, Message::Proof { .. }) => DropCause::Late,
            (Some(seat), message) => {
                if seat.path().arrived(now(), from, message, random) {
                    return seat.hand_over(&datagram, bytes.len());
                }
                // For the PING.
                seat.wake();
                DropCause::OtherSource
            }
            (None, _) => DropCause::UnknownStream { stream },
        };
        self.house.drops.count(from, dropped);
    }

    /// Begins a handshake, beside the session when there is one.
    fn open(&mut self, place: Place, resume: Resume, message: &Message<'_>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let (from, stream) = place;
        let mut room = match self.house.entrance.enter(from.ip()) {
            Ok(room) => room,
            Err(full) => return self.answer(from, &full.frame(Some(stream))),
        };
        room.begin();
        let now = now();
        let mut handshake = Handshake::new(Arc::clone(&self.house.limits), Carrier::Datagrams, stream, now);
        handshake.handle_datagram(now, message);
        self.pending.insert(place, Pending { handshake, resume, claimed: None, proven: false, room });
        self.advance(place);
    }

    fn advance(&mut self, place: Place) {
        let from = place.0;
        let mut answers = true;
        while let Some(pending) = self.pending.get_mut(&place)
            && let Some(event) = pending.handshake.poll_event()
        {
            let admitted = match event {
                HandshakeEvent::Register(registration) => {
                    let admitted = self.house.answer(&mut pending.handshake, &registration);
                    pending.claimed = Some(registration);
                    admitted
                }
                HandshakeEvent::Proven => {
                    pending.proven = true;
                    let Pending { handshake, claimed, .. } = pending;
                    claimed.as_ref().is_some_and(|registration| self.house.judge(handshake, registration))
                }
                HandshakeEvent::Over(cause) => {
                    // It may be a REGISTER that was late, and its device is connected.
                    answers = !matches!(cause, Cause::NotIdentified { .. });
                    self.house.refuse(from, pending.claimed.as_ref().map(|claimed| &*claimed.device), cause);
                    false
                }
            };
            if admitted {
                self.admit(place);
            }
        }
        let Some(pending) = self.pending.get_mut(&place) else { return };
        let mut out = Vec::new();
        let more = pending.handshake.poll_transmit(&mut out);
        if pending.handshake.is_over() {
            self.pending.remove(&place);
        }
        if more && answers {
            self.answer(from, &out);
        }
    }

    /// Lets an identified device in. It stays pending only to be refused.
    fn admit(&mut self, place: Place) {
        let (from, stream) = place;
        let Some(mut pending) = self.pending.remove(&place) else { return };
        let Some(claimed) = pending.claimed.take() else { return };
        let device = &claimed.device;
        let before = self.seats.find(stream);
        if before.as_ref().is_some_and(|seat| *seat.shared.device != **device) {
            //= spec/session.md#S-28
            pending.handshake.violated(now(), Violation::ForeignStream { stream });
            self.pending.insert(place, Pending { claimed: Some(claimed), ..pending });
            return;
        }
        let is_home = |seat: &Arc<Seat>| {
            let path = seat.path();
            path.is_proven() && path.address() == from
        };
        let path = if pending.proven || before.as_ref().is_some_and(is_home) {
            Path::proven(from, pending.resume)
        } else {
            // Without a random number the device registers once more.
            let Some(nonce) = random() else { return };
            Path::unproven(from, pending.resume, nonce, now())
        };
        let Pending { handshake, mut room, .. } = pending;
        let Some(Admitted { shared, epoch, new }) = self.house.admit(device, from, handshake) else { return };
        let seat = Arc::new(Seat::new(stream, shared, epoch, path));
        self.seats.sit(Arc::clone(&seat));
        let (socket, house, seats) = (Arc::clone(&self.socket), Arc::clone(&self.house), Arc::clone(&self.seats));
        self.tasks.spawn(async move {
            if let Some(session) = new {
                room.wait();
                // An application that accepts no more has dropped the server, and the session closes with its hand.
                let _dropped = house.accepted.send(session).await;
            }
            room.admit();
            Sender::new(socket, Arc::clone(&house), Arc::clone(&seat)).await;
            house.registry.left(&seat.shared);
            seats.leave(&seat);
            drop(room);
        });
    }

    /// Answers somebody who has no session. It is not kept when the socket has no room: whoever asked asks again.
    fn answer(&self, to: SocketAddr, bytes: &[u8]) {
        match self.socket.try_send_to(bytes, to) {
            Ok(_) => self.house.tap_datagram(&self.socket, to, Way::Down, bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.house.drops.count(to, DropCause::NoRoom),
            Err(error) => self.house.drops.count(to, DropCause::Transport(error.kind())),
        }
    }

    fn sweep(&mut self) {
        let now = now();
        let is_due = |pending: &Pending| pending.handshake.poll_timeout().is_some_and(|(at, _)| at <= now);
        let due: Vec<_> = self.pending.iter().filter(|(_, pending)| is_due(pending)).map(|(place, _)| *place).collect();
        for place in due {
            if let Some(pending) = self.pending.get_mut(&place) {
                pending.handshake.handle_timeout(now);
            }
            self.advance(place);
        }
        if self.pending.is_empty() {
            // An idle door holds no buffer.
            self.pending = HashMap::new();
        }
    }
}

fn random() -> Option<u64> {
    getrandom::u64().inspect_err(|error| tracing::error!(%error, "the system gives no random number")).ok()
}
