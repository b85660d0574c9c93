//! Connections come and go; the session stays.

use crate::relay::{Cut, Relay};
use crate::{LONG, connect, device, dial, expect_numbers, is_pending, now, numbered, reach, serve};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{LinkEvent, Server, ServerConfig};
use dtu_net::{Cause, Event, Outcome, State};
use dtu_proto::message::{CloseCode, DeviceId, RefuseCode, Register, Resume, Token, VERSION};
use dtu_proto::{Message, Native};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_device_that_comes_again_goes_on_in_its_session() {
    let mut server = serve(ServerConfig::default());
    let relay = Relay::to(server.local_addr()).await;
    let client = dial(relay.addr, device("m"));
    let session = server.accept().await.unwrap();
    let mut sent = 0;
    for round in 1..=5 {
        let mut receipts = Vec::new();
        for _ in 0..20 {
            receipts.push(client.session().send(numbered(sent)).await.unwrap());
            sent += 1;
        }
        relay.cut(Cut::Whole);
        expect_numbers(&session, sent - 20, sent).await;
        for receipt in receipts {
            assert_eq!(receipt.await, Outcome::Acked);
        }
        reach(client.session(), State::Connected).await;
        assert!(session.counters().connected <= 1 + round);
    }
    assert!(is_pending(server.accept()), "it is still the one session");
    assert_eq!(server.counters().sessions, 1);
    assert_eq!(session.counters().received, u64::from(sent));
    client.shut_down(LONG).await;
}

#[tokio::test]
async fn the_newest_connection_takes_the_session_over_and_loses_nothing() {
    let mut server = serve(ServerConfig::default());
    let mut events = server.events();
    let relay = Relay::to(server.local_addr()).await;
    let client = dial(relay.addr, device("m"));
    let session = server.accept().await.unwrap();
    for number in 0..50 {
        drop(client.session().send(numbered(number)).await.unwrap());
    }
    expect_numbers(&session, 0, 10).await;
    // To the server the old connection stays open.
    relay.cut(Cut::DeviceOnly);
    let mut last = None;
    for number in 50..100 {
        last = Some(client.session().send(numbered(number)).await.unwrap());
    }
    expect_numbers(&session, 10, 100).await;
    assert_eq!(last.unwrap().await, Outcome::Acked);
    let replaced = loop {
        if let LinkEvent::Link { event: Event::State(change), .. } = events.recv().await.unwrap()
            && change.state == State::Disconnected
        {
            break change.cause;
        }
    };
    assert_eq!(replaced, Some(Cause::Replaced));
    let counters = session.counters();
    assert_eq!((counters.connected, counters.replaced), (2, 1));
    assert!(is_pending(server.accept()));
    let ledger = client.session().counters().ledger;
    assert_eq!((ledger.taken, ledger.acked), (100, 100));
}

/// Says PING on a connection that was let in, and waits for the PONG.
async fn ping(stream: &mut TcpStream) {
    let mut frame = Vec::new();
    Native::new().encode_to(&Message::Ping { nonce: 7 }, &mut frame).unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut heard = [0; 256];
    while stream.read(&mut heard).await.unwrap() == 0 {}
}

#[tokio::test]
async fn a_session_knows_where_its_device_is_and_when_it_was_last_heard() {
    let mut server = serve(ServerConfig::default());
    let register = Message::Register(Register {
        version: VERSION,
        flags: 0,
        device_id: DeviceId::new("m").unwrap(),
        token: Token::EMPTY,
        resume: Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 },
    });
    let mut frame = Vec::new();
    Native::new().encode_to(&register, &mut frame).unwrap();
    let before = now().into_std();
    let mut first = TcpStream::connect(server.local_addr()).await.unwrap();
    first.write_all(&frame).await.unwrap();
    let session = server.accept().await.unwrap();
    let registered = session.last_heard().unwrap();
    assert_eq!(session.peer(), first.local_addr().ok());
    assert!((before..=now().into_std()).contains(&registered));
    // WELCOME comes first.
    while first.read(&mut [0; 256]).await.unwrap() == 0 {}
    ping(&mut first).await;
    let heard = session.last_heard().unwrap();
    assert!(heard > registered && heard <= now().into_std());
    let gone = first.local_addr().ok();
    drop(first);
    reach(&session, State::Disconnected).await;
    assert_eq!((session.peer(), session.last_heard()), (gone, Some(heard)), "what was known last stays");
    let mut second = TcpStream::connect(server.local_addr()).await.unwrap();
    second.write_all(&frame).await.unwrap();
    reach(&session, State::Connected).await;
    assert_eq!(session.peer(), second.local_addr().ok());
    assert_ne!(session.peer(), gone);
    assert!(session.last_heard() > Some(heard));
    assert_eq!((session.counters().connected, session.counters().replaced), (2, 0));
}

