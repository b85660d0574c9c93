//! Answers to PINGs that wait to leave. Mostly there is one at a time, which takes nothing from the heap.

use std::collections::VecDeque;

/// PONGs that may wait to leave. Of more the newest are kept: a peer that asks so often reads only the last answer.
const PONGS: usize = 8;

/// The nonces to be answered, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pongs {
    first: Option<u64>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    nonces: VecDeque<u64>,
}

impl Pongs {
    pub(crate) fn push(&mut self, nonce: u64) {
        if self.first.is_none() {
            self.first = Some(nonce);
            return;
        }
        let More { nonces } = &mut **self.more.get_or_insert_default();
        nonces.push_back(nonce);
        if nonces.len() == PONGS {
            self.first = nonces.pop_front();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<u64> {
        let nonce = self.first.take()?;
        if let Some(more) = &mut self.more {
            self.first = more.nonces.pop_front();
            if more.nonces.is_empty() {
                self.more = None;
            }
        }
        Some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::{PONGS, Pongs};

    #[test]
    fn the_newest_are_kept_in_their_order_and_an_empty_queue_holds_nothing() {
        for count in 0..3 * PONGS as u64 {
            let mut pongs = Pongs::default();
            (0..count).for_each(|nonce| pongs.push(nonce));
            let oldest = count.saturating_sub(PONGS as u64);
            for nonce in oldest..count {
                assert_eq!(pongs.pop(), Some(nonce), "of {count}");
            }
            assert!(pongs.pop().is_none() && pongs.more.is_none());
        }
    }
}
