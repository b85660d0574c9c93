//! One end of a demo link, a device or the server's part of it: sends its content, takes the other's, and keeps the books.

use super::balance::Numbers;
use super::content::{Content, Digest};
use super::live::Live;
use crate::times::Times;
use core::convert::Infallible;
use core::time::Duration;
use dtu_net::driver::{Receipt, Session};
use dtu_net::link::Role;
use dtu_net::{Ledger, Outcome, Outgoing, Received, SendError};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Held while something is not done; when all are dropped, it is.
pub(super) type Guard = mpsc::Sender<Infallible>;

/// What an end shall do.
pub(super) struct End<R: Role> {
    pub(super) session: Session<R>,
    pub(super) sends: Content,
    pub(super) receives: Content,
    pub(super) pace: Duration,
    /// How many frames; without it, until told to stop.
    pub(super) frames: Option<u32>,
    pub(super) stop: CancellationToken,
    pub(super) live: Arc<Live>,
    /// Held while it sends.
    pub(super) sending: Option<Guard>,
    /// Held until all that it sent has its outcome.
    pub(super) settling: Option<Guard>,
}

/// What an end has sent and received.
#[derive(Debug, Default, Clone)]
pub(super) struct Books {
    pub(super) sent: u32,
    pub(super) acked: Numbers,
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) abandoned: u64,
    /// Sent, and without an outcome after the link was closed.
    pub(super) open: u64,
    /// From `send` to ACK.
    pub(super) acked_after: Times,
    pub(super) delivered: Numbers,
    pub(super) duplicated: u64,
    /// Received, and not the other end's content; or a number that the link says will not come.
    pub(super) unexpected: u64,
    /// Not the number after the one before.
    pub(super) out_of_order: u64,
    /// The number that is expected next.
    next: u32,
    /// Of what was delivered, in this order.
    pub(super) digest: Digest,
    /// The link's own books.
    pub(super) ledger: Ledger,
    pub(super) connected: u64,
}

/// DATA without an outcome so far.
struct Open {
    number: u32,
    since: Instant,
    receipt: Receipt,
}

impl<R: Role> End<R> {
    /// Runs until the link is closed.
    pub(super) async fn run(mut self) -> Books {
        let (mut books, mut open) = (Books::default(), VecDeque::new());
        let mut ticks = interval(self.pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.frames.is_some_and(|frames| books.sent >= frames) || self.stop.is_cancelled() {
                self.sending = None;
            }
            if self.sending.is_none() && open.is_empty() {
                self.settling = None;
            }
            tokio::select! {
                received = self.session.recv() => match received {
                    Some(received) => self.take(&received, &mut books),
                    None => break,
                },
                _ = ticks.tick(), if self.sending.is_some() => self.send(&mut books, &mut open),
                (number, since, outcome) = oldest(&mut open) => {
                    open.pop_front();
                    self.settle(&mut books, number, since, outcome);
                }
                () = self.stop.cancelled(), if self.sending.is_some() => {}
            }
        }
        // The link is closed, so each outcome is there, or it never comes.
        for Open { number, since, receipt } in open {
            match timeout(Duration::ZERO, receipt).await {
                Ok(outcome) => self.settle(&mut books, number, since, outcome),
                Err(_) => books.open += 1,
            }
        }
        let counters = self.session.counters();
        (books.ledger, books.connected) = (counters.ledger, counters.connected);
        books
    }

    fn send(&mut self, books: &mut Books, open: &mut VecDeque<Open>) {
        let number = books.sent;
        match self.session.try_send(Outgoing::new(0, self.sends.body(number))) {
            Ok(receipt) => {
                open.push_back(Open { number, since: Instant::now(), receipt });
                books.sent += 1;
                self.live.sent.count();
            }
            // The same frame is tried again at the next tick.
            Err(SendError::Full) => {}
            // The link is closed; or a body of the demo is not taken, and then nothing of it is.
            Err(_) => self.sending = None,
        }
    }

    fn settle(&self, books: &mut Books, number: u32, since: Instant, outcome: Outcome) {
        match outcome {
            Outcome::Acked => {
                books.acked.insert(number);
                books.acked_after.add(since.elapsed());
                self.live.acked.count();
            }
            Outcome::Expired => books.expired += 1,
            Outcome::Refused => books.refused += 1,
            Outcome::Abandoned => books.abandoned += 1,
        }
    }

    /// Puts what came into the books, and takes responsibility for it.
    fn take(&self, received: &Received, books: &mut Books) {
        match received {
            Received::Data { body, .. } => books.deliver(&self.receives, body, &self.live),
            Received::Skip { .. } => books.unexpected += 1,
        }
        // Neither side forgets a stream here.
        books.unexpected += u64::from(self.session.commit(received.mark()).is_err());
    }
}

impl Books {
    fn deliver(&mut self, content: &Content, body: &[u8], live: &Live) {
        let Some(number) = content.number_of(body) else {
            self.unexpected += 1;
            return;
        };
        self.out_of_order += u64::from(number != self.next);
        self.next = number.wrapping_add(1);
        if self.delivered.insert(number) {
            self.digest.add(body);
            live.delivered.count();
        } else {
            self.duplicated += 1;
        }
    }
}

/// The outcome of the oldest. Nothing is taken out.
async fn oldest(open: &mut VecDeque<Open>) -> (u32, Instant, Outcome) {
    match open.front_mut() {
        Some(Open { number, since, receipt }) => (*number, *since, receipt.await),
        None => core::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::Way;
    use super::*;

    #[test]
    fn what_comes_is_judged_by_its_content_and_its_order() {
        let content = Content { seed: 1, device: 2, way: Way::Up };
        let of = |numbers: &[u32]| {
            let mut books = Books::default();
            for &number in numbers {
                books.deliver(&content, &content.body(number), &Live::default());
            }
            (books.delivered.count(), books.duplicated, books.out_of_order)
        };
        assert_eq!(of(&[0, 1, 2]), (3, 0, 0));
        assert_eq!(of(&[0, 1, 1]), (2, 1, 1));
        assert_eq!(of(&[0, 2, 3]), (3, 0, 1));
        assert_eq!(of(&[1, 0]), (2, 0, 2));
        let mut books = Books::default();
        books.deliver(&content, &Content { device: 3, ..content }.body(0), &Live::default());
        assert_eq!((books.delivered.count(), books.unexpected), (0, 1));
    }
}
