//! Every bound of a link, with its name, its default and the reason for it.

use core::time::Duration;
use dtu_proto::frame::OVERHEAD;
use dtu_proto::message::DATA_HEADER_LEN;
use std::time::Instant;

/// How long a connection may take to come about: dialling, of all addresses of a name together.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long a peer may take to register or to welcome. Longer than a slow cellular round trip with two repeats, short
/// enough that silent sockets do not pile up.
pub const IDENTIFY: Duration = Duration::from_secs(10);

/// The bytes a server takes from a peer that has not identified itself yet. The longest REGISTER has 358; the rest is for
/// noise in front of it.
pub const IDENTIFY_BYTES: usize = 4096;

/// How long a refusal for want of a right is held back, so that keys and ids are not tried at the speed of the line.
pub const PENALTY: Duration = Duration::from_secs(1);

/// How long a device waits that is not let in, or was replaced twice in a row by another connection with its name: nothing that
/// it does by itself mends that.
pub const UNWANTED: Duration = Duration::from_secs(60);

/// How long a candidate may wait for its next byte before it is given up. No shorter than the pauses that a cellular
/// link makes when it repeats or hands over: an honest frame that is given up is lost.
pub const INTER_BYTE: Duration = Duration::from_secs(30);

/// How long one frame may take to come. The longest takes 2 minutes at 5 kbit/s; what takes longer is a peer that holds a
/// buffer for a byte a second.
pub const FRAME: Duration = Duration::from_secs(300);

/// How long a device may be silent before it sends a PING, as the server announces it.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// The shortest heartbeat that a device takes from a server: below, the link would carry nothing but PINGs.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// The longest heartbeat that a device takes from a server: beyond, a dead link would stay for days.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a device waits for an answer before it sends the next PING.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many PINGs in a row may stay without any byte in return.
pub const PROBES: u32 = 3;

/// How many PINGs a peer may send within [`PINGS_WITHIN`], or one heartbeat where that is shorter. An honest one sends four.
pub const PINGS: u32 = 64;

/// The longest time over which PINGs are counted. A device behind a short NAT asks many times in a long heartbeat.
pub const PINGS_WITHIN: Duration = HEARTBEAT;

/// The longest datagram that is sent, in bytes. With the headers of UDP and IPv6 it stays below 1280, the least that every
/// IPv6 path takes (RFC 8200, section 5), so that nothing is cut into fragments, which mobile networks tend to lose. QUIC
/// begins at the same (RFC 9000, section 14).
pub const MAX_DATAGRAM: u16 = 1200;

/// How many DATA a peer may have unacknowledged.
pub const WINDOW: u16 = 64;

/// The bytes of DATA that may wait for the application before its link reads no more.
pub const RECEIVE: usize = 64 * 1024;

/// How long DATA may stay without acknowledgement on a stream of bytes before the first of it is sent again, at least. A
/// stream loses nothing of itself; but frames can be damaged on it, and with nothing behind them nobody notices.
pub const RESEND: Duration = Duration::from_secs(10);

/// The longest time between two repeats.
pub const RESEND_MAX: Duration = Duration::from_secs(60);

/// How long a server keeps the session of a device that is away.
pub const RETENTION: Duration = Duration::from_secs(60 * 60);

/// How long a link that closes may wait for what is in its outbox.
pub const DRAIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the last bytes of a closed connection may take to leave.
pub const LINGER: Duration = Duration::from_secs(2);

/// The frames that an outbox holds.
pub const OUTBOX_FRAMES: usize = 1024;

/// The bytes of bodies that an outbox holds.
pub const OUTBOX_BYTES: usize = 1024 * 1024;

