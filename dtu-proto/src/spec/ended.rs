//! Judging a candidate that ends with the first end marker behind its start.

use super::compile::Declared;
use super::decode::need;
use super::escape::{Run, Runs};
use super::marker::{MAX_MARKER_LEN, Marker};
use crate::checksum::Digest;
use crate::frame::Frame;
use crate::framing::{Examined, Malformed};
use core::ops::Range;
use memchr::{memchr, memchr2, memmem};

/// A frame between its markers, as its sender meant it.
#[derive(Clone, Copy)]
struct Meant<'a> {
    start: Marker,
    inner: Runs<'a>,
    end: Marker,
}

impl Meant<'_> {
    /// Hands the bytes to `take`, run by run, with the place of each run in the frame and on the line behind its start
    /// marker. Ends early, and says where on the line, at an escape that is none.
    fn each(&self, mut take: impl FnMut(usize, usize, &[u8])) -> Result<usize, usize> {
        take(0, 0, self.start.as_bytes());
        let mut at = self.start.len();
        let mut line: usize = 0;
        for run in self.inner {
            take(at, line, run.meant());
            at = at.saturating_add(run.meant().len());
            line = match run {
                Run::Plain(bytes) => line.saturating_add(bytes.len()),
                Run::Escaped(_) => line.saturating_add(2),
                Run::Wrong => return Err(line),
            };
        }
        take(at, line, self.end.as_bytes());
        Ok(at.saturating_add(self.end.len()))
    }

    /// Hands what stands in `range` to `take`, run by run.
    fn each_in(&self, range: Range<usize>, mut take: impl FnMut(&[u8])) {
        let whole = self.each(|at, _, bytes| {
            let from = range.start.saturating_sub(at).min(bytes.len());
            let to = range.end.saturating_sub(at).min(bytes.len());
            take(bytes.get(from..to).unwrap_or_default());
        });
        debug_assert!(whole.is_ok(), "the escapes were judged before");
    }

    /// What stands from `at` on, as many bytes as a marker can have.
    fn copy(&self, at: usize) -> ([u8; MAX_MARKER_LEN], usize) {
        let (mut copy, mut len) = ([0; MAX_MARKER_LEN], 0_usize);
        self.each_in(at..at.saturating_add(MAX_MARKER_LEN), |bytes| {
            for (to, from) in copy.iter_mut().skip(len).zip(bytes) {
                *to = *from;
            }
            len = len.saturating_add(bytes.len());
        });
        (copy, len.min(MAX_MARKER_LEN))
    }

    fn digest(&self, mut digest: Digest, range: Range<usize>) -> u32 {
        self.each_in(range, |bytes| digest.update(bytes));
        digest.finish()
    }

    /// Where on the line, behind the start marker, the byte at `place` of the frame stands.
    fn on_line(&self, place: usize) -> usize {
        let mut found = 0;
        let whole = self.each(|at, line, bytes| {
            if (at..at.saturating_add(bytes.len())).contains(&place) {
                found = line.saturating_add(place.saturating_sub(at));
            }
        });
        debug_assert!(whole.is_ok(), "the escapes were judged before");
        found
    }
}