#[tokio::test]
async fn two_devices_of_one_name_do_not_throw_each_other_out_for_ever() {
    let mut server = serve(ServerConfig::default());
    let first = connect(&server, "m");
    let session = server.accept().await.unwrap();
    reach(first.session(), State::Connected).await;
    let second = connect(&server, "m");
    reach(first.session(), State::Disconnected).await;
    assert_eq!(first.session().state().cause, Some(Cause::PeerClosed(CloseCode::REPLACED)));
    reach(second.session(), State::Connected).await;
    let receipt = second.session().send(numbered(0)).await.unwrap();
    expect_numbers(&session, 0, 1).await;
    assert_eq!(receipt.await, Outcome::Acked);
    // The first one stays away for a minute, although its backoff is a millisecond.
    assert_eq!(first.session().state().state, State::Disconnected);
}

#[tokio::test]
async fn a_server_that_starts_again_on_its_port_gets_what_it_had_not_acknowledged() {
    const COUNT: u32 = 40;
    let mut server = serve(ServerConfig::default());
    let addr = server.local_addr();
    let client = dial(addr, device("m"));
    let session = server.accept().await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(client.session().send(numbered(number)).await.unwrap());
    }
    // Of these the first five are acknowledged; the others came as well, and are forgotten here.
    let mut received = Vec::new();
    for _ in 0..10 {
        received.push(session.recv().await.unwrap());
    }
    session.commit(received[4].mark()).unwrap();
    let mut receipts = receipts.into_iter();
    for receipt in receipts.by_ref().take(5) {
        assert_eq!(receipt.await, Outcome::Acked);
    }
    server.shut_down(Duration::ZERO).await;
    drop(session);
    let mut server = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
    let session = server.accept().await.unwrap();
    expect_numbers(&session, 5, COUNT).await;
    for receipt in receipts {
        assert_eq!(receipt.await, Outcome::Acked);
    }
    client.shut_down(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_dials_until_there_is_a_server() {
    let probe = serve(ServerConfig::default());
    let addr = probe.local_addr();
    probe.shut_down(Duration::ZERO).await;
    let client = dial(addr, device("m"));
    let mut watch = client.session().watch();
    let refused = loop {
        let change = watch.changed().await;
        if change.state == State::Disconnected {
            break change.cause;
        }
    };
    assert_eq!(refused, Some(Cause::Transport(std::io::ErrorKind::ConnectionRefused)));
    let mut server = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
    let session = server.accept().await.unwrap();
    assert_eq!(&**session.device(), "m");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_stays_away_for_too_long_loses_its_session() {
    let mut config = ServerConfig::default();
    config.limits.retention = Duration::from_secs(600);
    let mut server = serve(config);
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    let down = session.send(numbered(0)).await.unwrap();
    reach(client.session(), State::Connected).await;
    client.shut_down(Duration::ZERO).await;
    // That was a farewell for good; this one only breaks.
    assert_eq!(down.await, Outcome::Abandoned);
    let relay = Relay::to(server.local_addr()).await;
    let mut config = device("n");
    config.backoff = Backoff::fixed(Duration::from_secs(3600));
    let client = dial(relay.addr, config);
    let session = server.accept().await.unwrap();
    let down = session.send(numbered(0)).await.unwrap();
    reach(client.session(), State::Connected).await;
    drop(relay);
    reach(&session, State::Disconnected).await;
    let away_since = session.state().at;
    let closed = session.closed().await;
    assert_eq!(closed.cause, Some(Cause::Away { limit: Duration::from_secs(600) }));
    assert!(closed.at - away_since >= Duration::from_secs(600));
    assert_eq!(down.await, Outcome::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_refused_as_busy_comes_when_there_is_room() {
    let mut config = ServerConfig::default();
    config.max_sessions = 1;
    let mut server = serve(config);
    let first = connect(&server, "a");
    let session = server.accept().await.unwrap();
    let second = connect(&server, "b");
    let mut watch = second.session().watch();
    let refused = loop {
        let change = watch.changed().await;
        if change.state == State::Disconnected {
            break change.cause;
        }
    };
    assert!(matches!(refused, Some(Cause::Refused { code: RefuseCode::BUSY, .. })), "{refused:?}");
    first.shut_down(LONG).await;
    assert_eq!(session.closed().await.cause, Some(Cause::PeerClosed(CloseCode::DONE)));
    let session = server.accept().await.unwrap();
    assert_eq!(&**session.device(), "b");
}
