//! What waits to be written.

use super::packet::Packet;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::SystemTime;

/// What a packet that waits takes besides its bytes, about: itself, its place in the queue and on the heap.
const OVERHEAD: usize = 192;

/// A packet, and when it was seen.
pub(super) struct Taken {
    pub(super) at: SystemTime,
    pub(super) packet: Packet,
}

enum Item {
    Taken(Taken),
    End,
}

/// Where the connections put what they see. Nothing here waits for the disk.
pub(super) struct Queue {
    items: Sender<Item>,
    /// The bytes that wait.
    waiting: AtomicUsize,
    most: usize,
    dropped: AtomicU64,
    /// Nothing is written any more.
    stopped: AtomicBool,
}

/// Where the thread takes it from.
pub(super) struct Waiting {
    items: Receiver<Item>,
    queue: Arc<Queue>,
}

impl Queue {
    /// A queue of at most so many bytes.
    pub(super) fn new(most: u64) -> (Arc<Self>, Waiting) {
        let (items, taken) = mpsc::channel();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (waiting, dropped, stopped) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let queue = Arc::new(Self { items, waiting, most, dropped, stopped });
        let waiting = Waiting { items: taken, queue: Arc::clone(&queue) };
        (queue, waiting)
    }

    /// Whether there is room for a packet around `payload` bytes. When there is none, it is counted as dropped.
    pub(super) fn has_room(&self, payload: usize) -> bool {
        let stopped = self.stopped.load(Ordering::Relaxed);
        let has_room = !stopped && self.waiting.load(Ordering::Relaxed) + payload + OVERHEAD <= self.most;
        if !has_room {
            self.drop_one();
        }
        has_room
    }

    /// Appends a packet for which there was room.
    pub(super) fn put(&self, packet: Packet) {
        // Connections that ask at once for the last room pass the bound by a packet each.
        self.waiting.fetch_add(packet.payload().len() + OVERHEAD, Ordering::Relaxed);
        if self.items.send(Item::Taken(Taken { at: SystemTime::now(), packet })).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("dtu_capture_dropped_packets_total").increment(1);
    }

    /// How many packets were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether something waits and will be written.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed) && self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// What is put from now on is not written.
    pub(super) fn end(&self) {
        // Who has gone has stopped.
        let _gone = self.items.send(Item::End);
    }
}

impl Waiting {
    /// Waits for a packet, and gives out what there is, with the number of packets that were dropped so far. Returns false at the
    /// end.
    pub(super) fn take(&self, mut put: impl FnMut(&Taken, u64) -> io::Result<()>) -> io::Result<bool> {
        let Ok(first) = self.items.recv() else { return Ok(false) };
        let rest = core::iter::from_fn(|| self.items.try_recv().ok());
        for item in core::iter::once(first).chain(rest) {
            let Item::Taken(taken) = item else { return Ok(false) };
            self.queue.waiting.fetch_sub(taken.packet.payload().len() + OVERHEAD, Ordering::Relaxed);
            put(&taken, self.queue.dropped())?;
        }
        Ok(true)
    }
}
