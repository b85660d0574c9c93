//! Every bound of a link, with its name, its default and the reason for it.

use core::time::Duration;
use dtu_proto::frame::MAX_FRAME_LEN;
use dtu_proto::message::DATA_HEADER_LEN;

/// How long a peer may take to register or to welcome. Longer than a slow cellular round trip with two repeats, short
/// enough that silent sockets do not pile up.
pub const IDENTIFY: Duration = Duration::from_secs(10);

/// The bytes a server takes from a peer that has not registered yet. The longest REGISTER has 358; the rest is for noise
/// in front of it.
pub const IDENTIFY_BYTES: usize = 4096;

/// How long a candidate may wait for its next byte before it is given up. No shorter than the pauses that a cellular
/// link makes when it repeats or hands over: an honest frame that is given up is lost.
pub const INTER_BYTE: Duration = Duration::from_secs(30);

/// How long a device may be silent before it sends a PING, as the server announces it.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long a device waits for an answer before it sends the next PING.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many PINGs in a row may stay without any byte in return.
pub const PROBES: u32 = 3;

/// How many DATA a peer may have unacknowledged.
pub const WINDOW: u16 = 64;

/// How long a full window may stay full. Nothing can be sent meanwhile, so the link serves nobody.
pub const STALL: Duration = Duration::from_secs(60);

/// The bytes that may wait for a peer that does not read; two of the longest frames.
pub const OUTBOUND: usize = 2 * MAX_FRAME_LEN;

/// How long the last bytes of a closed link may take to leave.
pub const LINGER: Duration = Duration::from_secs(2);

/// The bounds of one link. Start from `Limits::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest payload that is taken or sent, in bytes. A frame that announces more is skipped before anything is
    /// allocated for it.
    pub max_payload: u16,
    /// See [`IDENTIFY`].
    pub identify: Duration,
    /// See [`IDENTIFY_BYTES`]; counts for the server.
    pub identify_bytes: usize,
    /// See [`INTER_BYTE`].
    pub inter_byte: Duration,
    /// See [`HEARTBEAT`]; the server announces it in whole milliseconds, a device takes what is announced.
    pub heartbeat: Duration,
    /// See [`PROBE_TIMEOUT`]; counts for the device.
    pub probe_timeout: Duration,
    /// See [`PROBES`]; counts for the device.
    pub probes: u32,
    /// See [`WINDOW`]; the server announces it and holds to it itself, a device takes what is announced.
    pub window: u16,
    /// See [`STALL`].
    pub stall: Duration,
    /// See [`OUTBOUND`].
    pub outbound: usize,
    /// See [`LINGER`]; counts for the drivers.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: u16::MAX,
            identify: IDENTIFY,
            identify_bytes: IDENTIFY_BYTES,
            inter_byte: INTER_BYTE,
            heartbeat: HEARTBEAT,
            probe_timeout: PROBE_TIMEOUT,
            probes: PROBES,
            window: WINDOW,
            stall: STALL,
            outbound: OUTBOUND,
            linger: LINGER,
        }
    }
}

impl Limits {
    /// The longest body of a DATA message under [`max_payload`](Self::max_payload), in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        usize::from(self.max_payload).saturating_sub(DATA_HEADER_LEN)
    }

    /// After how much silence a device declares the server dead: the heartbeat and one timeout for each probe.
    #[must_use]
    pub fn device_silence(&self) -> Duration {
        self.heartbeat.saturating_add(self.probe_timeout.saturating_mul(self.probes))
    }

    /// After how much silence a server declares a device dead: twice the heartbeat that it announced.
    #[must_use]
    pub const fn server_silence(&self) -> Duration {
        self.heartbeat.saturating_mul(2)
    }
}
