//! `[[sink]]`: where what the devices send is kept.

use super::document::{Element, Reading};
use super::mistake::Mistakes;
use crate::sink::MqttSettings;
use serde::Deserialize;
use std::path::Path;

/// What `kind` may be.
const KINDS: [&str; 2] = ["stdout", "mqtt"];

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
    /// A broker of MQTT 5.
    Mqtt(MqttSettings),
}

/// It has nothing to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl SinkSettings {
    pub(super) fn relative_to(&mut self, base: &Path) {
        match &mut self.kind {
            SinkKind::Stdout => {}
            SinkKind::Mqtt(mqtt) => mqtt.relative_to(base),
        }
    }
}

pub(super) fn read(reading: &mut Reading<'_>, mistakes: &mut Mistakes) -> Vec<SinkSettings> {
    let mut sinks = Vec::new();
    for Element { place, kind, value } in reading.list("sink", &KINDS, mistakes) {
        let kind = match kind.as_str() {
            "mqtt" => reading.value(value, mistakes).map(SinkKind::Mqtt),
            _ => reading.value(value, mistakes).map(|Nothing {}| SinkKind::Stdout),
        };
        sinks.extend(kind.map(|kind| SinkSettings { place, kind }));
    }
    sinks
}

pub(super) fn check(sinks: &[SinkSettings], mistakes: &mut Mistakes) {
    let stdout = sinks.iter().filter(|sink| sink.kind == SinkKind::Stdout);
    for sink in stdout.skip(1) {
        mistakes.add(format!("sink[{}]", sink.place), "there is a sink of kind `stdout` already");
    }
    for sink in sinks {
        let mistake = match &sink.kind {
            SinkKind::Stdout => None,
            SinkKind::Mqtt(mqtt) => mqtt.mistake(),
        };
        if let Some((key, text)) = mistake {
            mistakes.add(format!("sink[{}].{key}", sink.place), text);
        }
    }
}
