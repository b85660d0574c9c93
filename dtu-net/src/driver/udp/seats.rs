//! The connections of a UDP server, by stream.

use super::path::Path;
use crate::driver::shared::Shared;
use crate::event::Epoch;
use crate::server::Server;
use dtu_proto::message::Datagram;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One connection of a session. Its path is locked inside the lock of the session, never around it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) stream: u64,
    pub(super) shared: Arc<Shared<Server>>,
    pub(super) epoch: Epoch,
    path: Mutex<Path>,
}

impl Seat {
    pub(super) fn new(stream: u64, shared: Arc<Shared<Server>>, epoch: Epoch, path: Path) -> Self {
        Self { stream, shared, epoch, path: Mutex::new(path) }
    }

    pub(super) fn path(&self) -> MutexGuard<'_, Path> {
        // Poison is no concern: no change of the path panics half-way.
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a datagram to the link, and wakes who sends its answers.
    pub(super) fn hand_over(&self, datagram: &Datagram<'_>, length: usize) {
        let sender = self.shared.task(|inner, now| {
            inner.link.handle_datagram(self.epoch, now, datagram, length);
            if inner.link.epoch() == self.epoch {
                inner.peer.set(self.path().address());
            }
            inner.take_task()
        });
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    /// Wakes who sends.
    pub(super) fn wake(&self) {
        self.shared.application(|_| ((), true));
    }
}

/// All of them. Each takes itself out when it is over.
#[derive(Debug, Default)]
pub(super) struct Seats {
    by_stream: Mutex<HashMap<u64, Arc<Seat>>>,
    /// Rung when one has left.
    pub(super) left: Notify,
}

impl Seats {
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn find(&self, stream: u64) -> Option<Arc<Seat>> {
        self.lock().get(&stream).cloned()
    }

    /// It takes the place of an older connection in the same stream.
    pub(super) fn sit(&self, seat: Arc<Seat>) {
        self.lock().insert(seat.stream, seat);
    }

    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        let mut seats = self.lock();
        if seats.get(&seat.stream).is_some_and(|now| Arc::ptr_eq(now, seat)) {
            seats.remove(&seat.stream);
        }
        drop(seats);
        self.left.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        // Poison is no concern: no change of the map panics half-way.
        self.by_stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
