//! The place of a device in the fleet, in the hand of who carries what it sends.

use super::device::{Device, Hand};
use super::time::Millis;
use dtu_net::Received;
use dtu_net::driver::Session;
use dtu_net::transparent::Heard;
use std::sync::Arc;

/// The place of a device in the fleet. It leaves when its seat is dropped.
#[derive(Debug)]
pub(crate) struct Seat(pub(super) Arc<Device>);

/// The place of a native device. Each idle session has one, so it takes no more than the session itself, which is in it.
#[derive(Debug)]
pub(crate) struct NativeSeat(pub(super) Seat);

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(fleet) = self.0.fleet.upgrade() else { return };
        let mut index = fleet.index();
        if index.leave(&self.0) {
            fleet.release(self.0.id());
        }
    }
}

impl Seat {
    pub(super) fn received(&self, received: &[Received]) {
        let (at, mut frames, mut bytes) = (Millis::now(), 0, 0);
        for received in received {
            match received {
                Received::Data { seq, channel, body, .. } => {
                    self.0.received(at, *channel, Some(*seq), body);
                    (frames, bytes) = (frames + 1, bytes + body.len());
                }
                Received::Skip { from, next, .. } => {
                    let count = next.wrapping_sub(*from);
                    self.0.happened("missing", format!("{count} from {from} on will not come"));
                }
            }
        }
        self.count(frames, bytes);
    }

    /// A frame came that no request waited for.
    pub(crate) fn heard(&self, heard: &Heard) {
        let bytes = heard.frame.as_bytes();
        self.0.received(Millis::now(), 0, None, bytes);
        self.count(1, bytes.len());
    }

    fn count(&self, frames: usize, bytes: usize) {
        if let Some(fleet) = self.0.fleet.upgrade() {
            fleet.meters.up(frames, bytes);
            fleet.mark(&self.0);
        }
    }
}

impl NativeSeat {
    /// Whose seat it is.
    pub(crate) fn session(&self) -> &Session {
        match &self.0.0.hand {
            Hand::Native(session) => session,
            Hand::Unit(..) => unreachable!("the seat of a native device is made of its session"),
            #[cfg(test)]
            Hand::Played(_) => unreachable!("a device that is played has no session"),
        }
    }

    /// Its session has taken something from the device.
    pub(crate) fn received(&self, received: &[Received]) {
        self.0.received(received);
    }
}
