//! A connection of a unit before it is known whose it is.

use super::pattern::{Captures, Found};
use super::profile::Profile;
use crate::error::Cause;
use std::sync::Arc;
use std::time::Instant;

/// A unit that has said who it is, and what came besides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identified {
    /// The registration.
    pub registration: Captures,
    /// What came behind it.
    pub rest: Vec<u8>,
    /// The heartbeats in front of it.
    pub heartbeats: u64,
    /// The bytes in front of it, heartbeats included.
    pub before: usize,
    /// Those of them that are no heartbeats.
    pub skipped: usize,
}

/// What a reception tells its owner, once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceptionEvent {
    /// It is known whose connection it is. Whether it may in is the owner's to say.
    Identified(Identified),
    /// It came to nothing.
    Over(Cause),
}

/// Looks for the registration in what a connection says first: within the time and the bytes that the profile gives it, behind whatever the
/// line says meanwhile. Nothing is answered before the owner has let the unit in.
#[derive(Debug)]
pub struct Reception {
    profile: Arc<Profile>,
    opened: Instant,
    last_byte: Option<Instant>,
    /// What has no verdict yet.
    bytes: Vec<u8>,
    /// The bytes before these.
    judged: usize,
    heartbeats: u64,
    noise: usize,
    event: Option<ReceptionEvent>,
    is_done: bool,
}

impl Reception {
    /// A connection that has just been accepted.
    #[must_use]
    pub const fn new(profile: Arc<Profile>, now: Instant) -> Self {
        Self {
            profile,
            opened: now,
            last_byte: None,
            bytes: Vec::new(),
            judged: 0,
            heartbeats: 0,
            noise: 0,
            event: None,
            is_done: false,
        }
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(ReceptionEvent::Identified(identified)) = &mut self.event {
            identified.rest.extend_from_slice(bytes);
        } else if !self.is_done {
            self.bytes.extend_from_slice(bytes);
            self.last_byte = Some(now);
            self.look(false);
        }
    }

    /// Time has passed. An early or repeated call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stalls_at().is_some_and(|at| at <= now) {
            self.last_byte = None;
            self.look(true);
        }
        let limit = self.profile.within;
        if now >= self.opened + limit {
            self.end(Cause::NotIdentified { limit });
        }
    }

    /// The connection is gone. An end in order before the first byte is told as [`Cause::SaidNothing`].
    pub fn handle_disconnected(&mut self, cause: Cause) {
        let has_heard = self.judged > 0 || !self.bytes.is_empty();
        self.end(if cause == Cause::Disconnected && !has_heard { Cause::SaidNothing } else { cause });
    }

    /// What came of it.
    #[must_use]
    pub const fn poll_event(&mut self) -> Option<ReceptionEvent> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.opened + self.profile.within;
        (!self.is_done).then(|| self.stalls_at().map_or(deadline, |at| at.min(deadline)))
    }

    fn stalls_at(&self) -> Option<Instant> {
        self.last_byte.filter(|_| !self.bytes.is_empty()).map(|last_byte| last_byte + self.profile.stall)
    }

    fn end(&mut self, cause: Cause) {
        if !self.is_done {
            (self.is_done, self.bytes) = (true, Vec::new());
            self.event = Some(ReceptionEvent::Over(cause));
        }
    }

    /// Looks through what is there; `silent` says that no more bytes come for now.
    fn look(&mut self, silent: bool) {
        let profile = Arc::clone(&self.profile);
        let limit = profile.max_bytes;
        // Of what a stranger sends, no more than this is looked at.
        let window = self.bytes.len().min(limit - self.judged);
        let mut at = 0;
        while at < window && !self.is_done {
            let bytes = self.bytes.get(at..window).unwrap_or_default();
            match profile.pattern.at_front(bytes, silent) {
                Found::Whole(registration) => {
                    let rest = self.bytes.get(at + registration.len()..).unwrap_or_default().to_vec();
                    let (heartbeats, before, skipped) = (self.heartbeats, self.judged + at, self.noise);
                    let identified = Identified { registration, rest, heartbeats, before, skipped };
                    (self.is_done, self.bytes) = (true, Vec::new());
                    self.event = Some(ReceptionEvent::Identified(identified));
                    return;
                }
                Found::NeedMore => break,
                Found::None => {}
            }
            let mut tokens = profile.tokens.patterns();
            if let Some(token) = tokens.find(|token| bytes.starts_with(token)) {
                self.heartbeats += 1;
                at += token.len();
            } else if !silent && profile.tokens.patterns().any(|token| token.starts_with(bytes)) {
                break;
            } else {
                (at, self.noise) = (at + 1, self.noise + 1);
            }
        }
        self.judged += at.min(window);
        self.bytes.drain(..at.min(window));
        let received = self.judged + self.bytes.len();
        if received > limit {
            self.end(Cause::TooMuchBeforeRegister { received, limit });
        }
    }
}
