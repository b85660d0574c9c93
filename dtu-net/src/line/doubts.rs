//! Replies that may still come to requests that nobody waits for any more.

use super::matcher::Matcher;
use super::request::RequestId;
use std::collections::VecDeque;
use std::time::Instant;

/// The requests without a reply that a line remembers. Of more the oldest is forgotten.
pub const DOUBTS_MAX: usize = 16;

/// A reply that may still come.
#[derive(Debug)]
struct Doubt {
    id: RequestId,
    matcher: Matcher,
    /// Until then the line is kept quiet.
    quiet_until: Instant,
    /// Until then a frame that could be this reply is not taken for another one without further proof.
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Doubts(VecDeque<Doubt>);

impl Doubts {
    pub(super) fn add(&mut self, id: RequestId, matcher: Matcher, quiet_until: Instant, until: Instant) {
        if self.0.len() == DOUBTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Doubt { id, matcher, quiet_until, until });
    }

    /// Until when nothing is sent.
    pub(super) fn quiet_until(&self) -> Option<Instant> {
        self.0.iter().map(|doubt| doubt.quiet_until).max()
    }

    /// Whether `frame` can be a reply to another request than `id`.
    pub(super) fn is_doubtful(&self, id: RequestId, frame: &[u8]) -> bool {
        self.0.iter().any(|doubt| doubt.id != id && doubt.matcher.is_reply(frame))
    }

    /// Takes the oldest to which `frame` can be the reply.
    pub(super) fn take(&mut self, frame: &[u8]) -> Option<RequestId> {
        let place = self.0.iter().position(|doubt| doubt.matcher.is_reply(frame))?;
        self.0.remove(place).map(|doubt| doubt.id)
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|doubt| doubt.until > now);
    }
}
