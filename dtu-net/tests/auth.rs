//! The proof of the key, and the stores that the keys come from.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use dtu_net::auth::{Key, KeyError, MAC_LEN, MAX_KEY_LEN, MIN_KEY_LEN, NONCE_LEN, prove, verify};
use dtu_net::keys::{FileKeys, KeyFileError, KeyStore, LineFault, MAX_KEY_FILE_LEN};
use dtu_proto::hex::Hex;
use dtu_proto::message::{DeviceId, Field, MessageError};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use tempfile::TempDir;

const HEX_A: &str = "000102030405060708090a0b0c0d0e0f";
const HEX_B: &str = "101112131415161718191a1b1c1d1e1f";
const NONCE: [u8; NONCE_LEN] = *b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf";

fn device(id: &str) -> DeviceId<'_> {
    DeviceId::new(id).unwrap()
}

/// Whether both keys give one proof; keys have no `==`.
fn is_same(left: &Key, right: &Key) -> bool {
    prove(left, &NONCE, device("x")) == prove(right, &NONCE, device("x"))
}

/// The macs are those of Python's hmac:
/// ```text
/// python3 -c 'import hmac; print(hmac.new(bytes(range(32)), bytes(range(0xa0, 0xb0)) + b"867584030001234", "sha256").hexdigest())'
/// python3 -c 'import hmac; print(hmac.new(bytes(range(32)), bytes(range(0xa0, 0xb0)) + "meter-7/гЗ".encode(), "sha256").hexdigest())'
/// ```
#[test]
fn the_mac_covers_the_nonce_and_then_the_bytes_of_the_id() {
    let key = Key::new(&(0..32).collect::<Vec<u8>>()).unwrap();
    for (id, mac) in [
        ("867584030001234", "66d430956ed604e1d6a723f2be02f88a3acdd318ffbd924b08137f0126e2dd85"),
        ("meter-7/гЗ", "55a75f0ad5ba94109accc6607dbeb25b554980aafe02866d51b5d47429eb5d2a"),
    ] {
        assert_eq!(Hex(&prove(&key, &NONCE, device(id))).to_string(), mac, "{id}");
    }
}

/// Calls `check` with every copy of `bytes` in which one bit is another.
fn every_flip<const N: usize>(bytes: [u8; N], mut check: impl FnMut([u8; N])) {
    for bit in 0..N * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(flipped);
    }
}

#[test]
fn one_bit_more_or_less_in_the_key_the_nonce_the_id_or_the_mac_fails() {
    const KEY: [u8; MAX_KEY_LEN] = [0x3c; MAX_KEY_LEN];
    const ID: [u8; 15] = *b"867584030001234";
    let key = Key::new(&KEY).unwrap();
    let id = device(core::str::from_utf8(&ID).unwrap());
    let mac = prove(&key, &NONCE, id);
    assert!(verify(Some(&key), &NONCE, id, &mac));

    for length in MIN_KEY_LEN..=MAX_KEY_LEN {
        let key = Key::new(&KEY[..length]).unwrap();
        let mac = prove(&key, &NONCE, id);
        every_flip(KEY, |flipped| {
            let is_within = flipped[..length] != KEY[..length];
            let other = Key::new(&flipped[..length]).unwrap();
            assert_eq!(verify(Some(&other), &NONCE, id, &mac), !is_within);
        });
    }
    every_flip(NONCE, |nonce| assert!(!verify(Some(&key), &nonce, id, &mac)));
    every_flip(mac, |mac| assert!(!verify(Some(&key), &NONCE, id, &mac)));
    let mut ids = 0;
    every_flip(ID, |flipped| {
        // A flip of the highest bit is no UTF-8, and so no id.
        if let Ok(flipped) = core::str::from_utf8(&flipped) {
            assert!(!verify(Some(&key), &NONCE, device(flipped), &mac), "{flipped:?}");
            ids += 1;
        }
    });
    assert_eq!(ids, ID.len() * 7);
    // A byte less and a byte more, at either end.
    for other in ["86758403000123", "67584030001234", "8675840300012340", "0867584030001234"] {
        assert!(!verify(Some(&key), &NONCE, device(other), &mac), "{other}");
    }
}

#[test]
fn a_device_without_a_key_never_proves_one() {
    let id = device("unknown");
    // The key of all zeros is what the work is done with when there is none.
    let zeros = Key::new(&[0; MAX_KEY_LEN]).unwrap();
    let mac = prove(&zeros, &NONCE, id);
    assert!(verify(Some(&zeros), &NONCE, id, &mac));
    assert!(!verify(None, &NONCE, id, &mac));
    assert!(!verify(None, &NONCE, id, &[0; MAC_LEN]));
}

