//! What an application asks and tells a device about its heartbeat.

use super::memory::{Learned, Network};
use crate::device::Device;
use crate::link::Link;
use core::time::Duration;
use std::time::Instant;

impl Link<Device> {
    /// After how much silence of the server this device asks for a sign of life: the announced heartbeat, or with
    /// [`DeviceConfig::adaptive`](crate::DeviceConfig::adaptive) what the search has come to, which is never longer.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.role.adaptive.as_ref().map_or(self.core.limits.heartbeat, |adaptive| adaptive.interval())
    }

    /// The device is on this network now. Without a call it is [`Network::default`]. Does nothing without
    /// [`DeviceConfig::adaptive`](crate::DeviceConfig::adaptive).
    pub fn handle_network(&mut self, now: Instant, network: Network) {
        if let Some(adaptive) = &mut self.role.adaptive {
            adaptive.handle_network(now, network, &mut self.core.events);
        }
    }

    /// Takes what was learned of a network earlier, in the place of what is known of it. Does nothing without
    /// [`DeviceConfig::adaptive`](crate::DeviceConfig::adaptive).
    pub fn remember(&mut self, now: Instant, learned: Learned) {
        if let Some(adaptive) = &mut self.role.adaptive {
            adaptive.remember(now, learned, &mut self.core.events);
        }
    }

    /// What was learned, the network of now last; at most [`NETWORKS`](super::NETWORKS). Give it to
    /// [`remember`](Self::remember) in this order.
    #[must_use]
    pub fn learned(&self) -> Vec<Learned> {
        self.role.adaptive.iter().flat_map(|adaptive| adaptive.learned()).collect()
    }
}
