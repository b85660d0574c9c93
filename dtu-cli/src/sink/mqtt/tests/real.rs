//! With a real broker.

use super::mosquitto::Mosquitto;
use super::*;
use crate::sink::mqtt::settings::MqttTls;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use std::collections::BTreeMap;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber whose session outlives its connections.
async fn subscriber(port: u16) -> EventLoop {
    let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("dtu/#", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Incoming::SubAck(_))) {}
    // The events end when nobody can ask for any.
    core::mem::forget(client);
    events
}

/// How often each body came, until there are `count` of them.
async fn receive(mut events: EventLoop, count: usize) -> BTreeMap<String, usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let all = async {
        while seen.len() < count {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    *seen.entry(String::from_utf8(publish.payload.to_vec()).unwrap()).or_default() += 1;
                }
                Ok(_) => {}
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert!(timeout(PATIENCE, all).await.is_ok(), "{} of {count} have come", seen.len());
    seen
}

#[tokio::test]
async fn everything_arrives_once_in_topics_of_its_device() {
    let Some(broker) = Mosquitto::start(|_| String::new()) else { return };
    let events = subscriber(broker.port).await;
    let mut sink = sink(&settings(broker.port));
    for from in 0..20 {
        stored(&mut sink, batch("meter/7", from * 50, 50)).await.unwrap();
    }
    let seen = receive(events, 1000).await;
    assert!(seen.values().all(|&times| times == 1), "{seen:?}");
}

#[tokio::test]
async fn a_broker_that_is_restarted_under_load_loses_nothing() {
    let Some(mut broker) = Mosquitto::start(|_| String::new()) else { return };
    let events = subscriber(broker.port).await;
    let reader = tokio::spawn(receive(events, 4000));
    let settings = MqttSettings { in_flight: 20, ..settings(broker.port) };
    let writer = tokio::spawn(async move {
        let (mut sink, mut failures) = (sink(&settings), 0);
        for from in 0..40 {
            let batch = batch("m", from * 100, 100);
            while stored(&mut sink, &batch).await.is_err() {
                failures += 1;
                sleep(Duration::from_millis(20)).await;
            }
            // The broker goes between any two of them, and within.
            sleep(Duration::from_millis(5)).await;
        }
        failures
    });
    for _ in 0..3 {
        sleep(Duration::from_millis(60)).await;
        broker.end();
        sleep(Duration::from_millis(60)).await;
        broker.restart();
    }
    let failures = timeout(PATIENCE, writer).await.unwrap().unwrap();
    let seen = reader.await.unwrap();
    let repeats: usize = seen.values().map(|times| times - 1).sum();
    println!("{failures} batches failed, {repeats} of 4000 records came more than once");
    assert!(repeats <= 20 * 2 * 4, "{repeats}: at most what is in flight each time, on either side of the broker");
}

#[tokio::test]
async fn over_tls_the_broker_has_to_show_who_it_is_and_the_gateway_too() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut paths = Vec::new();
    let broker = Mosquitto::start(|dir| {
        paths = ["cert", "key", "other"].map(|name| dir.join(name)).into();
        let texts = [certified.cert.pem(), certified.signing_key.serialize_pem(), other.cert.pem()];
        for (path, text) in paths.iter().zip(texts) {
            std::fs::write(path, text).unwrap();
        }
        format!("certfile {}\nkeyfile {}", paths[0].display(), paths[1].display())
    });
    let Some(broker) = broker else { return };
    let tls = |ca: usize| Some(MqttTls { ca: Some(paths[ca].clone()), cert: None, key: None });
    let with = |ca| MqttSettings { broker: format!("mqtts://localhost:{}", broker.port), tls: tls(ca), ..settings(1) };
    stored(&mut sink(&with(0)), batch("a", 0, 10)).await.unwrap();
    let said = stored(&mut sink(&with(2)), batch("a", 0, 10)).await.unwrap_err();
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let passwords = "password_file";
    let broker = Mosquitto::start(|dir| {
        std::fs::write(dir.join("users"), "").unwrap();
        format!("allow_anonymous false\n{passwords} {}", dir.join("users").display())
    });
    let Some(broker) = broker else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    let password_file = Some(file.path().to_owned());
    let settings = MqttSettings { user: Some("gw".into()), password_file, ..settings(broker.port) };
    let said = stored(&mut sink(&settings), batch("a", 0, 1)).await.unwrap_err();
    assert!(said.contains("refused the connection: NotAuthorized") || said.contains("BadUserNamePassword"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
