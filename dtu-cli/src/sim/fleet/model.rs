//! What is simulated: the parameters of one run, each with the reason for its value. `docs/storm.md` tells the model.

use super::policy::Policy;
use dtu_net::door;

/// Microseconds in a second and in a millisecond; the virtual clock counts microseconds.
pub(super) const SECOND: u64 = 1_000_000;
pub(super) const MILLISECOND: u64 = 1_000;

/// The shortest and the longest way between a device and the server, one way; drawn once for each device. Cellular links of
/// the fourth generation have round trips of 60 to 140 ms.
pub(super) const WAY_LEAST: u64 = 30 * MILLISECOND;
pub(super) const WAY_MOST: u64 = 70 * MILLISECOND;

/// When a device's kernel repeats a SYN without an answer for the first time; the time doubles from each to the next, so
/// that they leave at 1, 3 and 7 s (Linux, RFC 6298).
pub(super) const SYN_REPEAT: u64 = SECOND;

/// When it repeats its first bytes without an answer for the first time: a round trip of 100 ms and the 200 ms that Linux adds
/// to it at least. Doubled from each to the next, too.
pub(super) const DATA_REPEAT: u64 = 300 * MILLISECOND;

/// What it costs the server to accept a connection and to refuse it, in processor time, and what it costs to accept one and
/// find it dead, which takes no more.
pub(super) const REFUSE_COST: u64 = door::REFUSE_COST.as_micros() as u64;
pub(super) const DISCARD_COST: u64 = REFUSE_COST;

/// How many connections the server accepts in a row before it works on one that waits, as `dtu_net`'s does.
pub(super) const ACCEPT_BATCH: u32 = 1024;

/// How long the fleet has been connected when the outage begins, at least: longer than
/// [`STABLE_AFTER`](dtu_net::backoff::STABLE_AFTER), so that every backoff begins anew.
pub(super) const STABLE: u64 = 15 * SECOND;

/// How long everybody has to stay before a run ends by itself.
pub(super) const STAYS: u64 = 15 * SECOND;

/// How long after the outage a run ends that would not end by itself.
pub(super) const MOST: u64 = 2 * 3600 * SECOND;

/// The cap of the backoff when it is left out: so long that it has no effect on a storm.
pub(super) const NO_CAP: u64 = 3600 * SECOND;

/// What keeps a fleet from beating its server down; each can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measures {
    /// The backoff is capped at 30 s.
    pub(super) cap: bool,
    /// The server accepts what comes at once, and lets no more wait than its [`Door`](dtu_net::door::Door) says. Without it
    /// the server accepts one, registers it, and accepts the next: what waits, waits in the listen queue.
    pub(super) bound: bool,
    /// Who is refused is told when to come again.
    pub(super) hints: bool,
    /// A connection that its device has left is thrown away unserved.
    pub(super) discard: bool,
}

/// The parameters of one run; times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) devices: u32,
    pub(super) outage: u64,
    /// Registrations a second of the server's processor time.
    pub(super) accept_rate: u32,
    /// What the server gave to `listen`.
    pub(super) backlog: u32,
    pub(super) policy: Policy,
    pub(super) measures: Measures,
    pub(super) heartbeat: u64,
    /// How long to go on after the outage; by default until everybody is back.
    pub(super) after: Option<u64>,
    pub(super) seed: u64,
}

impl Model {
    /// When the server dies: the fleet was connected within one heartbeat.
    pub(super) const fn dies_at(&self) -> u64 {
        self.heartbeat + STABLE
    }

    /// When it is back.
    pub(super) const fn returns_at(&self) -> u64 {
        self.dies_at() + self.outage
    }

    /// What one registration costs.
    pub(super) fn register_cost(&self) -> u64 {
        (SECOND / u64::from(self.accept_rate)).max(1)
    }

    /// How long the server needs at least for the whole fleet, in seconds.
    pub(super) fn ideal_seconds(&self) -> f64 {
        f64::from(self.devices) / f64::from(self.accept_rate)
    }
}
