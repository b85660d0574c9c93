//! The place of a device in the fleet, in the hand of who carries what it sends.

use super::Fleet;
use super::device::Device;
use dtu_net::Received;
use dtu_net::transparent::Heard;
use std::sync::Arc;

/// The place of a device in the fleet. It leaves when its seat is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) fleet: Arc<Fleet>,
    pub(super) device: Arc<Device>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let left = self.fleet.index().leave(&self.device);
        if left && let Some(cluster) = self.fleet.elsewhere.cluster() {
            cluster.release(self.device.id());
        }
    }
}

impl Seat {
    /// Its session has taken something from the device.
    pub(crate) fn received(&self, received: &[Received]) {
        received.iter().for_each(|received| self.receive(received));
        self.fleet.mark(&self.device);
    }

    fn receive(&self, received: &Received) {
        match received {
            Received::Data { seq, channel, body, .. } => {
                self.device.received(*channel, Some(*seq), body);
                self.fleet.meters.up(body.len());
            }
            Received::Skip { from, next, .. } => {
                self.device.happened("missing", format!("{} from {from} on will not come", next.wrapping_sub(*from)));
            }
        }
    }

    /// A frame came that no request waited for.
    pub(crate) fn heard(&self, heard: &Heard) {
        let bytes = heard.frame.as_bytes();
        self.device.received(0, None, bytes);
        self.fleet.meters.up(bytes.len());
        self.fleet.mark(&self.device);
    }
}
