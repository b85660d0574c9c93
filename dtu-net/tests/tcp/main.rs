//! The drivers on real loopback sockets. Nothing here waits by the clock: tests wait for events, and a test that hangs
//! is a test that failed. Where a deadline itself is tested, the clock is tokio's paused one.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod bounds;
mod comeback;
mod data;
mod dial;
mod door;
mod end;
mod events;
mod failover;
mod overload;
mod own_streams;
mod relay;
#[cfg(feature = "tls")]
mod tls;

use core::net::SocketAddr;
use core::task::{Context, Waker};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Client, ClientConfig, LinkEvent, RefusedEvent, Server, ServerConfig, Session, Target};
use dtu_net::link::Role;
use dtu_net::{DeviceConfig, Outgoing, Received, State};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[expect(clippy::disallowed_methods, reason = "tests of the drivers have their clock")]
fn now() -> Instant {
    Instant::now()
}

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(60);

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn serve(config: ServerConfig) -> Server {
    Server::bind(loopback(), config, CancellationToken::new()).unwrap()
}

/// A device that comes again at once.
fn device(id: &str) -> DeviceConfig {
    let mut config = DeviceConfig::new(id).unwrap();
    config.backoff = Backoff::fixed(Duration::from_millis(1));
    config
}

fn dial(addr: SocketAddr, device: DeviceConfig) -> Client {
    let target = Target::Tcp(addr.to_string());
    Client::start(target, ClientConfig::new(device), CancellationToken::new()).unwrap()
}

fn connect(server: &Server, id: &str) -> Client {
    dial(server.local_addr(), device(id))
}

/// DATA with a number as its body.
fn numbered(number: u32) -> Outgoing {
    Outgoing::new(0, number.to_be_bytes().to_vec())
}

/// The number in the body of DATA.
fn number(received: &Received) -> u32 {
    let Received::Data { body, .. } = received else { panic!("{received:?}") };
    u32::from_be_bytes(body[..].try_into().unwrap())
}

/// Receives and commits DATA with the numbers `from` to below `to`, each once and in order.
async fn expect_numbers<R: Role>(session: &Session<R>, from: u32, to: u32) {
    for expected in from..to {
        let received = session.recv().await.unwrap();
        assert_eq!(number(&received), expected);
        session.commit(received.mark()).unwrap();
    }
}

/// Waits until the link is in this state.
async fn reach<R: Role>(session: &Session<R>, state: State) {
    let mut watch = session.watch();
    while session.state().state != state {
        watch.changed().await;
    }
}

/// The next connection that was not let in.
async fn next_refused(events: &mut broadcast::Receiver<LinkEvent>) -> RefusedEvent {
    loop {
        if let LinkEvent::Refused(refused) = events.recv().await.unwrap() {
            return refused;
        }
    }
}

/// Whether a future is not ready the first time it is asked.
fn is_pending<F: Future>(future: F) -> bool {
    core::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
