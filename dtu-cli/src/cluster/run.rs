//! The task that keeps ledger and bucket in step.

use super::bucket::{self, Owner};
use super::key::Name;
use super::ledger::{Done, LetGo, Work};
use super::{Shared, requests};
use async_nats::jetstream::{self, kv::Entry, kv::Operation, kv::Store};
use core::sync::atomic::Ordering;
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use metrics::{counter, gauge};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::sync::Arc;
use tokio::time::{Instant, sleep, sleep_until};

/// How many keys are worked on at a time.
const IN_FLIGHT: usize = 64;

/// How long NATS may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How often it is looked again whether NATS is there.
const LOOK: Duration = Duration::from_secs(60);

/// The pauses after something went wrong with the bucket or a key.
const REPEAT: Backoff = Backoff::exponential(Duration::from_millis(250), 2_000, Duration::from_secs(10));

/// Runs until the cluster ends.
pub(super) async fn run(shared: Arc<Shared>, seed: u64) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut delays = Delays::new(REPEAT);
    loop {
        up(&shared, None);
        // Whoever ends without NATS has no keys to give up.
        tokio::select! {
            connected = shared.connection.up(LOOK) => if connected.is_err() { continue },
            () = shared.ending.cancelled() => return,
        }
        match hold(&shared, &mut delays, &mut random).await {
            Ok(()) if shared.ending.is_cancelled() => return up(&shared, None),
            // The connection is lost, which was told.
            Ok(()) => {}
            Err(why) => {
                tracing::warn!(%why, "trouble with the cluster");
                sleep(delays.next(Instant::now().into_std(), &mut random).unwrap_or(REPEAT.cap())).await;
            }
        }
    }
}

fn up(shared: &Shared, bucket: Option<Store>) {
    gauge!("dtu_cluster_up").set(f64::from(u8::from(bucket.is_some())));
    *shared.bucket() = bucket;
}

/// Keeps in step until the connection is lost, or all keys are given up at the end.
async fn hold(shared: &Shared, delays: &mut Delays, random: &mut Xoshiro256PlusPlus) -> Result<(), String> {
    let epoch = shared.connection.epoch();
    let context = jetstream::context::ContextBuilder::new().timeout(ANSWER).build(shared.connection.client().clone());
    let store = bucket::open(&context, &shared.settings).await?;
    enrol(shared, &store).await?;
    let cannot = |error: &dyn core::fmt::Display| format!("cannot watch the bucket: {error}");
    shared.ledger().begin_round();
    let mut watch = store.watch_with_history(">").await.map_err(|error| cannot(&error))?;
    let mut works = FuturesUnordered::new();
    let (mut is_read, mut pause) = (false, None);
    up(shared, Some(store.clone()));
    loop {
        let is_ending = shared.ending.is_cancelled();
        while pause.is_none() && works.len() < IN_FLIGHT {
            let Some((id, work)) = shared.ledger().poll_work() else { break };
            let store = &store;
            works.push(async move {
                let key = Name::device_key(&id);
                let done = bucket::work(store, &key, &shared.us, work).await;
                (id, work, done)
            });
        }
        if is_ending && works.is_empty() && shared.ledger().is_empty() {
            return Ok(());
        }
        tokio::select! {
            entry = watch.next() => {
                let entry = entry.ok_or("the watch of the bucket ended")?.map_err(|error| cannot(&error))?;
                handle_entry(shared, &entry);
                // With the own entry under the gateway's id there is one at least.
                if entry.seen_current && !core::mem::replace(&mut is_read, true) {
                    shared.ledger().end_round();
                }
            }
            Some((id, work, done)) = works.next(), if !works.is_empty() => {
                if handle_done(shared, &id, work, done) {
                    delays.answered(Instant::now().into_std());
                } else {
                    let delay = delays.next(Instant::now().into_std(), random).unwrap_or(REPEAT.cap());
                    pause = Some(Instant::now() + delay);
                }
            }
            () = shared.due.notified() => {}
            () = shared.connection.lost(epoch) => return Ok(()),
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => pause = None,
        }
    }
}

/// Says who this is, and tells when another that lives has the same id.
async fn enrol(shared: &Shared, store: &Store) -> Result<(), String> {
    let key = Name::gateway_key(&shared.us.gateway);
    if let Some(before) = bucket::enrol(store, &key, &shared.us).await?
        && requests::is_there(shared, &before).await
    {
        tell_twin(shared, &before);
    }
    Ok(())
}

fn tell_twin(shared: &Shared, twin: &Owner) {
    tracing::error!(
        gateway = shared.us.gateway,
        instance = shared.us.instance,
        other = twin.instance,
        "another gateway has the same id: give each its own `gateway.id`"
    );
    shared.twins.fetch_add(1, Ordering::Relaxed);
    counter!("dtu_cluster_same_id_total").increment(1);
}

fn handle_entry(shared: &Shared, entry: &Entry) {
    let owner = Owner::of(entry);
    match (Name::of(&entry.key), owner) {
        (Some(Name::Device(id)), Some(owner)) if owner.instance == shared.us.instance => {
            shared.ledger().handle_own(&id, entry.revision);
        }
        (Some(Name::Device(id)), Some(owner)) => {
            let gone = shared.ledger().handle_other(&id, entry.revision, owner.since);
            let_go(shared, &id, gone);
        }
        // A value that is none of ours is put right as one that is gone.
        (Some(Name::Device(id)), None) => {
            let gone = shared.ledger().handle_none(&id, entry.revision);
            let_go(shared, &id, gone);
        }
        (Some(Name::Gateway(id)), Some(owner))
            if id == shared.us.gateway && owner.instance != shared.us.instance && entry.operation == Operation::Put =>
        {
            tell_twin(shared, &owner);
        }
        (Some(Name::Gateway(_)) | None, _) => {}
    }
}

/// Whether it is done.
fn handle_done(shared: &Shared, id: &Arc<str>, work: Work, done: Result<(Done, bool), String>) -> bool {
    let (done, outcome) = match (done, work) {
        (Ok((done @ Done::Claimed { .. }, was_others)), _) => (done, if was_others { "taken_over" } else { "claimed" }),
        (Ok((done @ Done::Conceded { .. }, _)), _) => (done, "conceded"),
        (Ok((done, _)), Work::Claim { .. } | Work::Release { .. }) => (done, "released"),
        (Err(why), _) => {
            tracing::warn!(device = &**id, %why, "the key of a device is not settled");
            (Done::Failed, "failed")
        }
    };
    counter!("dtu_cluster_claims_total", "outcome" => outcome).increment(1);
    let gone = shared.ledger().handle_done(id, done);
    let_go(shared, id, gone);
    done != Done::Failed
}

fn let_go(shared: &Shared, id: &str, gone: Option<LetGo>) {
    if gone.is_some() {
        counter!("dtu_cluster_let_go_total").increment(1);
        shared.local.let_go(id);
    }
}
