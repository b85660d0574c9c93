//! The application's hand on a link.

use super::hub::count_settled;
use super::now;
use super::shared::{Inner, Shared};
use crate::adaptive::{Learned, Network};
use crate::device::Device;
use crate::error::{CommitError, SendError};
use crate::event::{LinkCounters, Mark, Outcome, Received, StateChange};
use crate::link::Role;
use crate::outbox::Outgoing;
use crate::server::Server;
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use dtu_proto::message::CloseCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A hand on a link: at a server the session with one device, at a device the one with its server. It outlives the
/// connections. Clones are hands on the same one; when the last one is dropped, the link is closed as going down, as nobody
/// could take responsibility any more.
pub struct Session<R: Role = Server> {
    shared: Arc<Shared<R>>,
}

impl<R: Role> Drop for Session<R> {
    fn drop(&mut self) {
        if self.shared.hands.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close(CloseCode::GOING_DOWN, "", Duration::ZERO);
        }
    }
}

impl<R: Role> Clone for Session<R> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<R: Role> fmt::Debug for Session<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("device", &self.device()).field("state", &self.state().state).finish()
    }
}

impl<R: Role> Session<R> {
    pub(crate) fn new(shared: Arc<Shared<R>>) -> Self {
        shared.hands.fetch_add(1, Ordering::Relaxed);
        Self { shared }
    }

    /// Who the device is.
    #[must_use]
    pub fn device(&self) -> &Arc<str> {
        &self.shared.device
    }

