//! The listen queue of the server's kernel, as Linux keeps it: connections that were made and wait to be accepted.
//!
//! It holds one more than `listen` was told. While it is full, a SYN is dropped, and so is what ends the handshake of a SYN
//! that was answered before. The device's kernel repeats both; it believes in the latter case that it is connected.

use super::event::Bytes;
use std::collections::VecDeque;

/// A connection that waits to be accepted, with what its device has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) device: u32,
    pub(super) serial: u32,
    pub(super) bytes: Bytes,
}

/// The queue, and what it has seen.
#[derive(Debug)]
pub(super) struct Backlog {
    limit: usize,
    queue: VecDeque<Pending>,
    pub(super) longest: usize,
    pub(super) syn_drops: u64,
    pub(super) ack_drops: u64,
}

impl Backlog {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, queue: VecDeque::new(), longest: 0, syn_drops: 0, ack_drops: 0 }
    }

    fn is_full(&self) -> bool {
        self.queue.len() > self.limit
    }

    /// A SYN came. Returns whether it is answered.
    pub(super) fn syn(&mut self) -> bool {
        let answered = !self.is_full();
        self.syn_drops += u64::from(!answered);
        answered
    }

    /// What ends a handshake came. Returns whether the connection is made.
    pub(super) fn push(&mut self, pending: Pending) -> bool {
        if self.is_full() {
            self.ack_drops += 1;
            return false;
        }
        self.queue.push_back(pending);
        self.longest = self.longest.max(self.queue.len());
        true
    }

    /// Accepts the connection that waits longest.
    pub(super) fn accept(&mut self) -> Option<Pending> {
        self.queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(device: u32) -> Pending {
        Pending { device, serial: 1, bytes: Bytes::NONE }
    }

    #[test]
    fn a_full_queue_drops_and_counts_until_one_is_accepted() {
        let mut backlog = Backlog::new(2);
        for device in 0..3 {
            assert!(backlog.syn() && backlog.push(pending(device)), "it holds one more than it was told");
        }
        assert!(!backlog.syn() && !backlog.push(pending(3)));
        assert_eq!((backlog.syn_drops, backlog.ack_drops, backlog.longest), (1, 1, 3));
        assert_eq!(backlog.accept(), Some(pending(0)), "who came first is accepted first");
        assert!(backlog.syn() && backlog.push(pending(4)) && !backlog.syn());
        assert_eq!((backlog.syn_drops, backlog.longest), (2, 3));
        let rest: Vec<_> = core::iter::from_fn(|| backlog.accept()).map(|pending| pending.device).collect();
        assert_eq!(rest, [1, 2, 4], "what was dropped is not in it");
        assert!(backlog.is_empty());
    }

    #[test]
    fn answered_syns_take_no_place_until_their_handshake_ends() {
        let mut backlog = Backlog::new(0);
        assert!(backlog.syn() && backlog.syn(), "both are answered");
        assert!(backlog.push(pending(0)) && !backlog.push(pending(1)), "and one finds a place");
        assert_eq!((backlog.syn_drops, backlog.ack_drops), (0, 1));
    }
}
