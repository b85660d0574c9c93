//! `corpus/` of the workspace: the seeds of the fuzz targets, and every input that once broke something.

use crate::fuzzing::Target;
use std::fs;
use std::path::{Path, PathBuf};
use std::println;
use std::vec::Vec;

/// The folder of a target's inputs; without a name, of all folders.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

/// Hands every input in the folders of `targets` to its target, and prints which.
///
/// # Panics
///
/// When a target does, or has no input.
pub fn replay(targets: &[Target]) {
    for (target, body) in targets {
        let folder = folder(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            println!("{}", file.display()); // shown when the body panics
            body(&fs::read(&file).expect("it can be read"));
        }
    }
}
