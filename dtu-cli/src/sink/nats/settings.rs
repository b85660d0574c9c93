//! A `[[sink]]` of `kind = "nats"`.

use crate::nats::is_prefix;
use crate::settings::units::{Size, Span};
use anyhow::ensure;
use core::time::Duration;
use serde::Deserialize;

/// The most acknowledgements that may be under way.
const IN_FLIGHT_MAX: u16 = 4096;

/// The longest name of a stream, in bytes.
const STREAM_MAX: usize = 64;

/// What NATS allows.
const REPLICAS_MAX: u8 = 5;

/// Which stream keeps the records, and how it is made where there is none. A stream that is there is used as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsSinkSettings {
    /// The stream's name.
    #[serde(default = "stream")]
    pub(crate) stream: String,
    /// What the subjects begin with: `<prefix>.<device>.<event>`.
    #[serde(default = "prefix")]
    pub(crate) prefix: String,
    /// Whether events besides DATA, SKIP and frames are kept too: connections, refusals.
    #[serde(default)]
    pub(crate) events: bool,
    /// How many records wait for their acknowledgement at a time.
    #[serde(default = "max_in_flight")]
    pub(crate) max_in_flight: u16,
    /// How long an acknowledgement, or a connection, is waited for before the batch is taken as not kept.
    #[serde(default = "timeout")]
    pub(crate) timeout: Span,
    /// Of a new stream: where it is kept.
    #[serde(default)]
    pub(crate) storage: Storage,
    /// Of a new stream: how many servers have it.
    #[serde(default = "replicas")]
    pub(crate) replicas: u8,
    /// Of a new stream: how long a repeat is known.
    #[serde(default = "duplicate_window")]
    pub(crate) duplicate_window: Span,
    /// Of a new stream: how long a record is kept; for ever unless set.
    pub(crate) max_age: Option<Span>,
    /// Of a new stream: how many bytes are kept; as many as the server allows unless set.
    pub(crate) max_bytes: Option<Size>,
    /// Of a new stream: what becomes of records when it is full.
    #[serde(default)]
    pub(crate) when_full: WhenFull,
}

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Storage {
    #[default]
    File,
    /// It is gone with its server.
    Memory,
}

/// What becomes of records when a stream is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    /// New ones are refused: the gateway presses back to the devices.
    #[default]
    Refuse,
    /// The oldest ones are dropped.
    DropOldest,
}

fn stream() -> String {
    "DTU".to_owned()
}

fn prefix() -> String {
    "dtu".to_owned()
}

const fn max_in_flight() -> u16 {
    256
}

const fn timeout() -> Span {
    Span(Duration::from_secs(5))
}

const fn replicas() -> u8 {
    1
}

const fn duplicate_window() -> Span {
    Span(Duration::from_mins(10))
}

impl NatsSinkSettings {
    /// Judges what serde cannot.
    ///
    /// # Errors
    /// One line: the key, and what is allowed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { stream, prefix, max_in_flight, timeout, replicas, duplicate_window, max_age, .. } = self;
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) && !name.is_empty()
        };
        ensure!(
            is_name(stream) && stream.len() <= STREAM_MAX,
            "stream: `{stream}` has to be 1 to {STREAM_MAX} of letters, digits, `-` and `_`"
        );
        ensure!(
            is_prefix(prefix),
            "prefix: `{prefix}` has to be words with dots between them, as \"dtu\" or \"plant.dtu\""
        );
        ensure!(
            (1..=IN_FLIGHT_MAX).contains(max_in_flight),
            "max_in_flight: {max_in_flight} is not from 1 to {IN_FLIGHT_MAX}"
        );
        ensure!(
            (Duration::from_millis(100)..=Duration::from_mins(5)).contains(&timeout.0),
            "timeout: {timeout} is not from 100ms to 5m"
        );
        ensure!((1..=REPLICAS_MAX).contains(replicas), "replicas: {replicas} is not from 1 to {REPLICAS_MAX}");
        ensure!(duplicate_window.0 >= Duration::from_secs(1), "duplicate_window: {duplicate_window} is below 1s");
        if let Some(max_age) = max_age {
            ensure!(
                duplicate_window <= max_age,
                "duplicate_window: {duplicate_window} is more than max_age, {max_age}"
            );
        }
        Ok(())
    }

    pub(super) fn max_in_flight(&self) -> usize {
        self.max_in_flight.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_to_be_said_and_what_is_wrong_is_said_with_its_key() {
        let said = |text: &str| match toml::from_str::<NatsSinkSettings>(text) {
            Ok(settings) => settings.check().map_or_else(|error| format!("{error:#}"), |()| "fine".to_owned()),
            Err(error) => error.message().to_owned(),
        };
        for (text, expected) in [
            ("", "fine"),
            ("max_age = '30d'\nmax_bytes = '10GiB'\nstorage = 'memory'\nwhen_full = 'drop_oldest'", "fine"),
            ("stream = 'A.B'", "stream: "),
            ("stream = ''", "stream: "),
            ("prefix = 'a.>'", "prefix: "),
            ("max_in_flight = 0", "max_in_flight: "),
            ("max_in_flight = 4097", "max_in_flight: "),
            ("timeout = '1ms'", "timeout: "),
            ("replicas = 6", "replicas: "),
            ("duplicate_window = '0s'", "duplicate_window: "),
            ("duplicate_window = '2h'\nmax_age = '1h'", "duplicate_window: 2h is more than max_age, 1h"),
            ("storage = 'disk'", "unknown variant `disk`"),
            ("colour = 1", "unknown field `colour`"),
        ] {
            let said = said(text);
            assert!(said.starts_with(expected), "{said:?} for {text}");
        }
    }
}
