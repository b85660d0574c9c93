//! Transparent DTUs beside the native devices: their server, the tasks that feed the printer, and who is there to be asked.

use super::control::Control;
use super::printer::Item;
use super::unit_line::UnitItem;
use crate::request::profile::{self, Loaded};
use anyhow::{Context, ensure};
use core::net::SocketAddr;
use dtu_net::State;
use dtu_net::driver::tap::Tap;
use dtu_net::driver::transparent::{TransparentConfig, TransparentServer, TransparentSession, UnitEvent};
use dtu_net::transparent::Unknown;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Who is there to be asked, by their ids.
#[derive(Debug, Default)]
pub(super) struct Present(Mutex<HashMap<Arc<str>, TransparentSession>>);

impl Present {
    pub(super) fn find(&self, device: &str) -> Option<TransparentSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned()
    }

    fn enter(&self, session: &TransparentSession) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was there before is closed, or it would have gone on.
        sessions.insert(Arc::clone(session.device()), session.clone());
    }

    fn leave(&self, session: &TransparentSession) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_closed = |found: &TransparentSession| found.state().state == State::Closed;
        if sessions.get(session.device()).is_some_and(is_closed) {
            sessions.remove(session.device());
        }
    }
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
    present: Arc<Present>,
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
        tap: Option<Arc<dyn Tap>>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(Plan { addr, control, loaded: Loaded { profile, replies } }) = plan else { return Ok(None) };
        if profile.unknown() == Unknown::Accept {
            eprintln!(
                "dtu: warning: the listener for transparent DTUs is open: whoever says an id can be that DTU; they can \
                 prove nothing, so keep it on a private network"
            );
        }
        let (present, tasks, ended) = (Arc::<Present>::default(), TaskTracker::new(), CancellationToken::new());
        let control = match control {
            Some(addr) => Some(Control::bind(addr, Arc::clone(&present), replies).await?),
            None => None,
        };
        let mut config = TransparentConfig::new(profile);
        config.tap = tap;
        let server = TransparentServer::bind(addr, config, CancellationToken::new())
            .with_context(|| format!("cannot listen on {addr} for transparent DTUs"))?;
        // Before anybody is told where to come: who comes first is told, too.
        let events = server.events();
        if let Some(control) = control {
            eprintln!("control on {}", control.local_addr());
            tasks.spawn(ended.clone().run_until_cancelled_owned(control.run(ended.clone())));
        }
        eprintln!("transparent DTUs on {}", server.local_addr());
        tasks.spawn(tell(events, queue.clone(), ended.clone()));
        Ok(Some(Self { server, queue: queue.clone(), present, tasks, ended }))
    }

    /// Takes the next one that comes for the first time; never without a server.
    pub(super) async fn accept(units: &mut Option<Self>) {
        let Some(units) = units else { return core::future::pending().await };
        match units.server.accept().await {
            Some(session) => {
                units.present.enter(&session);
                units.tasks.spawn(carry(session, units.queue.clone(), Arc::clone(&units.present)));
            }
            None => core::future::pending().await,
        }
    }

    /// Closes every session, and ends when what they said is handed over.
    pub(super) async fn end(self) {
        let Self { server, queue, present, tasks, ended } = self;
        server.shut_down().await;
        ended.cancel();
        tasks.close();
        drop((queue, present));
        tasks.wait().await;
    }
}

/// Hands over the frames that nobody asked for, until the session is closed.
async fn carry(session: TransparentSession, queue: mpsc::Sender<Item>, present: Arc<Present>) {
    while let Some(heard) = session.recv().await {
        let item = UnitItem::Heard { device: Arc::clone(session.device()), heard };
        if queue.send(Item::Unit(item)).await.is_err() {
            break;
        }
    }
    present.leave(&session);
}

/// Hands over the events of the server, until they have ended.
async fn tell(mut events: broadcast::Receiver<UnitEvent>, queue: mpsc::Sender<Item>, ended: CancellationToken) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = ended.cancelled() => return,
        };
        let item = match event {
            Ok(event) => Item::Unit(UnitItem::Told(event)),
            Err(RecvError::Lagged(count)) => Item::Missed(count),
            Err(RecvError::Closed) => return,
        };
        if queue.send(item).await.is_err() {
            return;
        }
    }
}
