//! What the sessions of a server tell it of all of them, so that nobody has to ask one after the other.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// The bytes of DATA that they hold.
    memory: AtomicUsize,
    /// One at least has been closed since somebody asked.
    has_closed: AtomicBool,
}

impl Totals {
    /// One session held `before` bytes, and holds `now`.
    pub(crate) fn change(&self, before: usize, now: usize) {
        if now > before {
            self.memory.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.memory.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// A session is closed. Call it under the session's lock, where whoever then looks sees it.
    pub(crate) fn closed(&self) {
        self.has_closed.store(true, Ordering::Relaxed);
    }

    /// Whether there was one since the last call.
    pub(crate) fn take_closed(&self) -> bool {
        self.has_closed.swap(false, Ordering::Relaxed)
    }
}
