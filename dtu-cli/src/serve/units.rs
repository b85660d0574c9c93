//! Transparent DTUs beside the native devices: their servers, and the tasks that feed the sinks.

use super::unit_line::UnitItem;
use crate::fleet::{Fleet, Seat};
use crate::gateway::TransparentPlan;
use crate::log;
use crate::request::profile::Replies;
use crate::sink::{Item, Queue};
use anyhow::Context;
use dtu_net::driver::transparent::{TransparentServer, TransparentSession, UnitEvent};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A server of transparent DTUs.
pub(crate) struct Units {
    server: TransparentServer,
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
        let TransparentPlan { addr, config, replies, .. } = plan;
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let server = TransparentServer::bind(addr, config, CancellationToken::new())
            .with_context(|| format!("cannot listen on {addr} for transparent DTUs"))?;
        // Before anybody is told where to come: who comes first is told, too.
        tasks.spawn(tell(server.events(), queue.clone(), Arc::clone(fleet), ended.clone()));
        Ok(Self { server, replies, queue: queue.clone(), fleet: Arc::clone(fleet), tasks, ended })
    }

    /// Takes who comes for the first time, until `stopping`.
    pub(crate) async fn run(mut self, stopping: CancellationToken) -> Self {
        while let Some(Some(session)) = stopping.run_until_cancelled(self.server.accept()).await {
            let seat = self.fleet.enter_unit(&session, self.replies);
            self.tasks.spawn(carry(session, self.queue.clone(), seat));
        }
        self
    }

    /// Closes every session, and ends when what they said is handed over.
    pub(crate) async fn end(self) {
        let Self { server, queue, tasks, ended, .. } = self;
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
