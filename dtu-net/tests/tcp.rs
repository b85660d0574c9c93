//! The drivers on real loopback sockets. Nothing here waits by the clock: tests wait for events, and a test that hangs
//! is a test that failed.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

use bytes::Bytes;
use core::net::SocketAddr;
use dtu_net::driver::{ClientConfig, ConnectError, ServerConfig, ServerEvent, Session, TcpClient, TcpServer};
use dtu_net::{Ended, Event, Violation};
use dtu_proto::message::{CloseCode, RefuseCode};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn serve(config: ServerConfig) -> TcpServer {
    TcpServer::bind(loopback(), config, CancellationToken::new()).unwrap()
}

async fn connect(server: &TcpServer, id: &str) -> TcpClient {
    TcpClient::connect(server.local_addr(), &ClientConfig::new(id), CancellationToken::new()).await.unwrap()
}

async fn next(server: &mut TcpServer) -> (Option<Arc<str>>, Session, Event) {
    match server.next_event().await {
        Some(ServerEvent::Link { device, session, event, .. }) => (device, session, event),
        other => panic!("{other:?}"),
    }
}

async fn end(client: &mut TcpClient) -> Ended {
    loop {
        if let Event::Closed { cause, .. } = client.next_event().await.expect("the end is told") {
            return cause;
        }
    }
}

#[tokio::test]
async fn data_goes_up_is_committed_and_acknowledged_and_data_goes_down() {
    let mut server = serve(ServerConfig::default());
    let mut client = connect(&server, "meter-7").await;
    assert!(matches!(next(&mut server).await, (Some(device), _, Event::Register(_)) if &*device == "meter-7"));
    assert!(matches!(client.next_event().await, Some(Event::Welcomed { .. })));
    client.session().send(2, Bytes::from_static(b"up")).await.unwrap();
    let (_, session, event) = next(&mut server).await;
    assert_eq!(event, Event::Data { seq: 0, channel: 2, body: "up".into(), missing: 0 });
    session.send(0, Bytes::from_static(b"down")).await.unwrap();
    let down = Event::Data { seq: 0, channel: 0, body: "down".into(), missing: 0 };
    assert_eq!(client.next_event().await, Some(down), "no ACK comes before the commit");
    session.commit(1);
    assert_eq!(client.next_event().await, Some(Event::Acked { receive_next: 1, count: 1 }));
    client.session().close(CloseCode::DONE, "bye");
    assert_eq!(end(&mut client).await, Ended::Closed(CloseCode::DONE));
    let (_, _, event) = next(&mut server).await;
    assert!(
        matches!(&event, Event::Closed { cause: Ended::PeerClosed(CloseCode::DONE), reason, .. } if &**reason == "bye")
    );
    client.shut_down().await;
    server.shut_down().await;
}

#[tokio::test]
async fn more_than_a_window_passes_in_order() {
    const COUNT: u32 = 500;
    let mut server = serve(ServerConfig::default());
    let mut client = connect(&server, "m").await;
    let session = client.session().clone();
    let sender = tokio::spawn(async move {
        for number in 0..COUNT {
            session.send(0, Bytes::copy_from_slice(&number.to_be_bytes())).await.unwrap();
        }
    });
    let receiver = tokio::spawn(async move {
        let mut expected = 0;
        while expected < COUNT {
            if let (_, session, Event::Data { seq, body, .. }) = next(&mut server).await {
                assert_eq!((seq, &body[..]), (expected, &expected.to_be_bytes()[..]));
                expected += 1;
                session.commit(expected);
            }
        }
        server
    });
    let mut acknowledged = 0;
    while acknowledged < COUNT {
        if let Some(Event::Acked { count, .. }) = client.next_event().await {
            acknowledged += count;
        }
    }
    sender.await.unwrap();
    receiver.await.unwrap().shut_down().await;
}

#[tokio::test]
async fn silent_clients_hold_up_nobody() {
    let mut server = serve(ServerConfig::default());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.local_addr()).await.unwrap());
    }
    let mut client = connect(&server, "m").await;
    assert!(matches!(next(&mut server).await, (Some(_), _, Event::Register(_))));
    assert!(matches!(client.next_event().await, Some(Event::Welcomed { .. })));
    server.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_turned_away_in_time() {
    let mut server = serve(ServerConfig::default());
    let mut silent = TcpStream::connect(server.local_addr()).await.unwrap();
    let (device, _, event) = next(&mut server).await;
    assert!(device.is_none());
    assert!(matches!(event, Event::Closed { cause: Ended::NotIdentified { .. }, .. }), "{event:?}");
    let mut said = Vec::new();
    silent.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.get(6), Some(&dtu_proto::message::kind::REFUSE));
}

#[tokio::test]
async fn endless_garbage_is_cut_off() {
    let mut server = serve(ServerConfig::default());
    let mut flood = TcpStream::connect(server.local_addr()).await.unwrap();
    let pump = tokio::spawn(async move { while flood.write_all(&[0x55; 4096]).await.is_ok() {} });
    loop {
        match next(&mut server).await.2 {
            Event::Skipped { .. } => {}
            Event::Closed { cause: Ended::TooMuchBeforeRegister { .. }, .. } => break,
            other => panic!("{other:?}"),
        }
    }
    pump.await.unwrap();
}