proptest! {
    #[test]
    fn what_is_proved_is_verified_and_by_no_other_key(
        key in prop::collection::vec(any::<u8>(), MIN_KEY_LEN..=MAX_KEY_LEN),
        other in prop::collection::vec(1..=u8::MAX, MIN_KEY_LEN..=MAX_KEY_LEN),
        nonce: [u8; NONCE_LEN],
        id in "\\PC{1,16}",
    ) {
        prop_assume!(key != other);
        let (id, other) = (device(&id), Key::new(&other).unwrap());
        let mac = prove(&Key::from_hex(&Hex(&key).to_string()).unwrap(), &nonce, id);
        prop_assert!(verify(Some(&Key::new(&key).unwrap()), &nonce, id, &mac));
        prop_assert!(!verify(Some(&other), &nonce, id, &mac));
    }
}

#[test]
fn a_key_outside_its_bounds_is_refused_with_its_length() {
    let refusal = |length| KeyError::Length { length, min: MIN_KEY_LEN, max: MAX_KEY_LEN };
    for length in 0..=2 * MAX_KEY_LEN {
        let bytes = vec![7; length];
        let expected = if (MIN_KEY_LEN..=MAX_KEY_LEN).contains(&length) { Ok(()) } else { Err(refusal(length)) };
        assert_eq!(Key::new(&bytes).map(drop), expected);
        assert_eq!(Key::from_hex(&Hex(&bytes).to_string()).map(drop), expected);
    }
}

#[test]
fn digits_that_are_none_are_found_by_their_place() {
    assert_eq!(Key::from_hex(&format!("{HEX_A}0")).unwrap_err(), KeyError::OddDigits { digits: 33 });
    for wrong in ['g', 'G', ' ', '/', ':', '@', '`', '\n', 'é'] {
        let error = Key::from_hex(&format!("{HEX_A}{wrong}0")).unwrap_err();
        assert_eq!(error, KeyError::NotHex { at: 32 }, "{wrong:?}");
    }
    assert_eq!(Key::from_hex("0x00").unwrap_err(), KeyError::NotHex { at: 1 });
}

#[test]
fn nothing_of_a_key_is_in_its_debug_text() {
    assert_eq!(format!("{:?}", Key::from_hex(HEX_A).unwrap()), "Key(..)");
}

#[test]
fn a_map_is_a_store() {
    let store = HashMap::from([("a".to_owned(), Key::from_hex(HEX_A).unwrap())]);
    let store: &dyn KeyStore = &store;
    assert!(is_same(&store.key(device("a")).unwrap().unwrap(), &Key::from_hex(HEX_A).unwrap()));
    assert!(store.key(device("A")).unwrap().is_none());
}

/// A folder, and in it a key file with this text.
fn file_with(text: impl AsRef<[u8]>) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn open(text: impl AsRef<[u8]>) -> Result<FileKeys, KeyFileError> {
    let (_folder, path) = file_with(text);
    FileKeys::open(path)
}

#[test]
fn a_file_with_comments_blank_lines_crlf_and_blanks_in_ids_is_read() {
    let longest = "i".repeat(64);
    let keys = open(format!(
        "# gate house\r\n\r\n  # indented\n \t \n{HEX_A} 867584030001234\r\n{}\t  meter 7,  cellar \n  {HEX_B} #1\n{HEX_A} {longest}",
        HEX_B.to_uppercase(),
    ))
    .unwrap();
    assert_eq!((keys.len(), keys.is_empty()), (4, false));
    for (id, hex) in [("867584030001234", HEX_A), ("meter 7,  cellar", HEX_B), ("#1", HEX_B), (&longest, HEX_A)] {
        let key = keys.key(device(id)).unwrap().unwrap_or_else(|| panic!("{id:?} has no key"));
        assert!(is_same(&key, &Key::from_hex(hex).unwrap()), "{id:?}");
    }
    assert!(keys.key(device("meter 7")).unwrap().is_none());
}

#[test]
fn an_empty_file_has_no_devices() {
    for text in ["", "\n", "# nobody yet\r\n"] {
        let keys = open(text).unwrap();
        assert_eq!((keys.len(), keys.is_empty()), (0, true));
    }
}

