//! What a deframer has seen: nothing is dropped in silence.

use crate::framing::{Malformed, Step};

/// Counts of frames and of skipped bytes by cause. They wrap after 2^64.
///
/// Every byte of the stream is in exactly one of [`frame_bytes`](Self::frame_bytes) and the skips, once it has left the
/// buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counters {
    /// Frames delivered.
    pub frames: u64,
    /// The bytes of those frames, headers and checksums included.
    pub frame_bytes: u64,
    /// Skipped because no frame starts there.
    pub magic: Skips,
    /// Skipped as what may stand between frames.
    pub fill: Skips,
    /// Skipped because a length and its guard contradict each other.
    pub length_guard: Skips,
    /// Skipped because of a length that is none, a marker that is not there, a wrong escape, or a function that is not known; the native
    /// framing has none of these.
    pub layout: Skips,
    /// Skipped because a length is over the receiver's limit.
    pub over_limit: Skips,
    /// Skipped because a checksum does not fit.
    pub checksum: Skips,
    /// Skipped because the rest of a candidate did not come.
    pub abandoned: Skips,
}

/// The skips of one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Skips {
    /// How many skips. Of noise ([`Malformed::Magic`]) and of fill that depends on how the stream was cut; of every other cause it
    /// is the number of rejected candidates.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Counters {
    /// Counts one step.
    #[inline]
    pub fn record(&mut self, step: &Step<'_>) {
        match *step {
            Step::Frame(frame) => self.record_frame(frame.encoded_len()),
            Step::Skipped { bytes, cause } => self.record_skip(bytes, cause),
            Step::NeedMore { .. } => {}
        }
    }

    #[inline]
    pub(crate) fn record_frame(&mut self, encoded_len: usize) {
        self.frames = self.frames.wrapping_add(1);
        self.frame_bytes = self.frame_bytes.wrapping_add(widen(encoded_len));
    }

    #[cold]
    pub(crate) fn record_skip(&mut self, bytes: usize, cause: Malformed) {
        let skips = match cause {
            Malformed::Magic => &mut self.magic,
            Malformed::Fill => &mut self.fill,
            Malformed::LengthGuard { .. } => &mut self.length_guard,
            Malformed::Length { .. }
            | Malformed::Marker { .. }
            | Malformed::Escape { .. }
            | Malformed::Unknown { .. } => &mut self.layout,
            Malformed::OverLimit { .. } => &mut self.over_limit,
            Malformed::Checksum { .. } => &mut self.checksum,
            Malformed::Abandoned { .. } => &mut self.abandoned,
        };
        skips.count = skips.count.wrapping_add(1);
        skips.bytes = skips.bytes.wrapping_add(widen(bytes));
    }

    /// All bytes skipped, whatever the cause.
    #[must_use]
    pub const fn skipped_bytes(&self) -> u64 {
        self.magic
            .bytes
            .wrapping_add(self.fill.bytes)
            .wrapping_add(self.length_guard.bytes)
            .wrapping_add(self.layout.bytes)
            .wrapping_add(self.over_limit.bytes)
            .wrapping_add(self.checksum.bytes)
            .wrapping_add(self.abandoned.bytes)
    }
}

#[allow(clippy::as_conversions)] // no target has a usize of more than 64 bits
const fn widen(len: usize) -> u64 {
    len as u64
}
