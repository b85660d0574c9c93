//! Which framing a connection speaks, from its first bytes.
//!
//! The start markers of the field collide: `68` begins DL/T 645, CJ/T 188, M-Bus and IEC 104, `7E` JT/T 808, HDLC and SL 651, `7B`
//! DDP and Alotcer, `2323` HJ 212 and GB/T 32960. A [`Sniffer`] therefore cuts the first bytes into frames with every candidate, and
//! counts.
//!
//! # The score
//!
//! In bits, for each candidate:
//!
//! * each accepted frame adds the framing's [`evidence`](Framing::evidence);
//! * each run of skipped bytes takes off [`SKIP_BITS`], and each byte in it 1 more; fill ([`Malformed::Fill`]) costs nothing;
//! * bytes that wait for a verdict count nothing, but if they become a frame they add its evidence: with it the score is
//!   the candidate's *prospect*.
//!
//! **A candidate is decided on when its score is at least [`ENOUGH_BITS`], and at least [`LEAD_BITS`] above the prospect of every
//! other.** So two that are close are looked at for longer. Candidates of one name, such as the two directions of Modbus RTU, are one
//! answer and do not hold each other up. After [`MAX_LOOK_LEN`] bytes, or when the caller says that no more
//! will come soon ([`settle`](Sniffer::settle)), what waits is given up and the highest score wins if it is above 0; of equal ones the first in the list, because some
//! framings are the same on the wire (M-Bus and IEC 101). None fits when every prospect is at most -[`LOST_BITS`], or none is above 0 in the
//! end.
//!
//! The outcome depends on the bytes and the list alone, not on how the bytes were cut.
//!
//! A poll of Modbus RTU for the registers from 0 on is, with a small count, a frame of Modbus TCP as well, of the same evidence: the
//! checksum of one, and zeros and the range of the length of the other. Put RTU first.

use crate::framing::{Framing, Malformed, Step, abandon_candidate, next_step};

/// The most candidates of one list.
pub const MAX_CANDIDATES: usize = 32;

/// So many bytes are looked at, and no more.
pub const MAX_LOOK_LEN: usize = 4096;

/// What a run of skipped bytes takes off a score, beside 1 for each byte.
pub const SKIP_BITS: i64 = 8;

/// The score that decides before the look is over.
pub const ENOUGH_BITS: i64 = 16;

/// How far it has to be above the others' prospects.
pub const LEAD_BITS: i64 = 8;

/// How far below 0 all prospects are when none fits.
pub const LOST_BITS: i64 = 128;

/// A framing that a connection may speak.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name. Those of one name are one answer.
    pub name: &'a str,
    /// The framing. `Sync`, so that a sniffer may go with its connection to another thread.
    pub framing: &'a (dyn Framing + Sync),
}

impl core::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Candidate").field(&self.name).finish()
    }
}

/// What the bytes so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are in this framing.
    Decided {
        /// Its index in the list.
        index: usize,
        /// Its score.
        score: i64,
        /// How far it is above the prospect of the next best of another name; `None` when there is none, 0 when the list's order decided.
        lead: Option<i64>,
    },
    /// More bytes are needed.
    Undecided {
        /// How many more can be needed, at the most.
        at_most: usize,
    },
    /// They are in none of them.
    NoneFits,
}

/// Why no sniffer is made of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SniffError {
    /// The list has no candidate.
    NoCandidate,
    /// The list has more than [`MAX_CANDIDATES`].
    TooMany {
        /// How many it has.
        count: usize,
    },
}

impl core::fmt::Display for SniffError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoCandidate => f.write_str("no framing to choose from"),
            Self::TooMany { count } => {
                write!(f, "{count} framings to choose from are over the limit of {MAX_CANDIDATES}")
            }
        }
    }
}

impl core::error::Error for SniffError {}

/// How far one candidate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Standing {
    /// How many of the bytes have a verdict.
    walked: usize,
    score: i64,
    /// What the bytes behind them add if they become a frame; 0 when there are none.
    pending: i64,
    /// Whether the last bytes with a verdict were skipped, so that the next ones make no new run.
    is_skipping: bool,
}

impl Standing {
    const fn prospect(&self) -> i64 {
        self.score.saturating_add(self.pending)
    }

