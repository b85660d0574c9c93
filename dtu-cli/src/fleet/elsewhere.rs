//! The fleet as the cluster sees it, and the cluster as the fleet does: who has a device that is not here.

use super::{Closing, Fleet};
use crate::cluster::{Cluster, Local};
use crate::request::ask::{Answer, Ask};
use futures_util::future::BoxFuture;
use std::sync::{Arc, OnceLock, Weak};

impl Local for Fleet {
    fn let_go(&self, device: &str) {
        let _was_here: Closing = self.let_go(device);
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'_, Answer> {
        // Not asked any further: that gateways send a request round and round.
        Box::pin(async move { self.ask_here(&ask).await })
    }
}

/// The other gateways, once they are known. They know the fleet, so it does not keep them.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(OnceLock<Weak<Cluster>>);

impl Elsewhere {
    pub(super) fn set(&self, cluster: &Arc<Cluster>) {
        // It is set once, before anybody comes.
        let _first = self.0.set(Arc::downgrade(cluster));
    }

    pub(super) fn cluster(&self) -> Option<Arc<Cluster>> {
        self.0.get().and_then(Weak::upgrade)
    }
}
