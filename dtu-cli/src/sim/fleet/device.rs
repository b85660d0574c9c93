//! The devices' side: their machines, their kernels, and what comes to them.

use super::event::{Bytes, What};
use super::model::{DATA_REPEAT, SYN_REPEAT};
use super::policy::Policy;
use super::world::World;
use dtu_net::{Carrier, Cause, Event, State};
use std::io::ErrorKind;

impl World {
    /// Takes everything out of a device's machine, as its driver would.
    pub(super) fn pump_device(&mut self, device: u32) {
        let of = self.places.of(device);
        self.transmit(device);
        let link = &mut self.links[of];
        let mut lost = false;
        while let Some(event) = link.poll_event() {
            let Event::State(change) = event else { continue };
            match change.state {
                State::Connected => {
                    self.tries[of].succeed();
                    self.tally.connected(device, self.now);
                }
                State::Disconnected | State::Closed => {
                    lost = true;
                    self.tally.lost(device);
                }
                State::Connecting | State::Registering | State::Suspect => {}
            }
        }
        let (state, wanted) = (link.state(), link.poll_connect());
        let waits_for_other = state == State::Disconnected && self.model.policy != Policy::Dtu;
        let deadline = if waits_for_other { None } else { link.poll_timeout() };
        let hot = &mut self.hot[of];
        if hot.socket != 0 && matches!(state, State::Disconnected | State::Closed) {
            let serial = core::mem::take(&mut hot.socket);
            self.send(device, What::EndAtServer { serial });
        }
        if let Some(epoch) = wanted {
            let serial = epoch.number();
            self.hot[of].socket = serial;
            self.tries[of].begin(self.now);
            self.tally.dialled(device);
            self.send(device, What::Syn { serial, repeat: 0 });
        }
        self.arm(device, false, deadline.map(|(at, _)| at));
        if lost && let Some(delay) = self.model.policy.delay(&mut self.tries[of], self.now, &mut self.random) {
            self.plan(self.now + delay, device, What::Redial);
        }
    }

    /// Puts what the device's machine has to say on the line of the connection it has.
    fn transmit(&mut self, device: u32) {
        let of = self.places.of(device);
        if let Some(bytes) = self.device_bytes(of) {
            let serial = self.links[of].epoch().number();
            self.send(device, What::ToServer { serial, bytes });
        }
    }

    fn device_bytes(&mut self, of: usize) -> Option<Bytes> {
        let link = &mut self.links[of];
        let epoch = link.epoch();
        while link.poll_transmit(epoch, self.instant, &mut self.scratch) {}
        (!self.scratch.is_empty()).then(|| self.pool.put(&mut self.scratch))
    }

    /// The server's kernel has answered the SYN: the device is connected, and says who it is.
    pub(super) fn opened(&mut self, device: u32, serial: u32, life: u8) {
        let of = self.places.of(device);
        if self.hot[of].socket != serial {
            return; // it has given up, and a reset ends it
        }
        let link = &mut self.links[of];
        link.handle_connected(link.epoch(), self.instant, Carrier::Stream);
        if let Some(bytes) = self.device_bytes(of) {
            self.send(device, What::First { serial, bytes, repeat: 0, life });
        }
        self.pump_device(device);
    }

    pub(super) fn arrives_at_device(&mut self, device: u32, serial: u32, bytes: Bytes) {
        let of = self.places.of(device);
        if self.hot[of].socket != serial {
            return self.pool.drop(bytes);
        }
        self.pool.take(bytes, &mut self.scratch);
        let link = &mut self.links[of];
        link.handle_bytes(link.epoch(), self.instant, &self.scratch);
        self.scratch.clear();
        self.pump_device(device);
    }

    /// The end of the connection, or the refusal of it.
    pub(super) fn end_at_device(&mut self, device: u32, serial: u32, reset: bool) {
        let of = self.places.of(device);
        if self.hot[of].socket != serial {
            return;
        }
        let link = &mut self.links[of];
        let cause = match (reset, link.state()) {
            (true, State::Connecting) => Cause::Transport(ErrorKind::ConnectionRefused),
            (true, _) => Cause::Transport(ErrorKind::ConnectionReset),
            (false, _) => Cause::Disconnected,
        };
        link.handle_disconnected(link.epoch(), self.instant, cause);
        self.pump_device(device);
    }

    /// The SYN found no room: the device's kernel sends it again, unless the device has given up by then.
    pub(super) fn repeat_syn(&mut self, device: u32, serial: u32, repeat: u8) {
        let at = self.now + (SYN_REPEAT << repeat);
        self.plan(at, device, What::Syn { serial, repeat: repeat + 1 });
    }

    /// The same for the first bytes on a connection that the server's kernel had no room for.
    pub(super) fn repeat_first(&mut self, device: u32, serial: u32, bytes: Bytes, repeat: u8, life: u8) {
        let at = self.now + (DATA_REPEAT << repeat);
        self.plan(at, device, What::First { serial, bytes, repeat: repeat + 1, life });
    }
}
