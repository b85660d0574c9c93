//! The declared framing as a [`Framing`].

use super::FrameSpec;
use super::compile::Declared;
use super::decode::{Castagnoli, Named, Verify};
use super::escape::Runs;
use super::marker::Marker;
use crate::checksum::{Batch, Crc32c, Kernel};
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Step, step_after};
use memchr::{memchr, memchr2, memmem};

/// How far a start is looked for at first, in bytes.
const FIRST_REACH: usize = 256;

impl Framing for Declared {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        struct One<'d, 'a>(&'d Declared, &'a [u8]);
        impl<'a> Batch for One<'_, 'a> {
            type Output = Examined<'a>;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> Examined<'a> {
                self.0.judge_sized(self.1, Castagnoli(crc))
            }
        }
        if self.ended {
            self.judge_ended(candidate)
        } else if self.has_kernel() {
            Kernel::detect().run(One(self, candidate))
        } else {
            self.judge_sized(candidate, Named)
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        if self.start_len > 0 {
            return self.find_marked(bytes);
        }
        if self.ended {
            let end = self.spec.end.as_bytes();
            return memmem::find(bytes, end).map_or(bytes.len(), |at| at.saturating_add(end.len()));
        }
        match self.head.first() {
            Some((at, marker)) if self.head_count > 0 => find_around(bytes, *at, marker),
            _ => 0,
        }
    }

    #[inline]
    fn max_frame_len(&self) -> usize {
        self.max_len
    }

    fn evidence(&self) -> u32 {
        self.evidence
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        for run in (Runs { escape: self.escape, rest: frame.payload() }) {
            sink.put(run.meant());
        }
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.encode(header, payload, sink)
    }

    #[inline]
    fn walk<'a>(&self, bytes: &'a [u8], sink: impl FnMut(Step<'a>)) -> usize {
        struct All<'d, 'a, S>(&'d Declared, &'a [u8], S);
        impl<'a, S: FnMut(Step<'a>)> Batch for All<'_, 'a, S> {
            type Output = usize;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> usize {
                self.0.walk_sized(self.1, self.2, Castagnoli(crc))
            }
        }
        if self.ended {
            walk_by(self, bytes, sink, |rest| self.judge_ended(rest))
        } else if self.has_kernel() {
            Kernel::detect().run(All(self, bytes, sink))
        } else {
            self.walk_sized(bytes, sink, Named)
        }
    }
}

impl Declared {
    /// The specification that it follows.
    #[must_use]
    pub const fn spec(&self) -> &FrameSpec {
        &self.spec
    }

    /// Whether bytes are replaced between the markers, so that [`Frame::payload`] is not what its sender meant.
    #[must_use]
    pub const fn is_escaped(&self) -> bool {
        self.escape.is_some()
    }

    /// Whether the checksum is one for which a kernel is chosen.
    #[inline(always)]
    fn has_kernel(&self) -> bool {
        self.sum.as_ref().is_some_and(|sum| sum.castagnoli)
    }

    #[inline(always)]
    fn walk_sized<'a, V: Verify>(&self, bytes: &'a [u8], sink: impl FnMut(Step<'a>), verify: V) -> usize {
        walk_by(
            self,
            bytes,
            sink,
            #[inline(always)] // only inside a batch do the kernel's intrinsics become instructions
            |rest| self.judge_sized(rest, verify),
        )
    }

    /// The first start marker or preamble, or what of a start marker the end of `bytes` cuts off.
    fn find_marked(&self, bytes: &[u8]) -> usize {
        let first = self.starts.first().map_or(0, Marker::first);
        if self.start_len == 1 && self.start_count == 1 {
            let found = match self.spec.preamble {
                Some(preamble) => memchr2(first, preamble, bytes),
                None => memchr(first, bytes),
            };
            return found.unwrap_or(bytes.len());
        }
        // What is near is looked for near first: a stream of one of them must not be read to its end for another each time.
        let mut reach = FIRST_REACH;
        loop {
            let window = bytes.get(..reach).unwrap_or(bytes);
            let found = self.find_within(window);
            // What is cut off by the end of a window is judged in the next one.
            if window.len() == bytes.len() || found.saturating_add(self.start_len) <= window.len() {
                return found;
            }
            reach = reach.saturating_mul(2);
        }
    }

    /// The same, in one pass over `bytes` for each start marker.
    fn find_within(&self, bytes: &[u8]) -> usize {
        // No start that stands behind the first one found is of use; one that begins before it may end behind.
        let mut first_of_all = bytes.len();
        for start in self.starts.iter().take(self.start_count) {
            let reach = first_of_all.saturating_add(self.start_len).saturating_sub(1).min(bytes.len());
            let window = bytes.get(..reach).unwrap_or_default();
            first_of_all = first_of_all.min(memmem::find(window, start.as_bytes()).unwrap_or(bytes.len()));
        }
        let cut_off = bytes.len().saturating_sub(self.start_len.saturating_sub(1))..first_of_all;
        let cut_off = cut_off.into_iter().find(|at| self.may_begin(bytes.get(*at..).unwrap_or_default()));
        let start = cut_off.unwrap_or(first_of_all);
        let before = bytes.get(..start).unwrap_or_default();
        self.spec.preamble.and_then(|byte| memchr(byte, before)).unwrap_or(start)
    }
}

/// The first place in `bytes` that `marker` stands `at` bytes behind, or may stand behind the end of `bytes`.
fn find_around(bytes: &[u8], at: usize, marker: &Marker) -> usize {
    if let Some(found) = bytes.get(at..).and_then(|behind| memmem::find(behind, marker.as_bytes())) {
        return found;
    }
    let reach = at.saturating_add(marker.len()).saturating_sub(1);
    let cut_off = bytes.len().saturating_sub(reach)..bytes.len();
    let agrees = |start: &usize| marker.agrees(bytes.get(start.saturating_add(at)..).unwrap_or_default());
    cut_off.into_iter().find(agrees).unwrap_or(bytes.len())
}

/// The steps that `judge` leads to; see [`Framing::walk`].
#[inline(always)]
fn walk_by<'a>(
    declared: &Declared,
    bytes: &'a [u8],
    mut sink: impl FnMut(Step<'a>),
    judge: impl Fn(&'a [u8]) -> Examined<'a>,
) -> usize {
    let mut rest = bytes;
    loop {
        let examined = judge(rest);
        if let Examined::Frame(frame) = examined {
            sink(Step::Frame(frame));
            rest = rest.get(frame.encoded_len()..).unwrap_or_default();
            continue;
        }
        let step = step_after(declared, rest, examined);
        sink(step);
        match rest.get(step.covered()..) {
            Some(behind) if step.covered() > 0 => rest = behind,
            _ => return bytes.len().saturating_sub(rest.len()),
        }
    }
}
