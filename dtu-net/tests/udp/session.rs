//! What a session on datagrams does when the network is kind.

use crate::relay::loopback;
use crate::*;
use dtu_net::Cause;
use dtu_proto::message::CloseCode;

#[tokio::test]
async fn data_goes_both_ways_and_is_acknowledged_only_after_the_commit() {
    for config in [ServerConfig::default(), keyed(&["meter-7"])] {
        let (mut server, addr) = serve(config);
        let client = dial(addr, device("meter-7"));
        let up = client.session().send(Outgoing::new(2, "up")).await.unwrap();
        let session = accept(&mut server).await;
        assert_eq!(&**session.device(), "meter-7");
        let received = soon(session.recv()).await.unwrap();
        assert!(matches!(&received, Received::Data { seq: 0, channel: 2, body, .. } if body == "up"), "{received:?}");
        let down = session.send(Outgoing::new(0, "down")).await.unwrap();
        let answer = soon(client.session().recv()).await.unwrap();
        assert!(matches!(&answer, Received::Data { seq: 0, body, .. } if body == "down"), "{answer:?}");
        assert_eq!(client.session().counters().ledger.pending, 1, "nothing is acknowledged before the commit");
        session.commit(received.mark()).unwrap();
        assert_eq!(soon(up).await, Outcome::Acked);
        client.session().commit(answer.mark()).unwrap();
        assert_eq!(soon(down).await, Outcome::Acked);
        soon(client.shut_down(Duration::from_secs(5))).await;
        assert_eq!(soon(session.closed()).await.cause, Some(Cause::PeerClosed(CloseCode::DONE)));
        assert_eq!(soon(session.recv()).await, None);
        soon(server.shut_down(Duration::ZERO)).await;
    }
}

#[tokio::test]
async fn a_body_that_fills_the_longest_datagram_passes_and_one_byte_more_is_the_callers() {
    let (mut server, addr) = serve(ServerConfig::default());
    let client = dial(addr, device("meter-7"));
    let most = 1200 - 10 - 8 - 6;
    let up = client.session().send(Outgoing::new(0, vec![7; most])).await.unwrap();
    let session = accept(&mut server).await;
    assert_eq!((session.max_body(), client.session().max_body()), (most, most));
    let received = soon(session.recv()).await.unwrap();
    session.commit(received.mark()).unwrap();
    assert_eq!(soon(up).await, Outcome::Acked);
    let too_long = client.session().send(Outgoing::new(0, vec![7; most + 1])).await;
    assert_eq!(too_long.unwrap_err(), dtu_net::SendError::TooLong { length: most + 1, limit: most });
    shut_down(client, server).await;
}

#[tokio::test]
async fn two_devices_on_one_socket_do_not_meet() {
    let (mut server, addr) = serve(keyed(&["a", "b"]));
    let (a, b) = (dial(addr, device("a")), dial(addr, device("b")));
    let (one, two) = (accept(&mut server).await, accept(&mut server).await);
    let (at_a, at_b) = if &**one.device() == "a" { (one, two) } else { (two, one) };
    assert_eq!((&**at_a.device(), &**at_b.device()), ("a", "b"));
    tokio::join!(exchange(&at_a, a.session(), 100), exchange(&at_b, b.session(), 100));
    assert_eq!(server.counters().sessions, 2);
    soon(a.shut_down(Duration::from_secs(5))).await;
    shut_down(b, server).await;
}

#[tokio::test]
async fn a_device_that_comes_with_a_new_stream_takes_its_session_over_and_the_older_one_is_told() {
    let (mut server, addr) = serve(keyed(&["meter-7"]));
    let older = dial(addr, device("meter-7"));
    let mut events = older.events();
    let session = accept(&mut server).await;
    exchange(&session, older.session(), 3).await;
    let newer = dial(addr, device("meter-7"));
    let lost = state(&mut events, State::Disconnected).await;
    assert_eq!(lost.cause, Some(Cause::PeerClosed(CloseCode::REPLACED)));
    exchange(&session, newer.session(), 3).await;
    assert_eq!((session.counters().connected, server.counters().sessions), (2, 1));
    drop(older);
    shut_down(newer, server).await;
}

#[tokio::test]
async fn a_device_may_come_by_tcp_and_by_udp_and_goes_on_in_its_session() {
    let listen = Listen { tcp: Some(loopback()), udp: Some(loopback()) };
    let mut server = Server::listen(listen, keyed(&["meter-7"]), CancellationToken::new()).unwrap();
    let tcp = Target::Tcp(server.local_addr().to_string());
    let by_tcp = Client::start(tcp, ClientConfig::new(device("meter-7")), CancellationToken::new()).unwrap();
    let session = accept(&mut server).await;
    exchange(&session, by_tcp.session(), 3).await;
    let by_udp = dial(server.udp_addr().unwrap(), device("meter-7"));
    exchange(&session, by_udp.session(), 3).await;
    assert_eq!((session.counters().connected, server.counters().sessions), (2, 1));
    drop(by_tcp);
    shut_down(by_udp, server).await;
}

#[tokio::test]
async fn a_server_that_closes_waits_for_what_is_on_its_way_and_tells_the_devices() {
    let (mut server, addr) = serve(ServerConfig::default());
    let client = dial(addr, device("meter-7"));
    let mut events = client.events();
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    let down = session.send(Outgoing::new(0, "last")).await.unwrap();
    server.close(PATIENCE);
    let last = soon(client.session().recv()).await.unwrap();
    client.session().commit(last.mark()).unwrap();
    assert_eq!(soon(down).await, Outcome::Acked);
    let lost = state(&mut events, State::Disconnected).await;
    assert_eq!(lost.cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
    shut_down(client, server).await;
}

#[tokio::test]
async fn a_server_that_is_dropped_tells_the_devices() {
    let (mut server, addr) = serve(ServerConfig::default());
    let client = dial(addr, device("meter-7"));
    let mut events = client.events();
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    drop(server);
    let lost = state(&mut events, State::Disconnected).await;
    assert_eq!(lost.cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
    assert_eq!(soon(session.closed()).await.state, State::Closed);
    soon(client.shut_down(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_client_that_is_cancelled_tells_the_server() {
    let (mut server, addr) = serve(ServerConfig::default());
    let cancel = CancellationToken::new();
    let target = Target::Udp(addr.to_string());
    let client = Client::start(target, ClientConfig::new(device("meter-7")), cancel.clone()).unwrap();
    let mut events = server.events();
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 1).await;
    cancel.cancel();
    let lost = state(&mut events, State::Disconnected).await;
    assert_eq!(lost.cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
    shut_down(client, server).await;
}
