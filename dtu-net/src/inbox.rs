//! What the peer sends: put into order, each number once, and acknowledged when the application has taken responsibility.
//!
//! ```text
//!      committed ≤ taken ≤ contiguous        committed + window
//!   ──────┼──────────┼──────────┼──────────────────┼──
//!         acknow-    with the   awaited next       the peer may
//!         ledged     application                   not send
//! ```

use crate::early::Early;
use crate::error::{CommitError, Violation};
use crate::event::{Mark, Received};
use crate::numbers::is_after;
use bytes::Bytes;
use core::mem;
use std::collections::VecDeque;

/// What is counted for each entry of the queue besides its body.
const ENTRY: usize = mem::size_of::<Received>();

/// Places of a queue that begins: what comes with one read is not moved from one buffer to the next larger one.
const QUEUE: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is in the queue, and what had waited for it behind it.
    Delivered,
    /// It came too early and waits, or did so already.
    Early { repeated: bool },
    /// It was delivered before.
    Repeated,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The peer's stream; 0 before there is one.
    stream: u64,
    /// The number awaited next.
    contiguous: u32,
    /// Everything below is with the application.
    taken: u32,
    /// Everything below is the application's responsibility.
    committed: u32,
    /// Something is to be acknowledged, or was and has to be again.
    ack_due: bool,
    /// What came out of order on datagrams, while there is some.
    early: Option<Box<Early>>,
    /// What waits for the application.
    queue: VecDeque<Received>,
    queue_bytes: usize,
    /// DATA that was put into the queue so far, of all streams.
    delivered: u64,
    /// Numbers that will not come so far, of all streams.
    skipped: u64,
}

impl Inbox {
    /// The peer says its stream and the first number that it still has. Returns whether that stream is known here.
    ///
    /// What waits for the application of another stream stays; it came, and nobody else has it.
    pub(crate) fn resume(&mut self, stream: u64, send_base: u32) -> bool {
        if self.stream == stream {
            if is_after(send_base, self.contiguous) {
                // Numbers that were settled without this side's word.
                self.skip(send_base);
            }
            return true;
        }
        (self.stream, self.contiguous, self.taken, self.committed) = (stream, send_base, send_base, send_base);
        self.early = None;
        self.ack_due = false;
        false
    }

    pub(crate) const fn stream(&self) -> u64 {
        self.stream
    }

    /// What the resume fields say: below it the peer may forget everything.
    pub(crate) const fn receive_next(&self) -> u32 {
        self.committed
    }

    /// Takes DATA; beyond `window` numbers from the last acknowledged one, or out of order on an `ordered` transport, it is
    /// a breach of the rules.
    pub(crate) fn arrived(
        &mut self,
        seq: u32,
        channel: u8,
        body: &[u8],
        window: u16,
        ordered: bool,
    ) -> Result<Arrival, Violation> {
        if is_after(self.contiguous, seq) {
            // The peer has missed the acknowledgement.
            self.ack_due = true;
            return Ok(Arrival::Repeated);
        }
        let limit = self.committed.wrapping_add(u32::from(window));
        if !is_after(limit, seq) {
            return Err(Violation::BeyondWindow { seq, limit });
        }
        if seq == self.contiguous {
            self.deliver(channel, Bytes::copy_from_slice(body));
            self.deliver_early();
            return Ok(Arrival::Delivered);
        }
        if ordered {
            return Err(Violation::Gap { expected: self.contiguous, seq });
        }
        let place = usize::try_from(seq.wrapping_sub(self.contiguous)).unwrap_or(usize::MAX).saturating_sub(1);
        let repeated = self.early.get_or_insert_default().put(place, channel, body);
        Ok(Arrival::Early { repeated })
    }

    /// Puts the awaited number into the queue.
    fn deliver(&mut self, channel: u8, body: Bytes) {
        let (stream, seq) = (self.stream, self.contiguous);
        self.contiguous = seq.wrapping_add(1);
        if self.queue.is_empty() {
            self.queue.reserve(QUEUE);
        }
        self.queue_bytes += body.len() + ENTRY;
        self.delivered += 1;
        self.queue.push_back(Received::Data { stream, seq, channel, body });
    }

    /// Delivers what has waited for the number that just came.
    fn deliver_early(&mut self) {
        // The place in front is that of the awaited number, since the one before it was delivered.
        while let Some((channel, body)) = self.early.as_mut().and_then(|early| early.next()) {
            self.deliver(channel, body);
        }
        self.early.take_if(|early| early.is_empty());
    }

