//! DATA up and down, and what happens when one side is slow.

use crate::{LONG, connect, device, dial, expect_numbers, number, numbered, reach, serve};
use core::time::Duration;
use dtu_net::driver::{ServerConfig, Session};
use dtu_net::{Cause, Outcome, Outgoing, Received, SendError, State};
use dtu_proto::message::CloseCode;

#[tokio::test]
async fn data_goes_up_is_committed_and_acknowledged_and_data_goes_down() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "meter-7");
    let up = client.session().send(Outgoing::new(2, "up")).await.unwrap();
    let session = server.accept().await.unwrap();
    assert_eq!(&**session.device(), "meter-7");
    let received = session.recv().await.unwrap();
    assert!(matches!(&received, Received::Data { seq: 0, channel: 2, body, .. } if body == "up"), "{received:?}");
    let down = session.send(Outgoing::new(0, "down")).await.unwrap();
    let answer = client.session().recv().await.unwrap();
    assert!(matches!(&answer, Received::Data { seq: 0, body, .. } if body == "down"), "{answer:?}");
    assert_eq!(client.session().counters().ledger.pending, 1, "nothing is acknowledged before the commit");
    session.commit(received.mark()).unwrap();
    assert_eq!(up.await, Outcome::Acked);
    client.session().commit(answer.mark()).unwrap();
    assert_eq!(down.await, Outcome::Acked);
    client.shut_down(Duration::from_secs(5)).await;
    assert_eq!(session.closed().await.state, State::Closed);
    assert_eq!(session.recv().await, None);
    server.shut_down(Duration::ZERO).await;
}

#[tokio::test]
async fn more_than_a_window_and_an_outbox_passes_in_order_in_both_directions() {
    const COUNT: u32 = 5_000;
    async fn send_all<R: dtu_net::link::Role>(session: &Session<R>) {
        let mut last = None;
        for value in 0..COUNT {
            last = Some(session.send(numbered(value)).await.unwrap());
        }
        assert_eq!(last.unwrap().await, Outcome::Acked);
    }
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    tokio::join!(
        send_all(client.session()),
        send_all(&session),
        expect_numbers(client.session(), 0, COUNT),
        expect_numbers(&session, 0, COUNT),
    );
    for ledger in [client.session().counters().ledger, session.counters().ledger] {
        assert_eq!((ledger.taken, ledger.acked, ledger.pending), (COUNT.into(), COUNT.into(), 0));
    }
}

#[tokio::test]
async fn an_application_that_does_not_receive_stops_the_device_and_loses_nothing() {
    const COUNT: u32 = 2_000;
    const BODY: usize = 4096;
    let mut config = ServerConfig::default();
    (config.limits.window, config.limits.receive) = (u16::MAX, 8 * BODY);
    config.receive_buffer = Some(4096);
    let mut server = serve(config);
    let mut device = device("m");
    device.limits.outbox.bytes = 16 * BODY;
    let client = dial(server.local_addr(), device);
    let session = server.accept().await.unwrap();
    let body = |number: u32| Outgoing::new(0, [&number.to_be_bytes()[..], &[0; BODY - 4]].concat());
    // As much as goes in while nobody receives: the outbox holds it, as nothing is acknowledged.
    let mut sent = 0;
    loop {
        match client.session().try_send(body(sent)) {
            Ok(receipt) => drop(receipt),
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
        sent += 1;
    }
    assert_eq!(sent, 16);
    let sender = async {
        for number in sent..COUNT {
            let _nobody_asks = client.session().send(body(number)).await.unwrap();
        }
    };
    let receiver = async {
        for expected in 0..COUNT {
            let received = session.recv().await.unwrap();
            let Received::Data { body, .. } = &received else { panic!("{received:?}") };
            assert_eq!((&body[..4], body.len()), (&expected.to_be_bytes()[..], BODY));
            session.commit(received.mark()).unwrap();
        }
    };
    tokio::join!(sender, receiver);
    assert_eq!(session.counters().repeated, 0);
    client.shut_down(LONG).await;
}

#[tokio::test]
async fn what_waits_for_the_application_is_bounded() {
    const BODY: usize = 1024;
    let mut config = ServerConfig::default();
    (config.limits.window, config.limits.receive) = (u16::MAX, 8 * BODY);
    config.receive_buffer = Some(4096);
    let mut server = serve(config);
    let mut device = device("m");
    (device.limits.outbox.frames, device.limits.outbox.bytes) = (65_535, 60_000 * BODY);
    let client = dial(server.local_addr(), device);
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    let mut last = None;
    for _ in 0..60_000 {
        last = Some(client.session().try_send(Outgoing::new(0, vec![7; BODY])).unwrap());
    }
    // Both tasks run until neither gets on: the sockets are full, and nobody is woken any more.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    // One read more than the bound may have come in.
    let received = session.counters().received;
    let bound = (8 * BODY + 16 * 1024) / BODY + 1;
    assert!((1..=u64::try_from(bound).unwrap()).contains(&received), "{received} received, at most {bound} may wait");
    while let Some(received) = session.try_recv() {
        session.commit(received.mark()).unwrap();
    }
    client.session().close(CloseCode::DONE, "", Duration::ZERO);
    assert_eq!(last.unwrap().await, Outcome::Abandoned);
}

#[tokio::test]
async fn the_last_hand_that_is_dropped_closes_the_link() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    let receipt = client.session().send(numbered(0)).await.unwrap();
    let second = session.clone();
    drop(session);
    let received = second.recv().await.unwrap();
    assert_eq!(number(&received), 0, "one hand is enough");
    second.commit(received.mark()).unwrap();
    assert_eq!(receipt.await, Outcome::Acked);
    drop(second);
    // The server has nobody any more who could take responsibility. To the device it is going down, and it comes again.
    let again = server.accept().await.unwrap();
    let receipt = client.session().send(numbered(1)).await.unwrap();
    expect_numbers(&again, 1, 2).await;
    assert_eq!(receipt.await, Outcome::Acked);
    let device = client.session().clone();
    drop(client);
    assert!(device.state().state.is_up(), "one hand is enough");
    drop(device);
    reach(&again, State::Disconnected).await;
    assert_eq!(again.state().cause, Some(Cause::PeerClosed(CloseCode::GOING_DOWN)));
}

#[tokio::test]
async fn a_receipt_tells_each_outcome() {
    let mut server = serve(ServerConfig::default());
    let mut config = device("m");
    config.limits.outbox.frames = 2;
    config.limits.outbox.when_full = dtu_net::limits::WhenFull::DropOldest;
    let client = dial(server.local_addr(), config);
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    let acked = client.session().send(numbered(0)).await.unwrap();
    expect_numbers(&session, 0, 1).await;
    assert_eq!(acked.await, Outcome::Acked);
    let refused = client.session().send(numbered(1)).await.unwrap();
    let now = crate::now().into_std();
    let expired = client.session().send(numbered(2).with_deadline(now)).await.unwrap();
    let abandoned = client.session().send(numbered(3)).await.unwrap();
    assert_eq!(refused.await, Outcome::Refused);
    assert_eq!(expired.await, Outcome::Expired);
    let books = client.session().clone();
    client.shut_down(Duration::ZERO).await;
    assert_eq!(abandoned.await, Outcome::Abandoned);
    let ledger = books.counters().ledger;
    assert!(ledger.balances());
    assert_eq!((ledger.acked, ledger.refused, ledger.expired, ledger.abandoned), (1, 1, 1, 1));
    assert!(matches!(books.send(numbered(4)).await, Err(SendError::Closed)));
}
