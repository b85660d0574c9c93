//! Who waits for the line.

use super::request::{Request, RequestId};
use crate::retry::Plan;
use core::mem;
use std::time::Instant;

/// A request that waits for its turn, the first or the next one.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) plan: Plan,
    /// When everything has to be over.
    pub(super) deadline: Instant,
    /// Its repeat is not sent before.
    pub(super) not_before: Option<Instant>,
    /// When the last attempt left.
    pub(super) sent: Option<Instant>,
}

impl Waiting {
    /// The bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        mem::size_of::<Self>().saturating_add(self.request.bytes.len())
    }
}

/// In the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    memory: usize,
}

impl Queue {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// Puts it behind those that go first: of a higher priority, or asked for before.
    pub(super) fn put(&mut self, waiting: Waiting) {
        let goes_first = |other: &Waiting| {
            (core::cmp::Reverse(other.request.priority), other.id)
                < (core::cmp::Reverse(waiting.request.priority), waiting.id)
        };
        let place = self.waiting.partition_point(goes_first);
        self.memory = self.memory.saturating_add(waiting.memory());
        self.waiting.insert(place, waiting);
    }

    /// Takes the first that may be sent.
    pub(super) fn take_ready(&mut self, now: Instant) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.not_before.is_none_or(|from| from <= now))?;
        Some(self.remove(place))
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.id == id)?;
        Some(self.remove(place))
    }

    /// Takes one whose deadline has come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.deadline <= now)?;
        Some(self.remove(place))
    }

    pub(super) fn take_any(&mut self) -> Option<Waiting> {
        (!self.waiting.is_empty()).then(|| self.remove(0))
    }

    fn remove(&mut self, place: usize) -> Waiting {
        let waiting = self.waiting.remove(place);
        self.memory = self.memory.saturating_sub(waiting.memory());
        waiting
    }

    /// The bytes of memory that they take.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }
}
