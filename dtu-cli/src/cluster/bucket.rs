//! The bucket: who has which device, changed by compare-and-set only.

use super::ledger::{Done, Work};
use super::settings::ClusterSettings;
use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{Config, Entry, Operation, Store, UpdateErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How often a claim is tried when others write the same key at the same time.
const TRIES: usize = 8;

/// The longest value, in bytes: two ids and a number.
const VALUE_MAX: i32 = 1024;

/// What a key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) gateway: String,
    /// Of this run of the gateway: 16 hex digits.
    pub(super) instance: String,
    /// When the device came, in unix milliseconds, and later than it came to whoever had it before.
    #[serde(default)]
    pub(super) since: u64,
}

impl Owner {
    /// What an entry says; `None` when it says nothing, or nothing of ours.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        if entry.operation != Operation::Put {
            return None;
        }
        serde_json::from_slice(&entry.value).ok()
    }

    fn value(&self) -> Bytes {
        // Two texts and a number.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Opens the bucket, and makes it where there is none.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(context: &Context, settings: &ClusterSettings) -> Result<Store, String> {
    let name = &settings.bucket;
    if let Ok(store) = context.get_key_value(name).await {
        return Ok(store);
    }
    let config = Config {
        bucket: name.clone(),
        description: "which gateway has which DTU".to_owned(),
        history: 1,
        max_value_size: VALUE_MAX,
        num_replicas: settings.replicas.into(),
        ..Config::default()
    };
    match context.create_key_value(config).await {
        Ok(store) => Ok(store),
        // Another gateway may have been faster, with other settings.
        Err(error) => {
            context.get_key_value(name).await.map_err(|_| format!("cannot create the bucket {name}: {error}"))
        }
    }
}

/// Does what is due with a key.
///
/// # Errors
/// Why it is not done.
pub(super) async fn work(store: &Store, key: &str, us: &Owner, work: Work) -> Result<(Done, bool), String> {
    match work {
        Work::Claim { since, is_fresh } => claim(store, key, us, since, is_fresh).await,
        Work::Release { revision } => release(store, key, revision).await.map(|done| (done, false)),
    }
}

/// Claims a key. With it comes whether another had it.
async fn claim(store: &Store, key: &str, us: &Owner, mut since: u64, is_fresh: bool) -> Result<(Done, bool), String> {
    for _ in 0..TRIES {
        let entry = store.entry(key).await.map_err(|error| format!("cannot read the key {key}: {error}"))?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let other = entry.as_ref().and_then(Owner::of);
        match &other {
            // The word of it was lost.
            Some(owner) if owner.instance == us.instance => {
                return Ok((Done::Claimed { revision, since: owner.since }, false));
            }
            Some(owner) if is_fresh => since = since.max(owner.since.saturating_add(1)),
            Some(owner) if owner.since >= since => return Ok((Done::Conceded { since: owner.since }, true)),
            Some(_) | None => {}
        }
        let value = Owner { since, ..us.clone() }.value();
        match store.update(key, value, revision).await {
            Ok(revision) => return Ok((Done::Claimed { revision, since }, other.is_some())),
            Err(error) => match error.kind() {
                UpdateErrorKind::WrongLastRevision => {}
                UpdateErrorKind::InvalidKey | UpdateErrorKind::TimedOut | UpdateErrorKind::Other => {
                    return Err(format!("cannot write the key {key}: {error}"));
                }
            },
        }
    }
    Err(format!("others write the key {key} at the same time"))
}

/// Deletes a key if it still is what it was.
async fn release(store: &Store, key: &str, revision: u64) -> Result<Done, String> {
    match store.delete_expect_revision(key, Some(revision)).await {
        Ok(()) => Ok(Done::Released),
        Err(error) => match error.kind() {
            UpdateErrorKind::WrongLastRevision => Ok(Done::Released),
            UpdateErrorKind::InvalidKey | UpdateErrorKind::TimedOut | UpdateErrorKind::Other => {
                Err(format!("cannot delete the key {key}: {error}"))
            }
        },
    }
}

/// Says under the gateway's id that it is this one, and returns who said so before.
///
/// # Errors
/// Why it is not said.
pub(super) async fn enrol(store: &Store, key: &str, us: &Owner) -> Result<Option<Owner>, String> {
    let cannot = |error: &dyn core::fmt::Display| format!("cannot write the key {key}: {error}");
    let before = store.entry(key).await.map_err(|error| cannot(&error))?.as_ref().and_then(Owner::of);
    store.put(key, us.value()).await.map_err(|error| cannot(&error))?;
    Ok(before.filter(|before| before.instance != us.instance))
}
