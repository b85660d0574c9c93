//! Gateways that share a fleet: who has which device, and requests to devices that another has.
//!
//! ```text
//!   device comes ──> claim ── compare-and-set ──> bucket of JetStream ── watch ──> the gateway that had it lets go
//!   request ──> who has it? ──> <prefix>.request.<gateway>.<instance> ──> its line ──> reply
//! ```
//!
//! Devices are served at once, and claimed meanwhile: without NATS everything goes on as with one gateway, and what could not be
//! claimed is when NATS is back. The last gateway that a device has come to has it. For that each key says when the device came, and
//! who claims says a later time than he finds: clocks that differ do no harm where NATS is there. They decide only between
//! gateways that a device went to while it was away.

mod bucket;
mod key;
mod ledger;
mod requests;
mod run;
mod settings;

#[cfg(test)]
mod tests;

pub(crate) use settings::ClusterSettings;

use crate::nats::{Connection, NatsSettings, token};
use crate::request::ask::{Answer, Ask};
use anyhow::Context;
use async_nats::jetstream::kv::Store;
use bucket::Owner;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use futures_util::future::BoxFuture;
use ledger::Ledger;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long giving up the keys may take at the end. Those that are left are taken over when their devices come elsewhere.
const GRACE: Duration = Duration::from_secs(5);

/// What a cluster wants of the gateway that it is in.
pub(crate) trait Local: Send + Sync + 'static {
    /// Another gateway has the device now: its session ends here. What of it is not acknowledged goes to the other one.
    fn let_go(&self, device: &str);

    /// A request by another gateway, for a device that should be here.
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Answer>;
}

/// This gateway's part of the cluster. It ends when it is [shut down](Self::shut_down), or dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    /// None when it is shut down.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    settings: ClusterSettings,
    us: Owner,
    connection: Connection,
    local: Arc<dyn Local>,
    ledger: Mutex<Ledger>,
    /// There is something to do in the ledger.
    due: Notify,
    /// The bucket, while it is there and watched.
    bucket: Mutex<Option<Store>>,
    /// How often another gateway with the same id was seen.
    twins: AtomicU64,
    ending: CancellationToken,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("us", &self.us).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Begins to be a part of the cluster; it does not wait for NATS.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) async fn open(
        settings: &ClusterSettings,
        nats: &NatsSettings,
        gateway: &str,
        local: Arc<dyn Local>,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        let instance = getrandom::u64().context("the system gives no random number")?;
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            us: Owner { gateway: gateway.to_owned(), instance: format!("{instance:016x}"), since: 0 },
            connection: Connection::open(nats, gateway, "cluster").await?,
            local,
            ledger: Mutex::default(),
            due: Notify::new(),
            bucket: Mutex::default(),
            twins: AtomicU64::new(0),
            ending: CancellationToken::new(),
        });
        let tasks = Mutex::new(vec![
            tokio::spawn(requests::answer(Arc::clone(&shared))),
            tokio::spawn(run::run(Arc::clone(&shared), instance)),
        ]);
        Ok(Self { shared, tasks })
    }

    /// The device has connected here: for the first time, or again.
    pub(crate) fn claim(&self, device: &Arc<str>) {
        let is_fresh = self.is_up();
        self.shared.ledger().handle_arrival(device, now(), is_fresh);
        self.shared.due.notify_one();
    }

    /// The session of the device is over here.
    pub(crate) fn release(&self, device: &str) {
        self.shared.ledger().handle_departure(device);
        self.shared.due.notify_one();
    }

    /// Puts a request to a device that is not here. The answer says [`UnknownDevice`](crate::request::ask::Outcome::UnknownDevice) when
    /// nobody has it; then it was told nothing.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        requests::ask(&self.shared, ask).await
    }

    /// Whether the bucket is there, and watched.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.bucket().is_some()
    }

    /// How often another gateway with the same id was seen.
    #[cfg(test)]
    pub(crate) fn twins(&self) -> u64 {
        self.shared.twins.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Gives up all keys, as far as NATS is there.
    pub(crate) async fn shut_down(&self) {
        self.shared.ledger().handle_end();
        self.shared.ending.cancel();
        self.shared.due.notify_one();
        let mut tasks = core::mem::take(&mut *self.tasks());
        let ended = async {
            for task in &mut tasks {
                // One that has panicked has said so.
                let _ended = task.await;
            }
        };
        if timeout(GRACE, ended).await.is_err() {
            tasks.iter().for_each(JoinHandle::abort);
            tracing::warn!(devices = self.shared.ledger().len(), "keys of devices are left in the bucket");
        }
    }
}

impl Cluster {
    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks().iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Poison is no concern: no entry panics half-way.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self) -> MutexGuard<'_, Option<Store>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the requests for a gateway go.
    fn subject(&self, owner: &Owner) -> String {
        format!("{}.request.{}.{}", self.settings.prefix, token(&owner.gateway), token(&owner.instance))
    }
}

/// Unix milliseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
