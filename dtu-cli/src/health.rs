//! Whether the gateway takes devices and can keep what they send: what a load balancer and `/health/ready` are told.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Shared by those who know and those who tell.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_draining: AtomicBool,
    /// Why a sink takes nothing, by its name.
    down: Mutex<BTreeMap<&'static str, Box<str>>>,
}

impl Health {
    /// The gateway closes its sessions, and takes no new ones.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// A sink takes nothing, and why.
    pub(crate) fn sink_down(&self, sink: &'static str, why: &str) {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).insert(sink, why.into());
    }

    /// A sink takes again.
    pub(crate) fn sink_up(&self, sink: &'static str) {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).remove(sink);
    }

    /// What is in the way; nothing when it is ready.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let draining = self.is_draining.load(Ordering::Relaxed).then(|| "draining".to_owned());
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        draining.into_iter().chain(down.iter().map(|(sink, why)| format!("sink {sink} is down: {why}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_nothing_is_in_the_way() {
        let health = Health::default();
        assert!(health.reasons().is_empty());
        health.sink_down("nats", "no route");
        health.sink_down("nats", "no answer");
        health.drain();
        assert_eq!(health.reasons(), ["draining", "sink nats is down: no answer"]);
        health.sink_up("nats");
        assert_eq!(health.reasons(), ["draining"]);
    }
}
