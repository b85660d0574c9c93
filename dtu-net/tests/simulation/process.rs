//! The server's process: it accepts, asks who it is, and gives the connection to the link.

use super::invariants::judge;
use super::scene::{End, What};
use super::side::Side;
use super::world::{KEY, World, server_link};
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::{Carrier, Cause, Handshake, HandshakeEvent, State};
use dtu_proto::message::{Datagram, RefuseCode};
use dtu_proto::{Message, Native};
use std::io::ErrorKind;
use std::sync::Arc;

impl World {
    pub(crate) fn read(&mut self, conn: u32, to: End, damaged: bool) {
        if self.scene.config.carrier == Carrier::Datagrams {
            let bytes: Vec<u8> = self.scene.lane(conn, to).arrived.drain(..).collect();
            return self.datagram(conn, to, &bytes, damaged);
        }
        match to {
            End::Device => {
                self.device.read(&mut self.scene, conn);
                self.device.read_past(&mut self.scene, conn);
            }
            End::Server => {
                let now = self.scene.instant();
                if let Some(handshake) = self.handshakes.get_mut(&conn) {
                    let lane = self.scene.lane(conn, to);
                    let bytes: Vec<u8> = lane.arrived.drain(..).collect();
                    if !bytes.is_empty() {
                        handshake.handle_bytes(now, &bytes);
                    }
                    if let Some(cause) = lane.over.take() {
                        handshake.handle_disconnected(cause);
                    }
                    self.handshake(conn);
                }
                self.server.read(&mut self.scene, conn);
                self.server.read_past(&mut self.scene, conn);
            }
        }
    }

    fn datagram(&mut self, conn: u32, to: End, bytes: &[u8], damaged: bool) {
        let native = Native::with_max_payload(self.scene.config.limits[1].max_payload);
        let opened = Datagram::open(&native, bytes);
        assert_eq!(opened.is_err(), damaged, "damage is seen");
        let Ok(datagram) = opened else { return };
        if to == End::Device {
            if datagram.stream == self.device.link.stream() {
                self.device.datagram(&mut self.scene, conn, &datagram, bytes.len());
            }
            return;
        }
        let is_register = matches!(datagram.message, Message::Register(_));
        let known = self.server.conns.iter().any(|(_, of)| *of == conn);
        if known && (!is_register || self.registered == bytes) {
            return self.server.datagram(&mut self.scene, conn, &datagram, bytes.len());
        }
        if !known && (is_register || self.handshakes.contains_key(&conn)) {
            let (now, limits) = (self.scene.instant(), Arc::new(self.scene.config.limits[1]));
            let handshake = self
                .handshakes
                .entry(conn)
                .or_insert_with(|| Handshake::new(limits, Carrier::Datagrams, datagram.stream, now));
            handshake.handle_datagram(now, &datagram.message);
            if is_register {
                self.registered = bytes.to_vec();
            }
            self.handshake(conn);
        }
    }

    /// Drains a handshake.
    pub(crate) fn handshake(&mut self, conn: u32) {
        loop {
            let Some(handshake) = self.handshakes.get_mut(&conn) else { return };
            let mut out = Vec::new();
            while handshake.poll_transmit(&mut out) {
                self.scene.write(conn, End::Device, core::mem::take(&mut out));
            }
            match handshake.poll_event() {
                Some(HandshakeEvent::Register(registration)) => {
                    assert_eq!(&*registration.device, "meter-7");
                    if self.scene.random.permille(700) {
                        self.decide(conn);
                    } else {
                        self.scene.plan_about(300_000, What::Decide { conn });
                    }
                }
                Some(HandshakeEvent::Proven) => self.admit(conn),
                Some(HandshakeEvent::Over(cause)) => {
                    self.scene.trace.note(self.scene.now, format_args!("handshake {conn} over {cause:?}"));
                    judge(&self.scene, &cause);
                    self.handshakes.remove(&conn);
                    self.scene.close(conn, End::Server, true);
                }
                Some(other) => panic!("unknown event {other:?}"),
                None => return,
            }
        }
    }

    pub(crate) fn decide(&mut self, conn: u32) {
        let (now, scene) = (self.scene.instant(), &mut self.scene);
        let Some(handshake) = self.handshakes.get_mut(&conn) else { return };
        if scene.fails(scene.config.refuse) {
            let code = scene.random.pick(&[RefuseCode::BUSY, RefuseCode::UNAUTHORIZED]);
            handshake.refuse(now, code, Duration::from_secs(scene.random.up_to(5)));
        } else if scene.config.challenge {
            let mut nonce = [0; 16];
            nonce.copy_from_slice(&scene.random.bytes(16));
            handshake.challenge(now, nonce, Key::new(&KEY).ok());
        } else {
            return self.admit(conn);
        }
        self.handshake(conn);
    }

    fn admit(&mut self, conn: u32) {
        let Some(handshake) = self.handshakes.remove(&conn) else { return };
        if self.server.link.state() == State::Closed {
            let link = server_link(&mut self.scene);
            self.server = Side::new(End::Server, link, self.server.life + 1, self.scene.now);
        }
        match self.server.link.handle_registered(self.scene.instant(), handshake) {
            Some(epoch) => {
                self.server.begins(&self.scene, epoch, conn);
                if self.scene.is_ordered() && self.scene.fails(self.scene.config.drop) {
                    let cause = Cause::Transport(ErrorKind::ConnectionReset);
                    self.scene.plan_about(100_000, What::Over { conn, to: End::Server, cause });
                }
                self.server.pump(&mut self.scene);
                self.server.read(&mut self.scene, conn);
            }
            None => self.scene.close(conn, End::Server, true),
        }
    }
}
