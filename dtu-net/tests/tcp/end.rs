//! How a server and a client end: told, drained, and with nothing left behind.

use crate::{LONG, connect, device, dial, expect_numbers, loopback, numbered, reach, serve};
use core::time::Duration;
use dtu_net::driver::{Client, ClientConfig, Server, ServerConfig, Target};
use dtu_net::{Cause, Outcome, Outgoing, State};
use dtu_proto::message::{CloseCode, DeviceId, Register, Resume, Token, VERSION};
use dtu_proto::{Message, Native};
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// The tasks of this runtime. The test itself is none of them.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_server_that_closes_tells_its_devices_and_leaves_no_task() {
    let mut server = serve(ServerConfig::default());
    let addr = server.local_addr();
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    let mut watch = client.session().watch();
    server.shut_down(Duration::ZERO).await;
    assert_eq!(session.state().cause, Some(Cause::Closed(CloseCode::GOING_DOWN)));
    let told = loop {
        let change = watch.changed().await;
        if change.state == State::Disconnected {
            break change.cause;
        }
    };
    assert!(
        matches!(
            told,
            Some(Cause::PeerClosed(CloseCode::GOING_DOWN) | Cause::Transport(io::ErrorKind::ConnectionRefused))
        ),
        "{told:?}"
    );
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    client.shut_down(Duration::ZERO).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn a_server_that_closes_waits_for_what_the_device_still_acknowledges() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..500 {
        receipts.push(session.send(numbered(number)).await.unwrap());
    }
    let device = client.session().clone();
    let receiver = tokio::spawn(async move { expect_numbers(&device, 0, 500).await });
    server.shut_down(LONG).await;
    for receipt in receipts {
        assert_eq!(receipt.await, Outcome::Acked);
    }
    receiver.await.unwrap();
    client.shut_down(Duration::ZERO).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_waits_no_longer_than_it_may() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    let receipt = session.send(numbered(0)).await.unwrap();
    // The device never acknowledges. It has received it, and that does not count.
    let _received = client.session().recv().await.unwrap();
    let began = crate::now();
    server.shut_down(Duration::from_secs(7)).await;
    assert_eq!(receipt.await, Outcome::Abandoned);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(7) && took <= Duration::from_secs(7 + 3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_identified_yet_does_not_hold_up_the_end() {
    let server = serve(ServerConfig::default());
    let _silent = TcpStream::connect(server.local_addr()).await.unwrap();
    while server.counters().connections == 0 {
        tokio::task::yield_now().await;
    }
    let mut events = server.events();
    let began = crate::now();
    server.shut_down(Duration::ZERO).await;
    assert!(began.elapsed() < Duration::from_secs(3), "the identification has 10 s");
    assert_eq!(tasks(), 0);
    crate::next_refused(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_does_not_hold_up_the_end() {
    const BODY: usize = 60_000;
    let mut config = ServerConfig::default();
    config.limits.window = u16::MAX;
    config.limits.outbox.bytes = 64 * 1024 * 1024;
    let mut server = serve(config);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut peer = socket.connect(server.local_addr()).await.unwrap();
    let register = Register {
        version: VERSION,
        flags: 0,
        device_id: DeviceId::new("m").unwrap(),
        token: Token::EMPTY,
        resume: Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 },
    };
    let mut frame = Vec::new();
    Native::new().encode_to(&Message::Register(register), &mut frame).unwrap();
    peer.write_all(&frame).await.unwrap();
    let session = server.accept().await.unwrap();
    for _ in 0..1000 {
        drop(session.send(Outgoing::new(0, vec![0; BODY])).await.unwrap());
    }
    reach(&session, State::Connected).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let began = crate::now();
    server.shut_down(Duration::ZERO).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(session.state().state, State::Closed);
    assert_eq!(tasks(), 0);
    drop(peer);
}

#[tokio::test]
async fn a_server_that_is_dropped_acknowledges_nothing_and_closes() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    let receipt = client.session().send(numbered(0)).await.unwrap();
    let _received = session.recv().await.unwrap();
    let mut watch = client.session().watch();
    drop(server);
    while watch.changed().await.state != State::Disconnected {}
    assert_eq!(session.closed().await.cause, Some(Cause::Closed(CloseCode::GOING_DOWN)));
    assert_eq!(client.session().counters().ledger.pending, 1);
    client.shut_down(Duration::ZERO).await;
    assert_eq!(receipt.await, Outcome::Abandoned);
}

#[tokio::test]
async fn a_cancelled_server_ends_and_accepts_nobody_any_more() {
    let cancel = CancellationToken::new();
    let mut server = Server::bind(loopback(), ServerConfig::default(), cancel.clone()).unwrap();
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    cancel.cancel();
    assert!(server.accept().await.is_none());
    assert_eq!(session.closed().await.cause, Some(Cause::Closed(CloseCode::GOING_DOWN)));
    client.shut_down(Duration::ZERO).await;
    server.shut_down(Duration::ZERO).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn a_cancelled_client_closes_and_ends() {
    let mut server = serve(ServerConfig::default());
    let cancel = CancellationToken::new();
    let target = Target::Tcp(server.local_addr().to_string());
    let client = Client::start(target, ClientConfig::new(device("m")), cancel.clone()).unwrap();
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    cancel.cancel();
    let closed = client.session().closed().await;
    assert_eq!(closed.cause, Some(Cause::Closed(CloseCode::GOING_DOWN)));
    assert_eq!(client.session().recv().await, None);
    client.shut_down(Duration::ZERO).await;
    // To the server the device comes again one day.
    reach(&session, State::Disconnected).await;
    assert_eq!(session.state().cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
    server.shut_down(Duration::ZERO).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn a_client_that_closes_waits_for_what_the_server_still_acknowledges() {
    let mut server = serve(ServerConfig::default());
    let client = dial(server.local_addr(), device("m"));
    let mut receipts = Vec::new();
    for number in 0..500 {
        receipts.push(client.session().send(numbered(number)).await.unwrap());
    }
    let receiver = tokio::spawn(async move {
        let session = server.accept().await.unwrap();
        expect_numbers(&session, 0, 500).await;
        assert_eq!(session.recv().await, None);
        assert_eq!(session.state().cause, Some(Cause::PeerClosed(CloseCode::DONE)));
        server
    });
    client.shut_down(LONG).await;
    for receipt in receipts {
        assert_eq!(receipt.await, Outcome::Acked);
    }
    receiver.await.unwrap().shut_down(Duration::ZERO).await;
    assert_eq!(tasks(), 0);
}
