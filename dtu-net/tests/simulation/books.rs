//! What is true of the DATA of each stream, whatever the machines say.

use bytes::Bytes;
use dtu_net::Outcome;
use std::collections::HashMap;

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) channel: u8,
    pub(crate) body: Bytes,
    pub(crate) deadline: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
    /// An application has it.
    pub(crate) delivered: bool,
    /// An application has taken responsibility for it.
    pub(crate) committed: bool,
}

/// The DATA of all streams.
#[derive(Debug, Default)]
pub(crate) struct Books {
    items: HashMap<(u64, u32), Item>,
}

impl Books {
    pub(crate) fn sent(&mut self, stream: u64, seq: u32, item: Item) {
        let before = self.items.insert((stream, seq), item);
        assert!(before.is_none(), "number {seq} of {stream:x} was given twice");
    }

    pub(crate) fn item(&mut self, stream: u64, seq: u32) -> &mut Item {
        self.items.get_mut(&(stream, seq)).unwrap_or_else(|| panic!("number {seq} of {stream:x} was never sent"))
    }

    pub(crate) fn settle(&mut self, now: u64, stream: u64, seq: u32, outcome: Outcome) {
        let item = self.item(stream, seq);
        assert_eq!(item.outcome, None, "number {seq} of {stream:x} has a second outcome: {outcome:?}");
        item.outcome = Some(outcome);
        match outcome {
            Outcome::Acked => {
                assert!(
                    item.delivered && item.committed,
                    "number {seq} of {stream:x} is acked and not committed: {item:?}"
                );
            }
            Outcome::Expired => {
                assert!(item.deadline.is_some_and(|deadline| deadline <= now), "number {seq} expired early: {item:?}");
            }
            Outcome::Refused | Outcome::Abandoned => {}
        }
    }
}

/// What one receiver has had of one stream: in order and each number once.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) next: u32,
    pub(crate) committed: u32,
}
