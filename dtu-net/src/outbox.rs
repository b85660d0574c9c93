//! What this side sends: numbered, bounded, and kept until it has its outcome.
//!
//! ```text
//!        acked ≤ base                    cursor            next
//!   ──────┼───────┼───────────────────────┼─────────────────┼──
//!         the     first without           sent on this      numbered
//!         peer's  an outcome              connection        next
//!         word
//! ```

use crate::error::{SendError, Violation};
use crate::event::{Event, Ledger, Outcome};
use crate::limits::{OutboxLimits, WhenFull, after};
use crate::numbers::{is_after, later};
use crate::store::{Kept, MAX_BODY_LEN, OutboxStore};
use bytes::Bytes;
use core::mem;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// What is counted for each DATA besides its body.
const ENTRY: usize = mem::size_of::<Entry>();

/// DATA to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Which serial port.
    pub channel: u8,
    /// The bytes.
    pub body: Bytes,
    /// When it is of no use any more. It is not sent after that, and its outcome is [`Outcome::Expired`].
    pub deadline: Option<Instant>,
}

impl Outgoing {
    /// DATA without a deadline.
    #[must_use]
    pub fn new(channel: u8, body: impl Into<Bytes>) -> Self {
        Self { channel, body: body.into(), deadline: None }
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }
}

#[derive(Debug)]
struct Entry {
    body: Bytes,
    channel: u8,
    /// It has its outcome already, and is a hole among others that wait.
    settled: bool,
    /// It has left at least once.
    repeat: bool,
    deadline: Option<Instant>,
    /// When it left last on this connection.
    sent: Option<Instant>,
}

/// What is to leave next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    Data { seq: u32, channel: u8, body: &'a [u8] },
    Skip { next: u32 },
}

