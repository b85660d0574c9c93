//! Who is not let in: bounded, refused, counted.

use super::rtu::{read, registers};
use super::{asking, config, is_over, next_refused, serve, spec, unit};
use core::time::Duration;
use dtu_net::driver::server::SWEEP;
use dtu_net::driver::transparent::TransparentServer;
use dtu_net::driver::{Bound, Flapping};
use dtu_net::transparent::{Takeover, Unknown};
use dtu_net::{Cause, State};
use dtu_proto::message::RefuseCode;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn who_never_says_who_it_is_has_its_time_and_holds_up_nobody() {
    let mut server = serve(config(&spec()));
    let mut events = server.events();
    let mut silent = unit(&server, b"").await;
    let _other = unit(&server, b"REG0001;").await;
    assert_eq!(&**server.accept().await.unwrap().device(), "0001");
    let refused = next_refused(&mut events).await;
    assert_eq!((refused.cause, refused.device), (Cause::NotIdentified { limit: Duration::from_secs(10) }, None));
    assert!(is_over(&mut silent).await);
    assert_eq!((server.counters().refused, server.counters().connections), (1, 2));
}

#[tokio::test]
async fn who_leaves_without_a_byte_has_said_nothing() {
    let server = serve(config(&spec()));
    let mut events = server.events();
    drop(unit(&server, b"").await);
    assert_eq!(next_refused(&mut events).await.cause, Cause::SaidNothing);
    drop(unit(&server, b"REG").await);
    assert_eq!(next_refused(&mut events).await.cause, Cause::Disconnected);
}

#[tokio::test]
async fn a_registration_without_an_end_is_cut_off() {
    let server = serve(config(&spec()));
    let mut events = server.events();
    let mut endless = unit(&server, b"").await;
    // It may be cut off in the middle.
    let _cut = endless.write_all(&b"REG000".repeat(10_000)).await;
    let Cause::TooMuchBeforeRegister { received, limit: 1024 } = next_refused(&mut events).await.cause else {
        unreachable!("it said too much")
    };
    assert!(received <= 2048, "{received} bytes were kept");
    assert!(is_over(&mut endless).await);
    assert_eq!((server.counters().refused, server.counters().sessions), (1, 0));
}

