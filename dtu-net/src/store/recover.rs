//! Reads a file back: a walk over its records that trusts nothing.

use super::error::StoreError;
use super::record::{DATA_OVERHEAD, Decoded, Head, Record, VERSION, decode};
use super::{Kept, KeptData};
use crate::numbers::{is_after, later};
use bytes::Bytes;
use dtu_proto::counters::{Counters, Skips};
use dtu_proto::frame::HEADER_LEN;
use dtu_proto::message::Data;
use dtu_proto::{Deframer, Malformed, Native, Step};
use std::collections::VecDeque;
use std::io::{self, Read};

/// How many numbers a stream can have open (S-9).
pub(super) const MAX_OPEN: u32 = i32::MAX.unsigned_abs();

/// What was found when a store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// There was no file; a new one was made. The rest is 0 then.
    pub created: bool,
    /// The records that were read and used, the head among them.
    pub records: u64,
    /// The bytes of an unfinished record that were cut off the end. Nothing that was kept is lost by it.
    pub torn_tail_bytes: u64,
    /// All frames, and the damaged bytes by cause.
    pub line: Counters,
    /// Intact frames, none of which this store wrote at that place: of another stream, of an unknown kind, or in
    /// contradiction to what stands before.
    pub foreign: Skips,
    /// The numbers from the base on that may have had DATA which is lost. They are holes now. It may be too high: some
    /// may have been settled, or never used.
    pub lost: u32,
    /// There was damage, so the file has been written anew without it.
    pub rewritten: bool,
    /// A rewrite had been interrupted; what it left was removed.
    pub leftover_removed: bool,
}

impl Recovery {
    /// The damaged bytes, whatever the cause: those that are neither in a used record nor in the torn tail.
    #[must_use]
    pub const fn damaged_bytes(&self) -> u64 {
        self.line.skipped_bytes().wrapping_add(self.foreign.bytes)
    }
}

/// Where a record of DATA that is not settled stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: u32,
    pub(super) at: u64,
    pub(super) length: u32,
}

/// What the file said.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kept: Kept,
    /// One for each of `kept.data`.
    pub(super) places: VecDeque<Place>,
    /// Where the last record ends that is not torn.
    pub(super) end: u64,
    pub(super) recovery: Recovery,
}

pub(super) fn read(mut file: impl Read) -> Result<Found, StoreError> {
    let mut deframer = Deframer::new(Native::new());
    let mut walk = Walk::new(read_head(&mut file, &mut deframer)?);
    loop {
        match deframer.next_step() {
            step @ (Step::Frame(_) | Step::Skipped { .. }) => {
                walk.take(&step);
                continue;
            }
            Step::NeedMore { .. } => {}
        }
        if !fill(&mut file, &mut deframer)? {
            walk.reached_end(deframer.unjudged());
            let Some(step) = deframer.abandon_candidate() else { break };
            walk.take(&step);
        }
    }
    walk.finish()
}

