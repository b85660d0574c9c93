//! What the task of a connection and the application's handles share: the session of a unit, and who waits for it.

use super::super::now;
use super::super::peer::Peer;
use super::super::waiters::{Ticket as Place, Waiters};
use super::hub::{Hub, count_unsolicited};
use crate::event::{State, StateChange};
use crate::line::{LineCounters, Outcome, RequestId};
use crate::transparent::{Transparent, TransparentEvent};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) device: Arc<str>,
    inner: Mutex<Inner>,
    /// The hands of the application on it.
    pub(super) hands: AtomicUsize,
    /// Up to when the unit has used up its visits, in milliseconds of the registry's clock.
    pub(super) used_until: AtomicU64,
    hub: Hub,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) session: Transparent,
    /// The task of the connection, while it sleeps.
    task: Option<Waker>,
    waiters: Waiters,
    /// Who waits for the outcome of which request; as many as the line has room for.
    tickets: Vec<(RequestId, oneshot::Sender<Outcome>)>,
    pub(super) last: StateChange,
    /// How often the state has changed.
    pub(super) changes: u64,
    counted: LineCounters,
    /// Where the unit's connection comes from.
    pub(super) peer: Peer,
}

impl Shared {
    pub(super) fn new(session: Transparent, hub: Hub, at: Instant) -> Arc<Self> {
        let (state, epoch) = (session.state(), session.epoch());
        let last = StateChange { state, cause: None, reason: Box::default(), at, epoch };
        let device = Arc::clone(session.id());
        let inner = Inner {
            counted: session.line_counters(),
            session,
            task: None,
            waiters: Waiters::default(),
            tickets: Vec::new(),
            last,
            changes: 0,
            peer: Peer::default(),
        };
        let (hands, used_until) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { device, inner: Mutex::new(inner), hands, used_until, hub })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison is no concern: a panic inside a session is a broken invariant that the panic itself reports.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application looks or changes something; the task of the connection is woken when it may have work from it.
    pub(super) fn application<T>(&self, change: impl FnOnce(&mut Inner) -> (T, bool)) -> T {
        self.work(|inner| {
            let (result, work) = change(inner);
            (result, work, false)
        })
    }

    /// The task of a connection works on the session; the application is woken when something has changed for it.
    pub(super) fn task<T>(&self, work: impl FnOnce(&mut Inner, Instant) -> T) -> T {
        self.work(|inner| {
            let result = work(inner, now());
            let has_heard = inner.session.has_heard();
            (result, false, has_heard)
        })
    }

    /// `change` returns besides whether the task has work from it, and whether there is news for the application.
    fn work<T>(&self, change: impl FnOnce(&mut Inner) -> (T, bool, bool)) -> T {
        let mut inner = self.lock();
        let (result, for_task, for_application) = change(&mut inner);
        let changed = inner.dispatch(&self.device, &self.hub);
        let waiters = (changed || for_application).then(|| inner.waiters.take());
        let task = if for_task { inner.task.take() } else { None };
        drop(inner);
        if let Some(waiters) = waiters {
            waiters.wake();
        }
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// Waits until `look` finds something; it is called at once and after each change. What it returns besides is whether
    /// the task of the connection may have work from it.
    pub(super) const fn wait<T, F>(&self, look: F) -> Wait<'_, F>
    where
        F: FnMut(&mut Inner) -> (Option<T>, bool) + Unpin,
    {
        Wait { shared: self, place: None, look }
    }
}

/// A future of the application. Dropped before it is ready, it leaves nothing behind.
pub(super) struct Wait<'a, F> {
    shared: &'a Shared,
    place: Option<Place>,
    look: F,
}

impl<F: FnMut(&mut Inner) -> (Option<T>, bool) + Unpin, T> Future for Wait<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        this.shared.application(|inner| {
            let (found, work) = (this.look)(inner);
            if found.is_none() {
                this.place = Some(inner.waiters.add(this.place, context.waker()));
            } else if let Some(place) = this.place.take() {
                inner.waiters.remove(place);
            }
            (found.map_or(Poll::Pending, Poll::Ready), work)
        })
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.lock().waiters.remove(place);
        }
    }
}

impl Inner {
    /// Who is woken when the application has changed something.
    pub(super) fn sleep(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    /// Takes the sleeping task away, for the next connection to wake it.
    pub(super) const fn take_task(&mut self) -> Option<Waker> {
        self.task.take()
    }

    /// Remembers who waits for the outcome of a request just taken.
    pub(super) fn expect(&mut self, id: RequestId) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.tickets.push((id, sender));
        receiver
    }

    pub(super) fn is_closed(&self) -> bool {
        self.session.state() == State::Closed
    }

    /// Hands out what has happened. Returns whether the application may have waited for it.
    fn dispatch(&mut self, device: &Arc<str>, hub: &Hub) -> bool {
        let mut changed = false;
        while let Some(event) = self.session.poll_event() {
            let mut epoch = self.session.epoch();
            match &event {
                TransparentEvent::Settled { id, outcome } => {
                    changed = true;
                    if let Some(place) = self.tickets.iter().position(|(waiting, _)| waiting == id) {
                        // Whoever let go of the ticket does not want to know.
                        let _unheard = self.tickets.swap_remove(place).1.send(outcome.clone());
                    }
                }
                TransparentEvent::State(change) => {
                    changed = true;
                    self.last = change.clone();
                    self.changes += 1;
                    epoch = change.epoch;
                }
                TransparentEvent::Identified { .. }
                | TransparentEvent::Heartbeat { .. }
                | TransparentEvent::Skipped { .. }
                | TransparentEvent::Control { .. }
                | TransparentEvent::Overrun { .. }
                | TransparentEvent::Unsendable { .. }
                | TransparentEvent::ReplyDropped { .. } => {}
            }
            hub.tell(device, epoch, event);
        }
        let counters = self.session.line_counters();
        count_unsolicited(&self.counted, &counters);
        self.counted = counters;
        changed
    }
}
