//! The device side on a stream of bytes: dial, register, keep, and come again.

use super::carriage::Carriage;
use super::endpoints::Endpoints;
use super::hub::{Hub, LinkEvent};
use super::linger::linger;
use super::resolve::{Resolve, SystemResolver};
use super::session::Session;
use super::shared::{Inner, Shared};
use super::turns::Alarm;
use super::way::{Road, Way};
use super::{now, random_stream};
use crate::device::{Device, DeviceConfig};
use crate::error::Cause;
use crate::event::{Epoch, State};
use crate::failover::{FailoverConfig, Plan};
use crate::limits::MAX_DATAGRAM;
use crate::link::Link;
use crate::store::{Kept, OutboxStore};
use crate::wire::Carrier;
use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::net::IpAddr;
use core::task::Poll;
use core::time::Duration;
use dtu_proto::message::CloseCode;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Events that a slow listener may be behind before it misses some.
pub const EVENT_QUEUE: usize = 64;

/// How a [`Client`] connects.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Who the device is and how it keeps its link.
    pub device: DeviceConfig,
    /// An outbox that survives this process, and what it kept of an earlier one.
    pub outbox: Option<(Kept, Box<dyn OutboxStore>)>,
    /// See [`EVENT_QUEUE`].
    pub event_queue: usize,
    /// The address to dial from, for a device with several networks. Only targets of its family are dialled then.
    pub local_ip: Option<IpAddr>,
    /// Who looks up the names of the targets; the system with `None`.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// How endpoints are judged, where there are several.
    pub failover: FailoverConfig,
    /// The beginning of the random numbers in its delays; drawn from the system by default. Two devices with one seed come back
    /// together.
    pub seed: Option<u64>,
}

impl ClientConfig {
    /// The configuration of a device with its outbox in memory.
    #[must_use]
    pub const fn new(device: DeviceConfig) -> Self {
        Self {
            device,
            outbox: None,
            event_queue: EVENT_QUEUE,
            local_ip: None,
            resolver: None,
            failover: FailoverConfig::DEFAULT,
            seed: None,
        }
    }
}

/// A device's link to its server, over as many connections as it takes.
///
/// It goes on until it is closed, cancelled, or all [`Session`]s on it are dropped. What the server did not acknowledge is
/// sent again on the next connection.
#[derive(Debug)]
pub struct Client {
    session: Session<Device>,
    hub: Hub,
    /// Hears everything from the start, until somebody asks for it.
    first: Mutex<Option<broadcast::Receiver<LinkEvent>>>,
    tasks: TaskTracker,
}

impl Client {
    /// Begins to dial, and returns at once. Cancelling `cancel` closes the link as going down.
    ///
    /// `endpoints` is one [`Target`](super::Target) or several [`Endpoints`].
    ///
    /// # Errors
    ///
    /// When the system gives no random number, and [`io::ErrorKind::InvalidInput`] around a
    /// [`FailoverError`](crate::failover::FailoverError) when [`ClientConfig::failover`] contradicts itself.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(
        endpoints: impl Into<Endpoints>,
        mut config: ClientConfig,
        cancel: CancellationToken,
    ) -> io::Result<Self> {
        let endpoints = endpoints.into();
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let plan = endpoints.plan(config.failover).map_err(invalid)?;
        if endpoints.has_datagrams() {
            config.device.limits.max_datagram.get_or_insert(MAX_DATAGRAM);
        }
        let resolver = config.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver));
        let local_ip = config.local_ip;
        let (client, shared) = Self::new(config, plan.as_ref())?;
        let ways = Ways(endpoints.into_ways(local_ip, &resolver, &client.hub));
        client.tasks.spawn(keep(shared, cancel, ways, client.tasks.clone()));
        client.tasks.close();
        Ok(client)
    }

    /// A client of which no task runs yet.
    pub(super) fn new(config: ClientConfig, plan: Option<&Plan>) -> io::Result<(Self, Arc<Shared<Device>>)> {
        let (seed, began) = (config.seed.map_or_else(getrandom::u64, Ok)?, now());
        let device: Arc<str> = config.device.id().into();
        let mut link = match config.outbox {
            Some((kept, store)) => Link::restored(config.device, kept, store, seed, began),
            None => Link::device(config.device, random_stream()?, seed, began),
        };
        if let Some(plan) = plan {
            link = link.fail_over(plan, seed, began);
        }
        let hub = Hub::new(config.event_queue);
        let shared = Shared::new(device, link, hub.clone(), began);
        let session = Session::new(Arc::clone(&shared));
        let first = Mutex::new(Some(hub.subscribe()));
        Ok((Self { session, hub, first, tasks: TaskTracker::new() }, shared))
    }

    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The hand on the link.
    #[must_use]
    pub const fn session(&self) -> &Session<Device> {
        &self.session
    }

    /// Listens to events. The first listener hears everything from the start of the device, as far as the queue holds it; a later
    /// one hears what follows. One that is too slow is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<LinkEvent> {
        // Poison is no concern: taking it does not panic.
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.hub.subscribe())
    }

    /// Closes the link, waiting at most `drain` for what is in the outbox, and waits until its last bytes have left and no
    /// task is left.
    pub async fn shut_down(self, drain: Duration) {
        self.session.close(CloseCode::DONE, "", drain);
        self.tasks.wait().await;
    }
}

