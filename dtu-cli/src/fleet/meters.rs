//! What the fleet counts for the metrics.

use metrics::{Counter, Histogram};

pub(super) struct Meters {
    frames_up: Counter,
    bytes_up: Counter,
    frames_down: Counter,
    bytes_down: Counter,
    pub(super) request_seconds: Histogram,
}

impl core::fmt::Debug for Meters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            frames_up: metrics::counter!("dtu_device_frames_total", "direction" => "up"),
            bytes_up: metrics::counter!("dtu_device_bytes_total", "direction" => "up"),
            frames_down: metrics::counter!("dtu_device_frames_total", "direction" => "down"),
            bytes_down: metrics::counter!("dtu_device_bytes_total", "direction" => "down"),
            request_seconds: metrics::histogram!("dtu_request_seconds"),
        }
    }
}

impl Meters {
    /// Frames came.
    pub(super) fn up(&self, frames: usize, bytes: usize) {
        self.frames_up.increment(frames.try_into().unwrap_or(u64::MAX));
        self.bytes_up.increment(bytes.try_into().unwrap_or(u64::MAX));
    }

    /// A frame was sent.
    pub(super) fn down(&self, bytes: usize) {
        self.frames_down.increment(1);
        self.bytes_down.increment(bytes.try_into().unwrap_or(u64::MAX));
    }
}