#[test]
fn a_bad_line_is_told_with_its_number_and_its_fault() {
    let long = "i".repeat(65);
    let id_length = |length| MessageError::Length { field: Field::DeviceId, length, min: 1, max: 64 };
    let key_length = |length| KeyError::Length { length, min: MIN_KEY_LEN, max: MAX_KEY_LEN };
    let not_utf8: Vec<u8> = [HEX_B.as_bytes(), b" meter\xff"].concat();
    let cases: [(Vec<u8>, LineFault); 11] = [
        (format!("{HEX_B} a").into(), LineFault::Duplicate { first: 2 }),
        (HEX_B.into(), LineFault::Device(id_length(0))),
        (format!("{HEX_B} \t").into(), LineFault::Device(id_length(0))),
        (format!("{HEX_B} {long}").into(), LineFault::Device(id_length(65))),
        ("meter-7".into(), LineFault::Key(KeyError::NotHex { at: 0 })),
        (format!("{HEX_B}:b").into(), LineFault::Key(KeyError::NotHex { at: 32 })),
        (format!("\u{feff}{HEX_B} b").into(), LineFault::Key(KeyError::NotHex { at: 0 })),
        (format!("{HEX_B}1 b").into(), LineFault::Key(KeyError::OddDigits { digits: 33 })),
        ("0011 b".into(), LineFault::Key(key_length(2))),
        (format!("{} b", "00".repeat(65)).into(), LineFault::Key(key_length(65))),
        (not_utf8, LineFault::NotUtf8 { valid_up_to: 38 }),
    ];
    for (line, expected) in cases {
        let text = [format!("# keys\n{HEX_A} a\n\n").as_bytes(), &line, b"\nand more that is wrong"].concat();
        let Err(KeyFileError::Line { number, fault }) = open(text) else { panic!("{expected} was not found") };
        assert_eq!((number, fault), (4, expected));
    }
}

#[test]
fn a_message_about_a_line_shows_nothing_of_the_key() {
    let error = open("c0ffee00c0ffee00c0ffee00c0ffee0 b").unwrap_err();
    assert_eq!(error.to_string(), "line 1: key has 31 hex digits, and a byte takes two");
}

#[test]
fn a_file_at_the_limit_is_read_and_one_byte_more_is_not() {
    let mut text = format!("{HEX_A} a\n#").into_bytes();
    text.resize(MAX_KEY_FILE_LEN, b'-');
    assert_eq!(open(&text).unwrap().len(), 1);
    text.push(b'-');
    assert!(matches!(open(&text), Err(KeyFileError::TooLong { limit: MAX_KEY_FILE_LEN })));
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_the_system() {
    let folder = TempDir::new().unwrap();
    let Err(KeyFileError::Io(error)) = FileKeys::open(folder.path().join("keys")) else { panic!("no error") };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_reload_takes_the_new_keys_and_keeps_the_old_ones_when_the_file_is_bad() {
    let (folder, path) = file_with(format!("{HEX_A} a\n{HEX_A} b\n"));
    let keys = FileKeys::open(&path).unwrap();
    assert_eq!(keys.path(), path);
    let has = |id, hex| {
        let key = keys.key(device(id)).unwrap();
        key.is_some_and(|key| is_same(&key, &Key::from_hex(hex).unwrap()))
    };
    assert!(has("a", HEX_A) && has("b", HEX_A));

    fs::write(&path, format!("{HEX_B} a\n{HEX_B} c\n")).unwrap();
    assert!(has("a", HEX_A), "nothing is read before it is asked for");
    keys.reload().unwrap();
    assert!(has("a", HEX_B) && has("c", HEX_B));
    assert!(keys.key(device("b")).unwrap().is_none());

    fs::write(&path, format!("{HEX_A} a\n{HEX_A} a\n")).unwrap();
    assert!(matches!(keys.reload(), Err(KeyFileError::Line { number: 2, fault: LineFault::Duplicate { first: 1 } })));
    assert!(has("a", HEX_B) && has("c", HEX_B));

    drop(folder);
    assert!(matches!(keys.reload(), Err(KeyFileError::Io(_))));
    assert!(has("a", HEX_B) && has("c", HEX_B));
    assert_eq!(keys.len(), 2);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_or_write_is_exposed() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = file_with(format!("{HEX_A} a\n"));
    let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    set(0o600);
    let keys = FileKeys::open(&path).unwrap();
    for (mode, is_exposed) in [(0o600, false), (0o640, false), (0o660, false), (0o644, true), (0o602, true)] {
        set(mode);
        keys.reload().unwrap();
        assert_eq!(keys.is_exposed(), is_exposed, "{mode:o}");
    }
}

#[test]
fn nothing_of_the_keys_is_in_the_debug_text_of_a_file() {
    let (folder, path) = file_with(format!("{HEX_A} a\n"));
    let text = format!("{:?}", FileKeys::open(path).unwrap());
    assert!(text.ends_with("devices: 1, .. }") && !text.contains("0001"), "{text}");
    drop(folder);
}
