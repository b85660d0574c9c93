//! A gateway that runs: its listeners, what they feed, and what is done at signals.
//!
//! ```text
//!   listener ── sessions ── DATA ──> task ─┐                    ┌──> sinks
//!   listener ── sessions ── DATA ──> task ─┼── bounded queue ── keeper ── commit ──> ACK
//!   listener ── events ────────────> task ─┘
//!
//!   SIGHUP ──> the file is read again        SIGTERM ──> drain ──> the rest is closed and written
//! ```

mod keys;
mod native;
mod plan;
mod reload;
mod sinks;

pub(crate) use plan::{NativePlan, Plan, TransparentPlan};
pub(crate) use reload::{Read, Source};

use crate::capture::Capture;
use crate::cluster::Cluster;
use crate::fleet::{Fleet, Here};
use crate::health::Health;
use crate::http::{self, Http, Status};
use crate::log;
use crate::serve::control::Control;
use crate::serve::units::Units;
use crate::settings::Address;
use crate::sink::{self, Queue};
use anyhow::Context;
use core::time::Duration;
use futures_util::future::join_all;
use metrics::gauge;
use native::{Draining, Native};
use reload::Reloader;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long storing, and then the last bytes, may take after a signal, before what is left is given up.
const GRACE: Duration = Duration::from_secs(5);

/// What every listener feeds, and by what it ends.
#[derive(Clone)]
pub(crate) struct Feed {
    /// What is to be stored.
    pub(crate) queue: Queue,
    /// Who is there.
    pub(crate) fleet: Arc<Fleet>,
    /// What the gateway as a whole has counted.
    pub(crate) status: Arc<Status>,
    /// The tasks of the sessions.
    pub(crate) sessions: TaskTracker,
    /// After it nothing more is taken; what was taken is stored and acknowledged.
    pub(crate) stopping: CancellationToken,
    /// After it no event is told any more.
    pub(crate) ended: CancellationToken,
}

/// Runs until a signal ends it.
///
/// # Errors
///
/// What cannot be started, and what was not stored at the end.
pub(crate) async fn run(read: Read, source: Source, log: log::Log) -> anyhow::Result<()> {
    let Read { settings, document, mut plan } = read;
    let mut stop = crate::stop::signal()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    // Before anything counts.
    let metrics = settings.http.listen.map(|_| http::install_metrics()).transpose()?;
    let max_memory: usize = plan.natives.iter().map(NativePlan::max_memory).fold(0, usize::saturating_add);
    gauge!("dtu_session_memory_limit_bytes").set(max_memory as f64);
    let fleet = Fleet::new(&settings.requests)?;
    let (queue, mut keeper) = sink::start(sinks::open(&settings).await?);
    let status = Arc::new(Status::new(settings.gateway.id(), queue.gauge()));
    let health = Arc::new(Health::new(Arc::clone(keeper.books())));
    let cluster = match (&settings.cluster, &settings.nats) {
        (Some(cluster), Some(nats)) => {
            let here = Arc::new(Here::new(&fleet));
            let cluster = Cluster::open(cluster, nats, &settings.gateway.id(), here).await?;
            Some(Arc::new(cluster))
        }
        (_, _) => None,
    };
    cluster.iter().for_each(|cluster| fleet.join(Arc::clone(cluster)));
    let (stopping, ended) = (CancellationToken::new(), CancellationToken::new());
    let http = match metrics {
        Some(metrics) => {
            Http::bind(&settings.http, metrics, Arc::clone(&fleet), Arc::clone(&health), Arc::clone(&status)).await?
        }
        None => None,
    };
    let feed =
        Feed { queue, fleet, status, sessions: TaskTracker::new(), stopping: stopping.clone(), ended: ended.clone() };
    let capture = settings.capture.as_ref().map(Capture::start).transpose()?;
    plan.tap(capture.as_ref());
    // What cannot run has nothing to be warned of.
    for warning in &plan.warnings {
        log::warn(warning);
    }
    let natives =
        plan.natives.into_iter().map(|plan| Native::start(plan, &feed)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(Address(addr)) = settings.gateway.control {
        let control = Control::bind(addr, Arc::clone(&feed.fleet)).await?;
        log::say(format_args!("control on {}", control.local_addr()));
        tokio::spawn(control.run(ended.clone()));
    }
    let units = Units::start_all(plan.transparents, &feed.queue, &feed.fleet)?;
    natives.iter().for_each(Native::tell);
    let api = http.as_ref().map(Http::shared);
    if let Some(http) = http {
        log::say(format_args!("HTTP on http://{}", http.local_addr()));
        tokio::spawn(http.run(ended.clone()));
    }

    let (spread, has_natives) = (settings.gateway.drain.0, !natives.is_empty());
    let draining = Draining { begins: CancellationToken::new(), spread, grace: GRACE };
    let mut reloader = Reloader::new(source, (settings, document.as_ref()), log, &natives, api);
    let units: Vec<_> = units.into_iter().map(|units| tokio::spawn(units.run(stopping.clone()))).collect();
    let natives = natives.into_iter().map(|native| tokio::spawn(native.run(feed.clone(), draining.clone())));
    let mut natives = join_all(natives);
    let (mut ran, mut is_draining) = (None, false);
    let early = loop {
        tokio::select! {
            ended = keeper.ended() => break Some(ended),
            Some(()) = hangup.recv() => reloader.reload(),
            () = &mut stop => {
                health.drain();
                // Transparent DTUs are not drained: they are closed at the end of it.
                if is_draining || spread.is_zero() || !has_natives {
                    break None;
                }
                log::say(format_args!("closing the sessions over {spread:?}"));
                is_draining = true;
                draining.begins.cancel();
                stop = crate::stop::signal()?;
            }
            all = &mut natives, if is_draining => {
                ran = Some(all);
                break None;
            }
        }
    };
    stopping.cancel();
    let natives = match ran {
        Some(natives) => natives,
        None => natives.await,
    };
    let Feed { queue, sessions, .. } = feed;
    sessions.close();
    let units_end = async {
        for units in join_all(units).await.into_iter().flatten() {
            units.end().await;
        }
    };
    let handed_over = async { tokio::join!(sessions.wait(), units_end) };
    let in_time = early.is_some() || timeout(GRACE, handed_over).await.is_ok();
    let tellers = join_all(natives.into_iter().flatten().map(|native| native.end(GRACE))).await;
    if let Some(capture) = capture {
        capture.finish(GRACE).await;
    }
    ended.cancel();
    if let Some(cluster) = cluster {
        cluster.shut_down().await;
    }
    let unkept = || {
        let down = keeper.books().down().map(|down| format!("; down: {down}")).unwrap_or_default();
        format!("stopped with {} records that are not kept and not acknowledged{down}", queue.pending())
    };
    anyhow::ensure!(in_time, unkept());
    let mut missed = 0;
    for teller in tellers {
        missed += timeout(GRACE, teller).await.with_context(unkept)?.context("the teller ended without a word")?;
    }
    if missed > 0 {
        log::fail(format_args!("{missed} events have no line, as the sinks were behind"));
    }
    let ended = match early {
        Some(ended) => ended,
        None => {
            let unkept = unkept();
            drop(queue);
            timeout(GRACE, keeper.ended()).await.context(unkept)?
        }
    };
    Ok(ended.context("the keeper ended without a word")??)
}
