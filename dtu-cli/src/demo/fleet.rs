//! The whole demo: the server, the proxy and the devices, from their start to the balance.

use super::Args;
use super::balance::Balance;
use super::content::{Content, Way, device_id, device_number};
use super::end::{Books, End, Guard};
use super::harm::Harm;
use super::live::Live;
use crate::chaos::Proxy;
use crate::progress::Line;
use crate::times::Times;
use anyhow::Context;
use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Client, ClientConfig, LinkEvent, Listen, Server, ServerConfig, Session, Target};
use dtu_net::link::Role;
use dtu_net::{Cause, DeviceConfig, Event, Limits, State};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long each side has, when nothing more is sent, until all that was sent has its outcome.
const DRAIN: Duration = Duration::from_secs(60);

/// Of so many frames that a device sends, the server sends one.
const UP_FOR_ONE_DOWN: u32 = 4;

/// Events of one device that may wait to be looked at.
const EVENTS: usize = 256;

/// Bounds under which a broken link is found and mended in the time of the demo, not of a cellular network.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_payload = 1024;
    limits.connect = Duration::from_secs(5);
    limits.identify = Duration::from_secs(2);
    limits.inter_byte = Duration::from_secs(1);
    limits.frame = Duration::from_secs(5);
    // Death is declared after 2 s at the device, after 1 s at the server.
    limits.heartbeat = Duration::from_millis(500);
    limits.probe_timeout = Duration::from_millis(500);
    limits.resend = Duration::from_secs(1);
    limits.resend_max = Duration::from_secs(5);
    // What waits at the end has to leave over a bad link.
    limits.outbox.frames = 128;
    limits
}

/// How long a device waits between two tries.
const BACKOFF: Backoff = Backoff::exponential(Duration::from_millis(50), 1_500, Duration::from_millis(500))
    .stable_after(Duration::from_secs(1));

/// What both ends of all links share.
#[derive(Clone)]
struct Plan {
    seed: u64,
    devices: u32,
    rate: u32,
    frames: Option<u32>,
    /// From now on nothing more is sent.
    stop: CancellationToken,
    live: Arc<Live>,
}

impl Plan {
    fn end<R: Role>(
        &self,
        session: Session<R>,
        device: u32,
        sends: Way,
        sending: Guard,
        settling: Option<Guard>,
    ) -> End<R> {
        let (receives, one_of) = match sends {
            Way::Up => (Way::Down, 1),
            Way::Down => (Way::Up, UP_FOR_ONE_DOWN),
        };
        let content = |way| Content { seed: self.seed, device, way };
        End {
            session,
            sends: content(sends),
            receives: content(receives),
            pace: Duration::from_secs(1) * one_of / self.rate,
            frames: self.frames.map(|frames| frames / one_of),
            stop: self.stop.clone(),
            live: Arc::clone(&self.live),
            sending: Some(sending),
            settling,
        }
    }
}

/// Runs the demo.
pub(super) async fn run(args: &Args, seed: u64) -> anyhow::Result<Balance> {
    let interrupted = crate::stop::signal()?;
    let live = Arc::<Live>::default();
    let plan = Plan {
        seed,
        devices: args.devices,
        rate: args.rate,
        frames: args.frames,
        stop: CancellationToken::new(),
        live: Arc::clone(&live),
    };
    let mut config = ServerConfig::default();
    config.limits = limits();
    // Links that are cut all the time are what it is about.
    config.flapping = None;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen =
        if args.udp { Listen { tcp: None, udp: Some(loopback) } } else { Listen { tcp: Some(loopback), udp: None } };
    let server = Server::listen(listen, config, CancellationToken::new());
    let server = server.context("cannot listen on the loopback address")?;
    let (upstream, harm) = (server.local_addr().to_string(), args.harm.plan(seed));
    let between = if args.udp { Proxy::udp } else { Proxy::tcp };
    let proxy = between(loopback, &upstream, harm, CancellationToken::new());
    let proxy = proxy.context("cannot listen on the loopback address")?;
    let addr = proxy.local_addr().to_string();
    let target = if args.udp { Target::Udp(addr) } else { Target::Tcp(addr) };
    let line = Line::start(move || live.line());

    let begin = Instant::now();
    let ((sending, mut all_sent), (settling, mut all_settled)) = (guard(), guard());
    let served = CancellationToken::new();
    let house = tokio::spawn(serve(server, plan.clone(), sending.clone(), settling, served.clone()));
    let (mut clients, mut devices) = (Vec::new(), JoinSet::new());
    for number in 0..args.devices {
        let client = start(&target, number)?;
        let recoveries = recoveries(client.events(), Arc::clone(&plan.live));
        // That a device's own DATA is settled is what its shut-down waits for.
        let end = plan.end(client.session().clone(), number, Way::Up, sending.clone(), None);
        devices.spawn(async move { (number, tokio::join!(end.run(), recoveries)) });
        clients.push(client);
    }
    drop(sending);
    let end = args.frames.is_none().then(|| begin + Duration::from_secs(u64::from(args.seconds)));
    tokio::select! {
        () = sleep_until(end.unwrap_or(begin)), if end.is_some() => {}
        _ = all_sent.recv() => {}
        // Who interrupts it gets the balance of what was sent until then.
        () = interrupted => {}
    }
    plan.stop.cancel();
    // A device that closes ends its session at the server; so what the server sent goes first.
    let _late = timeout(DRAIN, all_settled.recv()).await;
    let mut closing = JoinSet::new();
    for client in clients {
        closing.spawn(client.shut_down(DRAIN));
    }
    while let Some(closed) = closing.join_next().await {
        closed.context("a device is gone")?;
    }
    let mut ends = HashMap::new();
    while let Some(device) = devices.join_next().await {
        let (number, end) = device.context("a device is gone")?;
        ends.insert(number, end);
    }
    served.cancel();
    let (sessions, strangers) = house.await.context("the server is gone")??;
    let seconds = begin.elapsed().as_secs_f64();
    line.end().await;

    let harm = Harm::of(proxy).await;
    let mut balance = Balance::new(seed, args.devices, seconds, harm);
    let none = (Books::default(), Times::default());
    for number in 0..args.devices {
        let (device, recoveries) = ends.get(&number).unwrap_or(&none);
        balance.add(device, sessions.get(&number).unwrap_or(&none.0), recoveries);
    }
    balance.add_strangers(strangers);
    Ok(balance)
}

