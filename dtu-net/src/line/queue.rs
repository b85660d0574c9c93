//! Who waits for the line.

use super::request::{Request, RequestId};
use crate::retry::Plan;
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

/// In the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Queue(Vec<Waiting>);

impl Queue {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.0.iter()
    }

    /// Puts it behind those that go first: of a higher priority, or asked for before.
    pub(super) fn put(&mut self, waiting: Waiting) {
        let goes_first = |other: &Waiting| {
            (core::cmp::Reverse(other.request.priority), other.id)
                < (core::cmp::Reverse(waiting.request.priority), waiting.id)
        };
        let place = self.0.partition_point(goes_first);
        self.0.insert(place, waiting);
    }

    /// Takes the first that may be sent.
    pub(super) fn take_ready(&mut self, now: Instant) -> Option<Waiting> {
        let place = self.0.iter().position(|waiting| waiting.not_before.is_none_or(|from| from <= now))?;
        Some(self.0.remove(place))
    }

    pub(super) fn take(&mut self, id: RequestId) -> Option<Waiting> {
        let place = self.0.iter().position(|waiting| waiting.id == id)?;
        Some(self.0.remove(place))
    }

    /// Takes one whose deadline has come.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Waiting> {
        let place = self.0.iter().position(|waiting| waiting.deadline <= now)?;
        Some(self.0.remove(place))
    }

    pub(super) fn take_any(&mut self) -> Option<Waiting> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}
