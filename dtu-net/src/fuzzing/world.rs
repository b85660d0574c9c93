//! Two ends, the line between them, and the owners that follow the drain rule.

use super::end::End;
use crate::auth::Key;
use crate::limits::{OutboxLimits, WhenFull};
use crate::{Carrier, Cause, Device, DeviceConfig, Epoch, Handshake, HandshakeEvent, Limits, Link, Server, State};
use core::time::Duration;
use dtu_proto::Native;
use dtu_proto::message::{Datagram, RefuseCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The first stream of a server; each that forgot takes the next.
const SERVER: u64 = 100;
const DEVICE: u64 = 1;

/// What the server does with a REGISTER.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    Open,
    Key { fits: bool },
    Refused(RefuseCode, Duration),
}

/// One connection. Pieces are what was written at once, or datagrams.
pub(super) struct Line {
    pub(super) at_device: Epoch,
    at_server: Option<Epoch>,
    handshake: Option<Handshake>,
    pub(super) up: VecDeque<Vec<u8>>,
    pub(super) down: VecDeque<Vec<u8>>,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) limits: Arc<Limits>,
    pub(super) carrier: Carrier,
    pub(super) device: End<Device>,
    pub(super) server: End<Server>,
    pub(super) line: Option<Line>,
    pub(super) door: Door,
    /// Only what a link said, damaged or not, has come to the other.
    pub(super) honest: bool,
    /// Epochs that are over.
    pub(super) old: (Vec<Epoch>, Vec<Epoch>),
    servers: u64,
}

impl World {
    pub(super) fn new(datagrams: bool, when_full: WhenFull, seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin; only differences matter")]
        let now = Instant::now();
        let mut limits = Limits::default();
        (limits.max_payload, limits.window, limits.receive) = (300, 4, 600);
        limits.outbox = OutboxLimits { frames: 6, bytes: 700, when_full };
        let key = Key::new(&[7; 16]).expect("its length is right");
        let mut config = DeviceConfig::new("meter-7").expect("its length is right");
        (config.key, config.limits) = (Some(key), limits);
        let limits = Arc::new(limits);
        Self {
            now,
            carrier: if datagrams { Carrier::Datagrams } else { Carrier::Stream },
            device: End::new(Link::device(config, DEVICE, seed, now)),
            server: End::new(Link::server(limits.clone(), SERVER, now)),
            limits,
            line: None,
            door: Door::Open,
            honest: true,
            old: (Vec::new(), Vec::new()),
            servers: SERVER,
        }
    }

    /// The drain rule, and the books.
    pub(super) fn settle(&mut self) {
        self.transmit();
        let Self { device, server, honest, .. } = self;
        device.check(honest.then_some(&server.committed));
        server.check(honest.then_some(&device.committed));
    }

    fn transmit(&mut self) {
        let Some(line) = &mut self.line else { return };
        line.up.extend(self.device.pieces(line.at_device, self.now));
        if let Some(handshake) = &mut line.handshake {
            let mut piece = Vec::new();
            if handshake.poll_transmit(&mut piece) {
                line.down.push_back(piece);
            }
        }
        if let Some(epoch) = line.at_server {
            line.down.extend(self.server.pieces(epoch, self.now));
        }
    }

    /// Dials when the device wants to. What was on its way on an older stream of bytes is gone.
    pub(super) fn connect(&mut self) {
        let Some(epoch) = self.device.link.poll_connect() else { return };
        self.old.0.push(epoch);
        let stream = self.device.link.stream();
        let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
        if let Some(before) = self.line.take() {
            self.old.1.extend(before.at_server);
            if self.carrier == Carrier::Datagrams {
                (up, down) = (before.up, before.down);
            }
        }
        self.device.link.handle_connected(epoch, self.now, self.carrier);
        let handshake = Some(Handshake::new(self.limits.clone(), self.carrier, stream, self.now));
        self.line = Some(Line { at_device: epoch, at_server: None, handshake, up, down });
    }

    /// The next piece comes to the server.
    pub(super) fn deliver_up(&mut self) {
        let Self { line: Some(line), server, carrier, now, .. } = self else { return };
        if !server.link.wants_bytes() && *carrier == Carrier::Stream && line.handshake.is_none() {
            return;
        }
        let Some(piece) = line.up.pop_front() else { return };
        let datagram = Datagram::open(&Native::new(), &piece).ok();
        match (&mut line.handshake, line.at_server, *carrier) {
            (Some(handshake), _, Carrier::Stream) => handshake.handle_bytes(*now, &piece),
            (None, Some(epoch), Carrier::Stream) => server.link.handle_bytes(epoch, *now, &piece),
            (Some(handshake), _, Carrier::Datagrams) => {
                if let Some(datagram) = datagram {
                    handshake.handle_datagram(*now, &datagram.message);
                }
            }
            (None, Some(epoch), Carrier::Datagrams) => {
                if let Some(datagram) = datagram {
                    server.link.handle_datagram(epoch, *now, &datagram, piece.len());
                }
            }
            (None, None, _) => {}
        }
        self.decide();
    }

