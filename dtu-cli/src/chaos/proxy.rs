//! A running proxy, and how it is ended.

use super::counters::{Counters, Snapshot};
use super::plan::Plan;
use super::{tcp, udp};
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A proxy that runs until it is cancelled. Dropping it ends nothing: its tasks end by the token.
pub(crate) struct Proxy {
    local_addr: SocketAddr,
    setup: Setup,
}

/// What all tasks of a proxy share.
#[derive(Clone)]
pub(super) struct Setup {
    /// HOST:PORT, looked up for each connection.
    pub(super) upstream: Arc<str>,
    pub(super) plan: Arc<Plan>,
    pub(super) counters: Arc<Counters>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

impl Setup {
    fn new(upstream: &str, plan: Plan, cancel: CancellationToken) -> Self {
        let (counters, tasks) = (Arc::default(), TaskTracker::new());
        Self { upstream: upstream.into(), plan: Arc::new(plan), counters, tasks, cancel }
    }
}

impl Proxy {
    /// Carries each TCP connection to `listen` on to `upstream`, HOST:PORT, which is looked up each time.
    ///
    /// Connections have numbers from 1, in the order in which they are accepted.
    ///
    /// # Errors
    /// Those of the listening socket.
    pub(crate) fn tcp(listen: SocketAddr, upstream: &str, plan: Plan, cancel: CancellationToken) -> io::Result<Self> {
        let setup = Setup::new(upstream, plan, cancel);
        let local_addr = tcp::start(listen, setup.clone())?;
        Ok(Self { local_addr, setup })
    }

    /// Carries the datagrams of each client address to `listen` on to `upstream`, from a port of its own, and answers back.
    ///
    /// Links have numbers from 1, in the order of their first datagrams.
    ///
    /// # Errors
    /// Those of the listening socket.
    pub(crate) fn udp(listen: SocketAddr, upstream: &str, plan: Plan, cancel: CancellationToken) -> io::Result<Self> {
        let setup = Setup::new(upstream, plan, cancel);
        let local_addr = udp::start(listen, setup.clone())?;
        Ok(Self { local_addr, setup })
    }

    /// The address that it listens on.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What it has done so far.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.setup.counters.snapshot()
    }

    /// Cancels its token, waits for the end of its tasks, and returns what it has done. TCP connections end by FIN.
    pub(crate) async fn shut_down(self) -> Snapshot {
        self.setup.cancel.cancel();
        self.setup.tasks.close();
        self.setup.tasks.wait().await;
        self.snapshot()
    }
}