/// Reads some more; `false` at the end of the file.
fn fill(file: &mut impl Read, deframer: &mut Deframer<Native, Vec<u8>>) -> io::Result<bool> {
    loop {
        match file.read(deframer.spare_capacity_mut()) {
            Ok(count) => {
                deframer.commit(count);
                return Ok(count > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The stream, the head, and the head record's length.
fn read_head(file: &mut impl Read, deframer: &mut Deframer<Native, Vec<u8>>) -> Result<(u64, Head, usize), StoreError> {
    loop {
        match deframer.next_step() {
            Step::Frame(frame) => {
                return match decode(frame.payload()) {
                    Decoded::Record { stream, record: Record::Head(head) } if !is_after(head.base, head.next) => {
                        Ok((stream, head, frame.encoded_len()))
                    }
                    Decoded::OtherVersion(found) => Err(StoreError::Version { found, known: VERSION }),
                    Decoded::Record { .. } | Decoded::Foreign => Err(StoreError::NoHead { cause: None }),
                };
            }
            Step::Skipped { bytes: _, cause } => return Err(StoreError::NoHead { cause: Some(cause) }),
            Step::NeedMore { .. } => {}
        }
        if !fill(file, deframer)? {
            let received = deframer.buffered();
            return Err(StoreError::NoHead { cause: Some(Malformed::Abandoned { received }) });
        }
    }
}

/// Numbers without DATA, and how many of them damage may have taken.
struct Gap {
    first: u32,
    count: u32,
    hidden: u64,
}

impl Gap {
    /// How many numbers from `base` on damage may have taken.
    fn lost(&self, base: u32) -> u32 {
        let below = if is_after(base, self.first) { base.wrapping_sub(self.first) } else { 0 };
        let open = self.count.saturating_sub(below);
        u32::try_from(self.hidden).map_or(open, |hidden| open.min(hidden))
    }
}

struct Walk {
    stream: u64,
    base: u32,
    /// One above the last DATA. The next one has this number or a higher one: a rewrite leaves holes below the head's
    /// `next`, from there on only damage does.
    above: u32,
    /// Above every number that is known to have been used.
    next: u32,
    data: VecDeque<(Place, KeptData)>,
    /// The bytes of the steps so far.
    at: u64,
    /// Where the last used record ends.
    end: u64,
    /// Damaged bytes since the last DATA.
    doubtful_bytes: u64,
    gaps: Vec<Gap>,
    recovery: Recovery,
    /// The beginning of a record at the end of the file: what was reported before it.
    torn: Option<Recovery>,
}

impl Walk {
    fn new((stream, head, length): (u64, Head, usize)) -> Self {
        let at = widen(length);
        let line = Counters { frames: 1, frame_bytes: at, ..Counters::default() };
        Self {
            stream,
            base: head.base,
            above: head.base,
            next: head.next,
            data: VecDeque::new(),
            at,
            end: at,
            doubtful_bytes: 0,
            gaps: Vec::new(),
            recovery: Recovery { records: 1, line, ..Recovery::default() },
            torn: None,
        }
    }

    fn take(&mut self, step: &Step<'_>) {
        self.recovery.line.record(step);
        let length = widen(step.covered());
        match step {
            Step::Frame(frame) => match decode(frame.payload()) {
                Decoded::Record { stream, record }
                    if stream == self.stream && self.apply(record, frame.encoded_len()) =>
                {
                    self.recovery.records += 1;
                    self.end = self.at + length;
                    self.torn = None;
                }
                Decoded::Record { .. } | Decoded::OtherVersion(_) | Decoded::Foreign => {
                    self.recovery.foreign.count += 1;
                    self.recovery.foreign.bytes += length;
                    self.doubtful_bytes += length;
                }
            },
            Step::Skipped { .. } => self.doubtful_bytes += length,
            Step::NeedMore { .. } => {}
        }
        self.at += length;
    }

    /// The file ends. A candidate that waits for bytes, stands directly behind a record and is of this stream as far
    /// as it goes, is the beginning of a record, unless one stands further behind.
    fn reached_end(&mut self, waiting: &[u8]) {
        let mut stream = waiting.iter().skip(HEADER_LEN).zip(self.stream.to_be_bytes());
        if !waiting.is_empty() && self.at == self.end && stream.all(|(found, own)| *found == own) {
            self.torn = Some(Recovery { torn_tail_bytes: widen(waiting.len()), ..self.recovery });
        }
    }

    /// How many numbers the damage since the last DATA may hide; never so many that "above" is not decided any more.
    fn hidden(&self) -> u64 {
        self.hidden_at_most().min(u64::from(MAX_OPEN - self.next.wrapping_sub(self.base)))
    }

    const fn hidden_at_most(&self) -> u64 {
        self.doubtful_bytes / widen(DATA_OVERHEAD)
    }

    /// Whether all numbers below `above` may have been used, as far as one can know here.
    fn may_reach(&self, above: u32) -> bool {
        !is_after(above, self.next) || u64::from(above.wrapping_sub(self.next)) <= self.hidden()
    }

    /// Takes a record's word; `false` when it contradicts what stands before.
    fn apply(&mut self, record: Record<'_>, length: usize) -> bool {
        match record {
            Record::Head(_) => false,
            Record::Data(data) => self.append(data, length),
            Record::SettledBelow { base } => {
                let known = self.may_reach(base);
                if known && is_after(base, self.base) {
                    self.base = base;
                    self.next = later(self.next, base);
                    self.data.retain(|(place, _)| !is_after(base, place.seq));
                }
                known
            }
            Record::Settled { seq } => {
                let known = self.may_reach(seq.wrapping_add(1));
                if known {
                    self.data.retain(|(place, _)| place.seq != seq);
                    self.next = later(self.next, seq.wrapping_add(1));
                }
                known
            }
        }
    }

    fn append(&mut self, data: Data<'_>, length: usize) -> bool {
        let Data { seq, channel, body } = data;
        if is_after(self.above, seq) || !self.may_reach(seq) {
            return false;
        }
        self.gap_up_to(seq);
        self.above = seq.wrapping_add(1);
        self.next = later(self.next, self.above);
        self.doubtful_bytes = 0;
        if !is_after(self.base, seq) {
            let length = u32::try_from(length).expect("a frame has less than 2^17 bytes");
            let kept = KeptData { seq, channel, body: Bytes::copy_from_slice(body) };
            self.data.push_back((Place { seq, at: self.at, length }, kept));
        }
        true
    }

    /// The numbers from `above` up to `seq`, without it, have no DATA.
    fn gap_up_to(&mut self, seq: u32) {
        if self.hidden() > 0 && is_after(seq, self.above) {
            self.gaps.push(Gap { first: self.above, count: seq.wrapping_sub(self.above), hidden: self.hidden() });
        }
    }

    fn finish(mut self) -> Result<Found, StoreError> {
        if let Some(torn) = self.torn {
            // Nothing behind the torn record counts: its bytes were part of no operation that returned.
            self.doubtful_bytes -= torn.torn_tail_bytes;
            self.recovery = torn;
        } else {
            self.end = self.at;
        }
        let hidden = self.hidden();
        if hidden < self.hidden_at_most() {
            return Err(StoreError::Doubtful { damaged_bytes: self.recovery.damaged_bytes() });
        }
        let given_up = u32::try_from(hidden).expect("it is less than 2^31");
        self.gap_up_to(self.next);
        self.recovery.lost = given_up + self.gaps.iter().map(|gap| gap.lost(self.base)).sum::<u32>();
        self.next = self.next.wrapping_add(given_up);
        let base = self.base;
        let (places, data) = self.data.into_iter().unzip();
        let kept = Kept { stream: self.stream, base, next: self.next, data };
        Ok(Found { kept, places, end: self.end, recovery: self.recovery })
    }
}

/// No target has a `usize` of more than 64 bits.
const fn widen(length: usize) -> u64 {
    length as u64
}
