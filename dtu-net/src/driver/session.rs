//! The application's hand on a connection, and the task's end of it.

use crate::error::SendError;
use crate::numbers::is_after;
use bytes::Bytes;
use core::mem;
use dtu_proto::message::CloseCode;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};

/// DATA that may wait between the application and the task of a connection.
const SEND_QUEUE: usize = 16;

/// A hand on one connection. Clones are hands on the same one; it does not keep the connection open.
#[derive(Debug, Clone)]
pub struct Session {
    wishes: Arc<Wishes>,
    outbox: mpsc::Sender<Outgoing>,
    max_body: usize,
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) channel: u8,
    pub(crate) body: Bytes,
}

/// What the application wants and need not wait for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) commit: Option<u32>,
    pub(crate) close: Option<(CloseCode, Box<str>)>,
}

impl Session {
    /// Queues a DATA message, which is sent as soon as the window lets it through; waits while the queue is full.
    ///
    /// That is no promise: what the peer took is told by [`Event::Acked`](crate::Event::Acked), in the order of the
    /// calls. What is still queued when the connection ends is not sent. A future that is dropped before it is ready has
    /// queued nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`], and [`SendError::NotConnected`] once the connection has ended.
    pub async fn send(&self, channel: u8, body: Bytes) -> Result<(), SendError> {
        let (length, limit) = (body.len(), self.max_body);
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        self.outbox.send(Outgoing { channel, body }).await.map_err(|_| SendError::NotConnected)
    }

    /// Takes responsibility for all DATA below `next`. A later call with an earlier number changes nothing.
    pub fn commit(&self, next: u32) {
        self.wishes.with(|pending| {
            pending.commit = Some(pending.commit.filter(|before| is_after(*before, next)).unwrap_or(next));
        });
    }

    /// Ends the session with a CLOSE. The first call counts.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.wishes.with(|pending| {
            pending.close.get_or_insert_with(|| (code, reason.into()));
        });
    }
}

impl Wishes {
    fn with(&self, change: impl FnOnce(&mut Pending)) {
        // Poison is no concern: no change panics half-way.
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Waits for wishes and takes them. Loses none when it is dropped.
    pub(crate) async fn granted(&self) -> Pending {
        self.wake.notified().await;
        self.take()
    }

    /// Takes the wishes there are.
    pub(crate) fn take(&self) -> Pending {
        mem::take(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) wishes: Arc<Wishes>,
    pub(crate) outbox: mpsc::Receiver<Outgoing>,
}

impl Inbox {
    pub(crate) fn new(max_body: usize) -> (Session, Self) {
        let (sender, outbox) = mpsc::channel(SEND_QUEUE);
        let wishes = Arc::<Wishes>::default();
        (Session { wishes: Arc::clone(&wishes), outbox: sender, max_body }, Self { wishes, outbox })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_commit_does_not_take_back_a_later_one() {
        let (session, inbox) = Inbox::new(1);
        for (commits, kept) in [([3, 1], 3), ([1, 3], 3), ([u32::MAX, 2], 2), ([2, u32::MAX], 2)] {
            commits.into_iter().for_each(|next| session.commit(next));
            assert_eq!(inbox.wishes.take().commit, Some(kept), "{commits:?}");
        }
    }
}
