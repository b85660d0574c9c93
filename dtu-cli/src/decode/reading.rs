//! One stream from its first byte on: which framing it is in, then the walk.

use super::opening::{Opening, Outcome};
use super::walk::{Cause, Entry, Mark, SKIP_SHOWN, Sink, Skip, Walk, widen};
use crate::framings::{Choice, Source, Way};
use std::io;

/// The reading of one stream in one layer.
pub(super) struct Reading<'p> {
    way: Option<Way>,
    stage: Stage<'p>,
}

enum Stage<'p> {
    /// The framing is known.
    Walking(Walk<'p>),
    /// Its first bytes are looked at.
    Opening(Box<Opening<'p>>, &'p [Choice]),
    /// No framing fits: all is skipped.
    Lost { offset: u64, skip: Option<Skip> },
}

impl<'p> Reading<'p> {
    /// A stream whose bytes go this way, if that is known.
    pub(super) fn new(source: Source<'p>, way: Option<Way>) -> Self {
        let stage = match source {
            Source::Known(choice) => Stage::Walking(Walk::new(choice.of(way))),
            Source::Sniffed { choices, candidates, .. } => Stage::Opening(Box::new(Opening::new(candidates)), choices),
        };
        Self { way, stage }
    }

    /// The memory of what waits for a verdict, in bytes, at the most.
    pub(super) const fn held(&self) -> usize {
        match &self.stage {
            Stage::Walking(walk) => walk.held(),
            Stage::Opening(opening, _) => opening.held(),
            Stage::Lost { .. } => 0,
        }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn feed(&mut self, mark: Mark, bytes: &[u8], sink: &mut impl Sink) -> io::Result<()> {
        let mut rest = bytes;
        if let Stage::Opening(opening, _) = &mut self.stage {
            let (taken, outcome) = opening.feed(mark, rest);
            rest = rest.get(taken..).unwrap_or_default();
            if let Some(outcome) = outcome {
                self.open(outcome, sink)?;
            }
        }
        match &mut self.stage {
            Stage::Walking(walk) => walk.feed(mark, rest, sink),
            Stage::Opening(..) => Ok(()),
            Stage::Lost { offset, skip } => {
                lose(*offset, skip, mark, rest);
                *offset += widen(rest.len());
                Ok(())
            }
        }
    }

    /// Says that `missing` bytes of the stream will never come: no candidate reaches across them.
    pub(super) fn gap(&mut self, mark: Mark, missing: u64, sink: &mut impl Sink) -> io::Result<()> {
        self.settle(sink)?;
        match &mut self.stage {
            Stage::Walking(walk) => walk.gap(mark, missing, sink),
            // Nothing came before the gap, so nothing is known yet.
            Stage::Opening(opening, _) => {
                sink(mark, Entry::Gap { offset: opening.offset(), bytes: missing })?;
                opening.gap(missing);
                Ok(())
            }
            Stage::Lost { offset, skip } => {
                flush(skip, sink)?;
                sink(mark, Entry::Gap { offset: *offset, bytes: missing })?;
                *offset += missing;
                Ok(())
            }
        }
    }

    /// Says that no bytes follow: incomplete candidates are given up one after the other.
    pub(super) fn finish(&mut self, mark: Mark, sink: &mut impl Sink) -> io::Result<()> {
        self.settle(sink)?;
        match &mut self.stage {
            Stage::Walking(walk) => walk.finish(mark, sink),
            Stage::Opening(..) => Ok(()),
            Stage::Lost { skip, .. } => flush(skip, sink),
        }
    }

    /// Decides by what came, if anything did.
    fn settle(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        match &self.stage {
            Stage::Opening(opening, _) => match opening.settle() {
                Some(outcome) => self.open(outcome, sink),
                None => Ok(()),
            },
            Stage::Walking(_) | Stage::Lost { .. } => Ok(()),
        }
    }

    /// Goes on as was decided, with the bytes that were looked at.
    fn open(&mut self, outcome: Outcome, sink: &mut impl Sink) -> io::Result<()> {
        let lost = Stage::Lost { offset: 0, skip: None };
        let Stage::Opening(opening, choices) = core::mem::replace(&mut self.stage, lost) else { return Ok(()) };
        let (mark, offset) = (opening.first_mark(), opening.offset());
        match outcome {
            Outcome::Decided { index, score, lead } => {
                let framing = choices.get(index).expect("the candidates are the choices").of(self.way);
                sink(mark, Entry::Decided { offset, framing, score, lead })?;
                let mut walk = Walk::starting_at(offset, framing);
                opening.replay(|mark, bytes| walk.feed(mark, bytes, sink))?;
                self.stage = Stage::Walking(walk);
            }
            Outcome::NoneFits => {
                sink(mark, Entry::NoneFits { offset, best: &opening.best() })?;
                let (mut at, mut skip) = (offset, None);
                opening.replay(|mark, bytes| {
                    lose(at, &mut skip, mark, bytes);
                    at += widen(bytes.len());
                    Ok(())
                })?;
                self.stage = Stage::Lost { offset: at, skip };
            }
        }
        Ok(())
    }
}

/// Adds `bytes`, which begin at `offset`, to what is skipped.
fn lose(offset: u64, skip: &mut Option<Skip>, mark: Mark, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let skip = skip.get_or_insert_with(|| Skip::new(offset, Cause::NoFraming, mark));
    skip.bytes += widen(bytes.len());
    skip.merged += 1;
    skip.head.extend(bytes.iter().take(SKIP_SHOWN - skip.head.len()));
}

fn flush(skip: &mut Option<Skip>, sink: &mut impl Sink) -> io::Result<()> {
    skip.take().map_or(Ok(()), |skip| sink(skip.mark, Entry::Skipped(&skip)))
}
