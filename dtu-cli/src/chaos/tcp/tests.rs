//! The TCP proxy over real loopback sockets.

use crate::chaos::counters::{Bytes, Snapshot};
use crate::chaos::schedule::{Schedule, Side, Told};
use crate::chaos::{Plan, Proxy, Stall};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const LOOPBACK: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long a test waits for what must come. No test gets faster by it; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough that nothing of the plan happens within a test.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A proxy in front of a listener.
struct Bench {
    proxy: Proxy,
    upstream: TcpListener,
}

impl Bench {
    async fn new(plan: Plan) -> Self {
        let upstream = TcpListener::bind(LOOPBACK).await.unwrap();
        let addr = upstream.local_addr().unwrap().to_string();
        Self { proxy: Proxy::tcp(LOOPBACK, &addr, plan, CancellationToken::new()).unwrap(), upstream }
    }

    /// Both ends of a connection through the proxy.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.local_addr()).await.unwrap();
        let (server, _) = soon(self.upstream.accept()).await.unwrap();
        (client, server)
    }

    async fn shut_down(self) -> Snapshot {
        soon(self.proxy.shut_down()).await
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

/// All up to the end, and how it ended.
async fn rest(socket: &mut TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let end = soon(socket.read_to_end(&mut bytes)).await;
    (bytes, end.err().map(|error| error.kind()))
}

/// Sends `sent` up in a connection of its own; returns what arrives.
async fn sent_up(bench: &Bench, sent: Vec<u8>) -> Vec<u8> {
    let (mut client, mut server) = bench.connect().await;
    let sender = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let (came, error) = rest(&mut server).await;
    assert_eq!(error, None);
    soon(sender).await.unwrap();
    came
}

fn stream(count: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(count).collect()
}

/// Asserts that the books of a finished proxy balance.
fn balances(snapshot: &Snapshot) {
    for bytes in [snapshot.bytes.up, snapshot.bytes.down] {
        let Bytes { read, passed, dropped, discarded, duplicated, .. } = bytes;
        assert_eq!((read, duplicated), (passed + dropped + discarded, 0), "{snapshot:?}");
    }
}

#[tokio::test]
async fn a_harmless_plan_passes_bytes_and_the_end_of_each_direction() {
    let bench = Bench::new(Plan::default()).await;
    let (mut client, mut server) = bench.connect().await;
    let (up, down) = (stream(1_000_000), stream(700_001));
    let sent = up.clone();
    let sender = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    assert_eq!(rest(&mut server).await, (up, None));
    // The client has ended its direction; the other one still passes.
    let mut client = soon(sender).await.unwrap();
    let sent = down.clone();
    let sender = tokio::spawn(async move { server.write_all(&sent).await.map(|()| drop(server)) });
    assert_eq!(rest(&mut client).await, (down, None));
    soon(sender).await.unwrap().unwrap();
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((end.bytes.up.passed, end.bytes.down.passed), (1_000_000, 700_001));
    assert_eq!((end.links.connections, end.links.refused, end.links.cuts, end.links.broken), (1, 0, 0, 0));
}

#[tokio::test]
async fn delay_jitter_and_rate_change_no_byte_and_no_order() {
    let plan = Plan {
        delay: Duration::from_millis(3),
        jitter: Duration::from_millis(3),
        rate: core::num::NonZeroU64::new(4_000_000),
        stall: Some(Stall { length: Duration::from_millis(2), every: Duration::from_millis(5) }),
        ..Plan::default()
    };
    let bench = Bench::new(plan).await;
    assert_eq!(sent_up(&bench, stream(600_000)).await, stream(600_000));
    let end = bench.shut_down().await;
    balances(&end);
    // The rate alone takes longer than the first stall is away.
    assert!(end.links.stalls > 0, "{end:?}");
}

#[tokio::test]
async fn as_many_bits_are_flipped_and_bytes_dropped_as_counted() {
    let bench = Bench::new(Plan { seed: 1, corrupt: 0.001, ..Plan::default() }).await;
    let came = sent_up(&bench, stream(500_000)).await;
    let differ: u64 = came.iter().zip(stream(500_000)).map(|(came, sent)| u64::from((came ^ sent).count_ones())).sum();
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((came.len(), end.bytes.up.flipped_bits), (500_000, differ));
    assert!(differ > 300, "{differ}");

    let bench = Bench::new(Plan { seed: 1, drop_bytes: 0.001, ..Plan::default() }).await;
    let came = sent_up(&bench, stream(500_000)).await;
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!(came.len() as u64 + end.bytes.up.dropped, 500_000);
    assert!(end.bytes.up.dropped > 2000, "{end:?}");
}

#[tokio::test]
async fn the_same_seed_and_bytes_take_the_same_damage_by_number_of_connection() {
    let run = async |seed| {
        let bench = Bench::new(Plan { seed, corrupt: 0.001, drop_bytes: 0.001, ..Plan::default() }).await;
        let came = [sent_up(&bench, stream(100_000)).await, sent_up(&bench, stream(100_000)).await];
        bench.shut_down().await;
        came
    };
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert!(first == again, "the same seed");
    assert!(first[0] != first[1], "another connection");
    assert!(first != other, "another seed");
}

#[tokio::test]
async fn cuts_end_both_sides_by_rst_and_by_fin_in_turn() {
    let bench = Bench::new(Plan { cut_every: Some(Duration::from_millis(20)), ..Plan::default() }).await;
    for expected in [Some(io::ErrorKind::ConnectionReset), None, Some(io::ErrorKind::ConnectionReset), None] {
        let (mut client, mut server) = bench.connect().await;
        assert_eq!(rest(&mut client).await, (vec![], expected));
        assert_eq!(rest(&mut server).await, (vec![], expected));
    }
    let end = bench.shut_down().await;
    assert_eq!((end.links.connections, end.links.cuts, end.links.broken), (4, 4, 0));
}

#[tokio::test]
async fn what_is_held_at_the_end_is_counted() {
    let bench = Bench::new(Plan { delay: NEVER, ..Plan::default() }).await;
    let (mut client, mut server) = bench.connect().await;
    client.write_all(&[7; 1000]).await.unwrap();
    soon(async {
        while bench.proxy.snapshot().bytes.up.read < 1000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let end = bench.shut_down().await;
    assert_eq!(rest(&mut server).await, (vec![], None));
    balances(&end);
    assert_eq!((end.bytes.up.passed, end.bytes.up.discarded), (0, 1000));
}

/// A seed of which the first connection is cut so that only `side` is told.
fn seed_that_tells(plan: &Plan, side: Side) -> u64 {
    let tells = |seed: &u64| {
        let mut schedule = Schedule::new(&Plan { seed: *seed, ..plan.clone() }, 1, Instant::now());
        matches!(schedule.draw_cut(1, plan.half_open).told, Told::Only { side: told, .. } if told == side)
    };
    (0..1000).find(tells).expect("a quarter of all seeds does")
}

#[tokio::test]
async fn a_half_open_link_swallows_what_the_side_sends_that_is_not_told() {
    let plan = Plan { cut_every: Some(Duration::from_millis(20)), half_open: Some(NEVER), ..Plan::default() };
    for side in [Side::Upstream, Side::Client] {
        let bench = Bench::new(Plan { seed: seed_that_tells(&plan, side), ..plan.clone() }).await;
        let (client, server) = bench.connect().await;
        let (mut told, mut other) = if side == Side::Client { (client, server) } else { (server, client) };
        assert_eq!(rest(&mut told).await, (vec![], Some(io::ErrorKind::ConnectionReset)));
        soon(other.write_all(&[7; 100_000])).await.unwrap();
        other.shutdown().await.unwrap();
        // The proxy gives the link up when this side does, having read all of it.
        let (bytes, _) = rest(&mut other).await;
        assert!(bytes.is_empty(), "{} bytes", bytes.len());
        let end = bench.shut_down().await;
        balances(&end);
        let swallowed = if side == Side::Client { end.bytes.down } else { end.bytes.up };
        assert_eq!((swallowed.read, swallowed.discarded), (100_000, 100_000), "{side:?}");
        assert_eq!((end.links.cuts, end.links.half_open), (1, 1));
    }
}

#[tokio::test]
async fn a_half_open_link_is_reset_at_the_end_of_its_time() {
    let length = Duration::from_millis(20);
    let mut plan = Plan { cut_every: Some(length), half_open: Some(length), ..Plan::default() };
    plan.seed = seed_that_tells(&plan, Side::Upstream);
    let bench = Bench::new(plan).await;
    let (mut client, _server) = bench.connect().await;
    assert_eq!(rest(&mut client).await, (vec![], Some(io::ErrorKind::ConnectionReset)));
    assert_eq!(bench.shut_down().await.links.half_open, 1);
}

#[tokio::test]
async fn a_reset_of_one_side_is_passed_on() {
    let bench = Bench::new(Plan::default()).await;
    let (client, mut server) = bench.connect().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(rest(&mut server).await, (vec![], Some(io::ErrorKind::ConnectionReset)));
    assert_eq!(bench.shut_down().await.links.broken, 1);
}

#[tokio::test]
async fn an_upstream_that_refuses_closes_the_client() {
    let Bench { proxy, upstream } = Bench::new(Plan::default()).await;
    drop(upstream);
    let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
    assert_eq!(rest(&mut client).await, (vec![], Some(io::ErrorKind::ConnectionReset)));
    let end = soon(proxy.shut_down()).await;
    assert_eq!((end.links.connections, end.links.refused), (1, 1));
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_proxy_from_reading() {
    let bench = Bench::new(Plan { delay: NEVER, ..Plan::default() }).await;
    let (mut client, _server) = bench.connect().await;
    // Far more than the proxy and the sockets hold.
    let sender = tokio::spawn(async move { client.write_all(&vec![0; 64 << 20]).await });
    soon(async {
        while bench.proxy.snapshot().bytes.up.read < crate::chaos::hold::HELD_BYTES as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let end = bench.shut_down().await;
    assert!(soon(sender).await.unwrap().is_err(), "the end of the proxy ends the writing");
    balances(&end);
    let most = (crate::chaos::hold::HELD_BYTES + super::connection::CHUNK) as u64;
    assert!(end.bytes.up.read <= most, "{end:?}");
}

#[tokio::test]
async fn many_connections_under_all_damage_end_with_books_that_balance() {
    let plan = Plan {
        seed: 3,
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(2),
        cut_every: Some(Duration::from_millis(60)),
        half_open: Some(Duration::from_millis(10)),
        stall: Some(Stall { length: Duration::from_millis(3), every: Duration::from_millis(10) }),
        corrupt: 0.001,
        drop_bytes: 0.001,
        rate: core::num::NonZeroU64::new(10_000_000),
        ..Plan::default()
    };
    let bench = Bench::new(plan).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (mut client, mut server) = bench.connect().await;
        // Each writes until it is cut, and the server echoes.
        clients.spawn(async move {
            let (mut from, mut to) = server.split();
            let echo = tokio::io::copy(&mut from, &mut to);
            let (mut read, mut write) = client.split();
            let writer = async { while write.write_all(&[7; 1000]).await.is_ok() {} };
            let mut sink = tokio::io::sink();
            let reader = tokio::io::copy(&mut read, &mut sink);
            let _cut = tokio::join!(
                async {
                    tokio::select! { _ = echo => {}, () = writer => {} }
                },
                reader
            );
        });
    }
    while let Some(client) = soon(clients.join_next()).await {
        client.unwrap();
    }
    let end = bench.shut_down().await;
    balances(&end);
    assert_eq!((end.links.connections, end.links.refused), (100, 0));
    // A side that notices a half-open link by itself is one that was cut, too.
    assert!(end.links.cuts > 0 && end.links.half_open > 0 && end.bytes.up.dropped > 0, "{end:?}");
}
