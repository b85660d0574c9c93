//! One end: its link, its driver, its application, and what must be true of them at every step.

use super::books::{Item, Memory};
use super::invariants::judge;
use super::scene::{End, Scene, What};
use core::time::Duration;
use dtu_net::limits::WhenFull;
use dtu_net::link::Role;
use dtu_net::{
    Cause, CommitError, Epoch, Event, Ledger, Link, Mark, Outcome, Outgoing, Received, SendError, State, StateChange,
};
use dtu_proto::message::{CloseCode, Datagram};
use std::collections::HashMap;

/// The longest run of calls that a drain may take.
const DRAIN_MOST: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Side<R: Role> {
    pub(crate) end: End,
    pub(crate) link: Link<R>,
    /// Which process this is: links of one end are counted.
    pub(crate) life: u32,
    /// The connections that this process has open.
    pub(crate) conns: Vec<(Epoch, u32)>,
    /// One that it has left.
    past: Option<(Epoch, u32)>,
    memories: HashMap<u64, Memory>,
    pub(crate) expected: Ledger,
    /// The bytes of bodies without an outcome, at the most.
    pub(crate) pending_bytes: usize,
    /// When the last byte came, or the connection began.
    pub(crate) heard: u64,
    /// The application was too far behind since then, and nothing was read for it.
    pub(crate) unread: bool,
    stopped_until: u64,
    /// When this process began.
    pub(crate) began: u64,
    /// The application has been told that there is something to take.
    polling: bool,
}