/// The bounds of one link. Start from `Limits::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest payload that is taken or sent, in bytes. A frame that announces more is skipped before anything is
    /// allocated for it.
    pub max_payload: u16,
    /// See [`MAX_DATAGRAM`]; for a link that may go over datagrams at some time, as its bodies are measured by it.
    pub max_datagram: Option<u16>,
    /// See [`CONNECT`]; counts for the device.
    pub connect: Duration,
    /// See [`IDENTIFY`].
    pub identify: Duration,
    /// See [`IDENTIFY_BYTES`]; counts for the server.
    pub identify_bytes: usize,
    /// See [`PENALTY`]; counts for the server.
    pub penalty: Duration,
    /// See [`UNWANTED`]; counts for the device.
    pub unwanted: Duration,
    /// See [`INTER_BYTE`].
    pub inter_byte: Duration,
    /// See [`FRAME`].
    pub frame: Duration,
    /// See [`HEARTBEAT`]; the server announces it in whole milliseconds, a device takes what is announced.
    pub heartbeat: Duration,
    /// See [`PROBE_TIMEOUT`]; counts for the device.
    pub probe_timeout: Duration,
    /// See [`PROBES`]; counts for the device.
    pub probes: u32,
    /// See [`PINGS`].
    pub pings: u32,
    /// See [`WINDOW`]; the server announces it and holds to it itself, a device takes what is announced.
    pub window: u16,
    /// See [`RECEIVE`].
    pub receive: usize,
    /// See [`RESEND`].
    pub resend: Duration,
    /// See [`RESEND_MAX`].
    pub resend_max: Duration,
    /// See [`RETENTION`]; counts for the server.
    pub retention: Duration,
    /// See [`LINGER`]; counts for the drivers.
    pub linger: Duration,
    /// What waits to be sent and acknowledged.
    pub outbox: OutboxLimits,
}

/// The bounds of an outbox, and what happens at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// See [`OUTBOX_FRAMES`].
    pub frames: usize,
    /// See [`OUTBOX_BYTES`].
    pub bytes: usize,
    /// What happens to one DATA too many.
    pub when_full: WhenFull,
}

/// What happens to DATA for which an outbox has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits outside until there is room.
    #[default]
    Wait,
    /// It is refused.
    RefuseNew,
    /// The oldest goes, until there is room: readings of which only the newest count.
    DropOldest,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { frames: OUTBOX_FRAMES, bytes: OUTBOX_BYTES, when_full: WhenFull::Wait }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: u16::MAX,
            max_datagram: None,
            connect: CONNECT,
            identify: IDENTIFY,
            identify_bytes: IDENTIFY_BYTES,
            penalty: PENALTY,
            unwanted: UNWANTED,
            inter_byte: INTER_BYTE,
            frame: FRAME,
            heartbeat: HEARTBEAT,
            probe_timeout: PROBE_TIMEOUT,
            probes: PROBES,
            pings: PINGS,
            window: WINDOW,
            receive: RECEIVE,
            resend: RESEND,
            resend_max: RESEND_MAX,
            retention: RETENTION,
            linger: LINGER,
            outbox: OutboxLimits::default(),
        }
    }
}

impl Limits {
    /// The longest body of a DATA message under [`max_payload`](Self::max_payload) and
    /// [`max_datagram`](Self::max_datagram), in bytes; also in a datagram, where the stream stands before the message.
    #[must_use]
    pub fn max_body(&self) -> usize {
        let payload = usize::from(self.max_payload);
        let in_datagram = |datagram| usize::from(datagram).saturating_sub(OVERHEAD);
        let payload = self.max_datagram.map_or(payload, |datagram| payload.min(in_datagram(datagram)));
        payload.saturating_sub(size_of::<u64>() + DATA_HEADER_LEN)
    }

    /// After how much silence a device declares the server dead: `heartbeat + probes × probe_timeout`.
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

/// What counts as never: longer than a link lives, and near enough that every clock can name it.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The end of a time that begins at `since`. Times of a configuration may be anything; none leads out of the clock.
pub(crate) fn after(since: Instant, time: Duration) -> Instant {
    since + time.min(NEVER)
}
