//! The UDP proxy over real loopback sockets.

use super::MAX_DATAGRAM;
use crate::chaos::counters::Snapshot;
use crate::chaos::{Plan, Proxy};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long a test waits for what must come. No test gets faster by it; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy in front of a socket, and a client before it.
struct Bench {
    proxy: Proxy,
    upstream: UdpSocket,
    client: UdpSocket,
}

impl Bench {
    async fn new(plan: Plan) -> Self {
        let upstream = UdpSocket::bind(LOOPBACK).await.unwrap();
        let addr = upstream.local_addr().unwrap().to_string();
        let proxy = Proxy::udp(LOOPBACK, &addr, plan, CancellationToken::new()).unwrap();
        let client = client(&proxy).await;
        Self { proxy, upstream, client }
    }

    async fn shut_down(self) -> Snapshot {
        soon(self.proxy.shut_down()).await
    }
}

async fn client(proxy: &Proxy) -> UdpSocket {
    let client = UdpSocket::bind(LOOPBACK).await.unwrap();
    client.connect(proxy.local_addr()).await.unwrap();
    client
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

/// The next datagram, and who sent it.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut datagram = Vec::with_capacity(MAX_DATAGRAM);
    let (_, from) = soon(socket.recv_buf_from(&mut datagram)).await.unwrap();
    (datagram, from)
}

/// Asserts that the books of a finished proxy balance.
fn balances(snapshot: &Snapshot) {
    let Snapshot { bytes, datagrams, .. } = snapshot;
    for bytes in [bytes.up, bytes.down] {
        assert_eq!(bytes.read + bytes.duplicated, bytes.passed + bytes.dropped + bytes.discarded, "{snapshot:?}");
    }
    for count in [datagrams.up, datagrams.down] {
        let ends = count.passed + count.lost + count.overflowed + count.discarded;
        assert_eq!(count.read + count.duplicated, ends, "{snapshot:?}");
    }
}

#[tokio::test]
async fn bounds_of_datagrams_are_kept_both_ways_and_clients_apart() {
    let bench = Bench::new(Plan::default()).await;
    let second = client(&bench.proxy).await;
    let mut ports = std::collections::HashSet::new();
    for client in [&bench.client, &second] {
        for length in [0, 1, 1472, 9000, 60_000] {
            client.send(&vec![7; length]).await.unwrap();
            let (came, from) = receive(&bench.upstream).await;
            assert_eq!(came, vec![7; length]);
            bench.upstream.send_to(&vec![8; length + 1], from).await.unwrap();
            assert_eq!(receive(client).await, (vec![8; length + 1], bench.proxy.local_addr()));
            ports.insert(from);
        }
    }
    assert_eq!(ports.len(), 2, "each client has a port of its own to the upstream");
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((end.links.connections, end.links.refused, end.links.cuts), (2, 0, 0));
    assert_eq!((end.datagrams.up.passed, end.datagrams.down.passed), (10, 10));
}

#[tokio::test]
async fn duplicates_come_twice_and_are_counted() {
    let bench = Bench::new(Plan { duplicate: 1.0, ..Plan::default() }).await;
    for number in 0..10 {
        bench.client.send(&[number; 20]).await.unwrap();
        assert_eq!(receive(&bench.upstream).await.0, [number; 20]);
        assert_eq!(receive(&bench.upstream).await.0, [number; 20]);
    }
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((end.datagrams.up.read, end.datagrams.up.duplicated, end.datagrams.up.passed), (10, 10, 20));
}

#[tokio::test]
async fn as_many_are_lost_as_counted_and_the_same_ones_for_a_seed() {
    let run = async |seed| {
        // What is lost is seen by the one that comes behind it: the order is kept.
        let bench = Bench::new(Plan { seed, loss: 0.3, ..Plan::default() }).await;
        let (mut came, mut sent) = (Vec::new(), 0_u64);
        while came.len() < 50 {
            let before = bench.proxy.snapshot().datagrams.up;
            bench.client.send(&sent.to_be_bytes()).await.unwrap();
            sent += 1;
            soon(async {
                while bench.proxy.snapshot().datagrams.up.read == before.read {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            if bench.proxy.snapshot().datagrams.up.lost == before.lost {
                came.push(receive(&bench.upstream).await.0);
            }
        }
        let end = bench.shut_down().await;
        balances(&end);
        assert_eq!((end.datagrams.up.lost, end.datagrams.up.passed), (sent - 50, 50));
        assert!(sent > 55, "seed {seed}: {sent}");
        came
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test]
async fn a_cut_changes_the_port_that_the_upstream_sees_and_the_link_goes_on() {
    let bench = Bench::new(Plan { cut_every: Some(Duration::from_millis(20)), ..Plan::default() }).await;
    let mut ports = std::collections::HashSet::new();
    // Until it was seen three times.
    soon(async {
        while ports.len() < 4 {
            bench.client.send(b"ping").await.unwrap();
            let (came, from) = receive(&bench.upstream).await;
            assert_eq!(came, b"ping");
            ports.insert(from.port());
        }
    })
    .await;
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!(end.links.connections, 1);
    assert!(end.links.cuts >= 3, "{end:?}");
}

#[tokio::test]
async fn an_upstream_that_refuses_is_counted_and_ends_nothing() {
    let Bench { proxy, upstream, client } = Bench::new(Plan::default()).await;
    let addr = upstream.local_addr().unwrap();
    drop(upstream);
    soon(async {
        while proxy.snapshot().links.refused == 0 {
            client.send(b"anyone").await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let upstream = UdpSocket::bind(addr).await.unwrap();
    client.send(b"again").await.unwrap();
    soon(async { while receive(&upstream).await.0 != b"again" {} }).await;
    let end = soon(proxy.shut_down()).await;
    balances(&end);
    assert_eq!(end.links.connections, 1, "the link went on");
}

#[tokio::test]
async fn what_is_held_at_the_end_is_counted() {
    let bench = Bench::new(Plan { delay: Duration::from_secs(3600), ..Plan::default() }).await;
    for _ in 0..10 {
        bench.client.send(&[1; 100]).await.unwrap();
    }
    soon(async {
        while bench.proxy.snapshot().datagrams.up.read < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((end.datagrams.up.discarded, end.bytes.up.discarded), (10, 1000));
}
