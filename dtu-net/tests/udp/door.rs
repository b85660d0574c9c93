//! Who and what does not get in.

use crate::path::register;
use crate::relay::{Bare, CHALLENGE, REFUSE, loopback, sealed};
use crate::*;
use dtu_net::driver::{Bound, DropCause, DroppedEvent, RefusedEvent};
use dtu_net::{Cause, Violation};
use dtu_proto::Message;
use dtu_proto::message::{Data, RefuseCode};
use std::collections::BTreeMap;
use std::io::ErrorKind;

fn dropped(event: LinkEvent) -> Option<DroppedEvent> {
    if let LinkEvent::Dropped(dropped) = event { Some(dropped) } else { None }
}

fn refused(event: LinkEvent) -> Option<RefusedEvent> {
    if let LinkEvent::Refused(refused) = event { Some(refused) } else { None }
}

#[tokio::test]
async fn what_a_server_cannot_use_is_counted_by_cause_told_and_not_answered() {
    let (mut server, addr) = serve(ServerConfig::default());
    let mut events = server.events();
    let ping = sealed(5, Message::Ping { nonce: 1 });
    let mut broken = ping.clone();
    *broken.last_mut().unwrap() ^= 1;
    let two = [ping.as_slice(), ping.as_slice()].concat();
    let foreign_words = sealed(5, register("meter-7", 6));
    let bare = Bare::to(addr).await;
    for datagram in [
        b"".as_slice(),
        b"GET / HTTP/1.1",
        &ping[..ping.len() - 1],
        &broken,
        &two,
        &ping,
        &sealed(5, Message::Data(Data { seq: 0, channel: 0, body: b"x" })),
        &sealed(5, Message::Proof { mac: [0; 32] }),
        &foreign_words,
    ] {
        bare.socket.send(datagram).await.unwrap();
    }
    // Who comes behind them in the same queue gets in.
    let client = dial(addr, device("meter-7"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    assert_eq!(server.counters().dropped, 9);
    let mut told = BTreeMap::<&str, u64>::new();
    while told.values().sum::<u64>() < 9 {
        let event = event(&mut events, dropped).await;
        *told.entry(event.cause.name()).or_default() += event.count;
    }
    let expected =
        [("frame", 2), ("late", 1), ("other_stream", 1), ("trailing", 1), ("truncated", 2), ("unknown_stream", 2)];
    assert_eq!(told, BTreeMap::from(expected));
    bare.assert_quiet();
    shut_down(client, server).await;
}

#[tokio::test]
async fn what_a_device_cannot_use_is_counted_and_told() {
    let server = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
    let client = dial(server.local_addr().unwrap(), device("meter-7"));
    let mut events = client.events();
    let (_, from) = soon(server.recv_from(&mut [0; 2048])).await.unwrap();
    server.send_to(b"noise", from).await.unwrap();
    let event_of_noise = event(&mut events, dropped).await;
    assert!(matches!(event_of_noise.cause, DropCause::Malformed(_)), "{event_of_noise:?}");
    server.send_to(&sealed(1, Message::Ping { nonce: 1 }), from).await.unwrap();
    let event_of_other = event(&mut events, dropped).await;
    assert_eq!((event_of_other.cause, event_of_other.count), (DropCause::OtherStream { stream: 1 }, 1));
    assert_eq!(client.session().state().state, State::Registering);
    soon(client.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_closed_port_does_not_end_the_connection_and_the_device_gets_in_once_it_is_open() {
    let addr = tokio::net::UdpSocket::bind(loopback()).await.unwrap().local_addr().unwrap();
    let client = dial(addr, device("meter-7"));
    let mut events = client.events();
    let closed = event(&mut events, dropped).await;
    assert_eq!((closed.peer, closed.cause), (addr, DropCause::Transport(ErrorKind::ConnectionRefused)));
    let listen = Listen { tcp: None, udp: Some(addr) };
    let mut server = Server::listen(listen, ServerConfig::default(), CancellationToken::new()).unwrap();
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    assert_eq!(client.session().state().epoch.number(), 1, "it is the first connection still");
    shut_down(client, server).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_after_the_penalty_and_told() {
    let penalty = Duration::from_millis(50);
    let mut config = keyed(&["meter-7"]);
    config.limits.penalty = penalty;
    let (server, addr) = serve(config);
    for (id, expected) in [("meter-7", Cause::WrongProof), ("meter-8", Cause::UnknownDevice)] {
        let mut told = server.events();
        let mut wrong = device(id);
        wrong.key = Some(Key::new(&[8; 32]).unwrap());
        let client = dial(addr, wrong);
        let mut events = client.events();
        let registering = state(&mut events, State::Registering).await.at;
        let lost = state(&mut events, State::Disconnected).await;
        let is_refused = matches!(lost.cause, Some(Cause::Refused { code: RefuseCode::UNAUTHORIZED, .. }));
        assert!(is_refused, "{lost:?}");
        assert!(lost.at >= registering + penalty);
        let refused = event(&mut told, refused).await;
        assert_eq!((refused.cause, refused.device.as_deref()), (expected, Some(id)));
        soon(client.shut_down(Duration::ZERO)).await;
    }
    assert_eq!((server.counters().refused, server.counters().sessions), (2, 0));
    soon(server.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn the_stream_of_another_devices_session_is_refused() {
    let (mut server, addr) = serve(ServerConfig::default());
    let mut events = server.events();
    let (owner, thief) = (Bare::to(addr).await, Bare::to(addr).await);
    owner.send(9, register("meter-7", 9)).await;
    let session = accept(&mut server).await;
    thief.send(9, register("meter-8", 9)).await;
    assert_eq!(thief.recv().await.0, REFUSE);
    let refused = event(&mut events, refused).await;
    assert_eq!(refused.cause, Cause::Violation(Violation::ForeignStream { stream: 9 }));
    assert_eq!(refused.device.as_deref(), Some("meter-8"));
    assert_eq!((session.state().state, server.counters().sessions), (State::Connected, 1));
    soon(server.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_refused_as_busy() {
    let mut config = keyed(&["meter-7", "meter-8"]);
    config.max_connections = 1;
    let (server, addr) = serve(config);
    let (first, second) = (Bare::to(addr).await, Bare::to(addr).await);
    first.send(9, register("meter-7", 9)).await;
    assert_eq!(first.recv().await.0, CHALLENGE, "a handshake takes a place");
    second.send(8, register("meter-8", 8)).await;
    assert_eq!(second.recv().await.0, REFUSE);
    assert_eq!((server.counters().connections, server.counters().busy.by(Bound::Connections)), (2, 1));
    soon(server.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_handshake_that_stays_silent_gives_its_place_back_without_a_word() {
    let mut config = keyed(&["meter-7", "meter-8"]);
    config.max_connections = 1;
    config.limits.identify = Duration::from_millis(50);
    let (mut server, addr) = serve(config);
    let mut events = server.events();
    let silent = Bare::to(addr).await;
    silent.send(9, register("meter-7", 9)).await;
    assert_eq!(silent.recv().await.0, CHALLENGE);
    let refused = event(&mut events, refused).await;
    assert!(matches!(refused.cause, Cause::NotIdentified { .. }), "{refused:?}");
    let client = dial(addr, device("meter-8"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    silent.assert_quiet();
    shut_down(client, server).await;
}
