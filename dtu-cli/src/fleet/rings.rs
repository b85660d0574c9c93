//! What a device did last: bounded rings that take memory when they are used, and no more of it afterwards.

use super::time::Millis;
use std::collections::VecDeque;

/// Events of one device that are kept; of more the oldest goes.
pub(crate) const TIMELINE: usize = 32;

/// Frames of one device that are kept.
pub(crate) const FRAMES: usize = 8;

/// Bytes of one frame that are kept, from its start.
pub(crate) const FRAME_BYTES: usize = 256;

/// Something that happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) at: Millis,
    /// What, in one word.
    pub(crate) event: &'static str,
    /// More of it, for people; may be empty.
    pub(crate) text: Box<str>,
}

/// Which way a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A frame as the rings keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastFrame {
    pub(crate) at: Millis,
    pub(crate) direction: Direction,
    pub(crate) channel: u8,
    /// The number in the device's stream; DATA has it.
    pub(crate) seq: Option<u32>,
    /// All its bytes, kept or not.
    pub(crate) len: usize,
    /// The first of them, up to [`FRAME_BYTES`].
    pub(crate) bytes: Vec<u8>,
}

/// Where a frame came from, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whence {
    pub(super) at: Millis,
    pub(super) direction: Direction,
    pub(super) channel: u8,
    pub(super) seq: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Rings {
    timeline: VecDeque<Happened>,
    frames: Vec<LastFrame>,
    /// Where the next frame goes once all places are taken: the place of the oldest.
    next: usize,
}

impl Rings {
    pub(super) fn happened(&mut self, happened: Happened) {
        if self.timeline.len() == TIMELINE {
            self.timeline.pop_front();
        }
        self.timeline.push_back(happened);
    }

    /// Keeps a frame. The memory of the one that goes is used again.
    pub(super) fn frame(&mut self, whence: Whence, bytes: &[u8]) {
        let kept = bytes.get(..FRAME_BYTES).unwrap_or(bytes);
        let Whence { at, direction, channel, seq } = whence;
        let mut frame = LastFrame { at, direction, channel, seq, len: bytes.len(), bytes: Vec::new() };
        if let Some(place) = self.frames.get_mut(self.next).filter(|_| self.next < FRAMES) {
            core::mem::swap(&mut frame.bytes, &mut place.bytes);
            frame.bytes.clear();
            frame.bytes.extend_from_slice(kept);
            *place = frame;
        } else {
            frame.bytes.extend_from_slice(kept);
            self.frames.push(frame);
        }
        self.next = (self.next + 1) % FRAMES;
    }

    /// The events, newest first.
    pub(super) fn timeline(&self) -> impl Iterator<Item = &Happened> {
        self.timeline.iter().rev()
    }

    /// The frames, newest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &LastFrame> {
        let (newer, older) = self.frames.split_at(self.next.min(self.frames.len()));
        newer.iter().rev().chain(older.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_and_frames_are_kept_and_come_first() {
        let mut rings = Rings::default();
        for number in 0..100_u8 {
            let at = Millis(number.into());
            rings.happened(Happened { at, event: "connected", text: "".into() });
            let whence = Whence { at, direction: Direction::Up, channel: 1, seq: Some(number.into()) };
            rings.frame(whence, &[number; 3]);
            let kept = usize::from(number) + 1;
            let first: Vec<_> = rings.frames().map(|frame| frame.bytes[0]).collect();
            let expected: Vec<_> = (0..=number).rev().take(FRAMES).collect();
            assert_eq!(first, expected);
            assert_eq!(rings.timeline().count(), kept.min(TIMELINE));
        }
        assert_eq!(rings.timeline().map(|event| event.at.0).collect::<Vec<_>>(), (68..100).rev().collect::<Vec<_>>());
    }

    #[test]
    fn of_a_long_frame_the_start_is_kept_and_its_length() {
        let mut rings = Rings::default();
        let whence = Whence { at: Millis(0), direction: Direction::Down, channel: 0, seq: None };
        rings.frame(whence, &[7; 1000]);
        let frame = rings.frames().next().unwrap();
        assert_eq!((frame.len, frame.bytes.len()), (1000, FRAME_BYTES));
    }

    #[test]
    fn frames_that_come_on_take_no_more_memory() {
        let mut rings = Rings::default();
        let whence = Whence { at: Millis(0), direction: Direction::Up, channel: 0, seq: None };
        (0..FRAMES).for_each(|_| rings.frame(whence, &[1; 64]));
        let places: Vec<_> = rings.frames.iter().map(|frame| frame.bytes.as_ptr()).collect();
        (0..100 * FRAMES).for_each(|_| rings.frame(whence, &[2; 64]));
        assert_eq!(places, rings.frames.iter().map(|frame| frame.bytes.as_ptr()).collect::<Vec<_>>());
    }
}
