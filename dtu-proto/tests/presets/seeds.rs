//! The fuzz target `presets`: its seeds, and a short run of its body.

use crate::file::{Entry, entries};
use dtu_proto::fuzzing::presets;
use dtu_proto::presets::{ALL, Direction};
use dtu_proto::testing::Seeded;
use dtu_proto::testing::corpus::folder;
use std::collections::BTreeMap;
use std::fs;

/// A front as the target reads it, and all vectors of a preset in one direction.
fn streams() -> BTreeMap<String, (Vec<u8>, Vec<Vec<u8>>)> {
    let mut streams: BTreeMap<String, (Vec<u8>, Vec<Vec<u8>>)> = BTreeMap::new();
    let entries: Vec<Entry> = ["valid", "invalid", "dirty"].into_iter().flat_map(entries).collect();
    for entry in &entries {
        let preset = entry.preset();
        let place = ALL.iter().position(|known| known.name() == preset.name()).expect("it is one of them");
        let up = u8::from(entry.direction() == Direction::Up) << 7;
        let suffix = match (preset.is_directional(), entry.direction()) {
            (false, _) => "",
            (true, Direction::Down) => "_down",
            (true, Direction::Up) => "_up",
        };
        let front = vec![u8::try_from(place).expect("there are few") | up, 1, 2, 3, 4];
        let stream = streams.entry(format!("{}{suffix}", preset.name())).or_insert_with(|| (front, Vec::new()));
        stream.1.push(entry.bytes());
    }
    streams
}

/// Writes the seeds; what else lies in the folder is left alone.
#[test]
#[ignore = "writes into corpus/; run it by name after a change of the vectors or of the presets' order"]
fn write_seeds() {
    fs::create_dir_all(folder("presets")).expect("it can be made");
    for (name, (front, vectors)) in streams() {
        let stream = [front, vectors.concat()].concat();
        fs::write(folder("presets").join(name), stream).expect("it can be written");
    }
}

/// Each preset's vectors, shuffled and damaged.
#[test]
fn damaged_vectors_break_no_promise() {
    damaged_vectors(30);
}

/// The same for a long time.
#[test]
#[ignore = "takes minutes; run it by name, in a release build"]
fn damaged_vectors_break_no_promise_for_long() {
    damaged_vectors(20_000);
}

fn damaged_vectors(rounds: u64) {
    for (name, (front, vectors)) in streams() {
        for seed in 0..rounds {
            let mut seeded = Seeded(seed);
            let mut input = front.clone();
            for _ in 0..=seeded.below(4) {
                let mut piece = vectors[seeded.below(vectors.len())].clone();
                let from = if seeded.below(3) == 0 { seeded.below(piece.len()) } else { 0 };
                piece.drain(..from);
                if seeded.below(3) == 0 {
                    piece.truncate(1 + seeded.below(piece.len()));
                }
                for _ in 0..seeded.below(4) {
                    let at = seeded.below(piece.len());
                    piece[at] = match seeded.below(3) {
                        0 => piece[at] ^ 1 << seeded.below(8),
                        1 => vectors[0][seeded.below(vectors[0].len())],
                        _ => seeded.draw().to_le_bytes()[0],
                    };
                }
                input.extend(piece);
            }
            let failed = std::panic::catch_unwind(|| presets(&input)).is_err();
            assert!(!failed, "{name}, seed {seed}: {input:02x?}");
        }
    }
}
