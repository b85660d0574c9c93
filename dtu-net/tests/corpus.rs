//! Replays `corpus/`: the seeds of the fuzz targets of this crate, and every input that once broke something.

use dtu_net::fuzzing::{TARGETS, link_ops};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

#[test]
fn every_input_of_the_corpus_passes() {
    for (target, body) in TARGETS {
        let folder = folder(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            println!("{}", file.display()); // shown when the body panics
            body(&fs::read(&file).unwrap());
        }
    }
}

proptest! {
    /// What the fuzzer tries for hours, for a moment.
    #[test]
    fn any_calls_in_any_order_keep_the_promises(calls in proptest::collection::vec(any::<u8>(), 0..600)) {
        link_ops(&calls);
    }
}
