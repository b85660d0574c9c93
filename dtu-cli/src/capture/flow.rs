//! From reads and writes to TCP segments.

use super::packet::{Ends, Flags, MAX_SEGMENT, Packet};
use super::queue::Queue;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use dtu_net::driver::tap::{Flow, Tap, Way};
use std::sync::Arc;

/// What a connection's first sequence number differs by from the one before: far enough for a port that is used again not to look like a
/// repetition.
const STEP: u32 = 0x3d4d_51cb;

/// Makes packets of what it sees.
pub(super) struct Listener {
    queue: Arc<Queue>,
    first: AtomicU32,
}

impl Listener {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, first: AtomicU32::new(1) }
    }
}

impl Tap for Listener {
    fn opened(&self, peer: SocketAddr, local: SocketAddr) -> Box<dyn Flow> {
        let first = self.first.fetch_add(STEP, Ordering::Relaxed);
        let side = Side { next: first, ended: false };
        let (queue, ends) = (Arc::clone(&self.queue), Ends::new(peer, local));
        let mut connection = Connection { queue, ends, up: side, down: side, over: false };
        connection.put(Way::Up, Flags::Syn, &[]);
        connection.put(Way::Down, Flags::Syn, &[]);
        connection.put(Way::Up, Flags::None, &[]);
        Box::new(connection)
    }

    fn datagram(&self, peer: SocketAddr, local: SocketAddr, way: Way, bytes: &[u8]) {
        if self.queue.has_room(bytes.len()) {
            self.queue.put(Packet::datagram(Ends::new(peer, local), way, bytes));
        }
    }
}

/// One of the two directions.
#[derive(Clone, Copy)]
struct Side {
    /// The sequence number of what comes next.
    next: u32,
    ended: bool,
}

struct Connection {
    queue: Arc<Queue>,
    ends: Ends,
    up: Side,
    down: Side,
    /// It was broken: there is nothing behind a reset.
    over: bool,
}

impl Connection {
    const fn sides(&mut self, way: Way) -> (&mut Side, &mut Side) {
        match way {
            Way::Up => (&mut self.up, &mut self.down),
            Way::Down => (&mut self.down, &mut self.up),
        }
    }

    /// One segment. Its numbers are used up even when there is no room for it, so that the hole shows.
    fn put(&mut self, way: Way, flags: Flags, bytes: &[u8]) {
        let (near, far) = self.sides(way);
        let (sequence, acknowledged) = (near.next, far.next);
        let length = u32::try_from(bytes.len()).expect("a segment is shorter than 64 KiB");
        near.next = sequence.wrapping_add(length).wrapping_add(flags.length());
        if self.queue.has_room(bytes.len()) {
            // The first SYN answers nothing.
            let acknowledged = (way == Way::Down || flags != Flags::Syn).then_some(acknowledged);
            self.queue.put(Packet::segment(self.ends, way, sequence, acknowledged, flags, bytes));
        }
    }
}

impl Flow for Connection {
    fn bytes(&mut self, way: Way, bytes: &[u8]) {
        for part in bytes.chunks(MAX_SEGMENT) {
            self.put(way, Flags::Push, part);
        }
    }

    fn ended(&mut self, way: Way) {
        let (side, _) = self.sides(way);
        if !core::mem::replace(&mut side.ended, true) && !self.over {
            self.put(way, Flags::Fin, &[]);
        }
    }

    fn broken(&mut self) {
        let was_over = core::mem::replace(&mut self.over, true) || self.up.ended && self.down.ended;
        if !was_over {
            self.put(Way::Up, Flags::Reset, &[]);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A socket that is closed says so.
        self.ended(Way::Down);
    }
}
