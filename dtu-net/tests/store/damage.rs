//! Files that were cut, flipped and overwritten.

use crate::model::{Model, Operation, drawn, fold, perform, recorded, start};
use crate::{STREAM, data_record, directory, frame, head, open, refused};
use bytes::Bytes;
use dtu_net::store::{DATA_OVERHEAD, HEAD_LEN, Kept, KeptData, OutboxStore, Recovery, StoreError};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[test]
fn a_file_cut_anywhere_is_the_state_after_its_whole_records() {
    let (_directory, path) = directory();
    let states = recorded(&path);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let Some((length, model)) = states.iter().rfind(|(length, _)| *length <= cut as u64) else {
            assert!(matches!(refused(&path), StoreError::NoHead { cause: Some(_) }), "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap(), whole[..cut]);
            continue;
        };
        let (mut store, kept, recovery) = open(&path);
        assert_eq!(kept, model.0, "cut at {cut}");
        assert_eq!(recovery.torn_tail_bytes, cut as u64 - length, "cut at {cut}");
        assert_eq!((recovery.damaged_bytes(), recovery.lost, recovery.rewritten), (0, 0, false), "cut at {cut}");
        let records = states.iter().filter(|(length, _)| *length <= cut as u64).count() as u64;
        assert_eq!(recovery.records, records, "cut at {cut}");
        store.append(kept.next, 9, b"goes on").unwrap();
        drop(store);
        let (_, again, recovery) = open(&path);
        assert_eq!(again.data.last().unwrap().body, "goes on", "cut at {cut}");
        assert_eq!((again.data.len(), recovery.torn_tail_bytes), (kept.data.len() + 1, 0), "cut at {cut}");
    }
}

/// What damage may do: lose DATA, bring back what was settled, and give up numbers. Nothing else.
fn assert_safe(kept: &Kept, recovery: &Recovery, model: &Model, ever: &[KeptData], context: &str) {
    assert_eq!(kept.stream, model.0.stream, "{context}");
    assert!(kept.next.wrapping_sub(model.0.next) < 1 << 31, "a number is used again: {kept:?}, {context}");
    assert!(model.0.base.wrapping_sub(kept.base) < 1 << 31, "the base is too high: {kept:?}, {context}");
    for data in &kept.data {
        assert!(ever.contains(data), "garbage is delivered: {data:?}, {context}");
    }
    let distances: Vec<u32> = kept.data.iter().map(|data| data.seq.wrapping_sub(kept.base)).collect();
    assert!(distances.is_sorted_by(|a, b| a < b), "{context}");
    assert!(distances.last().is_none_or(|last| *last < kept.next.wrapping_sub(kept.base)), "{context}");
    let missing = model.0.data.iter().filter(|data| !kept.data.contains(data)).count();
    let given_up = kept.next.wrapping_sub(model.0.next);
    assert!(missing + given_up as usize <= recovery.lost as usize, "{recovery:?} {kept:?}, {context}");
}

/// All DATA that the states ever held.
fn ever<'a>(states: impl IntoIterator<Item = &'a Model>) -> Vec<KeptData> {
    let mut ever: Vec<KeptData> = Vec::new();
    for data in states.into_iter().flat_map(|model| &model.0.data) {
        if !ever.contains(data) {
            ever.push(data.clone());
        }
    }
    ever
}

/// A file that was written anew, with holes below the head's `next`, and has grown since.
fn rewritten(path: &Path) -> Vec<(u64, Model)> {
    let mut bytes = head(1, 10, 20);
    let mut model = Model(Kept { stream: STREAM, base: 10, next: 20, data: Vec::new() });
    let mut states = vec![(bytes.len() as u64, model.clone())];
    for (seq, body) in [(12, "twelve"), (13, ""), (17, "seventeen"), (20, "twenty"), (21, "twenty-one")] {
        bytes.extend(data_record(STREAM, seq, body.as_bytes()));
        model.0.data.push(KeptData { seq, channel: 0, body: Bytes::from(body) });
        model.0.next = model.0.next.max(seq + 1);
        states.push((bytes.len() as u64, model.clone()));
    }
    fs::write(path, bytes).unwrap();
    states
}

