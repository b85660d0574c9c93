//! Links on datagrams, on real loopback sockets. Waits are for events; the time they may take only ends a failed test.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod door;
mod loss;
mod path;
mod relay;
mod session;

use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::driver::{Client, ClientConfig, LinkEvent, Listen, Server, ServerConfig, Session, Target};
use dtu_net::link::Role;
use dtu_net::{DeviceConfig, Event, Outcome, Outgoing, Received, State, StateChange};
use relay::loopback;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}

fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

/// Lets devices of these ids in when they have the key.
fn keyed(ids: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::default();
    let keys: HashMap<String, Key> = ids.iter().map(|id| ((*id).to_owned(), key())).collect();
    config.keys = Some(Arc::new(keys));
    config
}

fn serve(config: ServerConfig) -> (Server, SocketAddr) {
    let listen = Listen { tcp: None, udp: Some(loopback()) };
    let server = Server::listen(listen, config, CancellationToken::new()).unwrap();
    let addr = server.udp_addr().unwrap();
    assert_eq!(addr, server.local_addr());
    (server, addr)
}

fn device(id: &str) -> DeviceConfig {
    let mut config = DeviceConfig::new(id).unwrap();
    config.key = Some(key());
    config
}

fn dial(addr: SocketAddr, config: DeviceConfig) -> Client {
    let target = Target::Udp(addr.to_string());
    Client::start(target, ClientConfig::new(config), CancellationToken::new()).unwrap()
}

async fn accept(server: &mut Server) -> Session {
    soon(server.accept()).await.unwrap()
}

/// Sends `count` bodies that end in their number, and waits until all of them are acknowledged.
async fn send_all<R: Role>(session: &Session<R>, word: &str, count: u32) {
    let mut receipts = Vec::new();
    for number in 0..count {
        receipts.push(session.send(Outgoing::new(1, format!("{word} {number}"))).await.unwrap());
    }
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Outcome::Acked, "{word}");
    }
}

/// Takes `count` bodies of [`send_all`], each once and in order, and commits them.
async fn take_all<R: Role>(session: &Session<R>, word: &str, count: u32) {
    for number in 0..count {
        let received = soon(session.recv()).await.unwrap();
        let Received::Data { channel: 1, body, .. } = &received else { panic!("{received:?}") };
        assert_eq!(*body, format!("{word} {number}"));
        session.commit(received.mark()).unwrap();
    }
}

/// Sends both ways at once until everything is acknowledged.
async fn exchange(server: &Session, client: &Session<dtu_net::Device>, count: u32) {
    tokio::join!(
        send_all(client, "up", count),
        take_all(server, "up", count),
        send_all(server, "down", count),
        take_all(client, "down", count),
    );
}

/// The next event that `pick` wants.
async fn event<T>(events: &mut broadcast::Receiver<LinkEvent>, mut pick: impl FnMut(LinkEvent) -> Option<T>) -> T {
    loop {
        if let Some(picked) = pick(soon(events.recv()).await.unwrap()) {
            return picked;
        }
    }
}

/// The next change of a link to this state.
async fn state(events: &mut broadcast::Receiver<LinkEvent>, wanted: State) -> StateChange {
    event(events, |event| match event {
        LinkEvent::Link { event: Event::State(change), .. } if change.state == wanted => Some(change),
        _ => None,
    })
    .await
}

/// Ends both; returns only when no task is left.
async fn shut_down(client: Client, server: Server) {
    soon(client.shut_down(Duration::from_secs(5))).await;
    soon(server.shut_down(Duration::ZERO)).await;
}
