//! Who waits for the outcome of what was sent. A server sends nothing to most of its devices, so it is on the heap while somebody
//! waits.

use crate::event::Outcome;
use crate::numbers::is_after;
use std::collections::VecDeque;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(crate) struct Receipts(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of the numbers.
    senders: VecDeque<(u32, oneshot::Sender<Outcome>)>,
}

impl Receipts {
    /// Remembers who waits for the outcome of a number just taken.
    pub(crate) fn expect(&mut self, seq: u32) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.0.get_or_insert_default().senders.push_back((seq, sender));
        receiver
    }

    /// `count` numbers from `first` on have reached their outcome.
    pub(crate) fn settle(&mut self, first: u32, count: u32, outcome: Outcome) {
        let Some(waiting) = &mut self.0 else { return };
        let (senders, end) = (&mut waiting.senders, first.wrapping_add(count));
        let begin = senders.partition_point(|(seq, _)| is_after(first, *seq));
        let count = senders.iter().skip(begin).take_while(|(seq, _)| is_after(end, *seq)).count();
        for (_, sender) in senders.drain(begin..begin + count) {
            // Whoever let go of the receipt does not want to know.
            let _unheard = sender.send(outcome);
        }
        if senders.is_empty() {
            self.0 = None;
        }
    }
}
