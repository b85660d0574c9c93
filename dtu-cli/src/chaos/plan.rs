//! What a proxy shall do to the links that it carries.

use core::num::NonZeroU64;
use core::time::Duration;

/// The settings of a proxy. The default passes everything on as it came.
///
/// Shares are probabilities from 0 to 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Decides everything that is drawn.
    pub(crate) seed: u64,
    /// How long each chunk, or datagram, is held.
    pub(crate) delay: Duration,
    /// By how much that varies, up and down, uniformly; a hold is never below 0.
    pub(crate) jitter: Duration,
    /// The mean time to a cut; each is from half of it to one and a half.
    pub(crate) cut_every: Option<Duration>,
    /// Every second cut, by chance, tells one side only. The other side is kept open, and what it sends swallowed, for so
    /// long. TCP only.
    pub(crate) half_open: Option<Duration>,
    /// When nothing passes.
    pub(crate) stall: Option<Stall>,
    /// The probability, per byte, that one of its bits is flipped.
    pub(crate) corrupt: f64,
    /// The probability, per byte, that a run of bytes beginning with it is dropped.
    pub(crate) drop_bytes: f64,
    /// The most bytes a second, in each direction of each connection.
    pub(crate) rate: Option<NonZeroU64>,
    /// The share of datagrams that are lost. UDP only, as the next two.
    pub(crate) loss: f64,
    /// The share of datagrams that come twice.
    pub(crate) duplicate: f64,
    /// The share of datagrams that change places with the next one.
    pub(crate) reorder: f64,
}

/// Stalls: for a while nothing passes in either direction, then everything goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    /// How long each takes.
    pub(crate) length: Duration,
    /// The mean time from the end of one to the next; each is from half of it to one and a half.
    pub(crate) every: Duration,
}
