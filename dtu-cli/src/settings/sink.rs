//! `[[sink]]`: where what the devices send is kept.

use super::document::{Element, Reading};
use super::mistake::Mistakes;
use serde::Deserialize;

/// What `kind` may be.
const KINDS: [&str; 1] = ["stdout"];

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
}

/// It has nothing to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) fn read(reading: &mut Reading<'_>, mistakes: &mut Mistakes) -> Vec<SinkSettings> {
    let mut sinks = Vec::new();
    for Element { place, value, .. } in reading.list("sink", &KINDS, mistakes) {
        let kind = reading.value(value, mistakes).map(|Nothing {}| SinkKind::Stdout);
        sinks.extend(kind.map(|kind| SinkSettings { place, kind }));
    }
    sinks
}

pub(super) fn check(sinks: &[SinkSettings], mistakes: &mut Mistakes) {
    let stdout = sinks.iter().filter(|sink| sink.kind == SinkKind::Stdout);
    for sink in stdout.skip(1) {
        mistakes.add(format!("sink[{}]", sink.place), "there is a sink of kind `stdout` already");
    }
}
