//! The first bytes of a stream whose framing is not known yet.

use super::walk::Mark;
use dtu_proto::sniff::{Candidate, MAX_LOOK_LEN, Sniffer, Verdict};
use std::io;

/// How many of the candidates are told when none fits.
const BEST_TOLD: usize = 3;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are in the framing of this index.
    Decided { index: usize, score: i64, lead: Option<i64> },
    /// They are in none.
    NoneFits,
}

/// Keeps the bytes, at most [`MAX_LOOK_LEN`], until it is decided.
pub(super) struct Opening<'p> {
    sniffer: Sniffer<'p>,
    bytes: Vec<u8>,
    /// Where in `bytes` each packet's share ends.
    shares: Vec<(Mark, usize)>,
    /// Where the first of the bytes stands in the stream.
    offset: u64,
}

impl<'p> Opening<'p> {
    pub(super) fn new(candidates: &'p [Candidate<'p>]) -> Self {
        let sniffer = Sniffer::new(candidates).expect("there are candidates, and not too many of them");
        Self { sniffer, bytes: Vec::new(), shares: Vec::new(), offset: 0 }
    }

    /// The memory of all this, in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.shares.capacity() * size_of::<(Mark, usize)>()
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Says that bytes are missing in front of the first one.
    pub(super) const fn gap(&mut self, missing: u64) {
        self.offset += missing;
    }

    /// Takes as many of `bytes` as are looked at, and says how many that were, and what was decided.
    pub(super) fn feed(&mut self, mark: Mark, bytes: &[u8]) -> (usize, Option<Outcome>) {
        let taken = bytes.len().min(MAX_LOOK_LEN - self.bytes.len());
        if taken == 0 {
            return (0, None);
        }
        self.bytes.extend(bytes.iter().take(taken));
        self.shares.push((mark, self.bytes.len()));
        let verdict = self.sniffer.look(&self.bytes);
        (taken, Outcome::of(verdict))
    }

    /// Decides by what there is; `None` when there is nothing.
    pub(super) fn settle(&self) -> Option<Outcome> {
        if self.bytes.is_empty() { None } else { Outcome::of(self.sniffer.settle(&self.bytes)) }
    }

    pub(super) fn first_mark(&self) -> Mark {
        self.shares.first().and_then(|(mark, _)| *mark)
    }

    /// The candidates with the highest scores, and these.
    pub(super) fn best(&self) -> Vec<(&'p str, i64)> {
        // 0 is the score of who still waits for the end of its first frame, and then it did not come.
        let judged = self.sniffer.scores().filter(|(_, score, _)| *score != 0);
        let mut scores: Vec<_> = judged.map(|(name, score, _)| (name, score)).collect();
        scores.sort_by_key(|(_, score)| core::cmp::Reverse(*score));
        scores.truncate(BEST_TOLD);
        scores
    }

    /// Hands out the bytes as they came.
    pub(super) fn replay(&self, mut take: impl FnMut(Mark, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut start = 0;
        for &(mark, end) in &self.shares {
            take(mark, &self.bytes[start..end])?;
            start = end;
        }
        Ok(())
    }
}

impl Outcome {
    /// What the verdict means; `None` when there is none yet.
    const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Decided { index, score, lead } => Some(Self::Decided { index, score, lead }),
            Verdict::NoneFits => Some(Self::NoneFits),
            Verdict::Undecided { .. } => None,
        }
    }
}
