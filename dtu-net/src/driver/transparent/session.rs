//! The application's hand on the session of a unit.

use super::super::now;
use super::hub::count_request;
use super::shared::{Inner, Shared};
use crate::event::StateChange;
use crate::line::{LineCounters, LineLedger, Outcome, Reply, Request, RequestError, RequestId};
use crate::transparent::{Captures, Heard, TransparentCounters};
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, ready};
use dtu_proto::message::CloseCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A hand on the session with a unit. It outlives the connections. Clones are hands on the same one; when the last one is
/// dropped, the session is closed.
pub struct TransparentSession {
    shared: Arc<Shared>,
}

impl Drop for TransparentSession {
    fn drop(&mut self) {
        if self.shared.hands.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close(CloseCode::GOING_DOWN);
        }
    }
}

impl Clone for TransparentSession {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl fmt::Debug for TransparentSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransparentSession").field("device", self.device()).field("state", &self.state().state).finish()
    }
}

impl TransparentSession {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.hands.fetch_add(1, Ordering::Relaxed);
        Self { shared }
    }

    /// Who the unit is.
    #[must_use]
    pub fn device(&self) -> &Arc<str> {
        &self.shared.device
    }

    /// What it said when it last connected.
    #[must_use]
    pub fn registration(&self) -> Option<Captures> {
        self.shared.application(|inner| (inner.session.registration().cloned(), false))
    }

    /// When the last byte of the unit came, on this connection or on the last one. `None` before its first connection.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.shared.application(|inner| (inner.session.last_heard(), false))
    }

    /// Where the connection of now comes from, or the last one came from. `None` before the first.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.application(|inner| (inner.peer.address(), false))
    }

    /// Asks the line, and waits for the reply. A future that is dropped before it is ready cancels the request.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: why there is no reply.
    pub async fn request(&self, request: Request) -> Result<Reply, Unanswered> {
        let ticket = self.try_request(request).map_err(Unanswered::Refused)?;
        let mut cancelling = Cancelling { session: self, ticket: Some(ticket) };
        let ticket = cancelling.ticket.as_mut().expect("it is taken when the future is dropped");
        let outcome = ticket.await;
        cancelling.ticket = None;
        Unanswered::or_reply(outcome)
    }

    /// Puts a request into the queue of the line; the ticket tells what becomes of it.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: it was not taken.
    pub fn try_request(&self, request: Request) -> Result<Ticket, RequestError> {
        self.shared.application(|inner| ask(inner, |inner| inner.session.request(now(), request)))
    }

    /// Sends bytes that have no reply, in turn with the requests; waits for room in the queue. The ticket tells when they
    /// have left. A future that is dropped before it is ready has put nothing in.
    ///
    /// # Errors
    ///
    /// [`RequestError`], except [`RequestError::Full`]. They were not taken.
    pub async fn send(&self, bytes: &[u8]) -> Result<Ticket, RequestError> {
        self.shared
            .wait(|inner| {
                if inner.session.is_full() {
                    return (None, false);
                }
                let (taken, work) = ask(inner, |inner| inner.session.send(now(), bytes));
                (Some(taken), work)
            })
            .await
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// [`RequestError`]. They were not taken.
    pub fn try_send(&self, bytes: &[u8]) -> Result<Ticket, RequestError> {
        self.shared.application(|inner| ask(inner, |inner| inner.session.send(now(), bytes)))
    }

    /// Ends a request that is not wanted any more. Returns whether it was still there.
    pub fn cancel(&self, id: RequestId) -> bool {
        self.shared.application(|inner| (inner.session.cancel(now(), id), true))
    }

    /// Waits for the next frame that nobody asked for. `None` when the session is closed and everything was taken. A future
    /// that is dropped before it is ready has taken nothing.
    pub async fn recv(&self) -> Option<Heard> {
        self.shared
            .wait(|inner| match inner.session.poll_heard() {
                Some(heard) => (Some(Some(heard)), false),
                None => (inner.is_closed().then_some(None), false),
            })
            .await
    }

    /// The same without waiting: `None` when nothing is there at the moment.
    pub fn try_recv(&self) -> Option<Heard> {
        self.shared.application(|inner| (inner.session.poll_heard(), false))
    }

    /// Ends the session, its connection, and everything that was asked of it.
    pub fn close(&self, code: CloseCode) {
        self.shared.application(|inner| {
            inner.session.close(now(), code);
            ((), true)
        });
    }

    /// Waits until the session is closed, and says why.
    pub async fn closed(&self) -> StateChange {
        self.shared.wait(|inner| (inner.is_closed().then(|| inner.last.clone()), false)).await
    }

    /// The newest change of state.
    #[must_use]
    pub fn state(&self) -> StateChange {
        self.shared.application(|inner| (inner.last.clone(), false))
    }

    /// Watches the state from now on.
    #[must_use]
    pub fn watch(&self) -> TransparentWatch {
        let seen = self.shared.application(|inner| (inner.changes, false));
        TransparentWatch { shared: Arc::clone(&self.shared), seen }
    }

    /// What the session has seen so far.
    #[must_use]
    pub fn counters(&self) -> TransparentCounters {
        self.shared.application(|inner| (inner.session.counters(), false))
    }

    /// What its line has seen so far.
    #[must_use]
    pub fn line_counters(&self) -> LineCounters {
        self.shared.application(|inner| (inner.session.line_counters(), false))
    }

    /// What became of the requests so far.
    #[must_use]
    pub fn ledger(&self) -> LineLedger {
        self.shared.application(|inner| (*inner.session.ledger(), false))
    }
}

