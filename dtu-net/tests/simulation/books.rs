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
    /// When it got its outcome.
    pub(crate) settled_at: u64,
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

    /// Notes an outcome, and returns the length of the body.
    pub(crate) fn settle(&mut self, now: u64, stream: u64, seq: u32, outcome: Outcome) -> usize {
        let item = self.item(stream, seq);
        assert_eq!(item.outcome, None, "number {seq} of {stream:x} has a second outcome: {outcome:?}");
        (item.outcome, item.settled_at) = (Some(outcome), now);
        let length = item.body.len();
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
            Outcome::Refused => {
                let before = self.items.get(&(stream, seq.wrapping_sub(1)));
                assert!(before.is_none_or(|item| item.outcome.is_some()), "number {seq} goes before an older one");
            }
            Outcome::Abandoned => {}
        }
        length
    }
}

/// What one receiver has had of one stream: in order and each number once, unless it said that it has forgotten. That
/// happens when a REGISTER of an older process arrives behind that of the newer one.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) next: u32,
    pub(crate) committed: u32,
    /// How often it has said so, and how often it began anew.
    pub(crate) forgotten: u32,
    pub(crate) renewed: u32,
}
