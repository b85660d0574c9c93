//! What may be opened, and what is refused and left as it is.

use crate::model::Model;
use crate::{STREAM, beside, data_record, directory, frame, head, open, refused};
use dtu_net::store::{Durability, FileStore, OutboxStore, StoreError};
use dtu_proto::Malformed;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

#[test]
fn a_first_file_that_was_not_finished_is_begun_again() {
    let (_directory, path) = directory();
    fs::write(beside(&path, "new"), b"half a he").unwrap();
    let (_store, kept, recovery) = open(&path);
    assert_eq!(kept, Model::at(0).0);
    assert!(recovery.created);
    assert_eq!(fs::read(&path).unwrap(), head(1, 0, 0));
    assert!(!beside(&path, "new").exists());
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    assert!(matches!(refused(&path), StoreError::Locked));
    // Nor after its file has been replaced.
    let (body, mut seq) = (vec![0; 60_000], 0);
    while seq < 6 {
        store.append(seq, 0, &body).unwrap();
        seq += 1;
        store.settled_below(seq).unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() < 200_000, "the file was replaced");
    assert!(matches!(refused(&path), StoreError::Locked));
    drop(store);
    assert_eq!(open(&path).1.next, 6);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let (_directory, path) = directory();
    let ping = frame(&[4, 0, 0, 0, 0, 0, 0, 0, 1]);
    let files: [&[u8]; 7] = [
        b"",
        b"meter = 7\n",
        &[0; 5000],
        &ping,
        &data_record(STREAM, 0, b"x"),
        b"\xD7\x55\xFF\xF0\0\x0F and then not as much",
        &head(1, 2, 1),
    ];
    for bytes in files {
        fs::write(&path, bytes).unwrap();
        fs::write(beside(&path, "new"), b"somebody's").unwrap();
        let error = refused(&path);
        assert!(matches!(error, StoreError::NoHead { .. }), "{error} for {bytes:02X?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read(beside(&path, "new")).unwrap(), b"somebody's");
    }
    fs::write(&path, b"meter = 7\n").unwrap();
    let message = refused(&path).to_string();
    assert_eq!(message, "not an outbox, or its first bytes are damaged: no frame starts here");
}

#[test]
fn another_version_is_refused_and_left_as_it_is() {
    let (_directory, path) = directory();
    let bytes = [head(2, 0, 0), data_record(STREAM, 0, b"x")].concat();
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refused(&path), StoreError::Version { found: 2, known: 1 }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_place_where_nothing_can_be_made_is_an_error_of_the_file_system() {
    let (directory, path) = directory();
    let kind = |path: &Path| match refused(path) {
        StoreError::Io(error) => error.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&directory.path().join("not there/outbox")), ErrorKind::NotFound);
    fs::write(&path, b"a file").unwrap();
    assert_eq!(kind(&path.join("outbox")), ErrorKind::NotADirectory);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let closed = directory.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        if fs::write(closed.join("probe"), b"").is_ok() {
            println!("skipped: this user may write into a directory without write permission");
        } else {
            assert_eq!(kind(&closed.join("outbox")), ErrorKind::PermissionDenied);
        }
    }
}

#[test]
fn a_new_stream_is_not_0() {
    let (_directory, path) = directory();
    let error = FileStore::open(&path, 0, Durability::Process).err().unwrap();
    assert!(matches!(error, StoreError::StreamZero));
    assert!(!path.exists());
}

#[test]
fn the_cause_of_a_refusal_can_be_told_by_a_machine() {
    let cause = Some(Malformed::Magic);
    let errors = [StoreError::Locked, StoreError::NoHead { cause }, StoreError::Version { found: 2, known: 1 }];
    assert_eq!(errors.map(|error| error.name()), ["locked", "no_head", "version"]);
}
