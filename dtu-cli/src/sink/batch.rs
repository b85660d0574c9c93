//! What goes into a sink at a time.

use core::ops::Range;
use std::sync::Arc;

/// Records with their lines of JSON, one behind the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Shared with threads that write it, never while it is filled.
    lines: Arc<Vec<u8>>,
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

impl Record {
    /// Whether brokers get it in any case; the other events are for those who ask for them.
    pub(crate) fn is_always_kept(&self) -> bool {
        matches!(self.event, "data" | "skip" | "frame")
    }
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
        // A thread whose answer nobody waits for may still hold the lines of an earlier batch: then it keeps them.
        let lines = Arc::make_mut(&mut self.lines);
        let start = lines.len();
        if let Err(error) = write(lines) {
            lines.truncate(start);
            return Err(error);
        }
        let line = start..lines.len();
        lines.push(b'\n');
        self.records.push(Record { device: device.cloned(), event, key, line });
        Ok(())
    }

    /// All lines, each with its line feed.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The same for a thread of its own.
    pub(crate) fn shared_lines(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.lines)
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
        match Arc::get_mut(&mut self.lines) {
            Some(lines) => lines.clear(),
            None => self.lines = Arc::default(),
        }
        self.records.clear();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use core::convert::Infallible;

    /// A batch of these lines, as DATA of one device.
    pub(crate) fn batch(lines: &[&str]) -> Batch {
        let (mut batch, device) = (Batch::default(), Arc::from("meter-7"));
        for (seq, line) in (0..).zip(lines) {
            let key = Some(Key { stream: 1, seq });
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(line.as_bytes());
                Ok::<(), Infallible>(())
            };
            batch.push(Some(&device), "data", key, write).unwrap();
        }
        batch
    }

    #[test]
    fn a_line_that_cannot_be_written_leaves_nothing() {
        let mut batch = batch(&["{\"a\":1}"]);
        let half = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"b");
            Err(())
        };
        assert_eq!(batch.push(None, "data", None, half), Err(()));
        assert_eq!((batch.lines(), batch.len()), (&b"{\"a\":1}\n"[..], 1));
        let (record, line) = batch.records().next().unwrap();
        assert_eq!((record.event, record.key, line), ("data", Some(Key { stream: 1, seq: 0 }), &b"{\"a\":1}"[..]));
    }

    #[test]
    fn lines_that_a_thread_still_holds_stay_as_they_are() {
        let mut batch = batch(&["old"]);
        let held = batch.shared_lines();
        batch.clear();
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"new");
            Ok::<(), Infallible>(())
        };
        batch.push(None, "data", None, write).unwrap();
        assert_eq!((&held[..], batch.lines()), (&b"old\n"[..], &b"new\n"[..]));
    }
}