    /// The numbers below `next` will not come, also those of them that came early. What was delivered stays.
    pub(crate) fn skip(&mut self, next: u32) {
        if !is_after(next, self.contiguous) {
            // The peer waits for the acknowledgement of its SKIP.
            self.ack_due = true;
            return;
        }
        let (stream, from) = (self.stream, self.contiguous);
        let count = next.wrapping_sub(from);
        self.skipped += u64::from(count);
        match self.queue.back_mut() {
            Some(Received::Skip { stream: before, next: end, .. }) if *before == stream && *end == from => *end = next,
            _ => {
                self.queue_bytes += ENTRY;
                self.queue.push_back(Received::Skip { stream, from, next });
            }
        }
        self.contiguous = next;
        // What came early is moved to its new place; what stands inside the hole was given up by the peer.
        if let Some(early) = &mut self.early {
            early.skip(usize::try_from(count).unwrap_or(usize::MAX) - 1);
        }
        self.deliver_early();
    }

    /// What the application gets next.
    pub(crate) fn take(&mut self) -> Option<Received> {
        let received = self.queue.pop_front()?;
        self.queue_bytes -= received.len() + ENTRY;
        let mark = received.mark();
        if mark.stream == self.stream {
            self.taken = mark.next;
        }
        if self.queue.is_empty() {
            // An idle link holds no buffer.
            self.queue = VecDeque::new();
        }
        Some(received)
    }

    /// DATA that was delivered so far, and numbers that will not come.
    pub(crate) const fn totals(&self) -> (u64, u64) {
        (self.delivered, self.skipped)
    }

    /// Whether something waits for the application.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The bytes that wait for the application.
    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Whether a datagram's DATA is taken: within `limit` bytes of what waits for the application and of what came early, or
    /// when it is the one that all of these wait for. A repeat takes no room, and its sender waits for the acknowledgement.
    pub(crate) fn has_room_for(&self, seq: u32, limit: usize) -> bool {
        let awaited = seq == self.contiguous;
        is_after(self.contiguous, seq)
            || self.queue_bytes < limit && (awaited || self.queue_bytes + self.early_bytes() < limit)
    }

    /// The memory it holds, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.queue_bytes.saturating_add(self.early.as_ref().map_or(0, |early| early.memory()))
    }

    fn early_bytes(&self) -> usize {
        self.early.as_ref().map_or(0, |early| early.bytes())
    }

    /// Takes the application's word; an older one changes nothing.
    pub(crate) fn commit(&mut self, mark: Mark) -> Result<(), CommitError> {
        if mark.stream != self.stream {
            return Err(CommitError::OtherStream { stream: mark.stream, now: self.stream });
        }
        if is_after(mark.next, self.taken) {
            return Err(CommitError::Ahead { next: mark.next, delivered_next: self.taken });
        }
        if is_after(mark.next, self.committed) {
            self.committed = mark.next;
            self.ack_due = true;
        }
        Ok(())
    }

    /// What is to be acknowledged, once.
    pub(crate) fn take_acknowledgement(&mut self) -> Option<u32> {
        mem::take(&mut self.ack_due).then_some(self.committed)
    }

    pub(crate) const fn is_ack_due(&self) -> bool {
        self.ack_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(inbox: &mut Inbox, seq: u32) -> Result<Arrival, Violation> {
        inbox.arrived(seq, 0, b"x", 8, false)
    }

    #[test]
    fn every_order_of_arrival_is_handed_out_in_the_order_of_numbers() {
        // All orders of five numbers around the end of the circle, by their factorial digits.
        for order in 0..120 {
            let mut inbox = Inbox::default();
            inbox.resume(1, u32::MAX - 1);
            let (mut left, mut rest): (Vec<u32>, _) =
                ((0..5).map(|ahead| (u32::MAX - 1).wrapping_add(ahead)).collect(), order);
            for count in (1..=5).rev() {
                let seq = left.remove(rest % count);
                rest /= count;
                assert!(arrive(&mut inbox, seq).is_ok());
                assert!(matches!(arrive(&mut inbox, seq), Ok(Arrival::Repeated | Arrival::Early { repeated: true })));
            }
            let taken = core::iter::from_fn(|| inbox.take().map(|received| received.mark().next));
            assert_eq!(taken.collect::<Vec<_>>(), [u32::MAX, 0, 1, 2, 3], "order {order}");
            assert_eq!((inbox.memory(), inbox.totals()), (0, (5, 0)));
        }
    }

    #[test]
    fn the_window_counts_from_what_was_committed() {
        let mut inbox = Inbox::default();
        inbox.resume(1, 0);
        for seq in 0..8 {
            assert_eq!(arrive(&mut inbox, seq), Ok(Arrival::Delivered));
        }
        assert_eq!(arrive(&mut inbox, 8), Err(Violation::BeyondWindow { seq: 8, limit: 8 }));
        let mark = inbox.take().expect("eight wait").mark();
        assert_eq!(arrive(&mut inbox, 8), Err(Violation::BeyondWindow { seq: 8, limit: 8 }), "taken is not committed");
        assert_eq!(inbox.commit(mark), Ok(()));
        assert_eq!(arrive(&mut inbox, 8), Ok(Arrival::Delivered));
    }
}
