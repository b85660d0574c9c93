//! Devices with several servers, on real sockets. Holds and pauses are short; a test waits for events, and no verdict but the
//! bounds that it is about depends on how long something took.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one event among all others, also those to come")]

use crate::{LONG, device, expect_numbers, loopback, now, numbered, serve};
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use dtu_net::backoff::{Backoff, LONGEST};
use dtu_net::breaker::BreakerConfig;
use dtu_net::driver::{Client, ClientConfig, Endpoint, Endpoints, LinkEvent, Listen, Server, ServerConfig, Target};
use dtu_net::failover::{FailBack, FailoverError, Field};
use dtu_net::{Cause, DeviceConfig, Event, Outcome, State};
use dtu_proto::message::CloseCode;
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Short times; a connection counts as one that held as soon as it was welcomed.
pub(crate) fn config(device: DeviceConfig) -> ClientConfig {
    let mut config = ClientConfig::new(device);
    config.failover.pause = Backoff::fixed(Duration::from_millis(50)).stable_after(Duration::ZERO);
    config.failover.breaker = BreakerConfig::DEFAULT.consecutive(100).unwrap();
    let hold = Duration::from_millis(200);
    let fail_back = FailBack { hold, spread: Duration::ZERO, probe_every: Duration::from_millis(100) };
    config.failover.fail_back = Some(fail_back);
    config
}

fn tcp(addr: SocketAddr) -> Target {
    Target::Tcp(addr.to_string())
}

fn in_order(addrs: &[SocketAddr]) -> Endpoints {
    Endpoints::in_order(addrs.iter().copied().map(tcp)).unwrap()
}

fn start(endpoints: Endpoints, config: ClientConfig) -> Client {
    Client::start(endpoints, config, CancellationToken::new()).unwrap()
}

