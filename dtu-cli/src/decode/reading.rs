//! One stream from its first byte on.

use super::walk::{Mark, Sink, Walk};
use crate::framings::{Plan, Start, Way};
use std::io;

/// The reading of one stream.
pub(super) struct Reading<'p> {
    walk: Walk<'p>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(plan: &'p Plan, way: Option<Way>) -> Self {
        let Start::Known(framing) = plan.start(way);
        Self { walk: Walk::new(framing) }
    }

    /// The memory of what waits for a verdict, in bytes, at the most.
    pub(super) const fn held(&self) -> usize {
        self.walk.held()
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mark: Mark, bytes: &[u8], sink: &mut impl Sink) -> io::Result<()> {
        self.walk.feed(mark, bytes, sink)
    }

    /// Says that `missing` bytes of the stream will never come: no candidate reaches across them.
    pub(super) fn gap(&mut self, mark: Mark, missing: u64, sink: &mut impl Sink) -> io::Result<()> {
        self.walk.gap(mark, missing, sink)
    }

    /// Says that no bytes follow: incomplete candidates are given up one after the other.
    pub(super) fn finish(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        self.walk.finish(mark, sink)
    }
}
