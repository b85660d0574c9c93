//! `Nats-Msg-Id`: by what the server knows a repeat.

use crate::nats::token;
use crate::sink::Record;
use anyhow::Context;
use core::fmt::Write;
use dtu_proto::checksum::{Algorithm, catalogue};

/// Gives ids. DATA has one of its own, the same whoever repeats it; other records are known by their batch and their place in it, so
/// that a batch that is stored again after an error is there once.
#[derive(Debug)]
pub(super) struct Ids {
    /// Of this sink, and of no other.
    sink: u64,
    /// How many batches were kept. The batch after an error is the same as before.
    batches: u64,
}

impl Ids {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { sink: getrandom::u64().context("the system gives no random number")?, batches: 0 })
    }

    /// A batch is kept.
    pub(super) const fn advance(&mut self) {
        self.batches += 1;
    }

    pub(super) fn of(&self, index: usize, record: &Record, line: &[u8]) -> String {
        match (&record.device, record.key) {
            // A line feed or a colour in a device's id would break the header.
            (Some(device), Some(key)) => {
                let mut id = token(device);
                // Writing into a string does not fail.
                let _written = write!(id, "/{:016x}/{}", key.stream, key.seq);
                id
            }
            (None, _) | (_, None) => {
                // A batch that is another than it should be is not taken for the one before.
                let check = Algorithm::Crc(catalogue::CRC_32_ISCSI).checksum(line);
                format!("%/{:016x}/{}/{index}/{check:08x}", self.sink, self.batches)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Batch, Key};
    use std::collections::HashSet;
    use std::io;
    use std::sync::Arc;

    fn batch(entries: &[(&str, &'static str, Option<Key>, &[u8])]) -> Batch {
        let mut batch = Batch::default();
        for (device, event, key, line) in entries {
            let device: Arc<str> = (*device).into();
            let write = |out: &mut Vec<u8>| -> io::Result<()> {
                out.extend(*line);
                Ok(())
            };
            batch.push(Some(&device), event, *key, write).unwrap();
        }
        batch
    }

    fn ids(ids: &Ids, batch: &Batch) -> Vec<String> {
        batch.records().enumerate().map(|(index, (record, line))| ids.of(index, record, line)).collect()
    }

    #[test]
    fn data_has_the_same_id_everywhere_and_what_has_no_key_the_same_in_a_repeat_only() {
        let key = Some(Key { stream: 0xAB, seq: 7 });
        let batch = batch(&[
            ("a/b\n", "data", key, b"1"),
            ("m", "frame", None, b"1"),
            ("m", "frame", None, b"1"),
            ("m", "frame", None, b"2"),
        ]);
        let mut one = Ids::new().unwrap();
        let first = ids(&one, &batch);
        assert_eq!(first[0], "a/b%0A/00000000000000ab/7");
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 4, "{first:?}");
        assert_eq!(ids(&one, &batch), first, "a repeat");
        one.advance();
        let next = ids(&one, &batch);
        let other = ids(&Ids::new().unwrap(), &batch);
        for (place, id) in first.iter().enumerate() {
            assert_eq!(next[place] == *id, place == 0, "{id}");
            assert_eq!(other[place] == *id, place == 0, "{id}");
        }
    }

    #[test]
    fn another_batch_in_the_place_of_the_one_before_is_not_taken_for_it() {
        let one = Ids::new().unwrap();
        let [a, b] = [b"1", b"2"].map(|line| ids(&one, &batch(&[("m", "frame", None, line)])));
        assert_ne!(a, b);
    }
}
