//! Connections to NATS, for the sink and for the cluster.
//!
//! A connection is opened without NATS: it is made in the background, again and again, by delays of our own. The client's own
//! delays begin anew with every connection, so a server that accepts and drops would be hammered.

mod settings;
mod token;

#[cfg(test)]
#[path = "../tests/support/nats_server.rs"]
pub(crate) mod nats_server;

pub(crate) use settings::NatsSettings;
pub(crate) use token::{is_prefix, token};

use anyhow::Context;
use async_nats::connection::State;
use async_nats::{Client, Event, ServerAddr};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long one attempt to connect may take.
const DIAL: Duration = Duration::from_secs(5);

/// After so long without a word from the server it is asked for one; it is given up when two are unanswered.
const PING: Duration = Duration::from_secs(10);

/// Between attempts, also after a connection that did not hold.
const RECONNECT: Backoff = Backoff::exponential(Duration::from_millis(250), 2_000, Duration::from_secs(10));

/// A connection, made or being made.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    client: Client,
    link: watch::Receiver<Link>,
}

/// How it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    is_up: bool,
    /// How many connections there were.
    epoch: u64,
    /// Why there is none.
    reason: Option<String>,
}

impl Connection {
    /// Begins to connect; it does not wait for the server. `purpose` is told to the server and in the log: `sink`, `cluster`.
    ///
    /// # Errors
    /// What is wrong with the settings, and the files they name.
    pub(crate) async fn open(settings: &NatsSettings, gateway: &str, purpose: &'static str) -> anyhow::Result<Self> {
        let seed = getrandom::u64().context("the system gives no random number")?;
        let (state, link) = watch::channel(Link::default());
        let link_of_client = Arc::new(Watched { purpose, state, pace: Mutex::new(Pace::new(seed)) });
        let [events, pool, delays] = [(); 3].map(|()| Arc::clone(&link_of_client));
        let client = settings
            .options()?
            .name(settings.name.clone().unwrap_or_else(|| format!("dtu {gateway} {purpose}")))
            .connection_timeout(DIAL)
            .ping_interval(PING)
            .max_reconnects(None)
            .retry_on_initial_connect()
            .reconnect_delay_callback(move |_| delays.delay())
            .reconnect_to_server_callback(move |servers, _| {
                pool.handle_failures(&servers);
                core::future::ready(None)
            })
            .event_callback(move |event| {
                events.handle_event(&event);
                core::future::ready(())
            })
            .connect(settings.addresses()?)
            .await
            .context("nats")?;
        Ok(Self { client, link })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// Why there is none within `patience`.
    pub(crate) async fn up(&self, patience: Duration) -> Result<(), String> {
        let mut link = self.link.clone();
        let up = async {
            // The sender lives as long as the client.
            let _gone = link.wait_for(|link| link.is_up).await;
        };
        // The client knows a moment earlier; but then the number of the connection is still that of the last one.
        if timeout(patience, up).await.is_ok() || self.is_up() {
            return Ok(());
        }
        let reason = self.link.borrow().reason.clone();
        Err(format!("NATS is not reached: {}", reason.as_deref().unwrap_or("no server answers")))
    }

    /// How many connections there were; it changes with each.
    pub(crate) fn epoch(&self) -> u64 {
        self.link.borrow().epoch
    }

    /// Waits until the connection is lost, or another than number `epoch`.
    pub(crate) async fn lost(&self, epoch: u64) {
        let mut link = self.link.clone();
        let _gone = link.wait_for(|link| !link.is_up || link.epoch != epoch).await;
    }
}

/// What the client tells, and its delays.
#[derive(Debug)]
struct Watched {
    purpose: &'static str,
    state: watch::Sender<Link>,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    delays: Delays,
    random: Xoshiro256PlusPlus,
    has_begun: bool,
}

impl Pace {
    fn new(seed: u64) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { delays: Delays::new(RECONNECT), random, has_begun: false }
    }
}

impl Watched {
    fn delay(&self) -> Duration {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let Pace { delays, random, has_begun } = &mut *pace;
        if !core::mem::replace(has_begun, true) {
            return Duration::ZERO;
        }
        delays.next(Instant::now().into_std(), random).unwrap_or(RECONNECT.cap())
    }

    fn handle_event(&self, event: &Event) {
        let purpose = self.purpose;
        match event {
            Event::Connected => {
                let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                pace.delays.answered(Instant::now().into_std());
                drop(pace);
                tracing::info!(purpose, "NATS is connected");
                self.state.send_modify(|link| *link = Link { is_up: true, epoch: link.epoch + 1, reason: None });
            }
            Event::Disconnected => {
                tracing::warn!(purpose, "the connection to NATS is lost");
                self.state.send_modify(|link| link.is_up = false);
            }
            // By its owner, who has dropped it: the client itself never gives up.
            Event::Closed => {
                tracing::debug!(purpose, "the connection to NATS is closed");
                self.state.send_modify(|link| link.is_up = false);
            }
            // Such as a subject that this user may not publish to.
            Event::ServerError(error) => self.handle_reason(error.to_string()),
            Event::ClientError(error) => {
                // Without the server's name and cause; those come with the list of servers, before the next attempt.
                if self.state.borrow().reason.is_none() {
                    self.handle_reason(error.to_string());
                }
            }
            Event::LameDuckMode => tracing::info!(purpose, "the server of NATS is about to stop"),
            Event::SlowConsumer(subscription) => {
                tracing::warn!(
                    purpose,
                    subscription,
                    "messages of NATS came faster than they were taken, and are lost"
                );
            }
            Event::Draining => {}
        }
    }

    /// The failures as the client has them by server, before it tries again.
    fn handle_failures(&self, servers: &[async_nats::Server]) {
        let failed = |server: &async_nats::Server| {
            let error = server.last_error.as_deref()?;
            Some(format!("{}: {error}", name(&server.addr)))
        };
        let failures: Vec<_> = servers.iter().filter_map(failed).collect();
        if !failures.is_empty() {
            self.handle_reason(failures.join("; "));
        }
    }

    /// Told when it is another than before: there is an attempt every few seconds.
    fn handle_reason(&self, reason: String) {
        let is_new = self.state.borrow().reason.as_ref() != Some(&reason);
        if is_new {
            tracing::warn!(purpose = self.purpose, %reason, "trouble with NATS");
            self.state.send_modify(|link| link.reason = Some(reason));
        }
    }
}

/// A server without what its URL may have besides.
fn name(addr: &ServerAddr) -> String {
    format!("{}:{}", addr.host(), addr.port())
}

#[cfg(test)]
mod tests;