    /// Puts DATA into the outbox; waits for room where that is the outbox's policy. The receipt tells what becomes of it.
    ///
    /// A future that is dropped before it is ready has put nothing in.
    ///
    /// # Errors
    ///
    /// [`SendError`], except [`SendError::Full`]. The DATA was not taken.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Receipt, SendError> {
        self.shared
            .wait(|inner| match put(inner, outgoing.clone()) {
                (Err(SendError::Full), _) => (None, false),
                (taken, work) => (Some(taken), work),
            })
            .await
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError`]. The DATA was not taken.
    pub fn try_send(&self, outgoing: Outgoing) -> Result<Receipt, SendError> {
        self.shared.application(|inner| put(inner, outgoing))
    }

    /// Waits for what the peer sent next. `None` when the link is closed and everything was taken. A future that is dropped
    /// before it is ready has taken nothing.
    pub async fn recv(&self) -> Option<Received> {
        self.shared
            .wait(|inner| match take(inner) {
                (Some(received), work) => (Some(Some(received)), work),
                (None, work) => (inner.is_closed().then_some(None), work),
            })
            .await
    }

    /// Waits for what the peer sent next, and takes all of it that is there, up to `limit`, into `batch`. Returns how many that
    /// were: 0 when the link is closed and everything was taken. The mark of the last commits them all, with one ACK. A future
    /// that is dropped before it is ready has taken nothing.
    ///
    /// # Panics
    ///
    /// When `limit` is 0: that would mean the end.
    pub async fn recv_many(&self, batch: &mut Vec<Received>, limit: usize) -> usize {
        assert!(limit > 0, "a batch has room for one at least");
        self.shared
            .wait(|inner| {
                let (count, work) = take_many(inner, batch, limit);
                ((count > 0 || inner.is_closed()).then_some(count), work)
            })
            .await
    }

    /// Waits until something is there to be received. Returns whether there is: `false` when the link is closed and everything was
    /// taken. For tasks of which there is one for each session, and which wait here: of the ways to wait it takes the least
    /// memory. Another hand may be faster to take it.
    pub fn ready(&self) -> impl Future<Output = bool> {
        self.shared.wait(|inner| {
            let is_there = inner.link.has_received();
            ((is_there || inner.is_closed()).then_some(is_there), false)
        })
    }

    /// As [`recv_many`](Self::recv_many), without waiting: 0 when nothing is there at the moment.
    pub fn try_recv_many(&self, batch: &mut Vec<Received>, limit: usize) -> usize {
        self.shared.application(|inner| take_many(inner, batch, limit))
    }

    /// What the peer sent next, without waiting: `None` when nothing is there at the moment.
    pub fn try_recv(&self) -> Option<Received> {
        self.shared.application(take)
    }

    /// Takes responsibility for everything before `mark`: it is acknowledged, now or on the next connection. An earlier mark
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Nothing is acknowledged by it then.
    pub fn commit(&self, mark: Mark) -> Result<(), CommitError> {
        self.shared.application(|inner| {
            let committed = inner.link.commit(mark);
            let work = inner.link.is_ack_due();
            (committed, work)
        })
    }

    /// Closes the link: takes no more DATA, and sends CLOSE as soon as what there is has its outcome, at the latest after
    /// `drain`; what is left then is abandoned. Wait for it with [`closed`](Self::closed).
    pub fn close(&self, code: CloseCode, reason: &str, drain: Duration) {
        self.shared.application(|inner| {
            inner.link.close(now(), code, reason, drain);
            ((), true)
        });
    }

    /// Waits until the link is closed, by whichever side, and says why.
    pub async fn closed(&self) -> StateChange {
        self.shared.wait(|inner| (inner.is_closed().then(|| inner.last()), false)).await
    }

    /// The newest change of state.
    #[must_use]
    pub fn state(&self) -> StateChange {
        self.shared.application(|inner| (inner.last(), false))
    }

    /// Watches the state from now on.
    #[must_use]
    pub fn watch(&self) -> StateWatch<R> {
        let seen = self.shared.application(|inner| (inner.changes, false));
        StateWatch { shared: Arc::clone(&self.shared), seen }
    }

    /// What the link has carried so far.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.shared.application(|inner| (inner.link.counters(), false))
    }

    /// The longest body that [`send`](Self::send) takes, in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        self.shared.application(|inner| (inner.link.limits().max_body(), false))
    }
}

impl Session {
    /// When the device was last heard: when the last byte of it came, on this connection or on the last one. While nothing is read,
    /// as the application is behind, the time goes on. `None` before its first connection.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.shared.application(|inner| (inner.link.last_heard(), false))
    }

    /// As [`Link::measure`](crate::Link::measure): has the round trip of this connection measured, if it was not.
    pub fn measure(&self) {
        self.shared.application(|inner| ((), inner.link.measure()));
    }

    /// Where the connection of now comes from, or the last one came from; over datagrams, where they go to now. `None` before the
    /// first.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.application(|inner| (inner.peer.address(), false))
    }
}

impl Session<Device> {
    /// When the link tries to connect again; `None` when it does not wait for that.
    #[must_use]
    pub fn next_try(&self) -> Option<Instant> {
        self.shared.application(|inner| (inner.link.next_try(), false))
    }

    /// The endpoint that the connection of now goes to, or the last one went to; 0 where there is but one.
    #[must_use]
    pub fn endpoint(&self) -> usize {
        self.shared.application(|inner| (inner.link.endpoint(), false))
    }

    /// Tries to connect at once, when the link waits for its next try: the application knows that the network is back.
    pub fn reconnect_now(&self) {
        self.shared.application(|inner| {
            inner.link.reconnect_now(now());
            ((), true)
        });
    }

    /// As [`Link::heartbeat_interval`](crate::Link::heartbeat_interval).
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.shared.application(|inner| (inner.link.heartbeat_interval(), false))
    }

    /// As [`Link::handle_network`](crate::Link::handle_network): the device is on this network now.
    pub fn network_changed(&self, network: Network) {
        self.shared.application(|inner| {
            inner.link.handle_network(now(), network);
            ((), true)
        });
    }

    /// As [`Link::remember`](crate::Link::remember): takes what was learned of a network earlier.
    pub fn remember(&self, learned: Learned) {
        self.shared.application(|inner| {
            inner.link.remember(now(), learned);
            ((), true)
        });
    }

    /// As [`Link::learned`](crate::Link::learned).
    #[must_use]
    pub fn learned(&self) -> Vec<Learned> {
        self.shared.application(|inner| (inner.link.learned(), false))
    }
}

/// Puts DATA into the outbox, which is work for the connection.
fn put<R: Role>(inner: &mut Inner<R>, outgoing: Outgoing) -> (Result<Receipt, SendError>, bool) {
    let taken = inner.link.send(outgoing).map(|seq| Receipt { seq, outcome: inner.expect(seq) });
    if let Err(SendError::Refused) = &taken {
        // It has no number, so no event tells of it.
        count_settled(Outcome::Refused, 1);
    }
    let work = taken.is_ok();
    (taken, work)
}

/// Takes what was received; the connection does not read while too much waits here.
fn take<R: Role>(inner: &mut Inner<R>) -> (Option<Received>, bool) {
    let wanted = inner.link.wants_bytes();
    let received = inner.link.poll_received();
    (received, !wanted && inner.link.wants_bytes())
}

/// Takes all that was received, up to `limit`.
fn take_many<R: Role>(inner: &mut Inner<R>, batch: &mut Vec<Received>, limit: usize) -> (usize, bool) {
    let (mut count, mut work) = (0, false);
    while count < limit
        && let (Some(received), more) = take(inner)
    {
        batch.push(received);
        (count, work) = (count + 1, work | more);
    }
    (count, work)
}

/// Sees the state of a link as it is each time it looks; changes between two looks are seen as one. Who wants every one of
/// them listens to the events.
pub struct StateWatch<R: Role = Server> {
    shared: Arc<Shared<R>>,
    seen: u64,
}

impl<R: Role> fmt::Debug for StateWatch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateWatch").field("device", &self.shared.device).field("seen", &self.seen).finish()
    }
}

impl<R: Role> StateWatch<R> {
    /// Waits until the state has changed since the last look, and returns the newest change. A future that is dropped before
    /// it is ready has missed nothing.
    pub async fn changed(&mut self) -> StateChange {
        let seen = self.seen;
        let look = |inner: &mut Inner<R>| ((inner.changes != seen).then(|| (inner.changes, inner.last())), false);
        let (seen, last) = self.shared.wait(look).await;
        self.seen = seen;
        last
    }
}

/// Tells what becomes of one DATA. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "it tells whether the DATA was acknowledged; drop it in so many words when that does not matter"]
pub struct Receipt {
    seq: u32,
    outcome: oneshot::Receiver<Outcome>,
}

impl Receipt {
    /// The number of the DATA in this side's stream.
    #[must_use]
    pub const fn seq(&self) -> u32 {
        self.seq
    }
}

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // The link is gone with its runtime: nobody will acknowledge it.
        Poll::Ready(ready!(Pin::new(&mut self.outcome).poll(context)).unwrap_or(Outcome::Abandoned))
    }
}
