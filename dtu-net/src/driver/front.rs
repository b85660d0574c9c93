//! The task that accepts, and the room in which connections wait for their turn.
//!
//! A runtime gives each task its turn in the order in which they came. Were each connection a task at once, the one that accepts
//! would have a turn when all of them had theirs, seconds later in an overload, and who comes meanwhile would hear nothing: the
//! system's queue runs full. So only a few are called out of the room at a time, and the task that accepts sees to the next when half of
//! them have had their turn. It also means that what a device said first has mostly come by then, and is read in that turn.

use super::accept::accept;
use super::entrance::{CALLED, Entrance, Full, Place};
use super::now;
use core::net::SocketAddr;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that are accepted in a row before others have their turn.
const ACCEPT_BATCH: usize = 1024;

/// Whom a connection comes to.
pub(super) trait Host {
    /// Gives a connection a task, which has its turn behind those that were called before.
    fn call(&self, tasks: &TaskTracker, socket: TcpStream, peer: SocketAddr, place: Place);

    /// There is no room for it.
    fn turn_away(&self, socket: TcpStream, full: Full);

    /// The system gave none.
    fn accept_failed(&self, error: &io::Error);
}

/// The task that accepts.
pub(super) struct Front<H> {
    pub(super) host: H,
    pub(super) entrance: Arc<Entrance>,
    pub(super) connections: Arc<AtomicU64>,
    pub(super) tasks: TaskTracker,
    pub(super) accepting: CancellationToken,
}

/// A connection that waits to be called.
type Waiting = (TcpStream, SocketAddr, Place);

impl<H: Host> Front<H> {
    pub(super) async fn run(self, listener: TcpListener) {
        let entrance = &self.entrance;
        let (mut ended, mut accepted) = (pin!(self.accepting.cancelled()), pin!(accept(&listener)));
        let mut room = VecDeque::new();
        // Meanwhile the system's queue holds who comes: there are so many that refusing them would leave no time for the others.
        let (mut pause, mut pauses) = (pin!(sleep_until(now().into())), false);
        let mut in_a_row = 0;
        loop {
            while !room.is_empty() && entrance.called() < CALLED {
                self.call(&mut room);
            }
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = pause.as_mut(), if pauses => pauses = false,
                result = &mut accepted, if !pauses => {
                    accepted.set(accept(&listener));
                    if !self.receive(result, &mut room) && let Some(from) = entrance.refuses_from() {
                        pauses = true;
                        pause.as_mut().reset(from.into());
                    }
                }
                () = entrance.few_are_called() => {}
            }
            in_a_row += 1;
            if in_a_row == ACCEPT_BATCH {
                in_a_row = 0;
                yield_now().await;
            }
        }
        // Who has been accepted is served, though nobody else is.
        while !room.is_empty() {
            self.call(&mut room);
        }
    }

    /// Nothing of the connection is awaited here: one that is silent holds up only itself. Returns false when it was refused.
    fn receive(&self, accepted: io::Result<(TcpStream, SocketAddr)>, room: &mut VecDeque<Waiting>) -> bool {
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.host.accept_failed(&error);
                return true;
            }
        };
        self.connections.fetch_add(1, Ordering::Relaxed);
        match self.entrance.enter(peer.ip()) {
            Ok(place) => room.push_back((socket, peer, place)),
            Err(full) => {
                self.host.turn_away(socket, full);
                return false;
            }
        }
        true
    }

    /// Calls the one that waits longest.
    fn call(&self, room: &mut VecDeque<Waiting>) {
        if let Some((socket, peer, mut place)) = room.pop_front() {
            place.call();
            self.host.call(&self.tasks, socket, peer, place);
        }
    }
}
