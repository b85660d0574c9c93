//! What was seen, in one line.

use super::output::Content;
use super::walk::{Entry, widen};
use super::words::Bytes;
use core::fmt;
use std::collections::BTreeMap;

/// Counts of frames by kind and of bytes by cause.
#[derive(Debug, Default)]
pub(super) struct Tally {
    frames: u64,
    frame_bytes: u64,
    /// Messages by their kind byte, so that they are listed in the order of the specification.
    messages: BTreeMap<u8, (&'static str, u64)>,
    no_message: u64,
    /// Frames of other framings than the native one, by its name.
    foreign: BTreeMap<String, u64>,
    skipped: BTreeMap<&'static str, u64>,
    missing: u64,
    /// What the frames carry.
    inner: Option<Box<Self>>,
}

impl Tally {
    /// Whether nothing was recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0 && self.skipped.is_empty() && self.missing == 0
    }

    /// What the frames carried, if that is looked into.
    pub(super) fn inner(&self) -> Option<&Self> {
        self.inner.as_deref()
    }

    pub(super) fn record(&mut self, entry: &Entry<'_>, content: Option<&Content<'_>>) {
        match entry {
            Entry::Inner(inner) => return self.inner.get_or_insert_default().record(inner.entry, content),
            Entry::Decided { .. } | Entry::NoneFits { .. } => {}
            Entry::Frame { frame, framing, .. } => {
                self.frames += 1;
                self.frame_bytes += widen(frame.encoded_len());
                if !framing.is_native() {
                    match self.foreign.get_mut(framing.name()) {
                        Some(count) => *count += 1,
                        None => drop(self.foreign.insert(framing.name().to_owned(), 1)),
                    }
                }
            }
            Entry::Skipped(skip) => *self.skipped.entry(skip.cause.name()).or_default() += skip.bytes,
            Entry::Gap { bytes, .. } => self.missing += bytes,
        }
        match content.map(|content| &content.message) {
            Some(Ok(message)) => {
                // All unknown kinds are one row, the last.
                let name = message.name();
                let row = if name == "UNKNOWN" { u8::MAX } else { message.kind() };
                self.messages.entry(row).or_insert((name, 0)).1 += 1;
            }
            Some(Err(_)) => self.no_message += 1,
            None => {}
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped: u64 = self.skipped.values().sum();
        let plural = if self.frames == 1 { "" } else { "s" };
        write!(f, "{} frame{plural} in {}", self.frames, Bytes(self.frame_bytes + skipped))?;
        let messages = self.messages.values().map(|(name, count)| format!("{count} {name}"));
        let no_message = (self.no_message > 0).then(|| format!("{} no message", self.no_message));
        let foreign = self.foreign.iter().map(|(framing, count)| format!("{count} {framing}"));
        list(f, " (", messages.chain(no_message).chain(foreign), ")")?;
        if skipped > 0 {
            write!(f, "; {} skipped", Bytes(skipped))?;
            list(f, " (", self.skipped.iter().map(|(cause, bytes)| format!("{bytes} {cause}")), ")")?;
        }
        if self.missing > 0 {
            write!(f, "; {} missing from the capture", Bytes(self.missing))?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, items: impl Iterator<Item = String>, close: &str) -> fmt::Result {
    let items: Vec<String> = items.collect();
    if items.is_empty() { Ok(()) } else { write!(f, "{open}{}{close}", items.join(", ")) }
}