/// How a device gets a connection.
pub(super) trait Connect {
    /// Dials, and carries the link until the connection is over. The error is of the dial.
    fn connect(
        &mut self,
        shared: &Arc<Shared<Device>>,
        epoch: Epoch,
        tasks: &TaskTracker,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// Those to its endpoints, in their order.
struct Ways(Vec<Way>);

/// Keeps the link until it is closed.
pub(super) async fn keep(
    shared: Arc<Shared<Device>>,
    cancel: CancellationToken,
    mut way: impl Connect,
    tasks: TaskTracker,
) {
    let closer = async {
        cancel.cancelled().await;
        shared.application(|inner| {
            inner.link.close(now(), CloseCode::GOING_DOWN, "", Duration::ZERO);
            ((), true)
        });
        pending().await
    };
    tokio::select! {
        () = closer => {}
        () = connect_again_and_again(&shared, &mut way, &tasks) => {}
    }
}

async fn connect_again_and_again(shared: &Arc<Shared<Device>>, way: &mut impl Connect, tasks: &TaskTracker) {
    while let Some(epoch) = wanted(shared).await {
        if let Err(error) = way.connect(shared, epoch, tasks).await {
            // The kind alone does not tell an unknown name from a wrong certificate.
            let (cause, reason) = (Cause::Transport(error.kind()), error.to_string());
            shared.task(|inner, now| inner.link.handle_broken(epoch, now, cause, &reason));
        }
    }
}

impl Connect for Ways {
    async fn connect(&mut self, shared: &Arc<Shared<Device>>, epoch: Epoch, tasks: &TaskTracker) -> io::Result<()> {
        let Self(ways) = self;
        let look = |inner: &mut Inner<Device>| (inner.link.endpoint(), inner.link.limits().connect, welcomes(inner));
        let (endpoint, limit, before) = shared.application(|inner| (look(inner), false));
        let way = ways.get_mut(endpoint).expect("the link chooses among as many endpoints as there are ways");
        let Some(road) = in_time(shared, epoch, way.dial(limit)).await? else { return Ok(()) };
        let carried = async {
            match road {
                Road::Tcp(stream) => carry(shared, epoch, stream, tasks).await,
                #[cfg(feature = "tls")]
                Road::Tls(stream) => carry(shared, epoch, stream, tasks).await,
                Road::Udp(socket) => super::udp::client::carry(shared, epoch, socket).await?,
            }
            Ok(())
        };
        // The connection looks at its timers first, and this at what has become due by them: they are one task.
        let carried = tokio::select! {
            biased;
            carried = carried => carried,
            never = probes(shared, ways, tasks) => match never {},
        };
        if shared.application(|inner| (welcomes(inner) > before, false))
            && let Some(way) = ways.get_mut(endpoint)
        {
            way.welcomed();
        }
        carried
    }
}

/// How often the link was let in so far.
fn welcomes(inner: &Inner<Device>) -> u64 {
    inner.link.counters().connected
}

/// Makes the probes that the link wants, one after another, as long as its connection lasts.
async fn probes(shared: &Shared<Device>, ways: &mut [Way], tasks: &TaskTracker) -> Infallible {
    loop {
        let probe = poll_fn(|context| {
            let probe = shared.task(|inner, _| {
                inner.sleep(context.waker());
                inner.link.poll_probe()
            });
            probe.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let (limit, linger) =
            shared.application(|inner| ((inner.link.limits().connect, inner.link.limits().linger), false));
        let way = ways.get_mut(probe.endpoint).expect("the link probes among as many endpoints as there are ways");
        let answered = match timeout(limit, way.probe(limit)).await {
            Ok(Ok(road)) => {
                road.leave(linger, tasks);
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        shared.hub().probed(probe.endpoint, answered.as_ref().err());
        shared.application(|inner| {
            inner.link.handle_probe(now(), probe, answered.is_ok());
            // The connection may have last words to send.
            ((), true)
        });
    }
}

/// Dials as long as the link wants this connection; `None` when it does not any more.
pub(super) async fn in_time<S>(
    shared: &Shared<Device>,
    epoch: Epoch,
    dialled: impl Future<Output = io::Result<S>>,
) -> io::Result<Option<S>> {
    tokio::select! {
        dialled = dialled => dialled.map(Some),
        () = superseded(shared, epoch) => Ok(None),
    }
}

pub(super) async fn carry<S>(shared: &Arc<Shared<Device>>, epoch: Epoch, stream: S, tasks: &TaskTracker)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    shared.task(|inner, now| inner.link.handle_connected(epoch, now, Carrier::Stream));
    let mut carriage = Carriage::new(stream, Arc::clone(shared), epoch, None);
    (&mut carriage).await;
    let (_, stream, readable) = carriage.into_parts();
    if readable {
        let limit = shared.application(|inner| (inner.link.limits().linger, false));
        // The next connection does not wait for the end of this one.
        tasks.spawn(linger(stream, limit));
    }
}

/// Waits until a connection is wanted; `None` when the link is closed.
async fn wanted(shared: &Shared<Device>) -> Option<Epoch> {
    until(shared, |inner| if inner.is_closed() { Some(None) } else { inner.link.poll_connect().map(Some) }).await
}

/// Waits until a dial is of no use any more: it took too long, or the link was closed.
async fn superseded(shared: &Shared<Device>, epoch: Epoch) {
    until(shared, |inner| {
        let dials = inner.link.state() == State::Connecting && inner.link.epoch() == epoch;
        (!dials).then_some(())
    })
    .await;
}

/// Runs the timers of a link without a connection until `found` finds something.
async fn until<T>(shared: &Shared<Device>, mut found: impl FnMut(&mut Inner<Device>) -> Option<T>) -> T {
    let mut alarm = Alarm::default();
    poll_fn(|context| {
        loop {
            let (done, deadline) = shared.task(|inner, now| {
                inner.link.handle_timeout(now);
                inner.sleep(context.waker());
                (found(inner), inner.link.poll_timeout().map(|(deadline, _)| deadline))
            });
            if let Some(done) = done {
                return Poll::Ready(done);
            }
            if !alarm.poll(context, deadline) {
                return Poll::Pending;
            }
        }
    })
    .await
}