#[test]
fn a_flipped_byte_costs_one_record_and_never_a_number() {
    let (_directory, path) = directory();
    for make in [recorded, rewritten] {
        let states = make(&path);
        let whole = fs::read(&path).unwrap();
        for (at, flip) in (0..whole.len()).flat_map(|at| [(at, 0x01), (at, 0xFF)]) {
            flip_one(&path, &whole, &states, at, flip);
        }
    }
}

fn flip_one(path: &Path, whole: &[u8], states: &[(u64, Model)], at: usize, flip: u8) {
    let context = format!("byte {at} with {flip:02X}");
    let ever = ever(states.iter().map(|(_, model)| model));
    let (_, model) = states.last().unwrap();
    let mut bytes = whole.to_vec();
    bytes[at] ^= flip;
    fs::write(path, &bytes).unwrap();
    if at < HEAD_LEN {
        assert!(matches!(refused(path), StoreError::NoHead { cause: Some(_) }), "{context}");
        assert_eq!(fs::read(path).unwrap(), bytes, "a refused file is left as it is: {context}");
        return;
    }
    let (store, kept, recovery) = open(path);
    assert_safe(&kept, &recovery, model, &ever, &context);
    assert!(recovery.rewritten && recovery.torn_tail_bytes == 0, "{context}");
    let after = states.iter().position(|(length, _)| *length > at as u64).unwrap();
    let record = states[after].0 - states[after - 1].0;
    assert_eq!(recovery.damaged_bytes(), record, "{context}: {recovery:?}");
    assert_eq!(recovery.records, states.len() as u64 - 1, "{context}");
    assert!(u64::from(recovery.lost) <= 2 * (record / DATA_OVERHEAD as u64), "{context}: {recovery:?}");
    drop(store);
    let (_, again, recovery) = open(path);
    assert_eq!((again, recovery.damaged_bytes(), recovery.lost), (kept, 0, 0), "damage is told once: {context}");
}

#[test]
fn the_number_of_a_damaged_last_record_is_not_used_again() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    store.append(0, 0, b"kept").unwrap();
    store.append(1, 0, b"sent and acknowledged").unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_, kept, recovery) = open(&path);
    assert_eq!((kept.data.len(), kept.next, recovery.lost), (1, 2, 1));
    assert_eq!(recovery.line.checksum.count, 1);
}

#[test]
fn zeros_that_a_power_loss_left_at_the_end_hide_as_many_numbers_as_fit() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    store.append(0, 0, b"kept").unwrap();
    drop(store);
    let bytes = [fs::read(&path).unwrap(), vec![0; 3 * DATA_OVERHEAD + 5]].concat();
    fs::write(&path, bytes).unwrap();
    let (_, kept, recovery) = open(&path);
    assert_eq!((kept.data.len(), kept.next, recovery.lost), (1, 4, 3));
    assert_eq!(recovery.line.magic.bytes, 3 * DATA_OVERHEAD as u64 + 5);
}

#[test]
fn a_settlement_raises_numbers_whose_data_is_damaged() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    for seq in 0..4 {
        store.append(seq, 0, b"twenty-four bytes or more").unwrap();
    }
    store.settled(3).unwrap();
    store.settled_below(2).unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let settlements = bytes.len() - 2 * 23;
    bytes[HEAD_LEN..settlements].fill(0);
    fs::write(&path, bytes).unwrap();
    let (_, kept, recovery) = open(&path);
    assert_eq!((kept.base, kept.data.len()), (2, 0));
    assert!(kept.next >= 4 && recovery.lost >= 1, "{kept:?} {recovery:?}");
}