/// A guard, and what tells that all its clones are dropped.
fn guard() -> (Guard, mpsc::Receiver<Infallible>) {
    mpsc::channel(1)
}

fn start(target: &Target, number: u32) -> anyhow::Result<Client> {
    let mut device = DeviceConfig::new(&device_id(number)).context("cannot name a device")?;
    (device.backoff, device.limits) = (BACKOFF, limits());
    let mut config = ClientConfig::new(device);
    config.event_queue = EVENTS;
    Client::start(target.clone(), config, CancellationToken::new()).context("cannot start a device")
}

/// The server's application: one end for each device. Returns their books, and how many sessions are none of theirs.
async fn serve(
    mut server: Server,
    plan: Plan,
    sending: Guard,
    settling: Guard,
    served: CancellationToken,
) -> anyhow::Result<(HashMap<u32, Books>, u64)> {
    let (mut ends, mut strangers) = (JoinSet::new(), 0);
    let mut books = HashMap::new();
    // Held until every device has its end.
    let mut guards = Some((sending, settling));
    while let Some(Some(session)) = served.run_until_cancelled(server.accept()).await {
        let number = device_number(session.device()).filter(|number| *number < plan.devices);
        match (number.map(|number| (number, books.entry(number))), &guards) {
            (Some((number, Entry::Vacant(place))), Some((sending, settling))) => {
                place.insert(Books::default());
                let end = plan.end(session, number, Way::Down, sending.clone(), Some(settling.clone()));
                ends.spawn(async move { (number, end.run().await) });
            }
            _ => strangers += 1,
        }
        if ends.len() >= usize::try_from(plan.devices)? {
            guards = None;
        }
    }
    server.shut_down(Duration::ZERO).await;
    while let Some(end) = ends.join_next().await {
        let (number, end) = end.context("the server's part of a device is gone")?;
        books.insert(number, end);
    }
    Ok((books, strangers))
}

/// How long the device of these events was without a link each time, until it is closed.
async fn recoveries(mut events: broadcast::Receiver<LinkEvent>, live: Arc<Live>) -> Times {
    let (mut times, mut lost) = (Times::default(), None);
    loop {
        let change = match events.recv().await {
            Ok(LinkEvent::Link { event: Event::State(change), .. }) => change,
            Ok(LinkEvent::Link { event: Event::Resumed(_), .. }) => {
                live.connects.count();
                continue;
            }
            Ok(_) => continue,
            // When it was lost is among what was missed.
            Err(RecvError::Lagged(_)) => {
                lost = None;
                continue;
            }
            Err(RecvError::Closed) => return times,
        };
        match change.state {
            State::Disconnected => {
                let noticed_after = match change.cause {
                    Some(Cause::Silent { limit }) => limit,
                    _ => Duration::ZERO,
                };
                lost.get_or_insert(change.at - noticed_after);
            }
            State::Connected => {
                if let Some(lost) = lost.take() {
                    times.add(change.at - lost);
                }
            }
            State::Connecting | State::Registering | State::Suspect => {}
            State::Closed => return times,
        }
    }
}