#[tokio::test]
async fn who_is_not_known_is_refused_where_the_profile_says_so() {
    let mut spec = spec();
    spec.unknown = Unknown::Refuse;
    let loopback = "127.0.0.1:0".parse().unwrap();
    let unset = dtu_net::driver::transparent::TransparentServer::bind(loopback, config(&spec), Default::default());
    assert_eq!(unset.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    let mut config = config(&spec);
    config.known = Some(Arc::new(|id| id == "0001"));
    let mut server = serve(config);
    let mut events = server.events();
    let mut stranger = unit(&server, b"REG0002;").await;
    let refused = next_refused(&mut events).await;
    assert_eq!((refused.cause, refused.device.as_deref()), (Cause::UnknownDevice, Some("0002")));
    assert!(is_over(&mut stranger).await);
    let _known = unit(&server, b"REG0001;").await;
    assert_eq!(&**server.accept().await.unwrap().device(), "0001");
}

#[tokio::test]
async fn who_claims_the_id_of_one_that_is_there_is_refused_where_the_profile_says_so() {
    let mut spec = spec();
    spec.takeover = Takeover::Refuse;
    let mut server = serve(config(&spec));
    let mut events = server.events();
    let first = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let mut thief = unit(&server, b"REG0001;").await;
    assert_eq!(next_refused(&mut events).await.cause, Cause::Taken);
    assert!(is_over(&mut thief).await);
    assert_eq!((session.state().state, session.state().epoch.number()), (State::Connected, 1));
    // When the first is gone, its place is free.
    drop(first);
    super::reach(&session, State::Disconnected, 1).await;
    let _again = unit(&server, b"REG0001;").await;
    super::reach(&session, State::Connected, 2).await;
}

#[tokio::test]
async fn two_units_with_one_id_do_not_chase_each_other_for_ever() {
    let mut config = config(&spec());
    let mut flapping = Flapping::default();
    (flapping.burst, flapping.every) = (3, Duration::from_secs(3600));
    config.flapping = Some(flapping);
    let mut server = serve(config);
    let mut events = server.events();
    let _first = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    let mut units = Vec::new();
    for epoch in 2..5 {
        units.push(unit(&server, b"REG0001;").await);
        super::reach(&session, State::Connected, epoch).await;
    }
    assert!(is_over(&mut units[0]).await && is_over(&mut units[1]).await);
    let mut last = unit(&server, b"REG0001;").await;
    assert_eq!(next_refused(&mut events).await.cause, Cause::TurnedAway(RefuseCode::BUSY));
    assert!(is_over(&mut last).await);
    assert_eq!(server.counters().busy.by(Bound::Flapping), 1);
}

#[tokio::test]
async fn who_finds_no_room_is_counted_by_the_bound() {
    let mut config = config(&spec());
    (config.max_sessions, config.max_connections) = (1, 2);
    let mut server = serve(config);
    let mut events = server.events();
    let _first = unit(&server, b"REG0001;").await;
    let _session = server.accept().await.unwrap();
    let mut second = unit(&server, b"REG0002;").await;
    assert_eq!(next_refused(&mut events).await.cause, Cause::TurnedAway(RefuseCode::BUSY));
    assert_eq!(server.counters().busy.by(Bound::Sessions), 1);
    let mut third = unit(&server, b"").await;
    while server.counters().connections < 3 {
        tokio::task::yield_now().await;
    }
    assert!(is_over(&mut third).await);
    assert_eq!(server.counters().busy.by(Bound::Connections), 1);
    assert!(is_over(&mut second).await);
}

/// Whether a unit that comes now finds no room for want of memory.
async fn is_turned_away_for_memory(server: &TransparentServer, id: u8) -> bool {
    let before = server.counters();
    let registration = format!("REG{id:04};");
    let mut unit = unit(server, registration.as_bytes()).await;
    while server.counters().connections == before.connections {
        tokio::task::yield_now().await;
    }
    let is_refused = server.counters().busy.by(Bound::Memory) == before.busy.by(Bound::Memory) + 1;
    assert!(!is_refused || is_over(&mut unit).await);
    is_refused
}

/// Until the server has looked at what its sessions hold.
async fn a_sweep() {
    tokio::time::sleep(SWEEP * 2).await;
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_of_all_sessions_nobody_else_is_taken() {
    let mut config = config(&spec());
    config.max_memory = 1000;
    let mut server = serve(config);
    let mut first = unit(&server, b"REG0001;").await;
    let session = server.accept().await.unwrap();
    a_sweep().await;
    assert!(!is_turned_away_for_memory(&server, 2).await);
    // Heard and not taken.
    let frames = registers(1, &[7]).repeat(100);
    first.write_all(&frames).await.unwrap();
    while session.counters().received_bytes < frames.len() as u64 {
        tokio::task::yield_now().await;
    }
    a_sweep().await;
    assert!(is_turned_away_for_memory(&server, 3).await);
    while session.try_recv().is_some() {}
    a_sweep().await;
    assert!(!is_turned_away_for_memory(&server, 4).await);
    // Asked and not answered.
    let asked: Vec<_> = (0..50).map(|_| session.try_request(asking(&read(1, 0, 2))).unwrap()).collect();
    a_sweep().await;
    assert!(is_turned_away_for_memory(&server, 5).await);
    for ticket in &asked {
        session.cancel(ticket.id());
    }
    a_sweep().await;
    assert!(!is_turned_away_for_memory(&server, 6).await);
    assert_eq!(server.counters().busy.by(Bound::Memory), 2);
}
