//! The sinks that are set.

use crate::settings::{Settings, SinkKind};
use crate::sink::{FileSink, Mqtt, NatsSink, Sink, StdoutSink};
use anyhow::Context;

/// The longest frame of a transparent DTU, in bytes.
const FRAME_MAX: u64 = 64 * 1024;

/// What a line has besides the digits of its body, in bytes: its fields, and an id of 64 bytes that are all escaped.
const AROUND: u64 = 1024;

/// Opens them; stdout where none is set. A broker need not be there.
///
/// # Errors
///
/// What cannot be opened, or cannot be at all.
pub(super) async fn open(settings: &Settings) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let stdout = || StdoutSink::new().context("cannot start the thread that writes to stdout");
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    for sink in &settings.sinks {
        sinks.push(match &sink.kind {
            SinkKind::Stdout => Box::new(stdout()?),
            SinkKind::File(file) => {
                let opened = FileSink::open(file.clone());
                Box::new(opened.with_context(|| format!("cannot use the file {}", file.path.display()))?)
            }
            SinkKind::Nats(stream) => {
                let nats = settings.nats.as_ref().context("a sink of kind `nats` needs the section [nats]")?;
                Box::new(NatsSink::new(stream, nats, &settings.gateway.id(), longest_line(settings)).await?)
            }
            SinkKind::Mqtt(mqtt) => {
                let opened = Mqtt::new(mqtt, &settings.gateway.id());
                Box::new(opened.with_context(|| format!("cannot use the MQTT broker {}", mqtt.broker))?)
            }
        });
    }
    if sinks.is_empty() {
        sinks.push(Box::new(stdout()?));
    }
    Ok(sinks)
}

/// The longest line, in bytes: each byte of a body has two digits.
fn longest_line(settings: &Settings) -> usize {
    let longest = settings.limits.max_payload.0.max(FRAME_MAX);
    usize::try_from(2 * longest + AROUND).unwrap_or(usize::MAX)
}
