//! The files of `spec/vectors`.

use crate::receivers::Merged;
use dtu_proto::Malformed;
use dtu_proto::message::{DatagramError, MessageError};
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

/// One `[[vector]]`.
pub(crate) struct Vector(pub(crate) Table);

pub(crate) fn vectors(file: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors").join(file).with_extension("toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Some(Value::Array(vectors)) = file.remove("vector") else { panic!("{}: no vectors", path.display()) };
    let vectors: Vec<_> = vectors.into_iter().map(|vector| Vector(vector.try_into().expect("a table"))).collect();
    let names: BTreeSet<_> = vectors.iter().map(Vector::name).collect();
    assert_eq!(names.len(), vectors.len(), "{}: a name stands twice", path.display());
    vectors
}

impl Vector {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().expect("a text")
    }

    pub(crate) fn hex(&self, key: &str) -> Vec<u8> {
        from_hex(&self.0[key])
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        match self.0.get("payload_repeat") {
            Some(repeat) => from_hex(&repeat["byte"]).repeat(count(&repeat["count"])),
            None => self.hex("payload"),
        }
    }

    pub(crate) fn stream(&self) -> Vec<u8> {
        self.0["parts"].as_array().expect("a list").iter().flat_map(from_hex).collect()
    }

    pub(crate) fn int(&self, key: &str) -> usize {
        count(&self.0[key])
    }

    pub(crate) fn ints(&self, key: &str) -> Vec<usize> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().map(count).collect()
    }

    pub(crate) fn limit(&self) -> u16 {
        self.0.get("limit").map_or(u16::MAX, |limit| u16::try_from(count(limit)).expect("a limit"))
    }

    pub(crate) fn steps(&self) -> Vec<Merged> {
        let step = |step: &Value| match step.get("frame") {
            Some(payload) => Merged::Frame(from_hex(payload)),
            None => Merged::Skipped(count(&step["skipped"]), step["cause"].as_str().expect("a text").to_owned()),
        };
        self.0["steps"].as_array().expect("a list").iter().map(step).collect()
    }
}

fn count(value: &Value) -> usize {
    value.as_integer().and_then(|number| usize::try_from(number).ok()).expect("a count")
}

fn from_hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a text");
    assert!(text.len().is_multiple_of(2), "half a byte in {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// A verdict as `damage.toml` writes it.
pub(crate) fn verdict_of(cause: Malformed, judged: usize, missing: Option<usize>) -> Table {
    let first = [("cause", Value::from(cause.name())), ("judged", integer(judged))];
    let missing = missing.map(|missing| ("missing", integer(missing)));
    table(first.into_iter().chain(missing).chain(numbers_of(cause)))
}

fn numbers_of(cause: Malformed) -> Vec<(&'static str, Value)> {
    match cause {
        Malformed::LengthGuard { length, guard } => {
            vec![("length", length.into()), ("guard", guard.into())]
        }
        Malformed::OverLimit { length, limit } => vec![("length", integer(length)), ("limit", integer(limit))],
        Malformed::Checksum { computed, found } => vec![("computed", computed.into()), ("found", found.into())],
        Malformed::Abandoned { received } => vec![("received", integer(received))],
        Malformed::Magic => vec![],
        // Of other framings.
        Malformed::Fill
        | Malformed::Length { .. }
        | Malformed::Marker { .. }
        | Malformed::Escape { .. }
        | Malformed::Unknown { .. }
        | _ => panic!("a cause the vectors do not know: {cause:?}"),
    }
}

/// An error as `datagrams.toml` writes it.
pub(crate) fn dropped_of(error: DatagramError) -> Table {
    let rest = match error {
        DatagramError::Truncated { missing, available } => {
            vec![("missing", integer(missing)), ("available", integer(available))]
        }
        DatagramError::Frame(cause) => [("cause", cause.name().into())].into_iter().chain(numbers_of(cause)).collect(),
        DatagramError::Trailing { bytes } => vec![("bytes", integer(bytes))],
        DatagramError::Message(error) => vec![("error", table_of(error).into())],
        error => panic!("an error the vectors do not know: {error:?}"),
    };
    table([("name", error.name().into())].into_iter().chain(rest))
}

/// An error as `messages.toml` writes it.
pub(crate) fn table_of(error: MessageError) -> Table {
    let rest = match error {
        MessageError::Truncated { field, needed, available } => {
            vec![("field", field.name().into()), ("needed", integer(needed)), ("available", integer(available))]
        }
        MessageError::Trailing { bytes } => vec![("bytes", integer(bytes))],
        MessageError::NotUtf8 { field, valid_up_to } => {
            vec![("field", field.name().into()), ("valid_up_to", integer(valid_up_to))]
        }
        MessageError::Length { field, length, min, max } => {
            let bounds = [("length", integer(length)), ("min", integer(min)), ("max", integer(max))];
            [("field", field.name().into())].into_iter().chain(bounds).collect()
        }
        error => panic!("an error the vectors do not know: {error:?}"),
    };
    table([("name", error.name().into())].into_iter().chain(rest))
}

fn table(entries: impl Iterator<Item = (&'static str, Value)>) -> Table {
    entries.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn integer(number: usize) -> Value {
    Value::Integer(i64::try_from(number).expect("vectors are short"))
}
