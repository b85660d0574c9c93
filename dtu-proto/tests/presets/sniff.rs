//! Which of all presets a connection speaks.

use crate::file::{Entry, entries};
use dtu_proto::presets::{ALL, Direction};
use dtu_proto::sniff::{Candidate, Sniffer, Verdict};
use std::collections::BTreeSet;

/// Every preset for streams, once for each direction that differs.
fn candidates() -> Vec<Candidate<'static>> {
    let mut list = Vec::new();
    for preset in ALL.iter().filter(|preset| !preset.is_datagram()) {
        list.push(Candidate { name: preset.name(), framing: preset.framing(Direction::Up) });
        if preset.is_directional() {
            list.push(Candidate { name: preset.name(), framing: preset.framing(Direction::Down) });
        }
    }
    list
}

/// The name under which a framing comes out that two presets have.
fn class(name: &str) -> &str {
    match name {
        "iec101_variable" => "mbus_long",
        "iec101_fixed" => "mbus_short",
        other => other,
    }
}

/// What the vectors say that have frames with evidence.
fn judged() -> impl Iterator<Item = (Entry, Vec<u8>)> {
    let all =
        entries("valid").into_iter().filter(|entry| !entry.preset().is_datagram() && entry.framing().evidence() > 0);
    all.map(|entry| {
        let bytes = entry.bytes();
        (entry, bytes)
    })
}

#[test]
fn no_part_of_the_vectors_decides_for_another_preset_and_each_is_found_when_it_goes_on() {
    let list = candidates();
    let mut late = BTreeSet::new();
    for (entry, bytes) in judged() {
        let stream = bytes.repeat(4096 / bytes.len() + 1);
        let mut sniffer = Sniffer::new(&list).expect("in bounds");
        let mut decided = None;
        for len in 0..=stream.len() {
            if let Verdict::Decided { index, .. } = sniffer.look(&stream[..len]) {
                let (name, found) = (class(entry.preset().name()), class(list[index].name));
                assert_eq!(
                    found,
                    name,
                    "{} after {len} bytes: {:?}",
                    entry.name(),
                    sniffer.scores().collect::<Vec<_>>()
                );
                decided = Some(len);
                break;
            }
        }
        let after = decided.unwrap_or_else(|| panic!("{}: {:?}", entry.name(), sniffer.scores().collect::<Vec<_>>()));
        if after > 4 * bytes.len() + 4 {
            late.insert(entry.preset().name());
        }
    }
    // Those that have a twin on the wire wait for the end of the look; so do polls of two registers, which are Modbus TCP too.
    let twins = ["iec101_fixed", "iec101_variable", "mbus_long", "mbus_short", "modbus_rtu"];
    assert!(late.into_iter().eq(twins));
}

#[test]
fn one_vector_is_enough_when_the_line_is_silent() {
    let list = candidates();
    for (entry, bytes) in judged() {
        let sniffer = Sniffer::new(&list).expect("in bounds");
        let verdict = sniffer.settle(&bytes);
        let Verdict::Decided { index, .. } = verdict else { panic!("{}: {verdict:?}", entry.name()) };
        assert_eq!(class(list[index].name), class(entry.preset().name()), "{}", entry.name());
    }
}
