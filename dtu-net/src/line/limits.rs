//! Every bound of a line, with its name, its default and the reason for it.

use core::time::Duration;

/// The requests that may wait for a line, with the one that is on it. At one a second, the last has its turn within a minute.
pub const QUEUE: usize = 64;

/// The longest request, in bytes. Serial protocols have 256 or so; what a data transfer unit takes at once is a KiB.
pub const MAX_REQUEST: usize = 1024;

/// How long a frame may wait for its next byte before its beginning is given up. Units cut frames at serial gaps, and the
/// cellular network adds pauses of its own.
pub const STALL: Duration = Duration::from_secs(1);

/// How long a line is kept quiet after a request whose reply did not come in time: a reply within it is known to be late.
pub const QUARANTINE: Duration = Duration::from_secs(1);

/// How long a line is kept quiet at most, before the quarantine, for a request that is over before its timeout is: one that was
/// cancelled, or whose deadline or connection ended first. The rest of a longer timeout is suspicion.
pub const QUIET_MAX: Duration = Duration::from_secs(60);

/// How long after that a line still reckons with the reply, when the next request would take it for its own.
pub const SUSPICION: Duration = Duration::from_secs(30);

/// How long a reply that could be a late one is held to see whether another comes behind it.
pub const CONFIRM: Duration = Duration::from_millis(500);

/// The bounds of one line. Start from `LineLimits::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineLimits {
    /// See [`QUEUE`].
    pub queue: usize,
    /// See [`MAX_REQUEST`].
    pub max_request: usize,
    /// See [`STALL`].
    pub stall: Duration,
    /// See [`QUARANTINE`].
    pub quarantine: Duration,
    /// See [`SUSPICION`]; zero takes a reply after the quarantine as it comes.
    pub suspicion: Duration,
    /// See [`CONFIRM`].
    pub confirm: Duration,
}

impl Default for LineLimits {
    fn default() -> Self {
        Self {
            queue: QUEUE,
            max_request: MAX_REQUEST,
            stall: STALL,
            quarantine: QUARANTINE,
            suspicion: SUSPICION,
            confirm: CONFIRM,
        }
    }
}
