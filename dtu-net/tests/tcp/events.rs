//! What is told to who listens: events, the state, metrics and spans.

use crate::relay::{Cut, Relay};
use crate::{connect, device, dial, expect_numbers, numbered, reach, serve};
use core::fmt::Debug;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use dtu_net::driver::{Client, Endpoints, LinkEvent, Server, ServerConfig, Target};
use dtu_net::{Event, State};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

#[tokio::test]
async fn a_slow_listener_is_told_how_many_events_it_missed() {
    const QUEUE: usize = 4;
    let mut config = ServerConfig::default();
    config.event_queue = QUEUE;
    let mut server = serve(config);
    let (mut slow, mut quick) = (server.events(), server.events());
    let relay = Relay::to(server.local_addr()).await;
    let client = dial(relay.addr, device("m"));
    let session = server.accept().await.unwrap();
    let mut told = 0;
    for round in 1..=5 {
        while session.counters().connected < round || session.state().state != State::Connected {
            session.watch().changed().await;
        }
        reach(client.session(), State::Connected).await;
        while let Ok(event) = quick.try_recv() {
            assert!(matches!(event, LinkEvent::Link { device, .. } if &*device == "m"));
            told += 1;
        }
        relay.cut(Cut::Whole);
        reach(client.session(), State::Connected).await;
    }
    let missed = match slow.recv().await {
        Err(RecvError::Lagged(missed)) => missed,
        other => panic!("{other:?}"),
    };
    assert!(missed >= told - 4, "{missed} missed, {told} were told");
    let mut heard = 0;
    while slow.try_recv().is_ok() {
        heard += 1;
    }
    assert!(heard >= 1, "it goes on with the oldest that is still there");
}

#[tokio::test]
async fn a_watch_sees_the_newest_state_and_not_each() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    let mut watch = client.session().watch();
    let session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    // Meanwhile it was connecting and registering.
    assert_eq!(watch.changed().await.state, State::Connected);
    let mut late = client.session().watch();
    drop(session);
    server.shut_down(Duration::ZERO).await;
    let change = late.changed().await;
    assert!(change.cause.is_some() || change.state != State::Connected, "{change:?}");
}

#[tokio::test]
async fn counters_tell_what_the_link_and_the_server_have_carried() {
    let mut server = serve(ServerConfig::default());
    let mut events = server.events();
    let client = connect(&server, "m");
    let session = server.accept().await.unwrap();
    for number in 0..10 {
        drop(client.session().send(numbered(number)).await.unwrap());
    }
    expect_numbers(&session, 0, 10).await;
    client.shut_down(crate::LONG).await;
    session.closed().await;
    let counters = session.counters();
    assert_eq!((counters.connected, counters.received, counters.repeated, counters.resent), (1, 10, 0, 0));
    // REGISTER, DATA and CLOSE.
    assert_eq!(counters.line.frames, 12, "also of a connection that is over");
    let seen = server.counters();
    assert_eq!((seen.connections, seen.busy.total(), seen.refused), (1, 0, 0));
    let mut told = Vec::new();
    while let Ok(LinkEvent::Link { event, epoch, .. }) = events.try_recv() {
        assert_eq!(epoch.number(), 1);
        told.push(event);
    }
    assert!(matches!(&told[..], [Event::State(_), Event::Resumed(_), Event::State(_)]), "{told:?}");
}

/// Keeps counters and nothing else, by name and labels.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn the_metrics_facade_gets_what_is_counted() {
    let recorder = Counters::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let mut server = serve(ServerConfig::default());
            let client = connect(&server, "m");
            let session = server.accept().await.unwrap();
            let receipt = client.session().send(numbered(0)).await.unwrap();
            expect_numbers(&session, 0, 1).await;
            receipt.await;
            client.shut_down(Duration::ZERO).await;
            session.closed().await;
        });
    });
    let counted = recorder.0.lock().unwrap();
    let value = |name: &str| counted.get(name).map(|value| value.load(Ordering::Relaxed));
    // Of both sides.
    assert_eq!(value("dtu_state_changes_total state=connected cause="), Some(2), "{counted:?}");
    assert_eq!(value("dtu_connects_total resumed=no"), Some(2), "{counted:?}");
    assert_eq!(value("dtu_data_settled_total outcome=acked"), Some(1), "{counted:?}");
    assert_eq!(value("dtu_state_changes_total state=closed cause=peer_closed"), Some(1), "{counted:?}");
}

#[test]
fn moves_between_servers_and_probes_are_counted() {
    let recorder = Counters::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            // Nothing is listening there at first.
            let addr = serve(ServerConfig::default()).local_addr();
            let mut backup = serve(ServerConfig::default());
            let targets = [addr, backup.local_addr()].map(|addr| Target::Tcp(addr.to_string()));
            let endpoints = Endpoints::in_order(targets).unwrap();
            let config = crate::failover::config(device("m"));
            let client = Client::start(endpoints, config, CancellationToken::new()).unwrap();
            let mut events = client.events();
            let _at_backup = backup.accept().await.unwrap();
            while recorder.0.lock().unwrap().keys().all(|key| !key.starts_with("dtu_failover_probes_total")) {
                tokio::task::yield_now().await;
            }
            let mut primary = Server::bind(addr, ServerConfig::default(), CancellationToken::new()).unwrap();
            let _session = primary.accept().await.unwrap();
            assert_eq!(crate::failover::cause(&mut events).await.name(), "transport");
        });
    });
    let counted = recorder.0.lock().unwrap();
    let value = |name: &str| counted.get(name).map_or(0, |value| value.load(Ordering::Relaxed));
    assert_eq!(value("dtu_failover_total endpoint=1"), 1, "{counted:?}");
    assert_eq!(value("dtu_failover_total endpoint=0"), 1, "{counted:?}");
    assert!(value("dtu_failover_probes_total endpoint=0 outcome=failed") >= 1, "{counted:?}");
    assert!(value("dtu_failover_probes_total endpoint=0 outcome=answered") >= 2, "{counted:?}");
    assert_eq!(value("dtu_state_changes_total state=disconnected cause=moved_back"), 1, "{counted:?}");
}

/// Keeps the fields of each span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("dtu_net")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(BTreeMap::new());
        span.record(&mut fields);
        let mut spans = self.0.lock().unwrap();
        spans.push(fields.0);
        Id::from_u64(u64::try_from(spans.len()).unwrap())
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn spans_carry_the_device_and_the_epoch() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "meter-7");
    let _session = server.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    let spans = spans.0.lock().unwrap();
    let of_the_first_connection = |fields: &&BTreeMap<String, String>| {
        // Escaped, as an id is whatever a device says.
        fields.get("device").is_some_and(|device| device == "\"meter-7\"")
            && fields.get("epoch").is_some_and(|epoch| epoch == "1")
    };
    assert!(spans.iter().filter(of_the_first_connection).count() >= 2, "{spans:?}");
}

#[tokio::test]
async fn the_first_listener_of_a_device_hears_everything_from_its_start() {
    let server = serve(ServerConfig::default());
    let client = connect(&server, "m");
    // The link does all its first work before anybody asks for its events.
    reach(client.session(), State::Connected).await;
    let (mut first, mut second) = (client.events(), client.events());
    let mut states = Vec::new();
    while states.last() != Some(&State::Connected) {
        if let LinkEvent::Link { event: Event::State(change), .. } = first.recv().await.unwrap() {
            states.push(change.state);
        }
    }
    assert_eq!(states, [State::Connecting, State::Registering, State::Connected]);
    assert_eq!(second.try_recv().err(), Some(TryRecvError::Empty), "a later one hears what follows");
}
