//! Transparent DTUs beside the native devices: their server, the tasks that feed the printer.

use super::control::Control;
use super::printer::Item;
use super::unit_line::UnitItem;
use crate::fleet::{Fleet, Seat};
use crate::request::profile::{self, Loaded, Replies};
use anyhow::{Context, ensure};
use core::net::SocketAddr;
use dtu_net::driver::transparent::{TransparentConfig, TransparentServer, TransparentSession, UnitEvent};
use dtu_net::transparent::Unknown;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug, clap::Args)]
pub(super) struct UnitArgs {
    /// The address to listen on for transparent DTUs besides; port 0 takes a free one, which is told on stderr.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on, requires = "profile")]
    transparent: Option<SocketAddr>,
    /// How they behave: plain, prefix, ddp, or a file (docs/transparent.md).
    #[arg(long, value_name = "NAME|FILE", requires = "transparent")]
    profile: Option<String>,
    /// An address of this machine itself on which `dtu request` may ask them. Whoever may open it may ask.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on, requires = "transparent")]
    control: Option<SocketAddr>,
}

/// What is to be started.
pub(super) struct Plan {
    addr: SocketAddr,
    control: Option<SocketAddr>,
    loaded: Loaded,
}

impl UnitArgs {
    /// Checks what can be checked before anything listens; `None` when no transparent DTUs are wanted.
    ///
    /// # Errors
    /// The profile, or a control address that others could reach.
    pub(super) fn plan(&self) -> anyhow::Result<Option<Plan>> {
        let (Some(addr), Some(profile)) = (self.transparent, &self.profile) else { return Ok(None) };
        if let Some(control) = self.control {
            let is_local = control.ip().is_loopback();
            ensure!(is_local, "--control {control}: it has to be a loopback address, as 127.0.0.1:55128");
        }
        Ok(Some(Plan { addr, control: self.control, loaded: profile::load(profile)? }))
    }
}

/// The server of transparent DTUs.
pub(super) struct Units {
    server: TransparentServer,
    queue: mpsc::Sender<Item>,
    fleet: Arc<Fleet>,
    replies: Replies,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl Units {
    /// Starts it, where it is wanted.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub(super) async fn start(
        plan: Option<Plan>,
        queue: &mpsc::Sender<Item>,
        fleet: &Arc<Fleet>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(Plan { addr, control, loaded: Loaded { profile, replies } }) = plan else { return Ok(None) };
        if profile.unknown() == Unknown::Accept {
            eprintln!(
                "dtu: warning: the listener for transparent DTUs is open: whoever says an id can be that DTU; they can \
                 prove nothing, so keep it on a private network"
            );
        }
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let control = match control {
            Some(addr) => Some(Control::bind(addr, Arc::clone(fleet)).await?),
            None => None,
        };
        let server = TransparentServer::bind(addr, TransparentConfig::new(profile), CancellationToken::new())
            .with_context(|| format!("cannot listen on {addr} for transparent DTUs"))?;
        // Before anybody is told where to come: who comes first is told, too.
        let events = server.events();
        if let Some(control) = control {
            eprintln!("control on {}", control.local_addr());
            tasks.spawn(ended.clone().run_until_cancelled_owned(control.run(ended.clone())));
        }
        eprintln!("transparent DTUs on {}", server.local_addr());
        tasks.spawn(tell(events, queue.clone(), Arc::clone(fleet), ended.clone()));
        Ok(Some(Self { server, queue: queue.clone(), fleet: Arc::clone(fleet), replies, tasks, ended }))
    }

    /// Takes the next one that comes for the first time; never without a server.
    pub(super) async fn accept(units: &mut Option<Self>) {
        let Some(units) = units else { return core::future::pending().await };
        match units.server.accept().await {
            Some(session) => {
                let seat = units.fleet.enter_unit(&session, units.replies);
                units.tasks.spawn(carry(session, units.queue.clone(), seat));
            }
            None => core::future::pending().await,
        }
    }

    /// Closes every session, and ends when what they said is handed over.
    pub(super) async fn end(self) {
        let Self { server, queue, tasks, ended, .. } = self;
        server.shut_down().await;
        ended.cancel();
        tasks.close();
        drop(queue);
        tasks.wait().await;
    }
}

/// Hands over the frames that nobody asked for, until the session is closed.
async fn carry(session: TransparentSession, queue: mpsc::Sender<Item>, seat: Seat) {
    while let Some(heard) = session.recv().await {
        seat.heard(&heard);
        let item = UnitItem::Heard { device: Arc::clone(session.device()), heard };
        if queue.send(Item::Unit(item)).await.is_err() {
            break;
        }
    }
}

/// Hands over the events of the server, until they have ended.
async fn tell(
    mut events: broadcast::Receiver<UnitEvent>,
    queue: mpsc::Sender<Item>,
    fleet: Arc<Fleet>,
    ended: CancellationToken,
) {
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
