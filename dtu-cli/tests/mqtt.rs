//! A gateway that publishes to a real broker.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

#[path = "../src/sink/mqtt/tests/mosquitto.rs"]
mod mosquitto;
mod support;

use core::time::Duration;
use mosquitto::Mosquitto;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Client, Event, Incoming, MqttOptions};
use serde_json::Value;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use support::{PATIENCE, Process, connect, dtu, listening};
use tempfile::TempDir;

/// Topics and bodies, for as long as the broker is there, and again when it is.
fn subscribe(port: u16) -> Receiver<(String, Value)> {
    let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let (client, mut connection) = Client::new(options, 10);
    client.subscribe("plant/#", QoS::AtLeastOnce).unwrap();
    let ((subscribed, waits), (sender, received)) = (channel(), channel());
    thread::spawn(move || {
        let _client = client;
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Incoming::SubAck(_))) => subscribed.send(()).unwrap(),
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                    if sender.send((topic, serde_json::from_slice(&publish.payload).unwrap())).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    waits.recv_timeout(PATIENCE).unwrap();
    received
}

#[test]
fn what_a_device_sent_is_published_before_it_is_acknowledged_and_a_broker_that_is_away_presses_back() {
    let Some(mut broker) = Mosquitto::start(|_| String::new()) else { return };
    let received = subscribe(broker.port);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("gateway.toml");
    let config = format!(
        "[gateway]\nid = 'gw-1'\n[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n[[sink]]\nkind = 'mqtt'\n\
         broker = 'mqtt://127.0.0.1:{}'\nprefix = 'plant/7'\ntimeout = '5s'\n",
        broker.port
    );
    std::fs::write(&file, config).unwrap();
    let serve = Process::spawn(dtu(&["serve", "--config", file.to_str().unwrap()]).stdout(Stdio::null()));
    let addr = listening(&serve);
    let send = |text: &str| {
        let mut device = connect(&addr, &["--id", "a/b", "--drain", "60"]);
        std::io::Write::write_all(&mut device.stdin(), text.as_bytes()).unwrap();
        device
    };
    send("one").succeeds();
    let (topic, body) = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&*topic, &body["body"], &body["device"]), ("plant/7/a%2Fb/data", &"6f6e65".into(), &"a/b".into()));

    broker.end();
    // It is acknowledged when the broker is there again, and not before.
    let device = send("two");
    thread::sleep(Duration::from_millis(300));
    broker.restart();
    device.succeeds();
    let found = core::iter::from_fn(|| received.recv_timeout(PATIENCE).ok()).find(|(_, body)| body["body"] != "6f6e65");
    assert_eq!(found.unwrap().1["body"], "74776f");
}

#[test]
fn a_mistake_in_the_section_is_told_with_its_line_and_key() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("gateway.toml");
    let config = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n[[sink]]\nkind = 'mqtt'\nbroker = 'mqtt://a'\nin_flight = 0\n\
                  [capture]\ndir = 'x'\nqueue = '1KiB'\n";
    std::fs::write(&file, config).unwrap();
    let output = dtu(&["config", "check", file.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("line 7: sink[0].in_flight: 0 is not allowed, but 1 to 4096"), "{said}");
    assert!(said.contains("line 10: capture.queue: 1KiB is too small"), "{said}");
}
