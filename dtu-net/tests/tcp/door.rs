//! Who may in, and who holds up whom.

use crate::{connect, device, dial, loopback, next_refused, reach, serve};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::driver::{Bound, Client, ServerConfig};
use dtu_net::keys::KeyStore;
use dtu_net::{Cause, DeviceConfig, State, Violation};
use dtu_proto::message::{DeviceId, RefuseCode, kind};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the device is told the first time it is not let in.
async fn refusal(client: &Client) -> Option<Cause> {
    let mut watch = client.session().watch();
    loop {
        let state = client.session().state();
        if state.cause.is_some() {
            return state.cause;
        }
        watch.changed().await;
    }
}

#[tokio::test]
async fn silent_clients_hold_up_nobody() {
    let mut server = serve(ServerConfig::default());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.local_addr()).await.unwrap());
    }
    let client = connect(&server, "m");
    assert_eq!(&**server.accept().await.unwrap().device(), "m");
    reach(client.session(), State::Connected).await;
    assert_eq!(server.counters().connections, 201);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_refused_in_time() {
    let server = serve(ServerConfig::default());
    let mut events = server.events();
    let mut silent = TcpStream::connect(server.local_addr()).await.unwrap();
    let refused = next_refused(&mut events).await;
    assert_eq!(refused.cause, Cause::NotIdentified { limit: Duration::from_secs(10) });
    assert_eq!((refused.peer, refused.device), (silent.local_addr().unwrap(), None));
    let mut said = Vec::new();
    silent.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.get(6), Some(&kind::REFUSE));
    assert_eq!(server.counters().refused, 1);
}

#[tokio::test]
async fn endless_garbage_is_cut_off() {
    let server = serve(ServerConfig::default());
    let mut events = server.events();
    let mut flood = TcpStream::connect(server.local_addr()).await.unwrap();
    let pump = tokio::spawn(async move { while flood.write_all(&[0x55; 4096]).await.is_ok() {} });
    let cause = next_refused(&mut events).await.cause;
    assert!(matches!(cause, Cause::TooMuchBeforeRegister { received: 4097.., limit: 4096 }), "{cause:?}");
    pump.await.unwrap();
}

#[tokio::test]
async fn who_comes_beyond_the_seats_is_refused_as_busy_and_counted() {
    let mut config = ServerConfig::default();
    config.max_connections = 1;
    let mut server = serve(config);
    let _first = connect(&server, "a");
    let _session = server.accept().await.unwrap();
    let mut second = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut said = Vec::new();
    second.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.get(6), Some(&kind::REFUSE));
    assert_eq!((server.counters().connections, server.counters().busy.by(Bound::Connections)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_may_not_in_is_told() {
    let mut config = ServerConfig::default();
    config.admission = Some(Arc::new(|who| match &who.token[..] {
        b"key" => Ok(()),
        _ => Err(RefuseCode::UNAUTHORIZED),
    }));
    let mut server = serve(config);
    let client = connect(&server, "m");
    let refused = refusal(&client).await;
    assert!(matches!(refused, Some(Cause::Refused { code: RefuseCode::UNAUTHORIZED, .. })), "{refused:?}");
    let welcome = dial(server.local_addr(), device("n").token(b"key").unwrap());
    assert_eq!(&**server.accept().await.unwrap().device(), "n");
    reach(welcome.session(), State::Connected).await;
}

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).unwrap()
}

fn with_key(id: &str, key: Option<Key>) -> DeviceConfig {
    let mut config = device(id);
    config.key = key;
    config
}

#[tokio::test(start_paused = true)]
async fn who_has_the_key_is_let_in_and_nobody_else() {
    let mut config = ServerConfig::default();
    config.keys = Some(Arc::new(HashMap::from([("m".to_owned(), key(1))])));
    assert!(!config.is_open());
    let mut server = serve(config);
    let mut events = server.events();
    let unauthorized = RefuseCode::UNAUTHORIZED;
    for (id, key, cause) in [("m", key(2), Cause::WrongProof), ("stranger", key(1), Cause::UnknownDevice)] {
        let began = crate::now();
        let client = dial(server.local_addr(), with_key(id, Some(key)));
        let told = refusal(&client).await;
        assert!(matches!(told, Some(Cause::Refused { code, .. }) if code == unauthorized), "{told:?}");
        assert!(began.elapsed() >= dtu_net::limits::PENALTY, "trying keys is slow");
        let refused = next_refused(&mut events).await;
        assert_eq!((refused.cause, refused.device.as_deref()), (cause, Some(id)));
    }
    let client = dial(server.local_addr(), with_key("m", None));
    assert_eq!(refusal(&client).await, Some(Cause::NoKey));
    let client = dial(server.local_addr(), with_key("m", Some(key(1))));
    assert_eq!(&**server.accept().await.unwrap().device(), "m");
    reach(client.session(), State::Connected).await;
    assert_eq!(server.counters().sessions, 1);
}

/// A store that is down for its first question.
#[derive(Default)]
struct Recovering(AtomicU64);

impl KeyStore for Recovering {
    fn key(&self, _: DeviceId<'_>) -> io::Result<Option<Key>> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(Some(key(1))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_key_store_is_down_a_device_is_told_busy_and_comes_again() {
    let mut config = ServerConfig::default();
    config.keys = Some(Arc::new(Recovering::default()));
    let mut server = serve(config);
    let client = dial(server.local_addr(), with_key("m", Some(key(1))));
    let told = refusal(&client).await;
    assert!(matches!(told, Some(Cause::Refused { code: RefuseCode::BUSY, .. })), "{told:?}");
    assert_eq!(&**server.accept().await.unwrap().device(), "m");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_left() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let client = dial(listener.local_addr().unwrap(), device("m"));
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut frame = Vec::new();
    let data = dtu_proto::message::Data { seq: 0, channel: 0, body: b"x" };
    dtu_proto::Native::new().encode_to(&dtu_proto::Message::Data(data), &mut frame).unwrap();
    socket.write_all(&frame).await.unwrap();
    let violation = Violation::FirstMessage { kind: kind::DATA };
    assert_eq!(refusal(&client).await, Some(Cause::Violation(violation)));
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let server = serve(ServerConfig::default());
    let again = dtu_net::driver::Server::bind(
        server.local_addr(),
        ServerConfig::default(),
        tokio_util::sync::CancellationToken::new(),
    );
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_registers_and_then_says_nothing_is_declared_dead() {
    let mut server = serve(ServerConfig::default());
    let mut peer = TcpStream::connect(server.local_addr()).await.unwrap();
    let register = dtu_proto::message::Register {
        version: dtu_proto::message::VERSION,
        flags: 0,
        device_id: DeviceId::new("m").unwrap(),
        token: dtu_proto::message::Token::EMPTY,
        resume: dtu_proto::message::Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 },
    };
    let mut frame = Vec::new();
    dtu_proto::Native::new().encode_to(&dtu_proto::Message::Register(register), &mut frame).unwrap();
    peer.write_all(&frame).await.unwrap();
    let session = server.accept().await.unwrap();
    reach(&session, State::Connected).await;
    let connected = session.state().at;
    reach(&session, State::Disconnected).await;
    let lost = session.state();
    assert_eq!(lost.cause, Some(Cause::Silent { limit: Duration::from_secs(60) }));
    assert_eq!(lost.at.duration_since(connected).as_secs(), 60);
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.get(6), Some(&kind::WELCOME));
}