    /// The owner of the handshake does as the door says.
    fn decide(&mut self) {
        let Self { line: Some(line), door, now, .. } = self else { return };
        let Some(handshake) = &mut line.handshake else { return };
        match (handshake.poll_event(), *door) {
            (Some(HandshakeEvent::Register(_)), Door::Open) | (Some(HandshakeEvent::Proven), _) => {
                let handshake = line.handshake.take().expect("it is there");
                line.at_server = self.server.link.handle_registered(*now, handshake);
                if line.at_server.is_none() {
                    self.hang_up(true, true);
                }
            }
            (Some(HandshakeEvent::Register(_)), Door::Key { fits }) => {
                let key = Key::new(&[if fits { 7 } else { 8 }; 16]).expect("its length is right");
                handshake.challenge(*now, [1; 16], Some(key));
            }
            (Some(HandshakeEvent::Register(_)), Door::Refused(code, after)) => handshake.refuse(*now, code, after),
            (Some(HandshakeEvent::Over(_)) | None, _) => {}
        }
    }

    /// The next piece comes to the device.
    pub(super) fn deliver_down(&mut self) {
        let Self { line: Some(line), device, carrier, now, .. } = self else { return };
        if !device.link.wants_bytes() && *carrier == Carrier::Stream {
            return;
        }
        let Some(piece) = line.down.pop_front() else { return };
        match carrier {
            Carrier::Stream => device.link.handle_bytes(line.at_device, *now, &piece),
            Carrier::Datagrams => {
                if let Ok(datagram) = Datagram::open(&Native::new(), &piece) {
                    device.link.handle_datagram(line.at_device, *now, &datagram, piece.len());
                }
            }
        }
    }

    /// The transport ends, for one side or both; a side that does not notice goes on with nothing.
    pub(super) fn hang_up(&mut self, device: bool, server: bool) {
        let Some(line) = &mut self.line else { return };
        if device {
            self.device.link.handle_disconnected(line.at_device, self.now, Cause::Disconnected);
        }
        if server {
            line.handshake = None;
            if let Some(epoch) = line.at_server {
                self.server.link.handle_disconnected(epoch, self.now, Cause::Disconnected);
            }
        }
        if self.carrier == Carrier::Stream {
            line.up.clear();
            line.down.clear();
        }
    }

    /// The server has forgotten everything. Late datagrams of the one before could be taken for its own (they name only
    /// the device's stream), so there are none.
    pub(super) fn forget(&mut self) {
        self.hang_up(true, true);
        self.line = None;
        self.old.1.clear();
        self.servers += 1;
        self.server.forget(Link::server(self.limits.clone(), self.servers, self.now));
    }

    pub(super) fn pass(&mut self, by: Duration) {
        self.now += by;
        self.device.pass(self.now);
        self.server.pass(self.now);
        if let Some(handshake) = self.line.as_mut().and_then(|line| line.handshake.as_mut()) {
            handshake.handle_timeout(self.now);
            assert!(handshake.poll_timeout().is_none_or(|(deadline, _)| deadline > self.now));
        }
        self.decide();
    }

    /// Both applications take everything and commit it.
    pub(super) fn consume(&mut self) {
        let Self { device, server, honest, .. } = self;
        while let Some(mark) = device.receive(honest.then_some(&*server)) {
            device.commit(mark);
        }
        while let Some(mark) = server.receive(honest.then_some(&*device)) {
            server.commit(mark);
        }
    }

    /// A line that does what it should for a while: everything reaches its outcome.
    pub(super) fn heal(&mut self) {
        if !self.honest || !self.device.is_open() {
            return;
        }
        self.door = Door::Open;
        self.device.commit_taken();
        self.server.commit_taken();
        self.hang_up(true, true);
        self.line = None;
        if !self.server.is_open() {
            self.forget();
        }
        self.device.link.reconnect_now(self.now);
        for _ in 0..300 {
            self.connect();
            for _ in 0..8 {
                self.settle();
                while self.line.as_ref().is_some_and(|line| !line.up.is_empty()) {
                    self.consume();
                    self.deliver_up();
                }
                while self.line.as_ref().is_some_and(|line| !line.down.is_empty()) {
                    self.consume();
                    self.deliver_down();
                }
                self.consume();
            }
            self.settle();
            if self.device.link.state().is_up() && self.device.is_settled() && self.server.is_settled() {
                assert!(self.device.link.core.outbox.is_empty() && self.server.link.core.outbox.is_empty());
                return;
            }
            let next = [self.device.link.poll_timeout(), self.server.link.poll_timeout()].into_iter().flatten();
            let next = next.map(|(deadline, _)| deadline).min().expect("an open link has a deadline");
            self.pass(next.saturating_duration_since(self.now));
            assert_ne!(self.device.link.state(), State::Closed, "nobody closed it");
        }
        let (device, server) = (&self.device.link.core, &self.server.link.core);
        panic!(
            "a good line does not bring it away:\n{:?}\n{:?}\n{:?}\n{:?}",
            device.outbox, server.inbox, server.outbox, device.inbox
        );
    }
}
