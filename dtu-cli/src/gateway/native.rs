//! A listener for native devices that runs: its server, and the tasks that feed the sinks.

use super::Feed;
use super::plan::{Credentials, NativePlan};
use crate::log;
use crate::serve::busy::{self, Busy};
use crate::serve::tasks;
use anyhow::Context;
use core::time::Duration;
use dtu_net::driver::{Listen, Server};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the counters of a server are taken down for those who look at them.
pub(crate) const COUNTED: Duration = Duration::from_secs(1);

/// How the end of a gateway begins for a listener.
#[derive(Clone)]
pub(super) struct Draining {
    /// From when on the sessions are closed one after the other.
    pub(super) begins: CancellationToken,
    /// Over how long.
    pub(super) spread: Duration,
    /// How long a session has for what is in its outbox.
    pub(super) grace: Duration,
}

/// A server with the task that tells its events.
pub(super) struct Native {
    server: Server,
    teller: JoinHandle<u64>,
    busy: Busy,
    pub(super) key: String,
    pub(super) listen: Listen,
    pub(super) credentials: Credentials,
}

impl Native {
    /// # Errors
    ///
    /// An address that cannot be listened on.
    pub(super) fn start(plan: NativePlan, feed: &Feed) -> anyhow::Result<Self> {
        let NativePlan { key, listen, config, credentials } = plan;
        let server = Server::listen(listen, config, CancellationToken::new()).with_context(|| what(listen))?;
        let teller =
            tokio::spawn(tasks::tell(server.events(), feed.queue.clone(), Arc::clone(&feed.fleet), feed.ended.clone()));
        Ok(Self { server, teller, busy: Busy::default(), key, listen, credentials })
    }

    /// Says where devices find it.
    pub(super) fn tell(&self) {
        if let Some(udp) = self.server.udp_addr() {
            log::say(format_args!("datagrams on {udp}"));
        }
        if self.listen.tcp.is_some() {
            log::say(format_args!("listening on {}", self.server.local_addr()));
        }
    }

    /// Takes who comes, until all sessions are drained, or at once when `feed` is to stop.
    pub(super) async fn run(mut self, feed: Feed, draining: Draining) -> Self {
        let (mut ticks, mut seconds, mut drain) = (interval(busy::EVERY), interval(COUNTED), None);
        let feed = Arc::new(feed);
        loop {
            tokio::select! {
                Some(session) = self.server.accept() => {
                    let seat = feed.fleet.enter_native(session);
                    feed.sessions.spawn(tasks::carry(seat, Arc::clone(&feed)));
                }
                _ = ticks.tick() => self.busy.tell(self.server.counters().busy),
                _ = seconds.tick() => feed.status.counted(&self.key, self.server.counters()),
                () = draining.begins.cancelled(), if drain.is_none() => {
                    drain = Some(Box::pin(self.server.drain(draining.spread, draining.grace)));
                }
                () = async { if let Some(drain) = &mut drain { drain.await } }, if drain.is_some() => return self,
                () = feed.stopping.cancelled() => return self,
            }
        }
    }

    /// Ends it. A peer that takes no last word is cut off. Gives who still tells its events.
    pub(super) async fn end(mut self, grace: Duration) -> JoinHandle<u64> {
        self.busy.tell(self.server.counters().busy);
        let _cut_off = timeout(grace, self.server.shut_down(Duration::ZERO)).await;
        self.teller
    }
}

fn what(listen: Listen) -> String {
    match (listen.tcp, listen.udp) {
        (Some(tcp), Some(udp)) => format!("cannot listen on {tcp} and, for datagrams, on {udp}"),
        (Some(tcp), None) => format!("cannot listen on {tcp}"),
        (None, Some(udp)) => format!("cannot listen for datagrams on {udp}"),
        (None, None) => "there is no address to listen on".to_owned(),
    }
}
