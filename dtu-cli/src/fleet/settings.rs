//! `[requests]`: how devices are asked.

use crate::request::ask::Repeats;
use crate::request::{ask, framing};
use crate::settings::Mistakes;
use crate::settings::units::Span;
use core::time::Duration;
use serde::Deserialize;
use std::path::Path;

/// The longest queue of a line.
const QUEUE_MAX: usize = 4096;

/// The most repeats of a request.
const RETRIES_MAX: u32 = 10;

/// How long a request waits before it is asked once more: at least, at most.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// How devices are asked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestSettings {
    /// How long a reply may take from when the request has left, where the request does not say.
    pub(crate) timeout: Span,
    /// The requests that may wait for one serial line of a native device, with the one that is on it.
    pub(crate) queue: usize,
    /// The framing of the serial lines of native devices: a name of `dtu framings`, a file that declares one, or `raw`: the next DATA
    /// is the reply.
    pub(crate) framing: String,
    /// How often a request that only reads (functions 1 to 4 of Modbus) is asked once more when no reply came in time. Another request
    /// is asked once.
    pub(crate) retries: u32,
    /// After how long.
    pub(crate) retry_after: Span,
}

impl Default for RequestSettings {
    fn default() -> Self {
        let timeout = Span(dtu_net::line::TIMEOUT);
        let retry_after = Span(Duration::from_millis(500));
        let queue = dtu_net::line::limits::QUEUE;
        Self { timeout, queue, framing: "modbus_rtu".to_owned(), retries: 0, retry_after }
    }
}

impl RequestSettings {
    /// What cannot be.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        let right = Duration::from_millis(1)..=ask::TIMEOUT_MAX;
        if !right.contains(&self.timeout.0) {
            mistakes.add("requests.timeout", format!("{} is out of range, expected 1ms to 10m", self.timeout));
        }
        if !(1..=QUEUE_MAX).contains(&self.queue) {
            mistakes.add("requests.queue", format!("{} is out of range, expected 1 to {QUEUE_MAX}", self.queue));
        }
        if self.retries > RETRIES_MAX {
            mistakes.add("requests.retries", format!("{} is out of range, expected 0 to {RETRIES_MAX}", self.retries));
        }
        if !(RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&self.retry_after.0) {
            let text = format!("{} is out of range, expected 10ms to 10s", self.retry_after);
            mistakes.add("requests.retry_after", text);
        }
        if let Err(error) = framing::load(&self.framing) {
            mistakes.add("requests.framing", format!("{error:#}"));
        }
    }

    pub(crate) const fn repeats(&self) -> Repeats {
        Repeats { count: self.retries, pause: self.retry_after.0 }
    }

    pub(crate) fn relative_to(&mut self, base: &Path) {
        if framing::is_file(&self.framing) {
            self.framing = base.join(&self.framing).to_string_lossy().into_owned();
        }
    }
}
