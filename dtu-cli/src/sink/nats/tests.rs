//! The sink before a real server, and before one that is none.

use super::*;
use crate::nats::nats_server::NatsServer;
use crate::sink::Key;
use async_nats::jetstream::{self, stream::Config};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

mod fake;

use fake::{Fake, Says};

/// As long as a line of 64 KiB of DATA is.
const LONGEST_LINE: usize = 132_000;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn nats(addr: &str) -> NatsSettings {
    toml::from_str(&format!("servers = ['{addr}']")).unwrap()
}

async fn sink_with(addr: &str, settings: &str) -> NatsSink {
    let settings = toml::from_str(settings).unwrap();
    NatsSink::new(&settings, &nats(addr), "gw-1", LONGEST_LINE).await.unwrap()
}

/// Waits a little for what does not come.
async fn sink(addr: &str) -> NatsSink {
    sink_with(addr, "timeout = '1s'").await
}

async fn context(addr: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(addr).await.unwrap())
}

fn push(batch: &mut Batch, device: &str, event: &'static str, key: Option<Key>, line: &str) {
    let device: Arc<str> = device.into();
    let write = |out: &mut Vec<u8>| -> io::Result<()> {
        out.extend(line.as_bytes());
        Ok(())
    };
    batch.push(Some(&device), event, key, write).unwrap();
}

/// DATA number `seq` of some devices.
fn data(devices: u32, seq: u32) -> Batch {
    let mut batch = Batch::default();
    for device in 0..devices {
        let line = format!("{{\"device\":{device},\"seq\":{seq}}}");
        push(&mut batch, &format!("d-{device}"), "data", Some(Key { stream: 1, seq }), &line);
    }
    batch
}