/// An address on which nobody listens, nor will by chance: each has a host of its own.
async fn nobody() -> SocketAddr {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let host = Ipv4Addr::new(127, 77, 0, HOSTS.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((host, 0)).await.unwrap().local_addr().unwrap()
}

/// The next event that `pick` wants.
async fn next<T>(events: &mut broadcast::Receiver<LinkEvent>, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        match events.recv().await {
            Ok(LinkEvent::Link { event, .. }) => {
                if let Some(picked) = pick(&event) {
                    return picked;
                }
            }
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn chosen(events: &mut broadcast::Receiver<LinkEvent>) -> usize {
    next(events, |event| match event {
        Event::Endpoint { index, .. } => Some(*index),
        _ => None,
    })
    .await
}

/// The next loss.
pub(crate) async fn cause(events: &mut broadcast::Receiver<LinkEvent>) -> Cause {
    next(events, |event| match event {
        Event::State(change) => change.cause,
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_primary_that_dies_is_replaced_and_gone_back_to_when_it_is_back_and_nothing_is_lost() {
    let mut primary = serve(ServerConfig::default());
    let mut backup = serve(ServerConfig::default());
    let addr = primary.local_addr();
    let client = start(in_order(&[addr, backup.local_addr()]), config(device("m")));
    let mut events = client.events();
    let session = primary.accept().await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..10 {
        receipts.push(client.session().send(numbered(number)).await.unwrap());
    }
    expect_numbers(&session, 0, 5).await;
    for receipt in receipts.drain(..5) {
        assert_eq!(receipt.await, Outcome::Acked);
    }
    primary.shut_down(Duration::ZERO).await;
    drop(session);
    let at_backup = backup.accept().await.unwrap();
    expect_numbers(&at_backup, 5, 10).await;
    for receipt in receipts {
        assert_eq!(receipt.await, Outcome::Acked, "the other server has taken it");
    }
    while chosen(&mut events).await != 1 {}

    // It is back on its port; meanwhile the link to the backup goes on.
    let mut primary = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
    let mut at_backups = backup.events();
    let before = client.session().send(numbered(10)).await.unwrap();
    expect_numbers(&at_backup, 10, 11).await;
    assert_eq!(before.await, Outcome::Acked);
    let session = primary.accept().await.unwrap();
    assert_eq!(cause(&mut events).await, Cause::MovedBack { endpoint: 0 });
    assert_eq!(chosen(&mut events).await, 0);
    assert_eq!(cause(&mut at_backups).await, Cause::PeerClosed(CloseCode::GOING_DOWN), "it is told");
    assert_ne!(at_backup.state().state, State::Closed, "and keeps the session");
    let after = client.session().send(numbered(11)).await.unwrap();
    expect_numbers(&session, 11, 12).await;
    assert_eq!(after.await, Outcome::Acked);
    let books = client.session().clone();
    client.shut_down(LONG).await;
    let ledger = books.counters().ledger;
    assert_eq!((ledger.taken, ledger.acked), (12, 12));
}

#[tokio::test]
async fn a_primary_that_swallows_everything_costs_one_connect_limit_and_no_more() {
    let hole = BlackHole::new().await;
    let mut backup = serve(ServerConfig::default());
    let mut device = device("m");
    device.limits.connect = Duration::from_millis(300);
    let began = now();
    let client = start(in_order(&[hole.addr, backup.local_addr()]), config(device));
    let mut events = client.events();
    backup.accept().await.unwrap();
    let took = now() - began;
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(cause(&mut events).await, Cause::NotConnected { limit: Duration::from_millis(300) });
    crate::reach(client.session(), State::Connected).await;
}

#[tokio::test(start_paused = true)]
async fn when_all_are_dead_the_tries_stay_within_the_bound_of_the_link_and_go_to_all_of_them() {
    const WINDOW: Duration = Duration::from_secs(600);
    let dead = [nobody().await, nobody().await, nobody().await];
    let began = now();
    let client = start(in_order(&dead), ClientConfig::new(DeviceConfig::new("m").unwrap()));
    let mut events = client.events();
    let (mut tries, mut used) = (0_u64, [false; 3]);
    while now() - began < WINDOW {
        match events.recv().await.unwrap() {
            LinkEvent::Link { event: Event::Endpoint { index, .. }, .. } => used[index] = true,
            LinkEvent::Link { event: Event::State(change), .. } if change.state == State::Connecting => tries += 1,
            _ => {}
        }
    }
    assert!(tries <= Backoff::RECONNECT.max_attempts_within(WINDOW), "{tries} tries");
    assert!(tries >= 10, "{tries} tries");
    assert_eq!(used, [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_stays_dead_is_not_gone_back_to() {
    let backup = serve(ServerConfig::default());
    let client = start(in_order(&[nobody().await, backup.local_addr()]), config(device("m")));
    let mut events = client.events();
    crate::reach(client.session(), State::Connected).await;
    while events.try_recv().is_ok() {}
    let left = tokio::time::timeout(Duration::from_secs(20), cause(&mut events)).await;
    assert!(left.is_err(), "{left:?}");
}

#[tokio::test]
async fn equal_servers_share_the_devices() {
    let (left, right) = (serve(ServerConfig::default()), serve(ServerConfig::default()));
    let endpoint = |server: &Server| Endpoint::new(tcp(server.local_addr()), 0);
    let endpoints = Endpoints::new(vec![endpoint(&left), endpoint(&right)]).unwrap();
    let clients: Vec<_> = (0..64).map(|id| start(endpoints.clone(), config(device(&id.to_string())))).collect();
    for client in &clients {
        crate::reach(client.session(), State::Connected).await;
    }
    let (at_left, at_right) = (left.counters().sessions, right.counters().sessions);
    assert_eq!(at_left + at_right, 64);
    assert!(at_left > 0 && at_right > 0, "{at_left} and {at_right}");
}

#[tokio::test]
async fn a_backup_may_be_on_udp_and_is_left_for_a_primary_on_tcp() {
    let addr = nobody().await;
    let listen = Listen { tcp: None, udp: Some(loopback()) };
    let mut backup = Server::listen(listen, ServerConfig::default(), CancellationToken::new()).unwrap();
    let udp = Target::Udp(backup.local_addr().to_string());
    let client = start(Endpoints::in_order([tcp(addr), udp]).unwrap(), config(device("m")));
    let at_backup = backup.accept().await.unwrap();
    let first = client.session().send(numbered(0)).await.unwrap();
    expect_numbers(&at_backup, 0, 1).await;
    assert_eq!(first.await, Outcome::Acked);
    let mut primary = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
    let session = primary.accept().await.unwrap();
    let second = client.session().send(numbered(1)).await.unwrap();
    expect_numbers(&session, 1, 2).await;
    assert_eq!(second.await, Outcome::Acked);
}

#[tokio::test]
async fn rules_that_contradict_themselves_start_no_client() {
    let mut config = config(device("m"));
    let hold = LONGEST + Duration::from_secs(1);
    config.failover.fail_back = Some(FailBack { hold, ..FailBack::DEFAULT });
    let error = Client::start(tcp(loopback()), config, CancellationToken::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FailoverError>()).unwrap();
    assert!(matches!(inner, FailoverError::Time { field: Field::Hold, given, .. } if *given == hold), "{inner}");
}

/// A socket whose queue is full and never emptied: the system drops what wants in, and answers nothing.
pub(crate) struct BlackHole {
    pub(crate) addr: SocketAddr,
    _listener: std::net::TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    /// As long as one gets in, there was room.
    const FULL: Duration = Duration::from_millis(100);

    pub(crate) async fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(loopback()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Self::FULL, TcpStream::connect(addr)).await {
            queued.push(stream.unwrap());
        }
        Self { addr, _listener: listener, _queued: queued }
    }
}