#[test]
fn more_damage_than_numbers_is_refused() {
    let (_directory, path) = directory();
    let bytes = [head(1, 0, i32::MAX.unsigned_abs()), vec![0; DATA_OVERHEAD]].concat();
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refused(&path), StoreError::Doubtful { damaged_bytes: 24 }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_length_that_reaches_past_the_end_hides_no_record_behind_it() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    for seq in 0..3 {
        store.append(seq, 0, b"").unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    // Length and guard of the first DATA fit each other, and the stream behind them is right.
    bytes[HEAD_LEN + 2..HEAD_LEN + 6].copy_from_slice(&[0x30, 0, 0xCF, 0xFF]);
    fs::write(&path, bytes).unwrap();
    let (_, kept, recovery) = open(&path);
    let numbers: Vec<u32> = kept.data.iter().map(|data| data.seq).collect();
    assert_eq!((numbers, kept.next, recovery.lost), (vec![1, 2], 3, 1));
    assert_eq!((recovery.torn_tail_bytes, recovery.damaged_bytes()), (0, DATA_OVERHEAD as u64));
}

#[test]
fn a_frame_carried_in_a_damaged_record_is_not_delivered() {
    let (_directory, path) = directory();
    let (mut store, ..) = open(&path);
    let carried = [data_record(STREAM ^ 1, 0, b"false"), frame(&[6, 0, 0, 0, 0, 0, b'f'])].concat();
    store.append(0, 0, &carried).unwrap();
    store.append(1, 0, b"true").unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEAD_LEN] = 0;
    fs::write(&path, bytes).unwrap();
    let (_, kept, recovery) = open(&path);
    let bodies: Vec<&[u8]> = kept.data.iter().map(|data| &data.body[..]).collect();
    assert_eq!(bodies, [b"true"]);
    assert_eq!((recovery.foreign.count, recovery.foreign.bytes), (2, carried.len() as u64));
    assert_eq!((recovery.lost, recovery.damaged_bytes()), (1, (carried.len() + DATA_OVERHEAD) as u64));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes_cost_what_stood_there_and_no_more(
        start in start(),
        operations in proptest::collection::vec(drawn(), 1..40),
        damages in proptest::collection::vec((any::<proptest::sample::Index>(), 1..300_usize, any::<u8>()), 1..4),
    ) {
        let (_directory, path) = directory();
        fs::write(&path, head(1, start, start)).unwrap();
        let (mut store, kept, _) = open(&path);
        let mut model = Model(kept);
        // Where each DATA stands; the file is written anew never, or what stood where is unknown.
        let (mut states, mut places, mut end) = (vec![model.clone()], Vec::new(), HEAD_LEN as u64);
        for drawn in operations {
            let Some(operation) = fold(drawn, &model) else { continue };
            perform(&mut store, &model, &operation).unwrap();
            let length = fs::metadata(&path).unwrap().len();
            prop_assume!(length > end);
            if matches!(operation, Operation::Append(..)) {
                places.push((model.0.next, end..length));
            }
            end = length;
            model.apply(&operation);
            states.push(model.clone());
        }
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.clone();
        prop_assume!(whole.len() > HEAD_LEN);
        for (index, length, byte) in damages {
            let at = HEAD_LEN + index.index(bytes.len() - HEAD_LEN);
            let end = bytes.len().min(at + length);
            bytes[at..end].fill(byte);
        }
        fs::write(&path, &bytes).unwrap();
        let (_, kept, recovery) = open(&path);
        assert_safe(&kept, &recovery, &model, &ever(&states), "overwritten");
        for data in &model.0.data {
            let (_, place) = places.iter().find(|(seq, _)| *seq == data.seq).unwrap();
            let place = place.start as usize..place.end as usize;
            let intact = bytes[place.clone()] == whole[place];
            prop_assert!(!intact || kept.data.contains(data), "DATA {} is intact and lost", data.seq);
        }
    }
}
