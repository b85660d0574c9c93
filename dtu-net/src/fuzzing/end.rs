//! One end of a link with the books that its owner would keep, against which its own are held.

use crate::link::{Link, Role};
use crate::numbers::is_after;
use crate::{Event, Mark, Outcome, Outgoing, Received, SendError, State};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// No loop over what a link gives has more rounds.
const ROUNDS: usize = 10_000;

/// What an entry of a queue may cost besides its body, in bytes.
const ENTRY: usize = 160;

pub(super) struct End<R> {
    pub(super) link: Link<R>,
    /// What was handed to `send` and has a number.
    said: BTreeMap<u32, (u8, Bytes)>,
    refused: u64,
    pending: BTreeSet<u32>,
    /// Where the stream that is handed out goes on.
    awaited: Option<Mark>,
    /// Streams that are over.
    ended: BTreeSet<u64>,
    /// Handed out, and not committed yet.
    taken: VecDeque<(u64, u32)>,
    pub(super) committed: BTreeSet<(u64, u32)>,
}

impl<R: Role> End<R> {
    pub(super) fn new(link: Link<R>) -> Self {
        let (said, pending, refused) = (BTreeMap::new(), BTreeSet::new(), 0);
        let (awaited, ended, taken, committed) = (None, BTreeSet::new(), VecDeque::new(), BTreeSet::new());
        Self { link, said, refused, pending, awaited, ended, taken, committed }
    }

    /// The same owner with a link that has forgotten everything.
    pub(super) fn forget(&mut self, link: Link<R>) {
        let committed = core::mem::take(&mut self.committed);
        *self = Self { committed, ..Self::new(link) };
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn is_open(&self) -> bool {
        self.link.state() != State::Closed && self.link.core.closing.is_none()
    }

    pub(super) fn send(&mut self, outgoing: Outgoing) {
        let (channel, body) = (outgoing.channel, outgoing.body.clone());
        match self.link.send(outgoing) {
            Ok(seq) => {
                assert!(self.said.insert(seq, (channel, body)).is_none(), "{seq} was given twice");
                self.pending.insert(seq);
            }
            Err(SendError::Refused) => self.refused += 1,
            Err(SendError::Full | SendError::Closed | SendError::TooLong { .. }) => {}
            Err(error @ SendError::Store(_)) => panic!("{error}"),
        }
    }

    /// Takes what comes next for the application. `peer` is what the peer sent, when it did so by the rules.
    pub(super) fn receive<P>(&mut self, peer: Option<&End<P>>) -> Option<Mark>
    where
        P: Role,
    {
        let received = self.link.poll_received()?;
        let mark = received.mark();
        let (stream, from) = match &received {
            Received::Data { stream, seq, .. } => (*stream, *seq),
            Received::Skip { stream, from, .. } => (*stream, *from),
        };
        if let Some(peer) = peer {
            match self.awaited {
                Some(awaited) if awaited.stream == stream => assert_eq!(from, awaited.next, "in order, each once"),
                Some(awaited) => {
                    self.ended.insert(awaited.stream);
                    assert!(!self.ended.contains(&stream), "a stream that was over came again");
                }
                None => {}
            }
            if let Received::Data { seq, channel, body, .. } = &received
                && stream == peer.link.stream()
            {
                assert_eq!(peer.said.get(seq), Some(&(*channel, body.clone())), "what was not sent");
            }
            assert!(is_after(mark.next, from), "an empty hole");
        }
        self.awaited = Some(mark);
        if let Received::Data { seq, .. } = received {
            self.taken.push_back((stream, seq));
        }
        Some(mark)
    }

    pub(super) fn commit(&mut self, mark: Mark) {
        if self.link.commit(mark).is_ok() {
            let committed = &mut self.committed;
            self.taken.retain(|(stream, seq)| {
                let covered = *stream == mark.stream && is_after(mark.next, *seq);
                if covered {
                    committed.insert((*stream, *seq));
                }
                !covered
            });
        }
    }

    /// Commits all that was handed out.
    pub(super) fn commit_taken(&mut self) {
        self.awaited.into_iter().for_each(|mark| self.commit(mark));
    }

    /// Takes all events and holds both books against each other. `peer` is what the peer has committed, when both sides
    /// kept the rules.
    pub(super) fn check(&mut self, peer: Option<&BTreeSet<(u64, u32)>>) {
        let stream = self.link.stream();
        let mut rounds = 0;
        while let Some(event) = self.link.poll_event() {
            rounds += 1;
            assert!(rounds < ROUNDS, "events end");
            let Event::Settled { first, count, outcome } = event else { continue };
            for seq in (0..count).map(|ahead| first.wrapping_add(ahead)) {
                assert!(self.pending.remove(&seq), "{seq} has its outcome already, or never was");
                if let Some(committed) = peer
                    && outcome == Outcome::Acked
                {
                    assert!(committed.contains(&(stream, seq)), "{seq} is acked, and nobody took responsibility");
                }
            }
        }
        let ledger = self.link.counters().ledger;
        assert!(ledger.balances(), "{ledger:?}");
        assert_eq!(ledger.taken, self.said.len() as u64 + self.refused, "{ledger:?}");
        assert_eq!(ledger.pending, self.pending.len() as u64, "{ledger:?}");
        assert!(self.link.memory() <= self.memory_bound(), "{} bytes", self.link.memory());
    }

    /// What an application that is behind by all it may be makes a link hold.
    fn memory_bound(&self) -> usize {
        let limits = self.link.limits();
        let window = usize::from(limits.window) * (limits.max_body() + ENTRY);
        let outbox = limits.outbox.bytes + limits.outbox.frames * ENTRY;
        // The bytes of one call, at most the buffer of the deframer and what stands behind REGISTER, are taken whole; each
        // DATA of them costs an entry.
        let call = (4096 + limits.identify_bytes) * (1 + ENTRY / 16);
        outbox + limits.receive + call + 2 * window
    }

    /// Everything that waits to leave on a connection, piece by piece.
    pub(super) fn pieces(&mut self, epoch: crate::Epoch, now: Instant) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        loop {
            let mut piece = Vec::new();
            let any = self.link.poll_transmit(epoch, now, &mut piece);
            assert_eq!(any, !piece.is_empty(), "poll_transmit says whether there is something");
            if !any {
                return pieces;
            }
            pieces.push(piece);
            assert!(pieces.len() < ROUNDS, "what is to be sent ends");
        }
    }

    /// Takes the time.
    pub(super) fn pass(&mut self, now: Instant) {
        self.link.handle_timeout(now);
        if let Some((deadline, timer)) = self.link.poll_timeout() {
            assert!(deadline > now, "{timer:?} is still due");
        }
    }

    /// Does what must change nothing.
    pub(super) fn unmoved(&mut self, act: impl FnOnce(&mut Link<R>))
    where
        R: core::fmt::Debug,
    {
        let before = format!("{:?}", self.link);
        act(&mut self.link);
        assert_eq!(format!("{:?}", self.link), before);
    }
}
