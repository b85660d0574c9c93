//! Vectors among noise.

use crate::file::{Entry, entries};
use dtu_proto::presets::Preset;
use dtu_proto::testing::{Cuts, Merged, Seeded, merged_steps};

/// Presets whose frames have an end mark, or a length, and a checksum: what stands before a frame cannot hide it, once what waits is
/// given up.
fn shows_damage(preset: &Preset) -> bool {
    match preset.spec() {
        Some(spec) => spec.check.is_some(),
        None => matches!(preset.name(), "modbus_rtu" | "modbus_ascii" | "mavlink1" | "mavlink2" | "jtt808"),
    }
}

fn frame_of(entry: &Entry) -> Merged {
    Merged::Frame {
        bytes: entry.bytes().split_off(entry.fill()),
        payload: entry.hex("payload").expect("a valid vector has its payload"),
    }
}

/// Noise of up to 40 bytes that a seed fixes, rich in the bytes that frames of `like` start with.
fn noise(seeded: &mut Seeded, like: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; seeded.below(41)];
    seeded.fill(&mut bytes);
    for byte in &mut bytes {
        if seeded.below(4) == 0 {
            *byte = like[seeded.below(like.len().min(12))];
        }
    }
    bytes
}

#[test]
fn noise_before_a_frame_that_shows_damage_never_loses_it() {
    for entry in entries("valid") {
        if !shows_damage(entry.preset()) {
            continue;
        }
        let (framing, line) = (entry.framing(), entry.bytes());
        for seed in 0..300 {
            let mut seeded = Seeded(seed);
            let before = noise(&mut seeded, &line);
            let stream = [&before[..], &line, &noise(&mut seeded, &line)].concat();
            let steps = merged_steps(framing, &stream, Cuts::Of(stream.len()));
            let mut end = 0;
            let is_covered = steps.iter().any(|step| {
                let start = end;
                end += step.covered();
                // Noise that is a frame by chance and reaches into the vector.
                matches!(step, Merged::Frame { .. }) && start < before.len() && end > before.len() + entry.fill()
            });
            let found = steps.contains(&frame_of(&entry));
            assert!(found || is_covered, "{}, seed {seed}: {steps:?} of {stream:02x?}", entry.name());
            assert_eq!(merged_steps(framing, &stream, Cuts::Seeded(seed)), steps, "{}, seed {seed}", entry.name());
        }
    }
}

/// All vectors of a preset one behind the other, with a rejected twin of each before it.
#[test]
fn frames_are_found_among_damaged_ones() {
    for entry in entries("valid") {
        if !shows_damage(entry.preset()) {
            continue;
        }
        let (framing, line) = (entry.framing(), entry.bytes());
        for bit in 0..line.len() * 8 {
            let mut damaged = line.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let stream = [&line[..], &damaged, &line, &line].concat();
            let steps = merged_steps(framing, &stream, Cuts::Of(stream.len()));
            let intact = steps.iter().filter(|step| **step == frame_of(&entry)).count();
            // A flipped bit of the preamble or of a shared flag does no harm.
            assert!((3..=4).contains(&intact), "{}, bit {bit}: {steps:?}", entry.name());
        }
    }
}

/// Framings that nothing but their layout protects: the frames stand where nothing was before them.
#[test]
fn frames_one_behind_the_other_are_all_found() {
    for entry in entries("valid").iter().filter(|entry| !entry.preset().is_datagram()) {
        let line = entry.bytes();
        let steps = merged_steps(entry.framing(), &line.repeat(3), Cuts::Of(7));
        let found = steps.iter().filter(|step| **step == frame_of(entry)).count();
        assert_eq!(found, 3, "{}: {steps:?}", entry.name());
    }
}
