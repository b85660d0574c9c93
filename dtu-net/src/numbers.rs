//! The numbers of DATA, one type a direction. All arithmetic is modulo 2^32; of two numbers the one less than 2^31 ahead
//! is the later.

use crate::error::{CommitAhead, Violation};
use std::time::Instant;

/// Whether `a` comes after `b`.
pub(crate) const fn is_after(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

/// What this side sends.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The first number that is not acknowledged.
    base: u32,
    /// The number that is sent next; `next - base` never exceeds the window.
    next: u32,
    window: u32,
    /// Since when the window has been full without an acknowledgement.
    full_since: Option<Instant>,
}

impl Outgoing {
    pub(crate) fn open(&mut self, window: u16) {
        self.window = u32::from(window);
    }

    pub(crate) const fn unacknowledged(&self) -> u32 {
        self.next.wrapping_sub(self.base)
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.unacknowledged() >= self.window
    }

    pub(crate) const fn full_since(&self) -> Option<Instant> {
        self.full_since
    }

    /// Takes the next number. The caller has seen that the window is not full.
    pub(crate) fn take(&mut self, now: Instant) -> u32 {
        let seq = self.next;
        self.next = self.next.wrapping_add(1);
        if self.is_full() {
            self.full_since = Some(now);
        }
        seq
    }

    /// Takes an ACK and returns how many DATA it newly acknowledges; an old one acknowledges none.
    pub(crate) fn acknowledge(&mut self, receive_next: u32) -> Result<u32, Violation> {
        if is_after(receive_next, self.next) {
            return Err(Violation::AckAhead { receive_next, next: self.next });
        }
        if !is_after(receive_next, self.base) {
            return Ok(0);
        }
        let count = receive_next.wrapping_sub(self.base);
        self.base = receive_next;
        self.full_since = None;
        Ok(count)
    }
}

/// What the peer sends.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Everything below has come, or will not come by the peer's own word. Acknowledgements end here.
    contiguous: u32,
    /// One above the highest number that has come.
    highest: u32,
    /// Everything below is the application's responsibility.
    committed: u32,
    acknowledged: u32,
    /// A repeat came: the peer has missed the acknowledgement, so it goes out again.
    again: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New { missing: u32 },
    Repeated,
}

impl Incoming {
    /// Starts at the first number that the peer still has.
    pub(crate) const fn starting_at(send_base: u32) -> Self {
        Self { contiguous: send_base, highest: send_base, committed: send_base, acknowledged: send_base, again: false }
    }

    pub(crate) const fn arrived(&mut self, seq: u32) -> Arrival {
        if is_after(self.highest, seq) {
            self.again = true;
            return Arrival::Repeated;
        }
        let missing = seq.wrapping_sub(self.highest);
        let in_order = missing == 0 && self.contiguous == self.highest;
        self.highest = seq.wrapping_add(1);
        if in_order {
            self.contiguous = self.highest;
        }
        Arrival::New { missing }
    }

    /// The numbers below `next` will not come. Returns whether that says anything new.
    pub(crate) const fn skip(&mut self, next: u32) -> bool {
        let news = is_after(next, self.contiguous);
        if news {
            self.contiguous = next;
        }
        if is_after(next, self.highest) {
            self.highest = next;
        }
        news
    }

    /// Takes the application's word; an older one changes nothing.
    pub(crate) const fn commit(&mut self, next: u32) -> Result<(), CommitAhead> {
        if is_after(next, self.highest) {
            return Err(CommitAhead { next, delivered_next: self.highest });
        }
        if is_after(next, self.committed) {
            self.committed = next;
        }
        Ok(())
    }

    /// Returns what is to be acknowledged: once, and again after a repeat.
    pub(crate) const fn take_acknowledgement(&mut self) -> Option<u32> {
        let both = if is_after(self.committed, self.contiguous) { self.contiguous } else { self.committed };
        if !is_after(both, self.acknowledged) && !self.again {
            return None;
        }
        (self.acknowledged, self.again) = (both, false);
        Some(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around() {
        let mut incoming = Incoming::starting_at(u32::MAX);
        assert_eq!(incoming.arrived(u32::MAX), Arrival::New { missing: 0 });
        assert_eq!(incoming.arrived(0), Arrival::New { missing: 0 });
        assert_eq!(incoming.arrived(u32::MAX), Arrival::Repeated);
        incoming.commit(1).unwrap();
        assert_eq!(incoming.take_acknowledgement(), Some(1));
        assert_eq!(incoming.take_acknowledgement(), None);
        assert_eq!(incoming.arrived(0), Arrival::Repeated);
        assert_eq!(incoming.take_acknowledgement(), Some(1), "a repeat is acknowledged again");
        assert_eq!(incoming.take_acknowledgement(), None);
    }

    #[test]
    fn what_is_missing_is_never_acknowledged() {
        let mut incoming = Incoming::starting_at(0);
        assert_eq!(incoming.arrived(0), Arrival::New { missing: 0 });
        assert_eq!(incoming.arrived(3), Arrival::New { missing: 2 });
        assert_eq!(incoming.arrived(4), Arrival::New { missing: 0 });
        incoming.commit(5).unwrap();
        assert_eq!(incoming.take_acknowledgement(), Some(1));
        assert!(incoming.skip(3));
        assert_eq!(incoming.take_acknowledgement(), Some(3), "the peer's word closes the gap, not what came after it");
    }

    #[test]
    fn a_commit_past_what_was_delivered_is_an_error() {
        let mut incoming = Incoming::starting_at(7);
        assert_eq!(incoming.commit(8), Err(CommitAhead { next: 8, delivered_next: 7 }));
        assert_eq!(incoming.take_acknowledgement(), None);
    }

    #[test]
    fn the_window_counts_what_is_not_acknowledged() {
        let mut outgoing = Outgoing::default();
        assert!(outgoing.is_full(), "nothing may be sent before a window is announced");
        outgoing.open(2);
        let now = crate::testing::start();
        assert_eq!((outgoing.take(now), outgoing.full_since()), (0, None));
        assert_eq!((outgoing.take(now), outgoing.full_since()), (1, Some(now)));
        assert!(outgoing.is_full());
        assert_eq!(outgoing.acknowledge(3), Err(Violation::AckAhead { receive_next: 3, next: 2 }));
        assert_eq!(outgoing.acknowledge(1), Ok(1));
        assert_eq!(outgoing.acknowledge(0), Ok(0), "an old ACK says nothing new");
        assert_eq!((outgoing.is_full(), outgoing.full_since()), (false, None));
    }
}