/// Asks the line, which is work for the connection.
fn ask(
    inner: &mut Inner,
    ask: impl FnOnce(&mut Inner) -> Result<RequestId, RequestError>,
) -> (Result<Ticket, RequestError>, bool) {
    match ask(inner) {
        Ok(id) => (Ok(Ticket { id, outcome: inner.expect(id) }), true),
        Err(error) => {
            // It has no number, so no event tells of it.
            count_request("refused");
            (Err(error), false)
        }
    }
}

/// Tells what becomes of a request. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "it tells what becomes of the request; drop it in so many words when that does not matter"]
pub struct Ticket {
    id: RequestId,
    outcome: oneshot::Receiver<Outcome>,
}

impl Ticket {
    /// The number of the request, to [cancel](TransparentSession::cancel) it by.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // The session is gone with its runtime.
        Poll::Ready(ready!(Pin::new(&mut self.outcome).poll(context)).unwrap_or(Outcome::LineGone))
    }
}

/// Cancels a request whose future is dropped.
struct Cancelling<'a> {
    session: &'a TransparentSession,
    ticket: Option<Ticket>,
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.session.cancel(ticket.id);
        }
    }
}

/// Why there is no reply to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unanswered {
    /// The line has not taken it.
    Refused(RequestError),
    /// It was sent, and has no reply by its matcher.
    NoReply,
    /// No reply came in time. It may have been carried out.
    TimedOut {
        /// How often it was sent.
        attempts: u32,
    },
    /// Its deadline came before it could be sent.
    Expired,
    /// It was cancelled.
    Cancelled,
    /// The connection or the session ended. If it was sent, it may have been carried out.
    LineGone,
}

impl Unanswered {
    /// The reply that a request ended with.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn or_reply(outcome: Outcome) -> Result<Reply, Self> {
        match outcome {
            Outcome::Replied(reply) => Ok(reply),
            Outcome::Sent => Err(Self::NoReply),
            Outcome::TimedOut { attempts } => Err(Self::TimedOut { attempts }),
            Outcome::Expired => Err(Self::Expired),
            Outcome::Cancelled => Err(Self::Cancelled),
            Outcome::LineGone => Err(Self::LineGone),
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::NoReply => f.write_str("sent; there is no reply to it"),
            Self::TimedOut { attempts } => write!(f, "no reply in time; times sent: {attempts}"),
            Self::Expired => f.write_str("its deadline came before its turn on the line"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::LineGone => f.write_str("the connection or the session ended first"),
        }
    }
}

impl core::error::Error for Unanswered {}

/// Sees the state of a session as it is each time it looks; changes between two looks are seen as one.
pub struct TransparentWatch {
    shared: Arc<Shared>,
    seen: u64,
}

impl fmt::Debug for TransparentWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransparentWatch").field("device", &self.shared.device).field("seen", &self.seen).finish()
    }
}

impl TransparentWatch {
    /// Waits until the state has changed since the last look, and returns the newest change. A future that is dropped before
    /// it is ready has missed nothing.
    pub async fn changed(&mut self) -> StateChange {
        let seen = self.seen;
        let look = |inner: &mut Inner| ((inner.changes != seen).then(|| (inner.changes, inner.last.clone())), false);
        let (seen, last) = self.shared.wait(look).await;
        self.seen = seen;
        last
    }
}
