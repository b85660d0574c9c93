//! `[[sink]]`: where what the devices send is kept.

use super::document::{Element, Reading};
use super::mistake::Mistakes;
use crate::nats::NatsSettings;
use crate::sink::{FileSettings, MqttSettings, NatsSinkSettings};
use serde::Deserialize;
use std::path::Path;

/// What `kind` may be.
const KINDS: [&str; 4] = ["stdout", "file", "nats", "mqtt"];

/// One sink, and its place among them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SinkSettings {
    pub(crate) place: usize,
    pub(crate) kind: SinkKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkKind {
    /// One JSON line an event.
    Stdout,
    /// The same in a file.
    File(FileSettings),
    /// A stream of the servers in `[nats]`.
    Nats(NatsSinkSettings),
    /// A broker of MQTT 5.
    Mqtt(MqttSettings),
}

/// It has nothing to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) fn read(reading: &mut Reading<'_>, mistakes: &mut Mistakes) -> Vec<SinkSettings> {
    let mut sinks = Vec::new();
    for Element { place, kind, value } in reading.list("sink", &KINDS, mistakes) {
        let kind = match kind.as_str() {
            "file" => reading.value(value, mistakes).map(SinkKind::File),
            "nats" => reading.value(value, mistakes).map(SinkKind::Nats),
            "mqtt" => reading.value(value, mistakes).map(SinkKind::Mqtt),
            _ => reading.value(value, mistakes).map(|Nothing {}| SinkKind::Stdout),
        };
        sinks.extend(kind.map(|kind| SinkSettings { place, kind }));
    }
    sinks
}

pub(super) fn check(sinks: &[SinkSettings], nats: Option<&NatsSettings>, mistakes: &mut Mistakes) {
    for (index, sink) in sinks.iter().enumerate() {
        let (key, before) = (sink.key(), &sinks[..index]);
        let mut once = |is_one: bool, what: &str| {
            if is_one {
                mistakes.add(&key, format!("there is a sink {what} already"));
            }
        };
        match &sink.kind {
            SinkKind::Stdout => {
                once(before.iter().any(|sink| sink.kind == SinkKind::Stdout), "of kind `stdout`");
            }
            SinkKind::File(file) => {
                let is_same =
                    |sink: &SinkSettings| matches!(&sink.kind, SinkKind::File(other) if other.path == file.path);
                once(before.iter().any(is_same), "with this path");
                if let Some((name, text)) = file.mistake() {
                    mistakes.add(format!("{key}.{name}"), text);
                }
            }
            SinkKind::Nats(stream) => {
                let is_same =
                    |sink: &SinkSettings| matches!(&sink.kind, SinkKind::Nats(other) if other.stream == stream.stream);
                once(before.iter().any(is_same), "with this stream");
                if let Err(error) = stream.check() {
                    mistakes.add_said(&key, &format!("{error:#}"));
                }
                if nats.is_none() {
                    mistakes.add(&key, "it needs the section [nats], as servers = [\"nats://127.0.0.1:4222\"]");
                }
            }
            SinkKind::Mqtt(mqtt) => {
                let is_same =
                    |sink: &SinkSettings| matches!(&sink.kind, SinkKind::Mqtt(other) if other.is_client_of(mqtt));
                once(before.iter().any(is_same), "with this broker and client_id");
                if let Some((name, text)) = mqtt.mistake() {
                    mistakes.add(format!("{key}.{name}"), text);
                }
            }
        }
    }
}

impl SinkSettings {
    /// Its key in the file.
    pub(crate) fn key(&self) -> String {
        format!("sink[{}]", self.place)
    }

    pub(super) fn relative_to(&mut self, base: &Path) {
        match &mut self.kind {
            SinkKind::File(file) => file.path = base.join(&file.path),
            SinkKind::Mqtt(mqtt) => mqtt.relative_to(base),
            SinkKind::Stdout | SinkKind::Nats(_) => {}
        }
    }
}
