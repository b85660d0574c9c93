//! What goes into a sink at a time.

use core::ops::Range;
use std::sync::Arc;

/// Records with their lines of JSON, one behind the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    lines: Vec<u8>,
    records: Vec<Record>,
}

/// One thing that happened, with the place of its line in the batch.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Whose it is; `None` where nobody said who he is.
    pub(crate) device: Option<Arc<str>>,
    /// What it is: the `event` of its line, as `data`, `skip`, `frame`, `connected`.
    pub(crate) event: &'static str,
    /// What makes a repeat known; DATA has it.
    pub(crate) key: Option<Key>,
    /// Its line, without the line feed.
    line: Range<usize>,
}

/// With the device, the key of a DATA: the same for every repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The id of the device's stream.
    pub(crate) stream: u64,
    /// The number in it.
    pub(crate) seq: u32,
}

impl Batch {
    /// Appends a record whose line, without a line feed, is written by `write`.
    pub(crate) fn push<E>(
        &mut self,
        device: Option<&Arc<str>>,
        event: &'static str,
        key: Option<Key>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.lines.len();
        if let Err(error) = write(&mut self.lines) {
            self.lines.truncate(start);
            return Err(error);
        }
        let line = start..self.lines.len();
        self.lines.push(b'\n');
        self.records.push(Record { device: device.cloned(), event, key, line });
        Ok(())
    }

    /// All lines, each with its line feed.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The records, in their order, each with its line without the line feed.
    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = (&Record, &[u8])> {
        self.records.iter().map(|record| (record, &self.lines[record.line.clone()]))
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.records.clear();
    }
}