    /// Goes on over `first`, of which the part before `walked` is as it was.
    fn walk(&mut self, framing: &dyn Framing, first: &[u8], end: End) {
        loop {
            let rest = first.get(self.walked..).unwrap_or_default();
            let step = match (next_step(framing, rest), end) {
                (Step::NeedMore { .. }, End::Closed) => abandon_candidate(framing, rest),
                (step, _) => Some(step),
            };
            self.pending = 0;
            match step {
                Some(Step::Frame(_)) => {
                    self.score = self.score.saturating_add(i64::from(framing.evidence()));
                    self.is_skipping = false;
                }
                Some(Step::Skipped { cause: Malformed::Fill, .. }) => self.is_skipping = false,
                Some(Step::Skipped { bytes, .. }) => {
                    let run = if self.is_skipping { 0 } else { SKIP_BITS };
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    self.score = self.score.saturating_sub(run.saturating_add(bytes));
                    self.is_skipping = true;
                }
                Some(Step::NeedMore { .. }) => {
                    self.pending = if rest.is_empty() { 0 } else { i64::from(framing.evidence()) };
                    return;
                }
                None => return,
            }
            self.walked = self.walked.saturating_add(step.map_or(0, |step| step.covered()));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

/// Watches the first bytes of one connection.
///
/// It keeps numbers only; the caller keeps the bytes, and shows all of them each time. A byte with a verdict is not judged again.
///
/// # Examples
///
/// ```
/// use dtu_proto::Native;
/// use dtu_proto::sniff::{Candidate, Sniffer, Verdict};
///
/// let (native, small) = (Native::new(), Native::with_max_payload(1));
/// let list = [Candidate { name: "small", framing: &small }, Candidate { name: "native", framing: &native }];
/// let mut sniffer = Sniffer::new(&list)?;
/// let first = b"\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06";
/// assert_eq!(sniffer.look(&first[..7]), Verdict::Undecided { at_most: 4089 });
/// let Verdict::Decided { index, .. } = sniffer.look(first) else { panic!("one frame is enough") };
/// assert_eq!(list[index].name, "native");
/// # Ok::<(), dtu_proto::sniff::SniffError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sniffer<'a> {
    candidates: &'a [Candidate<'a>],
    /// One for each candidate, then unused ones.
    standings: [Standing; MAX_CANDIDATES],
}

impl<'a> Sniffer<'a> {
    /// A sniffer that has seen nothing. Of candidates that may look the same, the likelier comes first in the list.
    ///
    /// # Errors
    ///
    /// [`SniffError`].
    pub fn new(candidates: &'a [Candidate<'a>]) -> Result<Self, SniffError> {
        match candidates.len() {
            0 => Err(SniffError::NoCandidate),
            count if count > MAX_CANDIDATES => Err(SniffError::TooMany { count }),
            _ => Ok(Self { candidates, standings: [Standing::default(); MAX_CANDIDATES] }),
        }
    }

    /// Judges the connection by its `first` bytes: all from its beginning, those of earlier calls included. Bytes behind the first
    /// [`MAX_LOOK_LEN`] are not looked at.
    #[must_use]
    pub fn look(&mut self, first: &[u8]) -> Verdict {
        let looked = first.get(..MAX_LOOK_LEN).unwrap_or(first);
        let at_most = MAX_LOOK_LEN.saturating_sub(looked.len());
        if at_most == 0 {
            return self.settle(looked);
        }
        self.walk(looked, End::Open);
        let verdict = self.best();
        if let Verdict::Decided { score, lead, .. } = verdict
            && score >= ENOUGH_BITS
            && lead.is_none_or(|lead| lead >= LEAD_BITS)
        {
            return verdict;
        }
        if self.standings().all(|standing| standing.prospect() <= LOST_BITS.saturating_neg()) {
            return Verdict::NoneFits;
        }
        Verdict::Undecided { at_most }
    }

    /// Judges the connection by its `first` bytes as they stand, because no more will come in time. Never [`Verdict::Undecided`]. It does
    /// not change what a later [`look`](Self::look) says.
    #[must_use]
    pub fn settle(&self, first: &[u8]) -> Verdict {
        let mut settled = self.clone();
        settled.walk(first.get(..MAX_LOOK_LEN).unwrap_or(first), End::Closed);
        let verdict = settled.best();
        let fits = matches!(verdict, Verdict::Decided { score, .. } if score > 0);
        if fits { verdict } else { Verdict::NoneFits }
    }

    /// Each candidate's name with its score and its prospect, in the order of the list, as of the last look.
    pub fn scores(&self) -> impl Iterator<Item = (&'a str, i64, i64)> {
        let names = self.candidates.iter().map(|candidate| candidate.name);
        names.zip(&self.standings).map(|(name, standing)| (name, standing.score, standing.prospect()))
    }

    fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().take(self.candidates.len())
    }

    fn walk(&mut self, first: &[u8], end: End) {
        for (standing, candidate) in self.standings.iter_mut().zip(self.candidates) {
            standing.walk(candidate.framing, first, end);
        }
    }

    /// The first of those with the highest score.
    fn best(&self) -> Verdict {
        let mut best: Option<(usize, i64)> = None;
        for (index, standing) in self.standings().enumerate() {
            if best.is_none_or(|(_, score)| standing.score > score) {
                best = Some((index, standing.score));
            }
        }
        best.map_or(Verdict::NoneFits, |(index, score)| {
            let name = self.candidates.get(index).map(|candidate| candidate.name);
            let others = self.candidates.iter().zip(&self.standings).filter(|(other, _)| Some(other.name) != name);
            let lead = others.map(|(_, standing)| score.saturating_sub(standing.prospect())).min();
            Verdict::Decided { index, score, lead }
        })
    }
}
