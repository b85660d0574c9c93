//! Every vector, alone: what it gives, cut anyhow and cut short.

use crate::file::{Entry, Expected, entries, from_hex};
use dtu_proto::framing::{Examined, Framing};
use dtu_proto::fuzzing::comes_again;
use dtu_proto::presets::{ALL, by_name};
use dtu_proto::testing::{Cuts, Merged, merged_steps};
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

#[test]
fn every_valid_vector_is_one_frame_and_comes_again() {
    for entry in entries("valid") {
        let (name, framing, bytes) = (entry.name(), entry.framing(), entry.bytes());
        let (fill, line) = bytes.split_at(entry.fill());
        let Examined::Frame(frame) = framing.examine(line) else {
            panic!("{name}: {:?}", framing.examine(line));
        };
        assert_eq!(frame.as_bytes(), line, "{name}");
        let mut payload = Vec::new();
        framing.payload_into(&frame, &mut payload);
        assert_eq!(Some(&payload), entry.hex("payload").as_ref(), "{name}: payload");
        let again = entry.hex("again").unwrap_or_else(|| line.to_vec());
        assert_eq!(comes_again(entry.preset(), framing, &frame), again, "{name}");
        if !entry.preset().is_datagram() {
            let mut expected = vec![Merged::Frame { bytes: line.to_vec(), payload }];
            if !fill.is_empty() {
                expected.insert(0, Merged::Skipped { bytes: fill.len(), cause: "fill" });
            }
            for size in 1..=bytes.len() {
                assert_eq!(merged_steps(framing, &bytes, Cuts::Of(size)), expected, "{name}, reads of {size}");
            }
        }
    }
}

#[test]
fn every_invalid_vector_is_rejected_for_its_cause() {
    for entry in entries("invalid") {
        let (name, framing, bytes) = (entry.name(), entry.framing(), entry.bytes());
        let fill =
            bytes.iter().take_while(|&&byte| entry.preset().spec().is_some_and(|spec| spec.preamble == Some(byte)));
        let line = &bytes[fill.count()..];
        let Examined::Rejected { cause, .. } = framing.examine(line) else {
            panic!("{name}: {:?}", framing.examine(line));
        };
        assert_eq!(cause.name(), entry.text("cause"), "{name}: {cause:?}");
        if !entry.preset().is_datagram() {
            let steps = merged_steps(framing, &bytes, Cuts::Of(bytes.len()));
            for size in 1..=bytes.len() {
                assert_eq!(merged_steps(framing, &bytes, Cuts::Of(size)), steps, "{name}, reads of {size}");
            }
        }
    }
}

#[test]
fn every_dirty_stream_gives_what_it_says() {
    for entry in entries("dirty") {
        let (framing, bytes) = (entry.framing(), entry.bytes());
        for size in 1..=bytes.len() {
            let steps: Vec<Expected> =
                merged_steps(framing, &bytes, Cuts::Of(size)).iter().map(Expected::from).collect();
            assert_eq!(steps, entry.steps(), "{}, reads of {size}", entry.name());
        }
    }
}

/// A frame that is cut short asks for no more than its rest; nothing of it is delivered before it is whole.
#[test]
fn no_truncation_of_a_frame_is_judged() {
    for entry in entries("valid") {
        let (name, framing, bytes) = (entry.name(), entry.framing(), entry.bytes());
        // The bytes behind the envelope of a datagram may be any number; each byte in PROT mode is a frame.
        if entry.preset().is_datagram() || entry.preset().name() == "fourfaith_prot" {
            continue;
        }
        let line = &bytes[entry.fill()..];
        for len in 0..line.len() {
            let Examined::NeedMore { at_least } = framing.examine(&line[..len]) else {
                panic!("{name}, {len} bytes: {:?}", framing.examine(&line[..len]));
            };
            assert!(len + at_least.get() <= line.len(), "{name}: {at_least} more after {len} bytes");
        }
    }
}

#[test]
fn every_preset_has_vectors_and_a_name_of_its_own() {
    let with_vectors: BTreeSet<_> = entries("valid").iter().map(|entry| entry.text("framing").to_owned()).collect();
    let names: BTreeSet<_> = ALL.iter().map(|preset| preset.name()).collect();
    assert_eq!(names.len(), ALL.len());
    for name in names {
        assert!(with_vectors.contains(name), "{name} has no vector");
        assert_eq!(by_name(name).map(|preset| preset.name()), Some(name));
    }
    assert!(by_name("modbus").is_none());
    let entries: Vec<Entry> = ["valid", "invalid", "dirty"].into_iter().flat_map(entries).collect();
    let of_entries: BTreeSet<_> = entries.iter().map(Entry::name).collect();
    assert_eq!(of_entries.len(), entries.len(), "a name stands twice");
    assert!(entries.iter().all(|entry| !entry.text("source").is_empty()));
}

/// The facts that these vectors were taken from, where they are at hand.
#[test]
fn the_copy_has_every_fact_of_its_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/framings.toml");
    let path =
        if path.exists() { path } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/framings.toml") };
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return;
    };
    let facts: Table = text.parse().expect("TOML");
    let copy = |kind: &str| -> BTreeSet<(String, Vec<u8>)> {
        entries(kind).iter().map(|entry| (entry.text("framing").to_owned(), entry.bytes())).collect()
    };
    let (valid, invalid, dirty) = (copy("valid"), copy("invalid"), copy("dirty"));
    for (framing, table) in facts.iter().filter(|(name, _)| *name != "meta") {
        assert!(by_name(framing).is_some(), "no preset {framing}");
        for vector in table["vectors"].as_array().expect("a list") {
            let kind = if vector["valid"].as_bool().expect("a verdict") { &valid } else { &invalid };
            assert!(kind.contains(&(framing.clone(), bytes_of(vector))), "{framing} lacks {vector}");
        }
        for stream in table.get("dirty").and_then(Value::as_array).into_iter().flatten() {
            assert!(dirty.contains(&(framing.clone(), bytes_of(stream))), "{framing} lacks {stream}");
        }
    }
}

fn bytes_of(vector: &Value) -> Vec<u8> {
    match vector.get("hex").and_then(Value::as_str) {
        Some(hex) => from_hex(hex),
        None => vector["ascii"].as_str().expect("a text").as_bytes().to_vec(),
    }
}
