//! Who waits for something to change on a link.

use core::task::Waker;

/// Tasks to wake, each with the ticket of its future. Most links have one; of more, the rest is on the heap.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<(Ticket, Waker)>,
    newest: u32,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    waiting: Vec<(Ticket, Waker)>,
}

/// The number of a future that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

impl Waiters {
    /// Adds a future that waits, or takes the new waker of one that stands here already.
    pub(crate) fn add(&mut self, ticket: Option<Ticket>, waker: &Waker) -> Ticket {
        let ticket = ticket.unwrap_or_else(|| {
            self.newest = self.newest.wrapping_add(1);
            Ticket(self.newest)
        });
        let more = self.more.iter_mut().flat_map(|more| &mut more.waiting);
        if let Some((_, known)) = self.first.iter_mut().chain(more).find(|(known, _)| *known == ticket) {
            known.clone_from(waker);
        } else if self.first.is_none() {
            self.first = Some((ticket, waker.clone()));
        } else {
            self.more.get_or_insert_default().waiting.push((ticket, waker.clone()));
        }
        ticket
    }

    /// A future waits no more.
    pub(crate) fn remove(&mut self, ticket: Ticket) {
        self.first.take_if(|(known, _)| *known == ticket);
        self.more.take_if(|more| {
            more.waiting.retain(|(known, _)| *known != ticket);
            more.waiting.is_empty()
        });
    }

    /// Takes everyone out, to be woken when the lock is open.
    pub(crate) fn take(&mut self) -> Self {
        Self { first: self.first.take(), more: self.more.take(), newest: 0 }
    }

    pub(crate) fn wake(self) {
        let more = self.more.into_iter().flat_map(|more| more.waiting);
        self.first.into_iter().chain(more).for_each(|(_, waker)| waker.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::Waiters;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Waker;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_and_who_has_gone_is_not() {
        let counts: Vec<Arc<Count>> = (0..5).map(|_| Arc::default()).collect();
        let mut waiters = Waiters::default();
        let tickets: Vec<_> = counts.iter().map(|count| waiters.add(None, &Waker::from(Arc::clone(count)))).collect();
        for (count, ticket) in counts.iter().zip(&tickets) {
            let again = waiters.add(Some(*ticket), &Waker::from(Arc::clone(count)));
            assert_eq!(again, *ticket);
        }
        waiters.remove(tickets[0]);
        waiters.remove(tickets[3]);
        waiters.take().wake();
        waiters.take().wake();
        let woken: Vec<usize> = counts.iter().map(|count| count.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [0, 1, 1, 0, 1]);
    }
}
