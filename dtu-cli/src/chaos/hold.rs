//! The hold: what waits for its time, in one direction of a connection.

use bytes::Bytes;
use std::collections::VecDeque;
use tokio::time::Instant;

/// The most bytes held in one direction of a connection; one read may go over it. With a delay it bounds the speed, too:
/// no more than this passes in the time of one delay.
pub(super) const HELD_BYTES: usize = 256 * 1024;

/// The most chunks or datagrams held in one direction of a connection, as a small one costs more than its bytes.
pub(super) const HELD_CHUNKS: usize = 4096;

/// Chunks in their order, each with the time at which it is due.
#[derive(Debug, Default)]
pub(super) struct Hold {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
}

impl Hold {
    /// Whether more may be put in. A stream is not read while there is none, a datagram is lost.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < HELD_BYTES && self.chunks.len() < HELD_CHUNKS
    }

    /// Puts `chunk` in behind all others: it is due at `due`, and not before they are.
    pub(super) fn push(&mut self, due: Instant, chunk: Bytes) {
        let due = self.chunks.back().map_or(due, |(last, _)| due.max(*last));
        self.bytes += chunk.len();
        self.chunks.push_back((due, chunk));
    }

    /// Puts `chunk` in before all that are due later than `due`.
    pub(super) fn insert(&mut self, due: Instant, chunk: Bytes) {
        let place = self.chunks.partition_point(|(other, _)| *other <= due);
        self.bytes += chunk.len();
        self.chunks.insert(place, (due, chunk));
    }

    /// The first chunk and when it is due.
    pub(super) fn front(&self) -> Option<(Instant, &Bytes)> {
        self.chunks.front().map(|(due, chunk)| (*due, chunk))
    }

    /// Takes `count` bytes from the front of the first chunk, and the chunk when it is empty then.
    pub(super) fn advance(&mut self, count: usize) {
        if let Some((_, chunk)) = self.chunks.front_mut() {
            let taken = chunk.split_to(count.min(chunk.len()));
            self.bytes -= taken.len();
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }

    /// Takes the first chunk.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let (_, chunk) = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Throws everything away; returns how many chunks and bytes that were.
    pub(super) fn clear(&mut self) -> (usize, usize) {
        let gone = (self.chunks.len(), self.bytes);
        *self = Self::default();
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn chunk(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn chunks_keep_their_order_whatever_their_times() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut hold = Hold::default();
        for (due, text) in [(30, "first"), (10, "second"), (40, "third")] {
            hold.push(at(due), chunk(text));
        }
        assert_eq!(hold.front(), Some((at(30), &chunk("first"))));
        hold.advance(2);
        assert_eq!(hold.front(), Some((at(30), &chunk("rst"))));
        hold.advance(3);
        assert_eq!(hold.front(), Some((at(30), &chunk("second"))), "not before the first");
        assert_eq!(hold.pop(), Some(chunk("second")));
        assert_eq!(hold.front(), Some((at(40), &chunk("third"))));
        assert_eq!(hold.clear(), (1, 5));
        assert_eq!(hold.front(), None);
        assert_eq!(hold.clear(), (0, 0));
    }

    #[test]
    fn what_is_inserted_stands_by_its_time_and_behind_its_equals() {
        let now = Instant::now();
        let mut hold = Hold::default();
        for (due, text) in [(30, "c"), (10, "a"), (30, "d"), (20, "b"), (10, "a2"), (40, "e")] {
            hold.insert(now + Duration::from_millis(due), chunk(text));
        }
        let order: Vec<Bytes> = core::iter::from_fn(|| hold.pop()).collect();
        assert_eq!(order, ["a", "a2", "b", "c", "d", "e"].map(chunk));
    }

    #[test]
    fn it_is_full_by_bytes_and_by_chunks() {
        let now = Instant::now();
        let mut hold = Hold::default();
        hold.push(now, Bytes::from(vec![0; HELD_BYTES - 1]));
        assert!(hold.has_room());
        hold.push(now, chunk("x"));
        assert!(!hold.has_room());
        hold.advance(1);
        assert!(hold.has_room());
        let mut hold = Hold::default();
        for _ in 0..HELD_CHUNKS {
            assert!(hold.has_room());
            hold.push(now, chunk(""));
        }
        assert!(!hold.has_room());
    }
}