impl<R: Role> Side<R>
where
    Link<R>: core::fmt::Debug,
{
    pub(crate) fn new(end: End, link: Link<R>, life: u32, began: u64) -> Self {
        let (conns, past, memories) = (Vec::new(), None, HashMap::new());
        let (expected, pending_bytes) = (link.counters().ledger, link.memory());
        Self {
            end,
            link,
            life,
            conns,
            past,
            memories,
            expected,
            pending_bytes,
            heard: 0,
            unread: false,
            stopped_until: 0,
            began,
            polling: false,
        }
    }

    /// The connection begins here.
    pub(crate) fn begins(&mut self, scene: &Scene, epoch: Epoch, conn: u32) {
        self.conns.push((epoch, conn));
        (self.heard, self.unread) = (scene.now, false);
    }

    fn epoch_of(&self, conn: u32) -> Option<Epoch> {
        self.conns.iter().find(|(_, of)| *of == conn).map(|(epoch, _)| *epoch)
    }

    /// Reads what has arrived on a stream, as far as the application keeps up.
    pub(crate) fn read(&mut self, scene: &mut Scene, conn: u32) {
        while let Some(epoch) = self.epoch_of(conn) {
            if !self.link.wants_bytes() {
                return;
            }
            let most = 1 + scene.random.size(scene.config.piece.max(64) - 1);
            let lane = scene.lane(conn, self.end);
            let count = most.min(lane.arrived.len());
            let bytes: Vec<u8> = lane.arrived.drain(..count).collect();
            if !bytes.is_empty() {
                if self.link.is_live(epoch) {
                    (self.heard, self.unread) = (scene.now, false);
                }
                self.link.handle_bytes(epoch, scene.instant(), &bytes);
                assert!(!(self.link.state() == State::Suspect && self.heard == scene.now), "a byte ends the doubt");
            } else if let Some(cause) = lane.over.take() {
                self.link.handle_disconnected(epoch, scene.instant(), cause);
            } else {
                return;
            }
            self.pump(scene);
        }
    }

    /// What comes from a connection that is over changes nothing.
    pub(crate) fn read_past(&mut self, scene: &mut Scene, conn: u32) {
        let Some((epoch, _)) = self.past.filter(|(_, past)| *past == conn) else { return };
        let said = |link: &Link<R>| (link.state(), link.epoch(), link.poll_timeout(), link.counters(), link.memory());
        let before = said(&self.link);
        let bytes: Vec<u8> = scene.lane(conn, self.end).arrived.drain(..).collect();
        self.link.handle_bytes(epoch, scene.instant(), &bytes);
        self.link.handle_disconnected(epoch, scene.instant(), Cause::Disconnected);
        assert_eq!(before, said(&self.link), "bytes of a connection that is over have changed something");
    }

    pub(crate) fn datagram(&mut self, scene: &mut Scene, conn: u32, datagram: &Datagram<'_>, length: usize) {
        if let Some(epoch) = self.epoch_of(conn) {
            if self.link.is_live(epoch) {
                (self.heard, self.unread) = (scene.now, false);
            }
            self.link.handle_datagram(epoch, scene.instant(), datagram, length);
            self.pump(scene);
        }
    }

    pub(crate) fn timeout(&mut self, scene: &mut Scene) {
        let now = scene.instant();
        self.link.handle_timeout(now);
        if let Some((at, timer)) = self.link.poll_timeout() {
            assert!(at > now, "{:?}: {timer:?} is due again at once", self.end);
        }
        self.pump(scene);
    }

    /// A call of `handle_timeout` before its time changes nothing.
    pub(crate) fn early_timeout(&mut self, scene: &Scene) {
        let now = scene.instant();
        if self.link.poll_timeout().is_none_or(|(at, _)| at > now) {
            let before = format!("{:?}", self.link);
            self.link.handle_timeout(now);
            assert_eq!(before, format!("{:?}", self.link), "an early call has changed something");
        }
    }

    /// The drain rule.
    pub(crate) fn pump(&mut self, scene: &mut Scene) {
        let mut calls = 0;
        for (epoch, conn) in self.conns.clone() {
            let mut out = Vec::new();
            while self.link.poll_transmit(epoch, scene.instant(), &mut out) {
                scene.write(conn, self.end.other(), core::mem::take(&mut out));
                calls += 1;
                assert!(calls < DRAIN_MOST, "poll_transmit does not end");
            }
            assert!(out.is_empty(), "what was appended is told");
            if !self.link.is_live(epoch) {
                self.conns.retain(|(_, of)| *of != conn);
                self.past = Some((epoch, conn));
                scene.close(conn, self.end, true);
            }
        }
        while let Some(event) = self.link.poll_event() {
            self.event(scene, &event);
            calls += 1;
            assert!(calls < DRAIN_MOST, "poll_event does not end");
        }
        if self.link.has_received() && !self.polling {
            self.polling = true;
            scene.plan_about(scene.config.poll_mean[self.end as usize], What::Poll(self.end));
        }
        self.check(scene);
    }

    fn event(&mut self, scene: &mut Scene, event: &Event) {
        let (now, end) = (scene.now, self.end);
        match event {
            Event::State(StateChange { state, cause, reason, at, epoch, .. }) => {
                scene.trace.note(now, format_args!("{end:?} {} {cause:?} {reason} {epoch}", state.name()));
                assert_eq!(scene.micros(*at), now, "a change is told when it happens");
                if let Some(cause) = cause {
                    judge(scene, cause);
                }
                self.judge_silence(now, *state, *cause);
            }
            Event::Settled { first, count, outcome } => {
                scene.trace.note(now, format_args!("{end:?} settled {first} {count} {}", outcome.name()));
                assert!(*count > 0, "at least one");
                for number in 0..*count {
                    let length = scene.books.settle(now, self.link.stream(), first.wrapping_add(number), *outcome);
                    self.pending_bytes -= length;
                    self.count(*outcome);
                    self.expected.pending -= 1;
                }
            }
            Event::Resumed(resumption) => {
                scene.trace.note(now, format_args!("{end:?} {event:?}"));
                if !resumption.receiving {
                    self.memories.values_mut().for_each(|memory| memory.forgotten += 1);
                }
            }
            Event::Skipped { .. } => scene.trace.note(now, format_args!("{end:?} {event:?}")),
            // No device in a scene searches, or has several servers.
            Event::HeartbeatLearned(_) | Event::NetworkForgotten { .. } | Event::Endpoint { .. } | _ => {
                panic!("unknown event {event:?}")
            }
        }
    }

    fn count(&mut self, outcome: Outcome) {
        let ledger = &mut self.expected;
        *match outcome {
            Outcome::Acked => &mut ledger.acked,
            Outcome::Expired => &mut ledger.expired,
            Outcome::Refused => &mut ledger.refused,
            Outcome::Abandoned => &mut ledger.abandoned,
        } += 1;
    }

    /// The application has something to say, `count` times.
    pub(crate) fn send(&mut self, scene: &mut Scene, count: u64) {
        for _ in 0..count {
            self.send_one(scene);
        }
        self.pump(scene);
    }

    fn send_one(&mut self, scene: &mut Scene) {
        let limits = *self.link.limits();
        let most = scene.random.pick(&[0, 8, 60, 60, 60, 1500]);
        let longest = scene.random.permille(5);
        let length = if longest { limits.max_body() } else { scene.random.size(most) };
        let deadline = scene
            .random
            .permille(scene.config.deadline)
            .then(|| scene.now + scene.random.pick(&[0, 1_000, 500_000, 5_000_000, 60_000_000]));
        let (channel, body) = (scene.random.up_to(3) as u8, bytes::Bytes::from(scene.random.bytes(length)));
        let mut outgoing = Outgoing::new(channel, body.clone());
        if let Some(deadline) = deadline {
            outgoing = outgoing.with_deadline(scene.instant() + Duration::from_micros(deadline - scene.now));
        }
        let had_room = self.link.has_room(length);
        match self.link.send(outgoing) {
            Ok(seq) => {
                let (outcome, settled_at, delivered, committed) = (None, 0, false, false);
                scene.books.sent(
                    self.link.stream(),
                    seq,
                    Item { channel, body, deadline, outcome, settled_at, delivered, committed },
                );
                self.expected.taken += 1;
                self.expected.pending += 1;
                self.pending_bytes += length;
            }
            Err(SendError::Refused) => {
                assert!(!had_room && limits.outbox.when_full == WhenFull::RefuseNew);
                self.expected.taken += 1;
                self.expected.refused += 1;
            }
            Err(SendError::Full) => assert!(!had_room && limits.outbox.when_full == WhenFull::Wait),
            Err(SendError::TooLong { limit, .. }) => assert!(length > limit),
            Err(SendError::Closed) => assert!(scene.is_quiet() || self.link.state() == State::Closed),
            Err(SendError::Store(_)) => assert!(scene.config.store_fails > 0),
            Err(error) => panic!("{error}"),
        }
    }

    /// The application takes what has come, or stops for a while.
    pub(crate) fn poll(&mut self, scene: &mut Scene) {
        self.polling = false;
        if scene.fails(scene.config.stop) {
            self.stopped_until = scene.now + scene.random.up_to(scene.config.stop_most);
        }
        if scene.now < self.stopped_until && !scene.is_quiet() {
            return self.pump(scene);
        }
        for _ in 0..scene.random.between(1, 20) {
            let Some(received) = self.link.poll_received() else { break };
            self.received(scene, &received);
            let lag = scene.random.up_to(scene.config.commit_lag[self.end as usize]);
            let lag = if scene.is_quiet() { 0 } else { lag };
            scene.plan(scene.now + lag, What::Commit { end: self.end, life: self.life, mark: received.mark() });
        }
        self.pump(scene);
        for (_, conn) in self.conns.clone() {
            self.read(scene, conn);
        }
    }

    fn received(&mut self, scene: &mut Scene, received: &Received) {
        let (now, end) = (scene.now, self.end);
        let (stream, from) = match received {
            Received::Data { stream, seq, channel, body } => {
                scene.trace.note(now, format_args!("{end:?} got {stream:x} {seq}"));
                let item = scene.books.item(*stream, *seq);
                assert_eq!((*channel, body), (item.channel, &item.body), "number {seq} came as it was sent");
                let was_acked = item.outcome == Some(Outcome::Acked) && item.settled_at < self.began;
                assert!(!was_acked, "number {seq} was acknowledged to an older process and comes again");
                item.delivered = true;
                (*stream, *seq)
            }
            Received::Skip { stream, from, next } => {
                scene.trace.note(now, format_args!("{end:?} skip {stream:x} {from} {next}"));
                let count = next.wrapping_sub(*from);
                assert!((1..1 << 31).contains(&count), "a hole has a length");
                for number in 0..count {
                    let seq = from.wrapping_add(number);
                    let outcome = scene.books.item(*stream, seq).outcome;
                    let settled = match outcome {
                        Some(Outcome::Expired | Outcome::Refused) => true,
                        // An older process took it, and its last word came after this process had begun.
                        Some(Outcome::Acked) => self.life > 0,
                        Some(Outcome::Abandoned) | None => false,
                    };
                    assert!(settled, "number {seq} was skipped and is {outcome:?}");
                }
                (*stream, *from)
            }
        };
        let new = Memory { next: from, committed: from, forgotten: 0, renewed: 0 };
        let memory = self.memories.entry(stream).or_insert(new);
        if from != memory.next {
            assert!(memory.forgotten > memory.renewed, "in order, and each number once: {from} after {}", memory.next);
            (memory.committed, memory.renewed) = (from, memory.forgotten);
        }
        memory.next = received.mark().next;
    }

    pub(crate) fn commit(&mut self, scene: &mut Scene, mark: Mark) {
        match self.link.commit(mark) {
            Ok(()) => {
                let memory = self.memories.get_mut(&mark.stream).expect("it came from there");
                while mark.next.wrapping_sub(memory.committed).wrapping_sub(1) < 1 << 31 {
                    scene.books.item(mark.stream, memory.committed).committed = true;
                    memory.committed = memory.committed.wrapping_add(1);
                }
            }
            Err(CommitError::OtherStream { now, .. }) => assert_ne!(now, mark.stream),
            Err(CommitError::Ahead { .. }) if self.memories.values().any(|memory| memory.forgotten > 0) => {}
            Err(error) => panic!("{error}"),
        }
        self.pump(scene);
    }

    pub(crate) fn close(&mut self, scene: &mut Scene) {
        let drain = Duration::from_micros(scene.random.up_to(20_000_000));
        self.link.close(scene.instant(), CloseCode::DONE, "", drain);
        self.pump(scene);
    }
}
