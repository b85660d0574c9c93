//! The server's side: its kernel, and the process with one processor that accepts, refuses and registers.

use super::backlog::Pending;
use super::event::{Bytes, What};
use super::model::{ACCEPT_BATCH, DISCARD_COST, REFUSE_COST};
use super::world::{Timer, World, number};
use core::time::Duration;
use dtu_net::door::{Door, DoorLimits};
use dtu_net::{Carrier, Cause, Handshake, HandshakeEvent, Link, State};
use dtu_proto::message::RefuseCode;
use std::collections::VecDeque;
use std::time::Instant;

/// A connection that was accepted and waits for its registration.
#[derive(Debug)]
struct Waiting {
    device: u32,
    serial: u32,
    handshake: Handshake,
}

/// What the processor is busy with.
#[derive(Debug)]
enum Work {
    Refuse,
    Discard,
    Register(Box<Waiting>),
    /// Nobody waits for it, and nobody is accepted for a while.
    Pause,
}

/// The server's process.
#[derive(Debug)]
pub(super) struct Process {
    is_up: bool,
    /// Counted up each time it dies; what was meant for an earlier life does nothing.
    pub(super) life: u8,
    work: Option<Work>,
    waiting: VecDeque<Waiting>,
    door: Option<Door>,
    /// Connections accepted since it last worked on one that waits.
    accepted: u32,
    /// Until when nobody is accepted, as refusing has had its part of the time.
    accepts_from: u64,
    pub(super) longest: usize,
}

impl Process {
    pub(super) const fn new() -> Self {
        let waiting = VecDeque::new();
        Self { is_up: true, life: 0, work: None, waiting, door: None, accepted: 0, accepts_from: 0, longest: 0 }
    }
}

impl World {
    pub(super) fn syn(&mut self, device: u32, serial: u32, repeat: u8) {
        if self.hot[self.places.of(device)].socket != serial {
            return; // given up meanwhile
        }
        if !self.process.is_up {
            self.send(device, What::EndAtDevice { serial, reset: true });
        } else if self.backlog.syn() {
            let life = self.process.life;
            self.send(device, What::Opened { serial, life });
        } else {
            self.repeat_syn(device, serial, repeat);
        }
    }

    /// The handshake ends, and with it comes the REGISTER.
    pub(super) fn first(&mut self, device: u32, serial: u32, bytes: Bytes, repeat: u8, life: u8) {
        if !self.process.is_up || life != self.process.life {
            self.pool.drop(bytes);
            self.send(device, What::EndAtDevice { serial, reset: true });
        } else if repeat > 0 && self.hot[self.places.of(device)].ended >= serial {
            self.pool.drop(bytes); // nobody repeats what was given up
        } else if self.backlog.push(Pending { device, serial, bytes }) {
            self.work();
        } else {
            self.repeat_first(device, serial, bytes, repeat, life);
        }
    }

    /// Finds the processor its next work, if it has none.
    fn work(&mut self) {
        while self.process.work.is_none() && self.process.is_up {
            let next = if self.model.measures.bound { self.next_at_door() } else { self.next_in_line() };
            let Some((work, cost)) = next else { return };
            self.process.work = Some(work);
            let life = self.process.life;
            self.plan(self.now + cost, 0, What::Worked { life });
        }
    }

    /// Accepts all that came, and turns to who waits longest.
    fn next_at_door(&mut self) -> Option<(Work, u64)> {
        loop {
            while self.process.accepted < ACCEPT_BATCH
                && self.process.accepts_from <= self.now
                && let Some(pending) = self.backlog.accept()
            {
                self.process.accepted += 1;
                let door = self.process.door.get_or_insert_with(|| Door::new(DoorLimits::default(), self.instant));
                match door.handle_arrival(self.instant) {
                    Ok(()) => {
                        let waiting = self.accept(pending);
                        self.process.waiting.push_back(waiting);
                        self.process.longest = self.process.longest.max(self.process.waiting.len());
                    }
                    Err(retry_after) => {
                        if let Some(from) = door.refuses_from(self.instant) {
                            self.process.accepts_from = self.micros(from);
                        }
                        self.refuse(pending, retry_after);
                        return Some((Work::Refuse, REFUSE_COST));
                    }
                }
            }
            self.process.accepted = 0;
            if let Some(waiting) = self.process.waiting.pop_front() {
                if let Some(door) = &mut self.process.door {
                    door.handle_turn(self.instant);
                }
                return Some(self.begin(waiting));
            }
            if self.backlog.is_empty() {
                return None;
            }
            if self.process.accepts_from > self.now {
                return Some((Work::Pause, self.process.accepts_from - self.now));
            }
        }
    }

