//! Whether the gateway takes devices and can keep what they send: what a load balancer and `/health/ready` are told.

use crate::sink::Books;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Shared by those who know and those who tell.
#[derive(Debug)]
pub(crate) struct Health {
    is_draining: AtomicBool,
    sinks: Arc<Books>,
}

impl Health {
    pub(crate) const fn new(sinks: Arc<Books>) -> Self {
        Self { is_draining: AtomicBool::new(false), sinks }
    }

    /// The gateway closes its sessions, and takes no new ones.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// How the sinks are.
    pub(crate) fn sinks(&self) -> &Books {
        &self.sinks
    }

    /// What is in the way; nothing when it is ready.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let draining = self.is_draining.load(Ordering::Relaxed).then(|| "draining".to_owned());
        let down = self.sinks.sinks().iter().filter(|sink| sink.is_down());
        let down = down.map(|sink| format!("sink {} is down: {}", sink.name, sink.said()));
        draining.into_iter().chain(down).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_nothing_is_in_the_way() {
        let health = Health::new(Arc::new(Books::failing("nats", "no answer")));
        assert_eq!(health.reasons(), ["sink nats is down: no answer"]);
        health.drain();
        assert_eq!(health.reasons(), ["draining", "sink nats is down: no answer"]);
        let health = Health::new(Arc::default());
        assert!(health.reasons().is_empty());
    }
}
