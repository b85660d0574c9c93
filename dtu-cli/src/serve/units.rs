//! Transparent DTUs beside the native devices: their servers, and the tasks that feed the sinks.

use super::busy::{self, Busy};
use super::unit_line::UnitItem;
use crate::fleet::{Fleet, Seat};
use crate::gateway::{COUNTED, TransparentPlan};
use crate::http::Status;
use crate::log;
use crate::request::profile::Replies;
use crate::sink::{Item, Queue};
use anyhow::Context;
use dtu_net::driver::transparent::{TransparentServer, TransparentSession, UnitEvent};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A server of transparent DTUs.
pub(crate) struct Units {
    server: TransparentServer,
    key: String,
    busy: Busy,
    replies: Replies,
    queue: Queue,
    fleet: Arc<Fleet>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl Units {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on.
    pub(crate) fn start_all(
        plans: Vec<TransparentPlan>,
        queue: &Queue,
        fleet: &Arc<Fleet>,
    ) -> anyhow::Result<Vec<Self>> {
        let all: Vec<_> =
            plans.into_iter().map(|plan| Self::start(plan, fleet, queue)).collect::<anyhow::Result<_>>()?;
        for units in &all {
            log::say(format_args!("transparent DTUs on {}", units.server.local_addr()));
        }
        Ok(all)
    }

    fn start(plan: TransparentPlan, fleet: &Arc<Fleet>, queue: &Queue) -> anyhow::Result<Self> {
        let TransparentPlan { key, addr, config, replies, .. } = plan;
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let server = TransparentServer::bind(addr, config, CancellationToken::new())
            .with_context(|| format!("cannot listen on {addr} for transparent DTUs"))?;
        // Before anybody is told where to come: who comes first is told, too.
        tasks.spawn(tell(server.events(), queue.clone(), Arc::clone(fleet), ended.clone()));
        let (queue, fleet, busy) = (queue.clone(), Arc::clone(fleet), Busy::default());
        Ok(Self { server, key, busy, replies, queue, fleet, tasks, ended })
    }

    /// Takes who comes for the first time, until `stopping`.
    pub(crate) async fn run(mut self, status: Arc<Status>, stopping: CancellationToken) -> Self {
        let (mut ticks, mut seconds) = (interval(busy::EVERY), interval(COUNTED));
        loop {
            tokio::select! {
                Some(session) = self.server.accept() => {
                    let seat = self.fleet.enter_unit(&session, self.replies);
                    self.tasks.spawn(carry(session, self.queue.clone(), seat));
                }
                _ = ticks.tick() => self.busy.tell(self.server.counters().busy),
                _ = seconds.tick() => status.counted(&self.key, self.server.counters()),
                () = stopping.cancelled() => return self,
            }
        }
    }

    /// Closes every session, and ends when what they said is handed over.
    pub(crate) async fn end(self) {
        let Self { server, mut busy, queue, tasks, ended, .. } = self;
        busy.tell(server.counters().busy);
        server.shut_down().await;
        ended.cancel();
        tasks.close();
        drop(queue);
        tasks.wait().await;
    }
}

/// Hands over the frames that nobody asked for, until the session is closed.
async fn carry(session: TransparentSession, queue: Queue, seat: Seat) {
    while let Some(heard) = session.recv().await {
        seat.heard(&heard);
        let item = UnitItem::Heard { device: Arc::clone(session.device()), heard };
        if queue.send(Item::Unit(item)).await.is_err() {
            break;
        }
    }
}

/// Hands over the events of the server, until they have ended.
async fn tell(mut events: broadcast::Receiver<UnitEvent>, queue: Queue, fleet: Arc<Fleet>, ended: CancellationToken) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = ended.cancelled() => return,
        };
        let item = match event {
            Ok(event) => {
                fleet.handle_unit(&event);
                Item::Unit(UnitItem::Told(event))
            }
            Err(RecvError::Lagged(count)) => Item::Missed(count),
            Err(RecvError::Closed) => return,
        };
        if queue.send(item).await.is_err() {
            return;
        }
    }
}