#[tokio::test]
async fn the_newest_connection_of_a_device_wins() {
    let mut server = serve(ServerConfig::default());
    let mut old = connect(&server, "m").await;
    assert!(matches!(next(&mut server).await.2, Event::Register(_)));
    let mut new = connect(&server, "m").await;
    assert_eq!(end(&mut old).await, Ended::PeerClosed(CloseCode::REPLACED));
    assert!(matches!(new.next_event().await, Some(Event::Welcomed { .. })));
    old.shut_down().await;
    new.session().send(0, Bytes::from_static(b"still here")).await.unwrap();
    loop {
        if let (_, _, Event::Data { body, .. }) = next(&mut server).await {
            assert_eq!(body, "still here");
            break;
        }
    }
}

#[tokio::test]
async fn who_comes_beyond_the_seats_is_refused_as_busy() {
    let mut config = ServerConfig::default();
    config.max_connections = 1;
    let mut server = serve(config);
    let _first = connect(&server, "a").await;
    assert!(matches!(next(&mut server).await.2, Event::Register(_)));
    let mut second = connect(&server, "b").await;
    assert!(matches!(next(&mut server).await.2, Event::Closed { cause: Ended::TurnedAway(RefuseCode::BUSY), .. }));
    // The refusal may be lost with a connection that is reset; the end is not.
    let ended = end(&mut second).await;
    assert!(matches!(ended, Ended::Refused { code: RefuseCode::BUSY, .. } | Ended::Transport(_)), "{ended:?}");
}

#[tokio::test]
async fn a_device_that_may_not_in_is_told() {
    let mut config = ServerConfig::default();
    config.admission = Arc::new(|who| if &*who.token == b"key" { Ok(()) } else { Err(RefuseCode::UNAUTHORIZED) });
    let server = serve(config);
    let mut client = connect(&server, "m").await;
    assert!(matches!(end(&mut client).await, Ended::Refused { code: RefuseCode::UNAUTHORIZED, .. }));
}

#[tokio::test]
async fn a_server_that_closes_tells_its_devices_and_leaves_no_task() {
    let mut server = serve(ServerConfig::default());
    let mut client = connect(&server, "m").await;
    assert!(matches!(next(&mut server).await.2, Event::Register(_)));
    let addr = server.local_addr();
    server.shut_down().await;
    assert_eq!(end(&mut client).await, Ended::PeerClosed(CloseCode::GOING_DOWN));
    client.shut_down().await;
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_server_whose_events_nobody_takes_acknowledges_nothing_and_closes() {
    let mut server = serve(ServerConfig::default());
    let mut client = connect(&server, "m").await;
    assert!(matches!(next(&mut server).await.2, Event::Register(_)));
    client.session().send(0, Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(next(&mut server).await.2, Event::Data { .. }));
    drop(server);
    assert!(matches!(client.next_event().await, Some(Event::Welcomed { .. })));
    let Some(Event::Closed { cause, counters, .. }) = client.next_event().await else { panic!("acknowledged") };
    assert_eq!(cause, Ended::PeerClosed(CloseCode::GOING_DOWN));
    assert_eq!((counters.data_sent, counters.data_unacknowledged), (1, 1));
}

#[tokio::test]
async fn a_port_in_use_and_a_port_where_nobody_is_are_errors() {
    let server = serve(ServerConfig::default());
    let again = TcpServer::bind(server.local_addr(), ServerConfig::default(), CancellationToken::new());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let addr = server.local_addr();
    server.shut_down().await;
    let refused = TcpClient::connect(addr, &ClientConfig::new("m"), CancellationToken::new()).await;
    assert!(matches!(refused, Err(ConnectError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused));
    let nobody = TcpClient::connect(addr, &ClientConfig::new(""), CancellationToken::new()).await;
    assert!(matches!(nobody, Err(ConnectError::Identity(_))));
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_left() {
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let config = ClientConfig::new("m");
    let mut client =
        TcpClient::connect(listener.local_addr().unwrap(), &config, CancellationToken::new()).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut frame = Vec::new();
    let data = dtu_proto::message::Data { seq: 0, channel: 0, body: b"x" };
    dtu_proto::Native::new().encode_to(&dtu_proto::Message::Data(data), &mut frame).unwrap();
    socket.write_all(&frame).await.unwrap();
    let violation = Violation::FirstMessage { kind: dtu_proto::message::kind::DATA };
    assert_eq!(end(&mut client).await, Ended::Violation(violation));
}

#[tokio::test]
async fn a_cancelled_client_closes_and_ends() {
    let mut server = serve(ServerConfig::default());
    let cancel = CancellationToken::new();
    let mut client = TcpClient::connect(server.local_addr(), &ClientConfig::new("m"), cancel.clone()).await.unwrap();
    assert!(matches!(next(&mut server).await.2, Event::Register(_)));
    cancel.cancel();
    assert_eq!(end(&mut client).await, Ended::Closed(CloseCode::GOING_DOWN));
    assert!(client.next_event().await.is_none());
    client.shut_down().await;
    let event = next(&mut server).await.2;
    assert!(matches!(event, Event::Closed { cause: Ended::PeerClosed(CloseCode::GOING_DOWN), .. }), "{event:?}");
}
