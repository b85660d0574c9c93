//! One device of the fleet: whose hand asks and closes it, what it has sent, and what it did last.

use super::Fleet;
use super::rings::{Direction, Happened, LastFrame, Rings, Whence};
use super::serial::Serial;
use super::time::Millis;
use crate::request::profile::Replies;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use dtu_net::driver::Session;
use dtu_net::driver::transparent::TransparentSession;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The serial lines of one device on which replies are awaited at a time.
pub(crate) const LINES: usize = 16;

/// Whose session it is.
#[derive(Debug)]
pub(super) enum Hand {
    Native(Session),
    Unit(TransparentSession, Replies),
    /// Nobody's: a device that is played.
    #[cfg(test)]
    Played(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(super) hand: Hand,
    /// Where it is in. It does not keep it.
    pub(super) fleet: Weak<Fleet>,
    pub(super) entered: Millis,
    /// The number of its last change, kept by the index.
    pub(super) change: AtomicU64,
    /// It stands in the list of those that changed since the last look.
    pub(super) is_marked: AtomicBool,
    /// Its last byte as it was told last, to tell a newer one.
    pub(super) told_heard: AtomicU64,
    /// Where it stood when it was told last, as [`Standing::mark`](super::Standing::mark).
    pub(super) told_standing: AtomicU8,
    frames: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    past: Mutex<Option<Box<Past>>>,
}

/// What most devices do not have.
#[derive(Debug, Default)]
struct Past {
    rings: Rings,
    /// Its serial lines on which somebody awaits a reply.
    lines: Vec<Arc<Serial>>,
}

impl Past {
    fn line(&self, channel: u8) -> Option<&Arc<Serial>> {
        self.lines.iter().find(|line| line.channel() == channel)
    }
}

/// What it has sent so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
}

impl Device {
    pub(super) fn new(fleet: Weak<Fleet>, hand: Hand) -> Self {
        Self {
            hand,
            fleet,
            entered: Millis::now(),
            change: AtomicU64::new(0),
            is_marked: AtomicBool::new(false),
            told_heard: AtomicU64::new(0),
            told_standing: AtomicU8::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            past: Mutex::new(None),
        }
    }

    #[cfg(test)]
    pub(super) fn played(id: &str) -> Self {
        Self::new(Weak::new(), Hand::Played(id.into()))
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        match &self.hand {
            Hand::Native(session) => session.device(),
            Hand::Unit(session, _) => session.device(),
            #[cfg(test)]
            Hand::Played(id) => id,
        }
    }

    pub(super) fn sums(&self) -> Sums {
        Sums {
            frames: self.frames.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }

    /// A frame came.
    pub(super) fn received(&self, at: Millis, channel: u8, seq: Option<u32>, bytes: &[u8]) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let line = {
            let mut past = self.past();
            let past = past.get_or_insert_default();
            past.rings.frame(Whence { at, direction: Direction::Up, channel, seq }, bytes);
            past.line(channel).cloned()
        };
        // A line takes its own lock before that of the device.
        if let Some(line) = line {
            line.handle_bytes(bytes);
        }
    }

    /// A frame was sent to it.
    pub(super) fn sent(&self, at: Millis, channel: u8, bytes: &[u8]) {
        let whence = Whence { at, direction: Direction::Down, channel, seq: None };
        self.past().get_or_insert_default().rings.frame(whence, bytes);
    }

    pub(super) fn skipped(&self, bytes: u64) {
        self.errors.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn happened(&self, event: &'static str, text: impl Into<Box<str>>) {
        let happened = Happened { at: Millis::now(), event, text: text.into() };
        let mut past = self.past();
        let rings = &mut past.get_or_insert_default().rings;
        // That it came is not written down before something else is: most devices just come and stay.
        if rings.timeline().next().is_none() {
            rings.happened(self.coming());
        }
        rings.happened(happened);
    }

    fn coming(&self) -> Happened {
        Happened { at: self.entered, event: "connected", text: "".into() }
    }

    /// What happened to it, newest first.
    pub(super) fn timeline(&self) -> Vec<Happened> {
        let past = self.past();
        let timeline = past.as_ref().map(|past| past.rings.timeline().cloned().collect::<Vec<_>>()).unwrap_or_default();
        if timeline.is_empty() { vec![self.coming()] } else { timeline }
    }

    /// Its last frames, newest first.
    pub(super) fn frames(&self) -> Vec<LastFrame> {
        self.past().as_ref().map(|past| past.rings.frames().cloned().collect()).unwrap_or_default()
    }

    /// The line of that channel on which somebody awaits a reply, or the one that `make` gives and then whether it is new. `None`
    /// where as many are open as may.
    pub(super) fn open_line(&self, channel: u8, make: impl FnOnce() -> Serial) -> Option<(Arc<Serial>, bool)> {
        let mut past = self.past();
        let past = past.get_or_insert_default();
        if let Some(line) = past.line(channel) {
            return Some((Arc::clone(line), false));
        }
        if past.lines.len() >= LINES {
            return None;
        }
        let line = Arc::new(make());
        past.lines.push(Arc::clone(&line));
        Some((line, true))
    }

    pub(super) fn close_line(&self, line: &Arc<Serial>) {
        if let Some(past) = &mut *self.past() {
            past.lines.retain(|other| !Arc::ptr_eq(other, line));
        }
    }

    fn past(&self) -> MutexGuard<'_, Option<Box<Past>>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
