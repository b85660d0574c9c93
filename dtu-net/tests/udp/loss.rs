//! What a session on datagrams does when they are lost, doubled or overtaken. A lost one costs a real second, so that the
//! cases run side by side.

use crate::relay::{ACK, CHALLENGE, DATA, Fate, PING, PONG, PROOF, REGISTER, Relay, WELCOME, Way};
use crate::*;
use tokio::task::JoinSet;

async fn carries_both_ways_without(open: bool, way: Way, kind: u8) {
    let config = if open { ServerConfig::default() } else { keyed(&["meter-7"]) };
    let (mut server, addr) = serve(config);
    let relay = Relay::start(
        addr,
        move |on, of, number| {
            if (on, of, number) == (way, kind, 0) { Fate::Drop } else { Fate::Pass }
        },
    )
    .await;
    let client = dial(relay.addr, device("meter-7"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 5).await;
    let case = format!("open {open}, without the first {kind:#04x} {way:?}");
    let first = relay.seen().iter().filter(|seen| (seen.way, seen.kind) == (way, kind)).count();
    assert!(first >= 1, "{case}: it never came");
    assert_eq!(session.counters().connected, 1, "{case}: it took more than one connection");
    assert_eq!(session.counters().received, 5, "{case}");
    assert_eq!(client.session().counters().received, 5, "{case}");
    shut_down(client, server).await;
}

#[tokio::test]
async fn whatever_is_lost_everything_arrives_once_and_in_order_on_the_same_connection() {
    let cases = [
        (false, Way::Up, REGISTER),
        (false, Way::Down, CHALLENGE),
        (false, Way::Up, PROOF),
        (false, Way::Down, WELCOME),
        (false, Way::Up, DATA),
        (false, Way::Down, DATA),
        (false, Way::Up, ACK),
        (false, Way::Down, ACK),
        (false, Way::Up, PING),
        (false, Way::Down, PONG),
        (true, Way::Up, REGISTER),
        (true, Way::Down, WELCOME),
        (true, Way::Down, PING),
        (true, Way::Up, PONG),
        (true, Way::Up, DATA),
    ];
    let mut running = JoinSet::new();
    for (open, way, kind) in cases {
        running.spawn(carries_both_ways_without(open, way, kind));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn doubled_datagrams_do_nothing_twice() {
    for open in [true, false] {
        let (mut server, addr) = serve(if open { ServerConfig::default() } else { keyed(&["meter-7"]) });
        let relay = Relay::start(addr, |_, _, _| Fate::Twice).await;
        let client = dial(relay.addr, device("meter-7"));
        let session = accept(&mut server).await;
        exchange(&session, client.session(), 20).await;
        let (at_server, at_client) = (session.counters(), client.session().counters());
        assert_eq!((at_server.connected, at_client.connected), (1, 1), "open {open}");
        assert_eq!((at_server.received, at_client.received), (20, 20), "open {open}");
        assert!(at_server.repeated > 0 && at_client.repeated > 0, "open {open}: {at_server:?}");
        shut_down(client, server).await;
    }
}

#[tokio::test]
async fn datagrams_that_overtake_each_other_are_put_in_order() {
    let (mut server, addr) = serve(ServerConfig::default());
    // Of each two DATA the second comes first; a repeat passes, so that none is held for ever.
    let relay =
        Relay::start(
            addr,
            |_, kind, number| {
                if kind == DATA && number < 20 && number % 2 == 0 { Fate::Behind } else { Fate::Pass }
            },
        )
        .await;
    let client = dial(relay.addr, device("meter-7"));
    let session = accept(&mut server).await;
    exchange(&session, client.session(), 20).await;
    let (at_server, at_client) = (session.counters(), client.session().counters());
    assert_eq!((at_server.received, at_client.received), (20, 20));
    assert_eq!((at_server.connected, at_client.connected), (1, 1));
    shut_down(client, server).await;
}
