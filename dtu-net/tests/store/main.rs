//! The outbox's store in a file, against a model, with cuts, flips and crashes at every place.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod damage;
mod model;
mod opening;

use dtu_net::store::{
    Durability, FileStore, HEAD_LEN, Kept, MAX_BODY_LEN, OutboxStore, REWRITE_ABOVE, Recovery, StoreError,
};
use dtu_proto::message::{Data, Datagram};
use dtu_proto::{Message, Native};
use model::{Model, Operation, drawn, fold, perform, start};
use proptest::prelude::*;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const STREAM: u64 = 0x0123_4567_89AB_CDEF;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outbox");
    (directory, path)
}

fn open(path: &Path) -> (FileStore, Kept, Recovery) {
    open_again(path, Durability::Process)
}

/// Opens a store that was just closed. A test that starts a process holds the locks of all others between its fork and its exec,
/// so one that was let go may stay for a moment.
fn open_again(path: &Path, durability: Durability) -> (FileStore, Kept, Recovery) {
    for _ in 0..1_000_000 {
        match FileStore::open(path, STREAM, durability) {
            Err(StoreError::Locked) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", path.display());
}

fn refused(path: &Path) -> StoreError {
    FileStore::open(path, STREAM, Durability::Process).err().unwrap()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_extension(suffix)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(payload, &mut bytes).unwrap();
    bytes
}

/// A head record by the table of the module's description.
fn head(version: u8, base: u32, next: u32) -> Vec<u8> {
    let (stream, base, next) = (STREAM.to_be_bytes(), base.to_be_bytes(), next.to_be_bytes());
    frame(&[&stream[..], b"\xF0outbox", &[version], &base, &next].concat())
}

fn data_record(stream: u64, seq: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = Message::Data(Data { seq, channel: 0, body });
    Native::new().encode_to(&Datagram { stream, message }, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_reopened_store_holds_what_the_model_holds(
        start in start(),
        operations in proptest::collection::vec((drawn(), 0..10_u8), 1..150),
        power in proptest::bool::weighted(0.1),
    ) {
        let (_directory, path) = directory();
        fs::write(&path, head(1, start, start)).unwrap();
        let durability = if power { Durability::Power } else { Durability::Process };
        let (mut store, kept, _) = FileStore::open(&path, STREAM, durability).unwrap();
        let mut model = Model(kept);
        for (drawn, reopen) in operations {
            let Some(operation) = fold(drawn, &model) else { continue };
            perform(&mut store, &model, &operation).unwrap();
            model.apply(&operation);
            let bodies: usize = model.0.data.iter().map(|data| data.body.len()).sum();
            let bound = FileStore::size_bound(bodies as u64, model.0.data.len() as u64);
            prop_assert!(fs::metadata(&path).unwrap().len() <= bound);
            if reopen == 0 {
                drop(store);
                let (reopened, kept, recovery) = open_again(&path, durability);
                prop_assert_eq!(&kept, &model.0);
                prop_assert_eq!((recovery.damaged_bytes(), recovery.torn_tail_bytes, recovery.lost), (0, 0, 0));
                store = reopened;
            }
        }
        drop(store);
        prop_assert_eq!(open(&path).1, model.0);
    }
}

#[test]
fn what_contradicts_the_numbers_is_refused_and_nothing_is_written() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    store.append(0, 0, b"x").unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let errors = [
        store.append(0, 0, b"the number again"),
        store.append(2, 0, b"a number left out"),
        store.append(1, 0, &vec![0; MAX_BODY_LEN + 1]),
        store.settled_below(2),
        store.settled(1),
    ];
    for error in errors {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    store.settled_below(0).unwrap();
    store.settled(u32::MAX).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "what is known already is not written again");
    store.append(1, 0, &vec![0; MAX_BODY_LEN]).unwrap();
    store.settled(0).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    store.settled(0).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    drop(store);
    fs::write(&path, head(1, 0, i32::MAX.unsigned_abs())).unwrap();
    let (mut store, kept, _) = open(&path);
    assert_eq!(store.append(kept.next, 0, b"x").unwrap_err().kind(), ErrorKind::InvalidInput);
    store.settled_below(1).unwrap();
    store.append(kept.next, 0, b"x").unwrap();
}

#[test]
fn an_interrupted_rewrite_leaves_one_good_file_at_every_byte() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    let mut model = Model::at(0);
    let mut step = |store: &mut FileStore, operation: Operation| {
        perform(store, &model, &operation).unwrap();
        model.apply(&operation);
    };
    let body = vec![0x5A; 60_000];
    for _ in 0..6 {
        step(&mut store, Operation::Append(0, body.clone()));
    }
    step(&mut store, Operation::Append(1, b"short".to_vec()));
    step(&mut store, Operation::Append(2, b"a hole beside".to_vec()));
    step(&mut store, Operation::Settled(6));
    step(&mut store, Operation::SettledBelow(4));
    let before = fs::read(&path).unwrap();
    // One more settlement is one too many.
    step(&mut store, Operation::SettledBelow(1));
    drop(store);
    let after = fs::read(&path).unwrap();
    assert!(after.len() < before.len() / 2, "{} of {} bytes are left", after.len(), before.len());

    let (_, kept, recovery) = open(&path);
    assert_eq!(kept, model.0);
    assert_eq!((recovery.records, recovery.leftover_removed), (3, false));

    fs::write(&path, &before).unwrap();
    let (_, old, _) = open(&path);
    let cuts = (0..200).chain((200..after.len()).step_by(7919)).chain([after.len() - 1, after.len()]);
    for cut in cuts {
        fs::write(&path, &before).unwrap();
        fs::write(beside(&path, "new"), &after[..cut]).unwrap();
        let (_, kept, recovery) = open(&path);
        assert_eq!(kept, old, "cut at {cut}");
        assert!(recovery.leftover_removed && !beside(&path, "new").exists(), "cut at {cut}");
    }
}

#[test]
fn what_stays_open_is_carried_through_many_rewrites() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    let body = vec![0; 60_000];
    for seq in 0..40 {
        let old = seq % 10 == 7;
        store.append(seq, 0, if old { b"old" } else { &body }).unwrap();
        if !old {
            store.settled(seq).unwrap();
        }
    }
    assert!(fs::metadata(&path).unwrap().len() < FileStore::size_bound(4 * 3, 4));
    drop(store);
    let (_, kept, recovery) = open(&path);
    let data: Vec<(u32, &[u8])> = kept.data.iter().map(|data| (data.seq, &data.body[..])).collect();
    assert_eq!(data, [(7, &b"old"[..]), (17, b"old"), (27, b"old"), (37, b"old")]);
    assert_eq!((kept.base, kept.next, recovery.damaged_bytes()), (0, 40, 0));
}