impl Declared {
    /// Judges the candidate.
    pub(super) fn judge_ended<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let opened = match candidate.get(..self.start_len) {
            Some(front) if self.begins(front) => self.start_len,
            _ if self.spec.shared => 0,
            Some(_) => return self.judge_strange(candidate),
            None if self.may_begin(candidate) => return need(self.min_len, candidate.len()),
            None => return self.judge_strange(candidate),
        };
        // A frame that begins behind the end of another has lent its start marker there.
        let lent = self.start_len.saturating_sub(opened);
        let window = candidate.get(opened..candidate.len().min(self.max_len)).unwrap_or_default();
        let inner = match self.find_end(window) {
            Found::End(at) => window.get(..at).unwrap_or_default(),
            Found::Start(at) => {
                let at = at.saturating_add(opened);
                return Examined::Rejected { cause: Malformed::Escape { at }, judged: at };
            }
            Found::Nothing if candidate.len() >= self.max_len => return self.judge_endless(candidate),
            Found::Nothing => {
                // What fits the longest frame alone is left to ask for, however short the shortest is.
                let least = self.min_len.saturating_sub(lent);
                return need(least.min(self.max_len), candidate.len());
            }
        };
        let line_len = opened.saturating_add(inner.len()).saturating_add(self.spec.end.len());
        if inner.is_empty() && (self.start_len == 0 || self.spec.shared || self.closes_as_it_starts()) {
            // The last of a run of flags may be the start of a frame.
            let judged = if self.start_len == 0 || opened == 0 { line_len } else { opened };
            return Examined::Rejected { cause: Malformed::Fill, judged };
        }
        let start = match candidate.first_chunk::<1>() {
            Some(_) if opened > 0 => Marker::of(candidate.get(..opened).unwrap_or_default()).unwrap_or_default(),
            _ => self.starts.first().copied().unwrap_or_default(),
        };
        let meant = Meant { start, inner: Runs { escape: self.escape, rest: inner }, end: self.spec.end };
        match self.judge_meant(&meant, opened, line_len) {
            Ok(payload) => {
                let frame = candidate.get(..line_len).and_then(|bytes| Frame::new(bytes, payload));
                Examined::Frame(frame.expect("the payload lies between the markers"))
            }
            Err(cause) => Examined::Rejected { cause, judged: line_len },
        }
    }

    pub(super) fn closes_as_it_starts(&self) -> bool {
        self.starts.first() == Some(&self.spec.end)
    }

    /// Judges what the frame means and returns where its payload stands on the line.
    fn judge_meant(&self, meant: &Meant<'_>, opened: usize, line_len: usize) -> Result<Range<usize>, Malformed> {
        let total = match meant.each(|_, _, _| {}) {
            Ok(total) => total,
            Err(line) => return Err(Malformed::Escape { at: opened.saturating_add(line) }),
        };
        if total < self.min_len {
            return Err(Malformed::Length { found: u32::try_from(total).unwrap_or(u32::MAX) });
        }
        let on_line = |place: usize| opened.saturating_add(meant.on_line(place));
        let markers = self.head.iter().take(self.head_count).copied();
        // The end marker is where it was found.
        let tail = self.tail.iter().take(self.tail_count).skip(1);
        let tail = tail.map(|(before_end, marker)| (total.saturating_sub(*before_end), *marker));
        for (at, marker) in markers.chain(tail) {
            let (found, len) = meant.copy(at);
            if !marker.begins(found.get(..len).unwrap_or_default()) {
                return Err(Malformed::Marker { at: on_line(at) });
            }
        }
        if let Some(length) = &self.spec.length {
            let mut head = [0; super::MAX_HEADER_LEN];
            let mut filled = 0_usize;
            meant.each_in(0..self.probe_len, |bytes| {
                for (to, from) in head.iter_mut().skip(filled).zip(bytes) {
                    *to = *from;
                }
                filled = filled.saturating_add(bytes.len());
            });
            let said = self.total(length, &head)?;
            if said != total {
                let found = head.get(length.at..).and_then(|field| length.read(field));
                return Err(Malformed::Length { found: found.unwrap_or_default() });
            }
        }
        if let Some(sum) = &self.sum {
            let computed = meant.digest(sum.digest, sum.check.from..total.saturating_sub(sum.trim));
            let (value, len) = meant.copy(total.saturating_sub(sum.check.place));
            let held = sum.holds(value.get(..len).unwrap_or_default(), computed, total);
            held.map_err(|cause| {
                if let Malformed::Marker { at } = cause { Malformed::Marker { at: on_line(at) } } else { cause }
            })?;
        }
        let end = total.saturating_sub(self.trailer_len);
        let line_end = if self.trailer_len == self.spec.end.len() {
            line_len.saturating_sub(self.trailer_len)
        } else {
            on_line(end)
        };
        let line_start = if self.header_len == self.start_len { opened } else { on_line(self.header_len) };
        Ok(line_start..line_end)
    }

    /// A candidate that does not end within the longest frame.
    #[cold]
    fn judge_endless<'a>(&self, candidate: &[u8]) -> Examined<'a> {
        let judged = candidate.get(..self.max_len).unwrap_or(candidate);
        // An end marker that is cut off there may still become one.
        let end = self.spec.end.as_bytes();
        let begun = (1..end.len()).rev().find(|len| judged.ends_with(end.get(..*len).unwrap_or_default()));
        let cause = Malformed::OverLimit { length: self.max_payload().saturating_add(1), limit: self.max_payload() };
        let judged = judged.len().saturating_sub(begun.unwrap_or(0)).max(1);
        Examined::Rejected { cause, judged }
    }

    /// Finds the end in what follows the start, or a start that should have been escaped.
    fn find_end(&self, bytes: &[u8]) -> Found {
        let end = self.spec.end;
        if self.escape.is_some() && self.start_len == 1 && !self.closes_as_it_starts() {
            let is_start = |byte: u8| byte != end.first() && self.begins(&[byte]);
            let first = match self.start_count {
                1 => memchr2(end.first(), self.starts.first().map_or(0, Marker::first), bytes),
                _ => bytes.iter().position(|byte| *byte == end.first() || is_start(*byte)),
            };
            return match first.map(|at| (at, bytes.get(at).is_some_and(|byte| is_start(*byte)))) {
                Some((at, true)) => Found::Start(at),
                Some((at, false)) => Found::End(at),
                None => Found::Nothing,
            };
        }
        let found = if end.len() == 1 { memchr(end.first(), bytes) } else { memmem::find(bytes, end.as_bytes()) };
        found.map_or(Found::Nothing, Found::End)
    }
}

/// What comes first behind a start.
enum Found {
    End(usize),
    Start(usize),
    Nothing,
}
