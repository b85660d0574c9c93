//! Frames in frames: what the frames of a stream carry is read as streams of its own.

use super::reading::Reading;
use super::walk::{Entry, Inner, Mark, Sink};
use crate::framings::{Plan, Source, Way, carried};
use std::collections::BTreeMap;
use std::io;

/// The reading of one stream, with what its frames carry.
pub(super) struct Nesting<'p> {
    outer: Reading<'p>,
    inners: Option<Inners<'p>>,
}

/// The inner streams: one for each channel, or the only one.
struct Inners<'p> {
    source: Source<'p>,
    way: Option<Way>,
    from_datagram: bool,
    streams: BTreeMap<Option<u8>, Reading<'p>>,
}

impl<'p> Nesting<'p> {
    /// A stream whose bytes go this way, if that is known.
    pub(super) fn new(plan: Plan<'p>, way: Option<Way>) -> Self {
        Self::of(plan.outer.for_streams(), plan.inner, way, false)
    }

    /// One datagram.
    pub(super) fn of_datagram(plan: Plan<'p>, way: Option<Way>) -> Self {
        Self::of(plan.outer, plan.inner, way, true)
    }

    fn of(outer: Source<'p>, inner: Option<Source<'p>>, way: Option<Way>, from_datagram: bool) -> Self {
        let inner = inner.map(Source::for_streams);
        let inners = inner.map(|source| Inners { source, way, from_datagram, streams: BTreeMap::new() });
        Self { outer: Reading::new(outer, way), inners }
    }

    /// The memory of what waits for a verdict, in bytes, at the most.
    pub(super) fn held(&self) -> usize {
        let inner: usize = self.inners.iter().flat_map(|inners| inners.streams.values()).map(Reading::held).sum();
        self.outer.held() + inner
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mark: Mark, bytes: &[u8], sink: &mut impl Sink) -> io::Result<()> {
        let Self { outer, inners } = self;
        match inners {
            None => outer.feed(mark, bytes, sink),
            Some(inners) => outer.feed(mark, bytes, &mut |mark, entry| inners.take(mark, &entry, sink)),
        }
    }

    /// Says that `missing` bytes of the stream will never come: no candidate reaches across them.
    pub(super) fn gap(&mut self, mark: Mark, missing: u64, sink: &mut impl Sink) -> io::Result<()> {
        let Self { outer, inners } = self;
        match inners {
            None => outer.gap(mark, missing, sink),
            Some(inners) => outer.gap(mark, missing, &mut |mark, entry| inners.take(mark, &entry, sink)),
        }
    }

    /// Says that no bytes follow: incomplete candidates are given up one after the other.
    pub(super) fn finish(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        let Self { outer, inners } = self;
        match inners {
            None => outer.finish(mark, sink),
            Some(inners) => {
                outer.finish(mark, &mut |mark, entry| inners.take(mark, &entry, sink))?;
                inners.finish(mark, sink)
            }
        }
    }
}

impl Inners<'_> {
    /// Hands an outer entry on, and then what it carries.
    fn take(&mut self, mark: Mark, entry: &Entry<'_>, sink: &mut impl Sink) -> io::Result<()> {
        sink(mark, *entry)?;
        let Entry::Frame { frame, framing, .. } = entry else { return Ok(()) };
        let payload = framing.payload(frame);
        let Some((channel, carried)) = carried(framing, frame, &payload, self.from_datagram) else { return Ok(()) };
        let (source, way) = (self.source, self.way);
        let stream = self.streams.entry(channel).or_insert_with(|| Reading::new(source, way));
        stream.feed(mark, carried, &mut within(channel, sink))
    }

    fn finish(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        for (channel, stream) in &mut self.streams {
            stream.finish(mark, &mut within(*channel, sink))?;
        }
        Ok(())
    }
}

/// Takes the entries of an inner stream.
fn within(channel: Option<u8>, sink: &mut impl Sink) -> impl FnMut(Mark, Entry<'_>) -> io::Result<()> {
    move |mark, entry| sink(mark, Entry::Inner(Inner { channel, entry: &entry }))
}
