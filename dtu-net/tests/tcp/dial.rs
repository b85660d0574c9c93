//! How a device reaches an address.

use crate::failover::BlackHole;
use crate::relay::{Cut, Relay};
use crate::{device, loopback, now, reach, serve};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use dtu_net::dial::ATTEMPT_DELAY;
use dtu_net::driver::resolve::{Lookup, Resolve};
use dtu_net::driver::{Client, ClientConfig, DialError, LinkEvent, Server, ServerConfig, Target};
use dtu_net::{Cause, DeviceConfig, Event, State};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_device_dials_from_its_local_address() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    // Linux has all of 127.0.0.0/8; elsewhere there is one address to dial from.
    let local_ip: IpAddr = if cfg!(target_os = "linux") { [127, 9, 8, 7].into() } else { Ipv4Addr::LOCALHOST.into() };
    let target = Target::Tcp(listener.local_addr().unwrap().to_string());
    let mut config = ClientConfig::new(device("m"));
    config.local_ip = Some(local_ip);
    let _client = Client::start(target, config, CancellationToken::new()).unwrap();
    let (_stream, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), local_ip);
}

#[tokio::test]
async fn a_target_of_another_family_than_the_local_address_is_told_as_such() {
    let mut config = ClientConfig::new(device("m"));
    config.local_ip = Some(Ipv6Addr::LOCALHOST.into());
    let client = Client::start(Target::Tcp("127.0.0.1:9".into()), config, CancellationToken::new()).unwrap();
    let mut events = client.events();
    let change = loop {
        if let LinkEvent::Link { event: Event::State(change), .. } = events.recv().await.unwrap()
            && change.state == State::Disconnected
        {
            break change;
        }
    };
    assert_eq!(change.cause, Some(Cause::Transport(io::ErrorKind::AddrNotAvailable)));
    let expected = DialError::OtherFamily { local_ip: Ipv6Addr::LOCALHOST.into(), addresses: 1 };
    assert_eq!(&*change.reason, expected.to_string());
}

/// Gives one answer after another.
#[derive(Debug)]
struct Script(Mutex<Vec<io::Result<Vec<SocketAddr>>>>);

impl Resolve for Script {
    fn lookup(&self, target: &str) -> Lookup {
        assert_eq!(target, NAME);
        let answer = self.0.lock().unwrap().remove(0);
        Box::pin(async { answer })
    }
}

const NAME: &str = "gateway.example:55125";

fn by_name(mut device: DeviceConfig, answers: Vec<io::Result<Vec<SocketAddr>>>) -> Client {
    device.limits.identify = Duration::from_millis(300);
    let mut config = ClientConfig::new(device);
    config.resolver = Some(Arc::new(Script(Mutex::new(answers))));
    Client::start(Target::Tcp(NAME.into()), config, CancellationToken::new()).unwrap()
}

#[tokio::test]
async fn an_address_that_swallows_everything_costs_a_quarter_of_a_second() {
    let hole = BlackHole::new().await;
    let mut server = serve(ServerConfig::default());
    let began = now();
    let _client = by_name(device("m"), vec![Ok(vec![hole.addr, server.local_addr()])]);
    server.accept().await.unwrap();
    let took = now() - began;
    assert!(took >= ATTEMPT_DELAY, "{took:?}");
    // What the system would give the first address by itself is a minute, and the dial 10 s.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_costs_nothing() {
    let nobody = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    let mut server = serve(ServerConfig::default());
    let client = by_name(device("m"), vec![Ok(vec![nobody, server.local_addr()])]);
    let mut events = client.events();
    server.accept().await.unwrap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, LinkEvent::Link { event: Event::State(change), .. } if change.cause.is_some()));
    }
}

#[tokio::test]
async fn an_address_that_accepts_and_does_nothing_more_is_tried_last_the_next_time() {
    let silent = TcpListener::bind(loopback()).await.unwrap();
    let mut server = serve(ServerConfig::default());
    let addresses = || Ok(vec![silent.local_addr().unwrap(), server.local_addr()]);
    let answers = vec![addresses(), addresses(), addresses()];
    let client = by_name(device("m"), answers);
    let mut events = client.events();
    server.accept().await.unwrap();
    let mut causes = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let LinkEvent::Link { event: Event::State(change), .. } = event {
            causes.extend(change.cause);
        }
    }
    assert_eq!(causes, [Cause::NotIdentified { limit: Duration::from_millis(300) }]);
}

#[tokio::test]
async fn a_name_that_is_not_looked_up_is_told_and_the_addresses_of_the_last_time_are_used() {
    let mut server = serve(ServerConfig::default());
    let addr = server.local_addr();
    let gone = || Err(io::ErrorKind::NotConnected.into());
    let client = by_name(device("m"), [Ok(vec![addr])].into_iter().chain((0..1_000).map(|_| gone())).collect());
    let mut events = client.events();
    server.accept().await.unwrap();
    server.shut_down(Duration::ZERO).await;
    let mut server = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
    server.accept().await.unwrap();
    let error = io::ErrorKind::NotConnected;
    while events.recv().await.unwrap() != (LinkEvent::LookupFailed { endpoint: 0, error, kept: 1 }) {}
}

#[tokio::test]
async fn an_address_by_which_the_server_welcomed_is_tried_first_again() {
    let (mut first, second) = (serve(ServerConfig::default()), serve(ServerConfig::default()));
    let relay = Relay::to(first.local_addr()).await;
    let addresses = |_| Ok(vec![relay.addr, second.local_addr()]);
    let client = by_name(device("m"), (0..4).map(addresses).collect());
    let session = first.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    relay.cut(Cut::Whole);
    while session.counters().connected < 2 {
        session.watch().changed().await;
    }
    assert_eq!(second.counters().connections, 0);
}

#[tokio::test]
async fn a_device_on_udp_sends_from_its_local_address() {
    let server = UdpSocket::bind(loopback()).await.unwrap();
    let local_ip: IpAddr = if cfg!(target_os = "linux") { [127, 9, 8, 6].into() } else { Ipv4Addr::LOCALHOST.into() };
    let mut config = ClientConfig::new(device("m"));
    config.local_ip = Some(local_ip);
    let target = Target::Udp(server.local_addr().unwrap().to_string());
    let _client = Client::start(target, config, CancellationToken::new()).unwrap();
    let (_, from) = server.recv_from(&mut [0; 512]).await.unwrap();
    assert_eq!(from.ip(), local_ip);
}
