//! What the task of a connection and the application's handles share: the link, and who waits for it.

use super::hub::Hub;
use super::last::Last;
use super::now;
use super::peer::Peer;
use super::receipts::Receipts;
use super::rota::Round;
use super::waiters::{Ticket, Waiters};
use crate::event::{Event, Outcome, State, StateChange};
use crate::link::{Link, Role};
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, AtomicU64};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct Shared<R> {
    pub(crate) device: Arc<str>,
    inner: Mutex<Inner<R>>,
    /// The hands of the application on it.
    pub(crate) hands: AtomicU32,
    /// At a server: up to when the device has used up its visits, in milliseconds of the registry's clock.
    pub(crate) used_until: AtomicU64,
    hub: Hub,
}

#[derive(Debug)]
pub(crate) struct Inner<R> {
    pub(crate) link: Link<R>,
    /// The task of the connection, while it sleeps.
    task: Option<Waker>,
    /// The application's futures, woken when something is received, settled, or the state has changed.
    waiters: Waiters,
    receipts: Receipts,
    last: Last,
    /// How often the state has changed.
    pub(crate) changes: u64,
    /// The memory of the link, as the hub's totals have it.
    memory: usize,
    /// At a server: the round of the rota in which it is looked at.
    pub(crate) round: Option<Round>,
    /// At a server: it is in the list of those that have no connection.
    pub(crate) is_listed: bool,
    /// At a server: who the device's connection comes from.
    pub(crate) peer: Peer,
}

impl<R: Role> Shared<R> {
    pub(crate) fn new(device: Arc<str>, link: Link<R>, hub: Hub, now: Instant) -> Arc<Self> {
        let last = Last::new(link.state(), now);
        let inner = Inner {
            link,
            task: None,
            waiters: Waiters::default(),
            receipts: Receipts::default(),
            last,
            changes: 0,
            memory: 0,
            round: None,
            is_listed: false,
            peer: Peer::default(),
        };
        let (hands, used_until) = (AtomicU32::new(0), AtomicU64::new(0));
        Arc::new(Self { device, inner: Mutex::new(inner), hands, used_until, hub })
    }

    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    fn lock(&self) -> MutexGuard<'_, Inner<R>> {
        // Poison is no concern: a panic inside a link is a broken invariant that the panic itself reports.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application looks or changes something; the task of the connection is woken when it may have work from it.
    pub(crate) fn application<T>(&self, change: impl FnOnce(&mut Inner<R>) -> (T, bool)) -> T {
        let mut inner = self.lock();
        let (result, work) = change(&mut inner);
        // Who waits for room waits in vain once the link closes.
        let changed = inner.dispatch(&self.device, &self.hub) || inner.link.is_closing();
        let waiters = changed.then(|| inner.waiters.take());
        let task = if work || changed { inner.task.take() } else { None };
        drop(inner);
        if let Some(waiters) = waiters {
            waiters.wake();
        }
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// The task of a connection works on the link; the application is woken when something has changed for it.
    pub(crate) fn task<T>(&self, work: impl FnOnce(&mut Inner<R>, Instant) -> T) -> T {
        let mut inner = self.lock();
        let result = work(&mut inner, now());
        let changed = inner.dispatch(&self.device, &self.hub) || inner.link.has_received();
        let waiters = changed.then(|| inner.waiters.take());
        drop(inner);
        if let Some(waiters) = waiters {
            waiters.wake();
        }
        result
    }

    /// Waits until `look` finds something; it is called at once and after each change. What it returns besides is whether
    /// the task of the connection may have work from it.
    pub(crate) const fn wait<T, F>(&self, look: F) -> Wait<'_, R, F>
    where
        F: FnMut(&mut Inner<R>) -> (Option<T>, bool) + Unpin,
    {
        Wait { shared: self, ticket: None, look }
    }
}

impl<R> Drop for Shared<R> {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.hub.totals().change(inner.memory, 0);
    }
}

/// A future of the application. Dropped before it is ready, it leaves nothing behind.
pub(crate) struct Wait<'a, R: Role, F> {
    shared: &'a Shared<R>,
    ticket: Option<Ticket>,
    look: F,
}

impl<R: Role, F: FnMut(&mut Inner<R>) -> (Option<T>, bool) + Unpin, T> Future for Wait<'_, R, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        this.shared.application(|inner| {
            let (found, work) = (this.look)(inner);
            if found.is_none() {
                this.ticket = Some(inner.waiters.add(this.ticket, context.waker()));
            } else if let Some(ticket) = this.ticket.take() {
                inner.waiters.remove(ticket);
            }
            (found.map_or(Poll::Pending, Poll::Ready), work)
        })
    }
}

impl<R: Role, F> Drop for Wait<'_, R, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.lock().waiters.remove(ticket);
        }
    }
}

impl<R: Role> Inner<R> {
    /// Who is woken when the application has changed something. A task of an older connection is woken by the newer one.
    pub(crate) fn sleep(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    /// Takes the sleeping task away, for the next connection to wake it.
    pub(crate) const fn take_task(&mut self) -> Option<Waker> {
        self.task.take()
    }

    /// Remembers who waits for the outcome of a number just taken.
    pub(crate) fn expect(&mut self, seq: u32) -> oneshot::Receiver<Outcome> {
        self.receipts.expect(seq)
    }

    /// The newest change of state.
    pub(crate) fn last(&self) -> StateChange {
        self.last.change()
    }

    /// Hands out what has happened. Returns whether the application may have waited for it.
    fn dispatch(&mut self, device: &Arc<str>, hub: &Hub) -> bool {
        let mut changed = false;
        while let Some(event) = self.link.poll_event() {
            changed |= !matches!(event, Event::Skipped { .. });
            match &event {
                Event::Settled { first, count, outcome } => self.receipts.settle(*first, *count, *outcome),
                Event::State(change) => {
                    if change.state == State::Closed {
                        hub.totals().closed();
                    }
                    self.last = change.clone().into();
                    self.changes += 1;
                }
                Event::Resumed(_)
                | Event::Endpoint { .. }
                | Event::Skipped { .. }
                | Event::HeartbeatLearned(_)
                | Event::NetworkForgotten { .. } => {}
            }
            let epoch = if let Event::State(change) = &event { change.epoch } else { self.link.epoch() };
            hub.tell(device, epoch, event);
        }
        let memory = self.link.memory();
        hub.totals().change(self.memory, memory);
        self.memory = memory;
        changed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.link.state() == State::Closed
    }
}
