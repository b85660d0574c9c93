//! `spec/vectors/framings.toml`.

use dtu_proto::Framing;
use dtu_proto::presets::{Direction, Preset, by_name};
use dtu_proto::testing::Merged;
use std::path::Path;
use toml::{Table, Value};

/// One entry.
pub(crate) struct Entry(pub(crate) Table);

/// The entries of one kind: `valid`, `invalid` or `dirty`.
pub(crate) fn entries(kind: &str) -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/framings.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Some(Value::Array(entries)) = file.remove(kind) else { panic!("{}: no {kind}", path.display()) };
    entries.into_iter().map(|entry| Entry(entry.try_into().expect("a table"))).collect()
}

impl Entry {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().expect("a text")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("name")
    }

    pub(crate) fn hex(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).map(|value| from_hex(value.as_str().expect("a text")))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.hex("hex").expect("every entry has its bytes")
    }

    /// The bytes in front of the frame that say nothing.
    pub(crate) fn fill(&self) -> usize {
        self.0.get("fill").map_or(0, count)
    }

    pub(crate) fn preset(&self) -> &'static Preset {
        by_name(self.text("framing")).unwrap_or_else(|| panic!("{}: no such preset", self.name()))
    }

    pub(crate) fn direction(&self) -> Direction {
        match self.0.get("direction").and_then(Value::as_str) {
            Some("down") => Direction::Down,
            Some("up") => Direction::Up,
            Some(other) => panic!("{}: direction {other}", self.name()),
            None => {
                assert!(!self.preset().is_directional(), "{}: which way?", self.name());
                Direction::Up
            }
        }
    }

    pub(crate) fn framing(&self) -> &'static (dyn Framing + Send + Sync) {
        self.preset().framing(self.direction())
    }

    /// What a stream gives: payloads of frames, and skips.
    pub(crate) fn steps(&self) -> Vec<Expected> {
        let step = |step: &Value| match step.get("frame") {
            Some(payload) => Expected::Frame(from_hex(payload.as_str().expect("a text"))),
            None => Expected::Skipped(count(&step["skipped"]), step["cause"].as_str().expect("a text").to_owned()),
        };
        self.0["steps"].as_array().expect("a list").iter().map(step).collect()
    }
}

/// A step as the file writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Frame(Vec<u8>),
    Skipped(usize, String),
}

impl From<&Merged> for Expected {
    fn from(step: &Merged) -> Self {
        match step {
            Merged::Frame { payload, .. } => Self::Frame(payload.clone()),
            Merged::Skipped { bytes, cause } => Self::Skipped(*bytes, (*cause).to_owned()),
        }
    }
}

fn count(value: &Value) -> usize {
    value.as_integer().and_then(|number| usize::try_from(number).ok()).expect("a count")
}

/// Bytes in hexadecimal; spaces between them do not count.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("hexadecimal");
    digits.chunks(2).map(pair).collect()
}