async fn unavailable(sink: &mut NatsSink, batch: &Batch) -> String {
    match sink.store(batch).await {
        Err(SinkError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// All that the stream has, in its order: subjects and bodies.
async fn kept(addr: &str) -> Vec<(String, String)> {
    let stream = context(addr).await.get_stream("DTU").await.unwrap();
    let state = &stream.cached_info().state;
    let mut kept = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        kept.push((message.subject.to_string(), String::from_utf8(message.payload.to_vec()).unwrap()));
    }
    kept
}

#[tokio::test]
async fn a_batch_that_is_stored_twice_is_there_once_in_its_order() {
    let Some(server) = NatsServer::start() else { return };
    let mut batch = data(3, 7);
    push(&mut batch, "a.b", "frame", None, "{\"event\":\"frame\"}");
    push(&mut batch, "a.b", "connected", None, "{\"event\":\"connected\"}");
    let expected = [
        ("dtu.d-0.data", "{\"device\":0,\"seq\":7}"),
        ("dtu.d-1.data", "{\"device\":1,\"seq\":7}"),
        ("dtu.d-2.data", "{\"device\":2,\"seq\":7}"),
        ("dtu.a%2Eb.frame", "{\"event\":\"frame\"}"),
    ]
    .map(|(subject, line)| (subject.to_owned(), line.to_owned()));
    let mut one = sink(&server.addr()).await;
    assert_eq!(one.keeps(&batch), expected.len());
    one.keep(&batch).await.map_err(|_| ()).unwrap();
    // As if the word of it had been lost.
    one.store(&batch).await.unwrap();
    assert_eq!(kept(&server.addr()).await, expected);
    // Another gateway gets the DATA again.
    sink(&server.addr()).await.store(&data(3, 7)).await.unwrap();
    assert_eq!(kept(&server.addr()).await, expected);
    // The same frame another time is another frame.
    one.store(&batch).await.unwrap();
    assert_eq!(kept(&server.addr()).await.len(), expected.len() + 1);
}

#[tokio::test]
async fn other_events_are_kept_for_who_wants_them_also_those_of_nobody() {
    let Some(server) = NatsServer::start() else { return };
    let mut batch = Batch::default();
    push(&mut batch, "d", "connected", None, "1");
    batch.push::<io::Error>(None, "refused", None, |_| Ok(())).unwrap();
    let mut sink = sink_with(&server.addr(), "events = true\nprefix = 'plant.7'").await;
    assert_eq!(sink.keeps(&batch), 2);
    sink.store(&batch).await.unwrap();
    let subjects: Vec<_> = kept(&server.addr()).await.into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["plant.7.d.connected", "plant.7.%.refused"]);
}

#[tokio::test]
async fn a_batch_of_many_goes_through_few_places() {
    let Some(server) = NatsServer::start() else { return };
    let mut sink = sink_with(&server.addr(), "max_in_flight = 3").await;
    sink.store(&data(100, 0)).await.unwrap();
    assert_eq!(kept(&server.addr()).await.len(), 100);
}

#[tokio::test]
async fn a_server_that_is_away_is_told_and_gets_the_batch_when_it_is_back() {
    let Some(mut server) = NatsServer::prepare("") else { return };
    let addr = server.addr();
    let mut sink = sink(&addr).await;
    let why = unavailable(&mut sink, &data(2, 0)).await;
    assert!(why.starts_with("NATS is not reached: ") && why.contains(&addr), "{why}");
    let _server = tokio::task::spawn_blocking(move || {
        server.up();
        server
    })
    .await
    .unwrap();
    until_stored(&mut sink, &data(2, 0)).await;
    assert_eq!(kept(&addr).await.len(), 2);
}

/// Stores a batch however often it takes.
async fn until_stored(sink: &mut NatsSink, batch: &Batch) {
    let stored = async { while sink.store(batch).await.is_err() {} };
    tokio::time::timeout(PATIENCE, stored).await.expect("the broker is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_there_once_although_the_server_is_killed_under_load() {
    const BATCHES: u32 = 400;
    const DEVICES: u32 = 50;
    let Some(mut server) = NatsServer::start() else { return };
    let addr = server.addr();
    let (progress, mut watched) = tokio::sync::watch::channel(0);
    // At a quarter, a half and three quarters of the load, whatever is under way.
    let killer = tokio::spawn(async move {
        for quarter in 1..4 {
            watched.wait_for(|stored| *stored >= BATCHES * quarter / 4).await.unwrap();
            server.kill();
            server = tokio::task::spawn_blocking(move || {
                server.up();
                server
            })
            .await
            .unwrap();
        }
        server
    });
    let mut sink = sink(&addr).await;
    let mut repeats = 0;
    for seq in 0..BATCHES {
        let batch = data(DEVICES, seq);
        let stored = async {
            while sink.store(&batch).await.is_err() {
                repeats += 1;
            }
        };
        tokio::time::timeout(PATIENCE, stored).await.expect("the broker is back");
        progress.send_replace(seq);
    }
    let _server = tokio::time::timeout(PATIENCE, killer).await.unwrap().unwrap();
    assert!(repeats > 0, "no batch was hit");
    let mut times = HashMap::new();
    for (_, line) in kept(&addr).await {
        *times.entry(line).or_insert(0) += 1;
    }
    assert_eq!(times.len(), (BATCHES * DEVICES) as usize, "some are lost");
    assert!(times.values().all(|&times| times == 1), "some are there twice");
}

#[tokio::test]
async fn a_stream_that_does_not_take_the_subjects_is_told_and_used_once_it_does() {
    let Some(server) = NatsServer::start() else { return };
    let context = context(&server.addr()).await;
    let config = |subject: &str| Config { name: "DTU".into(), subjects: vec![subject.into()], ..Config::default() };
    context.create_stream(config("other.*")).await.unwrap();
    let mut sink = sink(&server.addr()).await;
    let why = unavailable(&mut sink, &data(1, 0)).await;
    assert_eq!(why, "the stream DTU does not take dtu.*.*; its subjects: other.*");
    context.update_stream(config("dtu.>")).await.unwrap();
    sink.store(&data(1, 0)).await.unwrap();
    assert_eq!(kept(&server.addr()).await.len(), 1);
    // It is looked at again after it has vanished, and made anew.
    context.delete_stream("DTU").await.unwrap();
    let why = unavailable(&mut sink, &data(1, 1)).await;
    assert_eq!(why, "the stream DTU is gone");
    sink.store(&data(1, 1)).await.unwrap();
    assert_eq!(kept(&server.addr()).await.len(), 1);
}

#[tokio::test]
async fn a_line_that_may_be_too_long_for_the_server_is_told_before_there_is_one() {
    let Some(server) = NatsServer::start_with("max_payload: 64KB") else { return };
    let mut sink = sink(&server.addr()).await;
    let why = unavailable(&mut sink, &data(1, 0)).await;
    assert!(why.contains("65536 bytes") && why.contains("`limits.max_payload`"), "{why}");
}

#[tokio::test]
async fn the_longest_line_goes_where_it_was_said_to_go() {
    let more = format!("max_payload: {}", LONGEST_LINE + AROUND);
    let Some(server) = NatsServer::start_with(&more) else { return };
    let mut batch = Batch::default();
    let key = Some(Key { stream: u64::MAX, seq: u32::MAX });
    push(&mut batch, &"\u{1}".repeat(64), "data", key, &"x".repeat(LONGEST_LINE));
    sink(&server.addr()).await.store(&batch).await.unwrap();
}

#[tokio::test]
async fn a_full_stream_presses_back_until_there_is_room() {
    let Some(server) = NatsServer::start() else { return };
    let mut sink = sink_with(&server.addr(), "max_bytes = '4KiB'").await;
    let mut seq = 0;
    while sink.store(&data(1, seq)).await.is_ok() {
        seq += 1;
        assert!(seq < 1000, "it is never full");
    }
    let why = unavailable(&mut sink, &data(1, seq)).await;
    assert!(why.contains("maximum bytes exceeded"), "{why}");
    assert_eq!(kept(&server.addr()).await.len(), seq as usize, "nothing was dropped");
    context(&server.addr()).await.get_stream("DTU").await.unwrap().purge().await.unwrap();
    sink.store(&data(1, seq)).await.unwrap();
}

#[tokio::test]
async fn what_was_kept_of_a_batch_before_an_error_is_not_kept_again() {
    let Some(server) = NatsServer::start() else { return };
    let mut sink = sink_with(&server.addr(), "max_bytes = '2KiB'").await;
    let mut batch = Batch::default();
    for number in 0..40 {
        push(&mut batch, "d", "frame", None, &format!("{{\"frame\":{number}}}"));
    }
    unavailable(&mut sink, &batch).await;
    let before = kept(&server.addr()).await.len();
    assert!((1..40).contains(&before), "{before}");
    let context = context(&server.addr()).await;
    let config = context.get_stream("DTU").await.unwrap().cached_info().config.clone();
    context.update_stream(Config { max_bytes: -1, ..config }).await.unwrap();
    sink.store(&batch).await.unwrap();
    assert_eq!(kept(&server.addr()).await.len(), 40);
}

#[tokio::test]
async fn a_server_without_jetstream_is_told() {
    let Some(mut server) = NatsServer::prepare("") else { return };
    server.without_jetstream();
    server.up();
    let why = unavailable(&mut sink(&server.addr()).await, &data(1, 0)).await;
    assert!(why.starts_with("cannot look at the stream DTU: "), "{why}");
}

#[tokio::test]
async fn an_acknowledgement_that_is_none_keeps_nothing() {
    for (says, expected) in [
        (Says::WrongStream, "the stream OTHER acknowledges instead of DTU"),
        (Says::Nonsense, "the stream DTU refuses: publish failed: "),
        (Says::Nothing, "the stream DTU does not acknowledge within 1s"),
    ] {
        let fake = Fake::start(says).await;
        let why = unavailable(&mut sink(&fake.addr()).await, &data(3, 0)).await;
        assert!(why.starts_with(expected), "{why:?} for {says:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_connected_anew_and_used_there() {
    let fake = Fake::start(Says::NothingAtFirst).await;
    let mut sink = sink(&fake.addr()).await;
    unavailable(&mut sink, &data(1, 0)).await;
    sink.store(&data(1, 0)).await.unwrap();
    assert_eq!(fake.connections(), 2);
}

/// Behind the same name there may be another server, or the stream may be another one.
#[tokio::test]
async fn the_stream_is_looked_at_once_a_connection() {
    let fake = Fake::start(Says::Yes).await;
    let mut sink = sink(&fake.addr()).await;
    for connection in 1..=3 {
        sink.store(&data(1, 0)).await.unwrap();
        sink.store(&data(1, 1)).await.unwrap();
        assert_eq!((fake.connections(), fake.looks()), (connection, connection));
        let epoch = sink.connection.epoch();
        fake.hang_up();
        let lost = sink.connection.lost(epoch);
        tokio::time::timeout(PATIENCE, lost).await.unwrap();
        sink.connection.up(PATIENCE).await.unwrap();
    }
}
