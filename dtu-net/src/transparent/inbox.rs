//! Frames that wait for the application.

use super::event::Heard;
use core::mem;
use std::collections::VecDeque;

/// How many frames may wait. There is no way to ask a meter to wait, so of more the oldest goes.
pub const HEARD_FRAMES: usize = 256;

/// How many bytes they may have in all.
pub const HEARD_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    frames: VecDeque<Heard>,
    bytes: usize,
    memory: usize,
}

fn memory_of(heard: &Heard) -> usize {
    mem::size_of::<Heard>().saturating_add(heard.frame.memory())
}

impl Inbox {
    /// Adds a frame, and returns those that had to go for it. The newest is always kept.
    pub(super) fn put(&mut self, heard: Heard) -> Vec<Heard> {
        self.bytes += heard.frame.as_bytes().len();
        self.memory = self.memory.saturating_add(memory_of(&heard));
        self.frames.push_back(heard);
        let mut lost = Vec::new();
        while self.frames.len() > HEARD_FRAMES || (self.bytes > HEARD_BYTES && self.frames.len() > 1) {
            lost.extend(self.take());
        }
        lost
    }

    pub(super) fn take(&mut self) -> Option<Heard> {
        let heard = self.frames.pop_front()?;
        self.bytes -= heard.frame.as_bytes().len();
        self.memory = self.memory.saturating_sub(memory_of(&heard));
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        Some(heard)
    }

    /// The bytes of memory that they take.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