#[test]
fn the_file_stays_within_its_bound() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    let (window, body) = (300_u32, vec![7; 1000]);
    let (mut longest, mut rewrites, mut last) = (0, 0, 0);
    for seq in 0..5000 {
        store.append(seq, 0, &body).unwrap();
        store.settled_below((seq + 1).saturating_sub(window)).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        rewrites += u32::from(length < last);
        last = length;
        let open = u64::from(window.min(seq + 1));
        assert!(length <= FileStore::size_bound(open * 1000, open), "{length} bytes at {seq}");
        longest = longest.max(length);
    }
    let bound = FileStore::size_bound(300 * 1000, 300);
    assert!(longest > bound * 9 / 10, "{longest} of {bound}: the bound is not far off");
    assert!((10..20).contains(&rewrites), "{rewrites}");
    assert_eq!(FileStore::size_bound(0, 0), HEAD_LEN as u64 + REWRITE_ABOVE);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_stays_one() {
    let (directory, path) = directory();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    drop(open(&path));
    let (mut store, ..) = open(&link);
    for seq in 0..6 {
        store.append(seq, 0, &[0; 60_000]).unwrap();
        store.settled_below(seq + 1).unwrap();
    }
    drop(store);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(open(&path).1.next, 6);
}

const FULL: &str = "DTU_STORE_FULL";

/// A write that is cut short by the limit on the size of files, which a process can get as easily as a full disk.
#[cfg(unix)]
#[test]
fn an_append_that_does_not_fit_leaves_the_file_as_it_was() {
    let (_directory, path) = directory();
    // 64 blocks of 512 bytes; without `trap` the limit kills.
    let limited = "ulimit -f 64 && trap '' XFSZ && exec \"$0\" --exact --ignored --nocapture child_with_full_disk";
    let mut child = Command::new("sh");
    child.args(["-c", limited]).arg(std::env::current_exe().unwrap()).env(FULL, &path);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (_, kept, recovery) = open(&path);
    let lengths: Vec<usize> = kept.data.iter().map(|data| data.body.len()).collect();
    assert_eq!((kept.base, kept.next, lengths), (1, 3, vec![10_000, 5000]));
    assert_eq!((recovery.torn_tail_bytes, recovery.damaged_bytes()), (0, 0));
}

#[cfg(unix)]
#[test]
#[ignore = "the test above runs it in a process of its own"]
fn child_with_full_disk() {
    let path = PathBuf::from(std::env::var_os(FULL).expect("the test above sets it"));
    let (mut store, ..) = open(&path);
    store.append(0, 0, &[1; 10_000]).unwrap();
    store.append(1, 0, &[2; 10_000]).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(store.append(2, 0, &[3; 20_000]).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "what was written of it is cut off");
    store.append(2, 0, &[4; 5000]).unwrap();
    store.settled_below(1).unwrap();
}
