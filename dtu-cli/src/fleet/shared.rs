//! The fleet as a part of one that several gateways share.

use super::Fleet;
use crate::cluster::{Cluster, Local};
use crate::request::ask::{Answer, Ask, Outcome};
use futures_util::future::BoxFuture;
use std::sync::{Arc, Weak};

/// What the cluster wants of this gateway. It does not keep the fleet.
pub(crate) struct Here(Weak<Fleet>);

impl Here {
    pub(crate) fn new(fleet: &Arc<Fleet>) -> Self {
        Self(Arc::downgrade(fleet))
    }
}

impl Local for Here {
    fn let_go(&self, device: &str) {
        if let Some(fleet) = self.0.upgrade() {
            // It may be gone already.
            let _gone = fleet.let_go(device);
        }
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let answer = match self.0.upgrade() {
                Some(fleet) => fleet.ask_here(&ask).await,
                None => None,
            };
            answer.unwrap_or_else(|| unknown(&ask))
        })
    }
}

impl Fleet {
    /// From now on devices are claimed when they come, given up when they are gone, and asked wherever they are.
    pub(crate) fn join(&self, cluster: Arc<Cluster>) {
        // A gateway is in one.
        let _joined = self.cluster.set(cluster);
    }

    /// Asks the line of a device, whichever kind it is of and wherever it is, and waits for the reply.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        match (self.ask_here(ask).await, self.cluster.get()) {
            (Some(answer), _) => answer,
            (None, Some(cluster)) => cluster.ask(ask).await,
            (None, None) => unknown(ask),
        }
    }

    /// The device has come, or come again.
    pub(super) fn claim(&self, device: &Arc<str>) {
        if let Some(cluster) = self.cluster.get() {
            cluster.claim(device);
        }
    }

    /// The session of the device is over.
    pub(super) fn release(&self, device: &str) {
        if let Some(cluster) = self.cluster.get() {
            cluster.release(device);
        }
    }
}

fn unknown(ask: &Ask) -> Answer {
    Answer::failed(&ask.device, Outcome::UnknownDevice, "no such device has come")
}
