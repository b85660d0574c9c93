//! What a server has room for, what it tells those who come beyond, and how it goes down with a fleet on it.

use crate::{connect, device, dial, expect_numbers, next_refused, now, numbered, reach, serve};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Bound, Client, Flapping, Server, ServerConfig, Session};
use dtu_net::{Cause, Received, State};
use dtu_proto::message::{CloseCode, DeviceId, RefuseCode, Register, Resume, Token, VERSION};
use dtu_proto::{Framing, Message, Native, Step};
use std::io::Write;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// The REFUSE that a connection gets: its code, when to come again, and the reason.
async fn refusal(mut stream: TcpStream) -> (RefuseCode, Duration, String) {
    let (mut said, mut refusal) = (Vec::new(), None);
    stream.read_to_end(&mut said).await.unwrap();
    Native::new().walk(&said, |step| {
        if let Step::Frame(frame) = step
            && let Ok(Message::Refuse(refuse)) = Message::decode(frame.payload())
        {
            let retry_after = Duration::from_millis(refuse.retry_after_ms.into());
            refusal = Some((refuse.code, retry_after, refuse.reason.as_str().to_owned()));
        }
    });
    refusal.unwrap()
}

async fn stranger(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

/// Waits until the server has accepted so many connections.
async fn accepted(server: &Server, connections: u64) {
    while server.counters().connections < connections {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_comes_beyond_those_that_can_be_identified_in_time_gets_an_appointment() {
    let mut config = ServerConfig::default();
    config.door.max_unidentified = 2;
    let server = serve(config);
    let _silent = (stranger(&server).await, stranger(&server).await);
    accepted(&server, 2).await;
    let (code, retry_after, reason) = refusal(stranger(&server).await).await;
    assert_eq!((code, &*reason), (RefuseCode::BUSY, "unidentified"));
    assert!(retry_after > Duration::ZERO && retry_after < Duration::from_secs(3), "{retry_after:?}");
    let counters = server.counters();
    assert_eq!((counters.busy.by(Bound::Unidentified), counters.open, counters.unidentified), (1, 2, 2));
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let mut config = ServerConfig::default();
    config.max_per_address = Some(1);
    let mut server = serve(config);
    let _first = connect(&server, "a");
    let _session = server.accept().await.unwrap();
    let (code, retry_after, reason) = refusal(stranger(&server).await).await;
    assert_eq!((code, retry_after, &*reason), (RefuseCode::BUSY, Duration::from_secs(30), "address"));
    assert_eq!(server.counters().busy.by(Bound::Address), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_sessions_hold_too_much_nobody_else_is_taken() {
    let mut config = ServerConfig::default();
    config.max_memory = 100;
    let mut server = serve(config);
    let client = connect(&server, "a");
    let session = server.accept().await.unwrap();
    // Sent to an application that does not take it.
    for number in 0..100 {
        let _receipt = client.session().send(numbered(number)).await.unwrap();
    }
    // The sweep looks once in a second.
    let refused = loop {
        let stream = stranger(&server).await;
        let before = server.counters().connections;
        accepted(&server, before.max(1)).await;
        if server.counters().busy.total() > 0 {
            break refusal(stream).await;
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    };
    assert_eq!((refused.0, &*refused.2), (RefuseCode::BUSY, "memory"));
    assert!(server.counters().memory > 400, "{:?}", server.counters());
    expect_numbers(&session, 0, 100).await;
    // There is room again as soon as that is seen.
    let mut another = device("b");
    another.backoff = Backoff::fixed(Duration::from_secs(1));
    let another = dial(server.local_addr(), another);
    reach(another.session(), State::Connected).await;
    assert_eq!(server.counters().memory, 0);
}

#[tokio::test]
async fn who_gave_up_before_its_turn_costs_no_work() {
    let server = serve(ServerConfig::default());
    let mut events = server.events();
    let register = Message::Register(Register {
        version: VERSION,
        flags: 0,
        device_id: DeviceId::new("gone").unwrap(),
        token: Token::EMPTY,
        resume: Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 },
    });
    let mut frame = Vec::new();
    Native::new().encode_to(&register, &mut frame).unwrap();
    // The server's task runs only when this one waits: the device comes, registers and goes before that.
    let mut gone = std::net::TcpStream::connect(server.local_addr()).unwrap();
    gone.write_all(&frame).unwrap();
    drop(gone);
    let refused = next_refused(&mut events).await;
    assert_eq!((refused.cause, refused.device), (Cause::Disconnected, None));
    assert_eq!((server.counters().sessions, server.counters().refused), (0, 1));
}

#[tokio::test]
async fn who_only_looks_whether_the_server_is_there_is_told_apart() {
    let server = serve(ServerConfig::default());
    let mut events = server.events();
    // One is gone before its turn, and one while it is waited for.
    drop(std::net::TcpStream::connect(server.local_addr()).unwrap());
    assert_eq!(next_refused(&mut events).await.cause, Cause::SaidNothing);
    let looks = std::net::TcpStream::connect(server.local_addr()).unwrap();
    while server.counters().unidentified == 0 {
        tokio::task::yield_now().await;
    }
    drop(looks);
    assert_eq!(next_refused(&mut events).await.cause, Cause::SaidNothing);
    assert_eq!((server.counters().sessions, server.counters().refused), (0, 2));
}

#[tokio::test]
async fn a_device_that_flaps_is_held_off_and_others_are_not() {
    let mut config = ServerConfig::default();
    config.flapping = Some(Flapping { burst: 2, every: Duration::from_secs(3600) });
    let server = serve(config);
    let mut events = server.events();
    let mut clients = Vec::new();
    for _ in 0..2 {
        // A second process with the same id takes its place, which ends no session.
        let client = connect(&server, "b");
        reach(client.session(), State::Connected).await;
        clients.push(client);
    }
    clients.push(connect(&server, "b"));
    let refused = next_refused(&mut events).await;
    assert_eq!((refused.cause, refused.device.as_deref()), (Cause::TurnedAway(RefuseCode::BUSY), Some("b")));
    assert!(server.counters().busy.by(Bound::Flapping) >= 1);
    let hint = loop {
        if let Some(Cause::Refused { retry_after, .. }) = clients.last().unwrap().session().state().cause {
            break retry_after;
        }
        clients.last().unwrap().session().watch().changed().await;
    };
    assert!((3590..=3600).contains(&hint.as_secs()), "{hint:?}");
    let other = connect(&server, "c");
    reach(other.session(), State::Connected).await;
}

/// When the link ends, and why.
async fn end_of(session: Session) -> (tokio::time::Instant, Option<Cause>) {
    while let Some(received) = session.recv().await {
        assert!(matches!(received, Received::Data { .. }));
    }
    (now(), session.closed().await.cause)
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_the_sessions_one_after_the_other_and_ends_with_no_task() {
    const DEVICES: usize = 20;
    let mut server = serve(ServerConfig::default());
    let (mut clients, mut ends) = (Vec::new(), Vec::new());
    for number in 0..DEVICES {
        let mut config = device(&format!("m-{number}"));
        // It goes nowhere else during the test.
        config.backoff = Backoff::fixed(Duration::from_secs(3600));
        let client = dial(server.local_addr(), config);
        let session = server.accept().await.unwrap();
        reach(client.session(), State::Connected).await;
        clients.push(client);
        ends.push(tokio::spawn(end_of(session)));
    }
    let addr = server.local_addr();
    let began = now();
    server.drain(Duration::from_secs(10), Duration::from_secs(1)).await;
    server.shut_down(Duration::from_secs(1)).await;
    assert!(now() - began <= Duration::from_secs(14), "{:?}", now() - began);
    assert!(std::net::TcpStream::connect(addr).is_err(), "it does not listen any more");
    let mut times = Vec::new();
    for end in ends {
        let (at, cause) = end.await.unwrap();
        assert_eq!(cause, Some(Cause::Closed(CloseCode::GOING_DOWN)));
        times.push((at - began).as_millis());
    }
    times.sort_unstable();
    // One in each half second.
    let first = *times.first().unwrap();
    assert!(times.iter().enumerate().all(|(number, at)| at.abs_diff(first + 500 * number as u128) < 100), "{times:?}");
    for client in &clients {
        let cause = told_to_go(client).await;
        assert_eq!(cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
    }
}

async fn told_to_go(client: &Client) -> Option<Cause> {
    let mut watch = client.session().watch();
    loop {
        let state = client.session().state();
        if state.state == State::Disconnected {
            return state.cause;
        }
        watch.changed().await;
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_is_refused_by_the_name_of_the_field() {
    let with = |change: fn(&mut ServerConfig)| {
        let mut config = ServerConfig::default();
        change(&mut config);
        let started = Server::bind(([127, 0, 0, 1], 0).into(), config, CancellationToken::new());
        started.expect_err("no server can be so").to_string()
    };
    let queue = "is 18446744073709551615, and the most is 1048576";
    assert_eq!(with(|config| config.accept_queue = usize::MAX), format!("accept_queue {queue}"));
    assert_eq!(with(|config| config.event_queue = usize::MAX), format!("event_queue {queue}"));
    assert_eq!(with(|config| config.limits.window = 0), "limits.window is 0, so no device could send");
    let heartbeat = with(|config| config.limits.heartbeat = Duration::MAX);
    assert!(heartbeat.starts_with("limits.heartbeat is ") && heartbeat.ends_with("100ms to 86400s"), "{heartbeat}");
}
