//! What a store should hold, and operations on both.

use crate::{STREAM, data_record, head, open};
use bytes::Bytes;
use dtu_net::store::{FileStore, HEAD_LEN, Kept, KeptData, MAX_BODY_LEN, OutboxStore};
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Append(u8, Vec<u8>),
    /// So many numbers above the base.
    SettledBelow(u32),
    Settled(u32),
}

/// What a store should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) Kept);

impl Model {
    pub(crate) fn at(number: u32) -> Self {
        Self(Kept { stream: STREAM, base: number, next: number, data: Vec::new() })
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        let Kept { base, next, data, .. } = &mut self.0;
        match operation {
            Operation::Append(channel, body) => {
                data.push(KeptData { seq: *next, channel: *channel, body: Bytes::copy_from_slice(body) });
                *next = next.wrapping_add(1);
            }
            Operation::SettledBelow(above) => {
                data.retain(|data| data.seq.wrapping_sub(*base) >= *above);
                *base = base.wrapping_add(*above);
            }
            Operation::Settled(above) => data.retain(|data| data.seq.wrapping_sub(*base) != *above),
        }
    }

    pub(crate) fn open(&self) -> u32 {
        self.0.next.wrapping_sub(self.0.base)
    }
}

pub(crate) fn perform(store: &mut FileStore, model: &Model, operation: &Operation) -> io::Result<()> {
    match operation {
        Operation::Append(channel, body) => store.append(model.0.next, *channel, body),
        Operation::SettledBelow(above) => store.settled_below(model.0.base.wrapping_add(*above)),
        Operation::Settled(above) => store.settled(model.0.base.wrapping_add(*above)),
    }
}

/// Every kind of record; the numbers wrap around. The states are those after each operation, with the file's length.
pub(crate) fn recorded(path: &Path) -> Vec<(u64, Model)> {
    let start = u32::MAX - 3;
    fs::write(path, head(1, start, start)).unwrap();
    let (mut store, kept, _) = open(path);
    let mut model = Model(kept);
    let mut states = vec![(HEAD_LEN as u64, model.clone())];
    use Operation::{Append, Settled, SettledBelow};
    // The second body carries whole records, of this stream's numbers too, but of another stream.
    let tunnelled = [data_record(STREAM + 1, start + 2, b"false"), head(1, 0, 0)[..20].to_vec()].concat();
    let operations = [
        Append(0, b"first".to_vec()),
        Append(1, tunnelled),
        Append(2, b"".to_vec()),
        SettledBelow(1),
        Append(0, b"\xD7\x55\0\0\xFF".to_vec()),
        Append(0, b"fifth".to_vec()),
        Settled(2),
        SettledBelow(2),
        Append(255, b"sixth, after the wrap".to_vec()),
        Settled(1),
        Append(0, b"seventh".to_vec()),
    ];
    for operation in operations {
        perform(&mut store, &model, &operation).unwrap();
        model.apply(&operation);
        states.push((fs::metadata(path).unwrap().len(), model.clone()));
    }
    states
}

/// An operation before it is known what is open; the numbers are folded into that.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drawn {
    Append { channel: u8, length: usize, byte: u8 },
    SettledBelow(u32),
    Settled(u32),
}

/// Appends mostly, in sizes that make the file be written anew now and then.
pub(crate) fn drawn() -> impl Strategy<Value = Drawn> {
    let length = prop_oneof![4 => 0..200_usize, 2 => 0..20_000_usize, 1 => Just(MAX_BODY_LEN)];
    prop_oneof![
        6 => (any::<u8>(), length, any::<u8>()).prop_map(|(channel, length, byte)| Drawn::Append { channel, length, byte }),
        2 => (1..12_u32).prop_map(Drawn::SettledBelow),
        1 => (0..100_u32).prop_map(Drawn::Settled),
    ]
}

/// The operation, if there is one in this state that changes it.
pub(crate) fn fold(drawn: Drawn, model: &Model) -> Option<Operation> {
    let open = model.open();
    match drawn {
        Drawn::Append { channel, length, byte } => Some(Operation::Append(channel, vec![byte; length])),
        Drawn::SettledBelow(above) => (open > 0).then(|| Operation::SettledBelow(above.min(open))),
        Drawn::Settled(above) => (open > 0).then(|| Operation::Settled(above % open)),
    }
}

pub(crate) fn start() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), (0..40_u32).prop_map(|below| u32::MAX - below), Just((1 << 31) - 5)]
}