    /// Accepts the next and turns to it.
    fn next_in_line(&mut self) -> Option<(Work, u64)> {
        let pending = self.backlog.accept()?;
        let waiting = self.accept(pending);
        Some(self.begin(waiting))
    }

    /// Reads what the device said first.
    fn accept(&mut self, pending: Pending) -> Waiting {
        let Pending { device, serial, bytes } = pending;
        let mut handshake = Handshake::new(self.limits.clone(), Carrier::Stream, 0, self.instant);
        self.pool.take(bytes, &mut self.scratch);
        handshake.handle_bytes(self.instant, &self.scratch);
        self.scratch.clear();
        let Some(HandshakeEvent::Register(registration)) = handshake.poll_event() else {
            unreachable!("a device says REGISTER first, whole and intact");
        };
        assert_eq!(number(&registration.device), Some(device), "bytes came to the connection they were sent on");
        Waiting { device, serial, handshake }
    }

    fn refuse(&mut self, pending: Pending, retry_after: Duration) {
        let Pending { device, serial, bytes } = pending;
        self.pool.drop(bytes);
        self.tally.refused += 1;
        let retry_after = if self.model.measures.hints { retry_after } else { Duration::ZERO };
        let mut handshake = Handshake::new(self.limits.clone(), Carrier::Stream, 0, self.instant);
        handshake.refuse(self.instant, RefuseCode::BUSY, retry_after);
        while handshake.poll_transmit(&mut self.scratch) {}
        let (bytes, way) = (self.pool.put(&mut self.scratch), u64::from(self.hot[self.places.of(device)].way));
        let at = self.now + REFUSE_COST + way;
        self.plan(at, device, What::ToDevice { serial, bytes });
        self.plan(at, device, What::EndAtDevice { serial, reset: false });
    }

    fn begin(&mut self, waiting: Waiting) -> (Work, u64) {
        if self.model.measures.discard && self.hot[self.places.of(waiting.device)].ended >= waiting.serial {
            (Work::Discard, DISCARD_COST)
        } else {
            (Work::Register(Box::new(waiting)), self.model.register_cost())
        }
    }

    /// The processor is through with its work.
    pub(super) fn worked(&mut self, life: u8) {
        if life != self.process.life {
            return;
        }
        match self.process.work.take() {
            Some(Work::Register(waiting)) => {
                if let Some(door) = &mut self.process.door {
                    door.handle_served(self.instant);
                }
                self.tally.registered += 1;
                self.register(*waiting);
            }
            Some(Work::Discard) => {
                if let Some(door) = &mut self.process.door {
                    door.handle_left(self.instant);
                }
                self.tally.discarded += 1;
            }
            Some(Work::Refuse | Work::Pause) | None => {}
        }
        self.work();
    }

    /// Lets a device in.
    fn register(&mut self, waiting: Waiting) {
        let Waiting { device, serial, handshake } = waiting;
        let of = self.places.of(device);
        let limits = self.limits.clone();
        let stream = self.random.next() | 1;
        let now = self.instant;
        let slot = &mut self.sessions[of];
        if slot.as_ref().is_some_and(|(_, link)| link.state() == State::Closed) {
            *slot = None; // it was kept for as long as it has to be
        }
        let (epoch, link) = slot.get_or_insert_with(|| {
            let link = Link::server(limits, stream, now);
            (link.epoch(), link)
        });
        let before = *epoch;
        *epoch = link.handle_registered(now, handshake).expect("it is not closed");
        // The last words on the connection whose place it takes.
        while link.poll_transmit(before, now, &mut self.scratch) {}
        let replaced = core::mem::replace(&mut self.hot[of].session, serial);
        if replaced != 0 {
            if !self.scratch.is_empty() {
                let bytes = self.pool.put(&mut self.scratch);
                self.send(device, What::ToDevice { serial: replaced, bytes });
            }
            self.send(device, What::EndAtDevice { serial: replaced, reset: false });
        }
        self.scratch.clear();
        self.pump_session(device);
        if self.hot[of].ended >= serial {
            self.end_session(device, Cause::Disconnected); // the end waited behind the REGISTER
        }
    }

