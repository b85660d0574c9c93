use super::{Mqtt, MqttSettings};
use crate::settings::units::Span;
use crate::sink::{Batch, Key, Sink};
use core::borrow::Borrow;
use core::time::Duration;
use std::sync::Arc;

mod broken;
mod fake;
mod mosquitto;
mod real;

const SETTINGS: &str = "broker = 'mqtt://127.0.0.1:1'\nclient_id = 'test'";

fn settings(port: u16) -> MqttSettings {
    let settings = toml::from_str(SETTINGS).unwrap();
    MqttSettings { broker: format!("mqtt://127.0.0.1:{port}"), timeout: Span(Duration::from_secs(20)), ..settings }
}

fn sink(settings: &MqttSettings) -> Mqtt {
    Mqtt::new(settings, "gw").unwrap()
}

/// DATA of `device`, numbered from `from` on.
fn batch(device: &str, from: u32, count: u32) -> Batch {
    let (mut batch, device) = (Batch::default(), Arc::from(device));
    for seq in from..from + count {
        push(&mut batch, &device, "data", seq);
    }
    batch
}

fn push(batch: &mut Batch, device: &Arc<str>, event: &'static str, seq: u32) {
    let line = format!(r#"{{"event":"{event}","device":"{device}","seq":{seq}}}"#);
    let written = batch.push(Some(device), event, Some(Key { stream: 7, seq }), |lines| {
        lines.extend_from_slice(line.as_bytes());
        Ok::<(), core::convert::Infallible>(())
    });
    written.unwrap();
}

async fn stored(sink: &mut Mqtt, batch: impl Borrow<Batch>) -> Result<(), String> {
    sink.store(batch.borrow()).await.map_err(|error| error.to_string())
}
