//! Where a server sends to: only where the device has proved to be.

use crate::relay::{Bare, CLOSE, DATA, PING, PONG, Relay, WELCOME, Way};
use crate::*;
use dtu_proto::Message;
use dtu_proto::message::{Close, CloseCode, Data, DeviceId, Reason, Register, Resume, Token, VERSION};

pub(crate) fn register(id: &str, stream: u64) -> Message<'_> {
    let resume = Resume { stream, send_base: 0, peer_stream: 0, receive_next: 0 };
    let device_id = DeviceId::new(id).unwrap();
    Message::Register(Register { version: VERSION, flags: 0, device_id, token: Token::new(b"").unwrap(), resume })
}

#[tokio::test]
async fn a_session_follows_its_device_to_a_new_port_after_the_echo_and_loses_nothing() {
    let (mut server, addr) = serve(keyed(&["meter-7"]));
    let relay = Relay::clean(addr).await;
    let client = dial(relay.addr, device("meter-7"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 5).await;
    let before = session.peer().unwrap();
    relay.rebind().await;
    // What goes down first is lost on the old port, and what goes up first is not taken from the new one.
    exchange(&session, client.session(), 5).await;
    assert_eq!((session.counters().connected, server.counters().sessions), (1, 1), "it is the same connection");
    assert_eq!(session.peer().unwrap().ip(), before.ip());
    assert_ne!(session.peer().unwrap().port(), before.port());
    assert!(server.counters().dropped >= 1, "the first datagram from the new port does not count");

    let moved: Vec<_> = relay.seen().into_iter().filter(|seen| seen.binds == 1).collect();
    let first_down = moved.iter().find(|seen| seen.way == Way::Down).unwrap();
    assert_eq!(first_down.kind, PING, "{moved:?}");
    let echo = moved.iter().position(|seen| (seen.way, seen.kind) == (Way::Up, PONG)).unwrap();
    let before = moved[..echo].iter().filter(|seen| seen.way == Way::Down);
    assert!(before.clone().all(|seen| seen.kind == PING), "{moved:?}");
    assert!(moved[echo..].iter().any(|seen| (seen.way, seen.kind) == (Way::Down, DATA)), "{moved:?}");
    shut_down(client, server).await;
}

#[tokio::test]
async fn a_stranger_who_knows_the_stream_gets_one_ping_and_changes_nothing() {
    let (mut server, addr) = serve(keyed(&["meter-7"]));
    let relay = Relay::clean(addr).await;
    let client = dial(relay.addr, device("meter-7"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 2).await;
    let (stream, dropped) = (relay.seen()[0].stream, server.counters().dropped);

    let (stranger, other) = (Bare::to(addr).await, Bare::to(addr).await);
    stranger.send(stream, Message::Data(Data { seq: 2, channel: 1, body: b"up 0" })).await;
    let (kind, nonce) = stranger.recv().await;
    assert_eq!(kind, PING);
    other.send(stream, Message::Pong { nonce: nonce.unwrap() }).await;
    other.send(stream, Message::Ack { receive_next: 2 }).await;
    other.send(stream, Message::Close(Close { code: CloseCode::DONE, reason: Reason::EMPTY })).await;
    // The door takes datagrams one after the other: when these are through, so are the strangers'.
    exchange(&session, client.session(), 5).await;
    assert_eq!(server.counters().dropped, dropped + 4);
    assert_eq!((session.counters().connected, session.counters().received), (1, 7));
    stranger.assert_quiet();
    shut_down(client, server).await;
}

#[tokio::test]
async fn who_only_registered_gets_a_welcome_and_a_ping_and_data_after_the_echo() {
    let (mut server, addr) = serve(ServerConfig::default());
    let bare = Bare::to(addr).await;
    bare.send(9, register("meter-7", 9)).await;
    let session = accept(&mut server).await;
    let down = session.send(Outgoing::new(0, "down")).await.unwrap();
    assert_eq!(bare.recv().await.0, WELCOME);
    let (kind, nonce) = bare.recv().await;
    assert_eq!(kind, PING);
    // The answer to a repeat leaves after the DATA had its chance to.
    bare.send(9, register("meter-7", 9)).await;
    assert_eq!(bare.recv().await.0, WELCOME);
    assert_eq!(session.counters().connected, 1, "the repeat is answered on the same connection");
    bare.send(9, Message::Pong { nonce: nonce.unwrap() }).await;
    let mut kinds = vec![bare.recv().await.0];
    while kinds.last() != Some(&DATA) {
        kinds.push(bare.recv().await.0);
    }
    bare.send(9, Message::Ack { receive_next: 1 }).await;
    assert_eq!(soon(down).await, Outcome::Acked);
    soon(server.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_device_that_registers_again_in_its_stream_is_attached_anew_and_not_told_that_it_was_replaced() {
    let (mut server, addr) = serve(ServerConfig::default());
    let bare = Bare::to(addr).await;
    bare.send(9, register("meter-7", 9)).await;
    let session = accept(&mut server).await;
    assert_eq!(bare.recv().await.0, WELCOME);
    let (_, nonce) = bare.recv().await;
    bare.send(9, Message::Pong { nonce: nonce.unwrap() }).await;
    bare.send(9, register("meter-7", 9)).await;
    let mut kinds = vec![bare.recv().await.0];
    while kinds.last() != Some(&WELCOME) {
        kinds.push(bare.recv().await.0);
    }
    assert!(!kinds.contains(&CLOSE), "{kinds:?}");
    assert_eq!((session.counters().connected, server.counters().sessions), (2, 1));
    soon(server.shut_down(Duration::ZERO)).await;
}
