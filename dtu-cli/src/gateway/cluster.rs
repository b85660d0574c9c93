//! The gateway as one of several that share a fleet.

use crate::cluster::{Cluster, Local};
use crate::fleet::Fleet;
use crate::request::ask::{Answer, Ask};
use crate::settings::Settings;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Weak};

/// The fleet of this gateway; the cluster is a part of it.
struct Here(Weak<Fleet>);

impl Local for Here {
    fn let_go(&self, device: &str) {
        if let Some(fleet) = self.0.upgrade() {
            // It may have left by itself.
            let _was_here = fleet.let_go(device);
        }
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match self.0.upgrade() {
                Some(fleet) => fleet.ask_here(&ask).await,
                None => Answer::failed(&ask.device, crate::request::ask::Outcome::UnknownDevice, "the gateway ends"),
            }
        })
    }
}

/// Shares the devices that come with the other gateways, where the settings say so. NATS need not be there.
///
/// # Errors
///
/// What is wrong with the settings.
pub(super) async fn join(settings: &Settings, fleet: &Arc<Fleet>) -> anyhow::Result<Option<Arc<Cluster>>> {
    let (Some(cluster), Some(nats)) = (&settings.cluster, &settings.nats) else { return Ok(None) };
    let here = Arc::new(Here(Arc::downgrade(fleet)));
    let cluster = Arc::new(Cluster::open(cluster, nats, &settings.gateway.id(), here).await?);
    fleet.share(Arc::clone(&cluster));
    Ok(Some(cluster))
}