#[derive(Debug)]
pub(crate) struct Outbox {
    /// Everything below is taken by the peer, by its own word.
    acked: u32,
    /// The first number without an outcome: that of the first entry.
    base: u32,
    /// Everything below has left on this connection, or was said to be skipped.
    cursor: u32,
    /// One above the highest number that ever left.
    highest: u32,
    /// What the resume fields of this connection said the first number is.
    said: u32,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Numbers below `base` settled without the peer's word; it has to be told.
    skip_due: bool,
    /// Since when the peer has owed an acknowledgement.
    waiting_since: Option<Instant>,
    /// Repeats since the last acknowledgement; each doubles the time to the next.
    repeats: u32,
    /// The earliest deadline, or one that was.
    earliest: Option<Instant>,
    limits: OutboxLimits,
    ledger: Ledger,
    resent: u64,
    store: Option<Box<dyn OutboxStore>>,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self {
            acked: 0,
            base: 0,
            cursor: 0,
            highest: 0,
            said: 0,
            entries: VecDeque::new(),
            bytes: 0,
            skip_due: false,
            waiting_since: None,
            repeats: 0,
            earliest: None,
            limits,
            ledger: Ledger::default(),
            resent: 0,
            store: None,
        }
    }

    /// Goes on with what a store kept. Any of it may have been sent.
    pub(crate) fn restored(kept: Kept, store: Box<dyn OutboxStore>, limits: OutboxLimits) -> Self {
        let mut outbox = Self::new(limits);
        (outbox.acked, outbox.base, outbox.cursor, outbox.highest) = (kept.base, kept.base, kept.base, kept.next);
        let mut data = kept.data.into_iter().peekable();
        let mut seq = kept.base;
        while seq != kept.next {
            let kept = data.next_if(|data| data.seq == seq);
            outbox.ledger.taken += u64::from(kept.is_some());
            outbox.ledger.pending += u64::from(kept.is_some());
            let settled = kept.is_none();
            let (channel, body) = kept.map(|kept| (kept.channel, kept.body)).unwrap_or_default();
            outbox.bytes += body.len();
            outbox.entries.push_back(Entry { body, channel, settled, repeat: true, deadline: None, sent: None });
            seq = seq.wrapping_add(1);
        }
        outbox.store = Some(store);
        outbox.trim();
        outbox
    }

    /// The first number that has no outcome, for the resume fields of a connection. A peer that does not remember this
    /// stream starts there.
    pub(crate) const fn say_base(&mut self) -> u32 {
        self.said = self.base;
        // The peer may begin there, and then says so by ACK and at the next connect.
        self.highest = later(self.highest, self.base);
        self.said
    }

    pub(crate) const fn ledger(&self) -> Ledger {
        self.ledger
    }

    pub(crate) const fn resent(&self) -> u64 {
        self.resent
    }

    /// Whether nothing waits for its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.entries.len() < self.limits.frames && length <= self.limits.bytes.saturating_sub(self.bytes)
    }

    /// The memory it holds, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.saturating_add(self.entries.len().saturating_mul(ENTRY))
    }

    /// Takes DATA and returns its number.
    pub(crate) fn push(&mut self, outgoing: Outgoing, events: &mut VecDeque<Event>) -> Result<u32, SendError> {
        let length = outgoing.body.len();
        let limit = if self.store.is_some() { self.limits.bytes.min(MAX_BODY_LEN) } else { self.limits.bytes };
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        match self.limits.when_full {
            WhenFull::Wait | WhenFull::RefuseNew if self.has_room(length) => {}
            WhenFull::Wait => return Err(SendError::Full),
            WhenFull::RefuseNew => return Err(self.refuse()),
            WhenFull::DropOldest => {
                while !self.has_room(length) {
                    // An outbox for no frame at all has nothing to drop.
                    let oldest = self.entries.iter().position(|entry| !entry.settled).ok_or_else(|| self.refuse())?;
                    self.settle(oldest, Outcome::Refused, events);
                    self.trim();
                }
            }
        }
        let Outgoing { channel, body, deadline } = outgoing;
        let seq = self.next();
        if let Some(store) = &mut self.store {
            store.append(seq, channel, &body).map_err(|error| SendError::Store(error.kind()))?;
        }
        self.bytes += length;
        self.earliest = self.earliest.into_iter().chain(deadline).min();
        self.entries.push_back(Entry { body, channel, settled: false, repeat: false, deadline, sent: None });
        self.ledger.taken += 1;
        self.ledger.pending += 1;
        Ok(seq)
    }

    /// Books one DATA that never gets a number.
    const fn refuse(&mut self) -> SendError {
        self.ledger.taken += 1;
        self.ledger.refused += 1;
        SendError::Refused
    }

    /// The number that DATA gets next.
    fn next(&self) -> u32 {
        self.base.wrapping_add(number(self.entries.len()))
    }

    /// A connection begins: everything that has no outcome is sent on it. `receive_next` is what the peer remembers of
    /// this stream; without it the peer starts where [`say_base`](Self::say_base) said.
    pub(crate) fn rewind(&mut self, receive_next: Option<u32>, events: &mut VecDeque<Event>) -> Result<(), Violation> {
        match receive_next {
            Some(receive_next) => {
                self.acknowledge(receive_next, events)?;
                // An outbox that was restored takes its base for the peer's word, and the peer counts its window from here.
                self.acked = receive_next;
            }
            None => self.acked = self.said,
        }
        // What was settled without the peer's word since then.
        self.skip_due = is_after(self.base, self.acked);
        self.cursor = self.base;
        self.waiting_since = None;
        self.repeats = 0;
        self.entries.iter_mut().for_each(|entry| entry.sent = None);
        Ok(())
    }

    /// What leaves next, within the peer's `window`. Nothing leaves behind a hole before everything in front of it is
    /// settled: a SKIP that comes where DATA was overtaken, lost or damaged would lose that DATA.
    pub(crate) fn transmit(&mut self, now: Instant, window: u16) -> Option<Next<'_>> {
        if mem::take(&mut self.skip_due) {
            self.cursor = later(self.cursor, self.base);
            self.owed(now);
            return Some(Next::Skip { next: self.base });
        }
        let (seq, index) = loop {
            let seq = self.cursor;
            let index = usize::try_from(seq.wrapping_sub(self.base)).ok()?;
            let in_window = seq.wrapping_sub(self.acked) < u32::from(window);
            let entry = self.entries.get_mut(index).filter(|entry| in_window && !entry.settled)?;
            self.cursor = seq.wrapping_add(1);
            if entry.sent.is_none() {
                entry.sent = Some(now);
                self.resent += u64::from(mem::replace(&mut entry.repeat, true));
                break (seq, index);
            }
            // It left before a resend moved the cursor back; an ACK since then may have found nothing left to wait for.
            self.waiting_since = self.waiting_since.or(entry.sent);
        };
        self.owed(now);
        self.entries.get(index).map(|entry| Next::Data { seq, channel: entry.channel, body: &entry.body })
    }

    /// From `now` on the peer owes an acknowledgement for everything below the cursor.
    fn owed(&mut self, now: Instant) {
        self.highest = later(self.highest, self.cursor);
        self.waiting_since.get_or_insert(now);
    }

    /// When unacknowledged DATA is to be sent again, with the first repeat after `timeout`.
    pub(crate) fn resend_at(&self, timeout: Duration, most: Duration) -> Option<Instant> {
        let doubled = timeout.saturating_mul(1 << self.repeats.min(16)).min(most);
        self.waiting_since.map(|since| after(since, doubled))
    }

    /// Whether the peer owes an acknowledgement.
    pub(crate) const fn is_owed(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Marks at most `most` of what left before `before` to be sent once more; the time of the rest counts anew.
    pub(crate) fn resend(&mut self, now: Instant, before: Instant, most: usize) {
        self.repeats = self.repeats.saturating_add(1);
        self.waiting_since = Some(now);
        self.skip_due = is_after(self.base, self.acked);
        let sent = usize::try_from(self.cursor.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        let due = |entry: &&mut Entry| entry.sent.is_some_and(|sent| sent <= before) && !entry.settled;
        for (place, entry) in self.entries.iter_mut().take(sent).filter(due).enumerate() {
            entry.sent = (place >= most).then_some(now);
        }
        self.cursor = self.base;
    }

    /// Takes an ACK. An old one says nothing.
    pub(crate) fn acknowledge(&mut self, receive_next: u32, events: &mut VecDeque<Event>) -> Result<(), Violation> {
        if is_after(receive_next, self.highest) {
            return Err(Violation::AckAhead { receive_next, next: self.highest });
        }
        if !is_after(receive_next, self.acked) {
            return Ok(());
        }
        self.acked = receive_next;
        self.repeats = 0;
        let count = usize::try_from(receive_next.wrapping_sub(self.base)).unwrap_or(0);
        // Below the base everything is settled already: the peer has taken a SKIP.
        if is_after(receive_next, self.base) {
            let mut first = self.base;
            for entry in self.entries.drain(..count.min(self.entries.len())) {
                if !entry.settled {
                    self.bytes -= entry.body.len();
                    self.ledger.count(Outcome::Acked);
                    settled(events, first, Outcome::Acked);
                }
                first = first.wrapping_add(1);
            }
            self.base = receive_next;
            self.cursor = later(self.cursor, self.base);
            self.trim();
            self.keep_base();
        }
        // The time counts from the oldest that still waits.
        let left = is_after(self.cursor, self.acked);
        let oldest = self.entries.front().and_then(|entry| entry.sent);
        self.waiting_since = if left { oldest.or(self.waiting_since) } else { None };
        Ok(())
    }

    /// When the next DATA expires, at the earliest.
    pub(crate) const fn expires_at(&self) -> Option<Instant> {
        self.earliest
    }

    pub(crate) fn expire(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        for index in 0..self.entries.len() {
            let over = self
                .entries
                .get(index)
                .is_some_and(|entry| !entry.settled && entry.deadline.is_some_and(|deadline| deadline <= now));
            if over {
                self.settle(index, Outcome::Expired, events);
            }
        }
        self.earliest = self.entries.iter().filter(|entry| !entry.settled).filter_map(|entry| entry.deadline).min();
        self.trim();
    }

    /// Gives everything its last outcome.
    pub(crate) fn abandon(&mut self, events: &mut VecDeque<Event>) {
        // A store keeps what is abandoned here: the next run of the device goes on with it.
        self.store = None;
        for index in 0..self.entries.len() {
            if self.entries.get(index).is_some_and(|entry| !entry.settled) {
                self.settle(index, Outcome::Abandoned, events);
            }
        }
        self.trim();
        (self.skip_due, self.waiting_since, self.earliest) = (false, None, None);
    }

    /// Gives one entry an outcome other than the peer's word; it stays as a hole.
    fn settle(&mut self, index: usize, outcome: Outcome, events: &mut VecDeque<Event>) {
        let seq = self.base.wrapping_add(number(index));
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.settled = true;
        self.bytes -= mem::take(&mut entry.body).len();
        self.ledger.count(outcome);
        settled(events, seq, outcome);
        if index > 0 {
            let kept = self.store.as_mut().map_or(Ok(()), |store| store.settled(seq));
            self.kept(&kept);
        }
    }

    /// Lets go of the holes in front; the peer has to be told of them.
    fn trim(&mut self) {
        let holes = self.entries.iter().take_while(|entry| entry.settled).count();
        if holes > 0 {
            self.entries.drain(..holes);
            self.base = self.base.wrapping_add(number(holes));
            self.cursor = later(self.cursor, self.base);
            self.skip_due = true;
            self.keep_base();
        }
        if self.entries.is_empty() {
            // An idle link holds no buffer.
            self.entries = VecDeque::new();
        }
    }

    fn keep_base(&mut self) {
        let base = self.base;
        let kept = self.store.as_mut().map_or(Ok(()), |store| store.settled_below(base));
        self.kept(&kept);
    }

    /// A settlement that is not kept costs a repeat after a restart, which the receiver holds back: no reason to stop, but
    /// one to tell.
    fn kept(&mut self, kept: &io::Result<()>) {
        self.ledger.unkept += u64::from(kept.is_err());
    }
}

impl Ledger {
    const fn count(&mut self, outcome: Outcome) {
        let outcomes = match outcome {
            Outcome::Acked => &mut self.acked,
            Outcome::Expired => &mut self.expired,
            Outcome::Refused => &mut self.refused,
            Outcome::Abandoned => &mut self.abandoned,
        };
        *outcomes += 1;
        self.pending -= 1;
    }
}

/// Tells that `seq` has its outcome, added to the event before when that is its neighbour.
fn settled(events: &mut VecDeque<Event>, seq: u32, outcome: Outcome) {
    match events.back_mut() {
        Some(Event::Settled { first, count, outcome: before })
            if *before == outcome && first.wrapping_add(*count) == seq =>
        {
            *count += 1;
        }
        _ => events.push_back(Event::Settled { first: seq, count: 1, outcome }),
    }
}

/// A count of entries as a distance of numbers: an outbox never holds 2^31 of them (S-9).
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KeptData;

    #[derive(Debug)]
    struct Forgetful;

    impl OutboxStore for Forgetful {
        fn append(&mut self, _: u32, _: u8, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn settled_below(&mut self, _: u32) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn settled(&mut self, _: u32) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_restored_outbox_skips_its_holes_and_goes_on_across_the_end_of_the_circle() {
        #[expect(clippy::disallowed_methods, reason = "an origin; only differences matter")]
        let now = Instant::now();
        let kept = |seq| KeptData { seq, channel: 0, body: Bytes::from_static(b"x") };
        let data = vec![kept(u32::MAX), kept(1)];
        let kept = Kept { stream: 5, base: u32::MAX - 1, next: 2, data };
        let mut outbox = Outbox::restored(kept, Box::new(Forgetful), OutboxLimits::default());
        let mut events = VecDeque::new();
        assert_eq!((outbox.say_base(), outbox.ledger().pending), (u32::MAX, 2));
        assert_eq!(outbox.rewind(None, &mut events), Ok(()));
        let data = |seq| Some(Next::Data { seq, channel: 0, body: b"x" });
        assert_eq!(outbox.transmit(now, 8), data(u32::MAX));
        assert_eq!(outbox.transmit(now, 8), None, "number 0 is a hole, and the one before it is not settled");
        assert_eq!(outbox.acknowledge(0, &mut events), Ok(()));
        assert_eq!(outbox.transmit(now, 8), Some(Next::Skip { next: 1 }));
        assert_eq!(outbox.transmit(now, 8), data(1));
        assert_eq!(outbox.push(Outgoing::new(0, "y"), &mut events), Ok(2));
        assert_eq!(outbox.acknowledge(2, &mut events), Ok(()));
        assert!(outbox.ledger().unkept > 0, "what the store did not take is counted");
        assert!(outbox.ledger().balances());
    }
}
