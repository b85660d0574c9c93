//! Devices on streams that the application dials itself.

use crate::{LONG, device, loopback, reach};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Client, ClientConfig, LinkEvent};
use dtu_net::driver::{Server, ServerConfig};
use dtu_net::{Cause, Event, Outgoing, State};
use dtu_proto::message::CloseCode;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_device_goes_on_over_streams_of_the_applications_own() {
    let mut server = Server::bind(loopback(), ServerConfig::default(), CancellationToken::new()).unwrap();
    let (addr, dials) = (server.local_addr(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&dials);
    let dial = move || {
        // The first try fails; it is the device that tries again.
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Err(io::ErrorKind::NetworkDown.into()) } else { TcpStream::connect(addr).await } }
    };
    let client = Client::start_on(dial, ClientConfig::new(device("m")), CancellationToken::new()).unwrap();
    let mut events = client.events();
    let change = loop {
        if let LinkEvent::Link { event: Event::State(change), .. } = events.recv().await.unwrap()
            && change.state == State::Disconnected
        {
            break change;
        }
    };
    assert_eq!(change.cause, Some(Cause::Transport(io::ErrorKind::NetworkDown)));
    let session = server.accept().await.unwrap();
    let receipt = client.session().send(Outgoing::new(0, &b"one"[..])).await.unwrap();
    session.commit(session.recv().await.unwrap().mark()).unwrap();
    assert_eq!(receipt.await, dtu_net::Outcome::Acked);
    assert_eq!(dials.load(Ordering::Relaxed), 2);
    client.shut_down(LONG).await;
    assert_eq!(session.closed().await.cause, Some(Cause::PeerClosed(CloseCode::DONE)));
}

/// Delays of a device that no stream takes in, in the order of its tries.
async fn delays(seed: Option<u64>) -> Vec<Duration> {
    let mut device = device("m");
    device.backoff = Backoff::RECONNECT;
    let mut config = ClientConfig::new(device);
    config.seed = seed;
    let dial = || async { Err::<TcpStream, _>(io::ErrorKind::NetworkDown.into()) };
    let client = Client::start_on(dial, config, CancellationToken::new()).unwrap();
    let mut events = client.events();
    let (mut lost, mut delays) = (None, Vec::new());
    while delays.len() < 5 {
        if let LinkEvent::Link { event: Event::State(change), .. } = events.recv().await.unwrap() {
            match (change.state, lost) {
                (State::Disconnected, _) => lost = Some(change.at),
                (State::Connecting, Some(lost)) => delays.push(change.at - lost),
                _ => {}
            }
        }
    }
    delays
}

#[tokio::test(start_paused = true)]
async fn a_seed_decides_the_delays() {
    let delays_of_one = delays(Some(1)).await;
    assert_eq!(delays_of_one, delays(Some(1)).await);
    assert_ne!(delays_of_one, delays(Some(2)).await);
    assert_ne!(delays(None).await, delays(None).await);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_takes_too_long_is_dropped() {
    let (dials, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (dialled, counted) = (Arc::clone(&dials), Arc::clone(&dropped));
    let dial = move || {
        dialled.fetch_add(1, Ordering::Relaxed);
        let guard = Guard(Arc::clone(&counted));
        async move {
            let _guard = guard;
            core::future::pending::<io::Result<TcpStream>>().await
        }
    };
    let client = Client::start_on(dial, ClientConfig::new(device("m")), CancellationToken::new()).unwrap();
    let mut watch = client.session().watch();
    while dials.load(Ordering::Relaxed) < 2 {
        watch.changed().await;
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    client.session().close(CloseCode::DONE, "", Duration::ZERO);
    reach(client.session(), State::Closed).await;
    client.shut_down(Duration::ZERO).await;
    assert_eq!(dropped.load(Ordering::Relaxed), dials.load(Ordering::Relaxed));
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