    /// Takes everything out of a session's machine.
    fn pump_session(&mut self, device: u32) {
        let of = self.places.of(device);
        let Some((epoch, link)) = &mut self.sessions[of] else { return };
        while link.poll_transmit(*epoch, self.instant, &mut self.scratch) {}
        while link.poll_event().is_some() {}
        let (is_up, deadline) = (link.state().is_up(), link.poll_timeout());
        let serial = self.hot[of].session;
        if !self.scratch.is_empty() {
            let bytes = self.pool.put(&mut self.scratch);
            self.send(device, What::ToDevice { serial, bytes });
        }
        if serial != 0 && !is_up {
            self.hot[of].session = 0;
            self.send(device, What::EndAtDevice { serial, reset: false });
        }
        self.arm(device, true, deadline.map(|(at, _)| at));
    }

    pub(super) fn session_timeout(&mut self, device: u32) {
        if let Some((_, link)) = &mut self.sessions[self.places.of(device)] {
            link.handle_timeout(self.instant);
        }
        self.pump_session(device);
    }

    pub(super) fn arrives_at_server(&mut self, device: u32, serial: u32, bytes: Bytes) {
        let of = self.places.of(device);
        // What comes on a connection that waits stays in its buffer: it can only be a CLOSE before the end.
        if self.hot[of].session != serial {
            return self.pool.drop(bytes);
        }
        self.pool.take(bytes, &mut self.scratch);
        if let Some((epoch, link)) = &mut self.sessions[of] {
            link.handle_bytes(*epoch, self.instant, &self.scratch);
        }
        self.scratch.clear();
        self.pump_session(device);
    }

    pub(super) fn end_at_server(&mut self, device: u32, serial: u32) {
        let hot = &mut self.hot[self.places.of(device)];
        hot.ended = hot.ended.max(serial);
        if hot.session == serial {
            self.end_session(device, Cause::Disconnected);
        }
    }

    fn end_session(&mut self, device: u32, cause: Cause) {
        if let Some((epoch, link)) = &mut self.sessions[self.places.of(device)] {
            link.handle_disconnected(*epoch, self.instant, cause);
        }
        self.pump_session(device);
    }

    /// The process ends: all it knew is gone, and its kernel resets all connections.
    pub(super) fn dies(&mut self) {
        let life = self.process.life + 1;
        let process = core::mem::replace(&mut self.process, Process { is_up: false, life, ..Process::new() });
        let working = process.work.into_iter().filter_map(|work| match work {
            Work::Register(waiting) => Some(*waiting),
            Work::Refuse | Work::Discard | Work::Pause => None,
        });
        let mut open: Vec<(u32, u32)> =
            working.chain(process.waiting).map(|waiting| (waiting.device, waiting.serial)).collect();
        while let Some(Pending { device, serial, bytes }) = self.backlog.accept() {
            self.pool.drop(bytes);
            open.push((device, serial));
        }
        for device in 0..self.model.devices {
            let hot = &mut self.hot[self.places.of(device)];
            if hot.session != 0 {
                open.push((device, core::mem::take(&mut hot.session)));
            }
            hot.session_timer = Timer::NONE;
        }
        for session in &mut self.sessions {
            *session = None;
        }
        for (device, serial) in open {
            self.send(device, What::EndAtDevice { serial, reset: true });
        }
        self.tally.died();
    }

    pub(super) fn returns(&mut self) {
        self.process.is_up = true;
    }

    /// Connects a device before the outage: the machines say all they say, and no time passes.
    pub(super) fn connect_at_once(&mut self, device: u32) {
        let (of, now): (usize, Instant) = (self.places.of(device), self.instant);
        let link = &mut self.links[of];
        link.handle_timeout(now);
        let epoch = link.poll_connect().expect("a device dials at once");
        link.handle_connected(epoch, now, Carrier::Stream);
        while link.poll_transmit(epoch, now, &mut self.scratch) {}
        let bytes = self.pool.put(&mut self.scratch);
        let serial = epoch.number();
        self.hot[of].socket = serial;
        let waiting = self.accept(Pending { device, serial, bytes });
        self.register(waiting);
        self.pump_device(device);
    }
}
