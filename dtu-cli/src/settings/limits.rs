//! `[limits]`: the bounds of links and listeners.

use super::mistake::Mistakes;
use super::units::{Size, Span};
use core::fmt::Display;
use core::ops::RangeInclusive;
use core::time::Duration;
use dtu_net::driver::transparent::TransparentConfig;
use dtu_net::driver::{Flapping, ServerConfig};
use dtu_net::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN, WhenFull};
use serde::Deserialize;

/// The most of what is counted where nothing else bounds it.
const MANY: u32 = 10_000_000;

/// The longest of the short times.
const HOUR: Span = Span(Duration::from_secs(3600));

/// The longest time at all.
const YEAR: Span = Span(Duration::from_secs(365 * 24 * 3600));

const MILLISECOND: Span = Span(Duration::from_millis(1));

/// They hold for each listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitSettings {
    /// The longest payload taken; a longer frame is skipped.
    pub(crate) max_payload: Size,
    /// The longest datagram sent.
    pub(crate) max_datagram: Size,
    /// How long a device may be silent before it sends a PING; after twice that its connection is given up.
    pub(crate) heartbeat: Span,
    /// How many DATA a device may have unacknowledged.
    pub(crate) window: u16,
    /// How long the session of a device that is away is kept.
    pub(crate) retention: Span,
    /// How long a device may take to say who it is.
    pub(crate) identify: Span,
    /// How many bytes are taken from it until then.
    pub(crate) identify_bytes: Size,
    /// How long the refusal of a wrong key or an unknown id is held back.
    pub(crate) penalty: Span,
    /// How long a frame that has begun may wait for its next byte.
    pub(crate) inter_byte: Span,
    /// How long one frame may take to come.
    pub(crate) frame: Span,
    /// The bytes of DATA of one device that may wait for the sinks before its connection is read no more.
    pub(crate) receive: Size,
    /// After how long what was sent to a device, and not acknowledged, is sent again, at least.
    pub(crate) resend: Span,
    /// The longest time between two repeats.
    pub(crate) resend_max: Span,
    /// How long the last bytes of a closed connection may take to leave.
    pub(crate) linger: Span,
    /// How many DATA may wait for a device.
    pub(crate) outbox_frames: u32,
    /// How many bytes of them.
    pub(crate) outbox_bytes: Size,
    /// What happens to one too many.
    pub(crate) outbox_full: OutboxFull,
    /// How many connections are held at a time; who comes beyond is refused as busy.
    pub(crate) max_connections: u32,
    /// How many connections may be unidentified at a time. By default as many as all together.
    pub(crate) max_unidentified: Option<u32>,
    /// How many connections one address may hold at a time. By default as many as all together.
    pub(crate) max_per_address: Option<u32>,
    /// How many sessions are kept at a time, of devices that are there and that are away.
    pub(crate) max_sessions: u32,
    /// What all sessions may hold of DATA before nobody else is taken.
    pub(crate) max_memory: Size,
    /// How often one device may come in a row.
    pub(crate) flapping_burst: u32,
    /// After how long it may once more.
    pub(crate) flapping_every: Span,
    /// How long a connection may wait for the gateway at a time before the next ones are told when to come.
    pub(crate) patience: Span,
    /// The registrations a second that are counted on before any were measured.
    pub(crate) initial_rate: u32,
    /// How many may wait however slow it goes.
    pub(crate) min_waiting: u32,
    /// The longest time after which one is told to come again.
    pub(crate) hint_max: Span,
    /// How many are refused at once before others are left in the system's queue.
    pub(crate) refused_at_once: u32,
    /// Connections that may wait to be accepted from the system.
    pub(crate) backlog: u32,
    /// The system's receive buffer of each connection. By default chosen by the system.
    pub(crate) receive_buffer: Option<Size>,
    /// New sessions that may wait for the gateway.
    pub(crate) accept_queue: u32,
    /// Events that may wait for the gateway before some have no line.
    pub(crate) event_queue: u32,
}

/// What happens to DATA for a device for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutboxFull {
    /// It waits outside.
    #[default]
    Wait,
    /// It is refused.
    RefuseNew,
    /// The oldest goes.
    DropOldest,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let config = ServerConfig::default();
        let (limits, door, flapping) = (config.limits, config.door, Flapping::default());
        Self {
            max_payload: Size(limits.max_payload.into()),
            max_datagram: Size(dtu_net::limits::MAX_DATAGRAM.into()),
            heartbeat: Span(limits.heartbeat),
            window: limits.window,
            retention: Span(limits.retention),
            identify: Span(limits.identify),
            identify_bytes: size(limits.identify_bytes),
            penalty: Span(limits.penalty),
            inter_byte: Span(limits.inter_byte),
            frame: Span(limits.frame),
            receive: size(limits.receive),
            resend: Span(limits.resend),
            resend_max: Span(limits.resend_max),
            linger: Span(limits.linger),
            outbox_frames: count(limits.outbox.frames),
            outbox_bytes: size(limits.outbox.bytes),
            outbox_full: OutboxFull::Wait,
            max_connections: count(config.max_connections),
            max_unidentified: None,
            max_per_address: None,
            max_sessions: count(config.max_sessions),
            max_memory: size(config.max_memory),
            flapping_burst: flapping.burst,
            flapping_every: Span(flapping.every),
            patience: Span(door.patience),
            initial_rate: door.initial_rate,
            min_waiting: count(door.min_waiting),
            hint_max: Span(door.hint_max),
            refused_at_once: door.refused_at_once,
            backlog: config.backlog,
            receive_buffer: None,
            accept_queue: count(config.accept_queue),
            event_queue: count(config.event_queue),
        }
    }
}

impl LimitSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let mut check = Check(mistakes);
        check.within("max_payload", self.max_payload, Size(512)..=Size(u16::MAX.into()));
        check.within("max_datagram", self.max_datagram, Size(512)..=Size(u16::MAX.into()));
        check.within("heartbeat", self.heartbeat, Span(HEARTBEAT_MIN)..=Span(HEARTBEAT_MAX));
        check.within("window", self.window, 1..=u16::MAX);
        check.within("retention", self.retention, Span(Duration::from_secs(1))..=YEAR);
        for (name, time) in [
            ("identify", self.identify),
            ("inter_byte", self.inter_byte),
            ("frame", self.frame),
            ("resend", self.resend),
            ("resend_max", self.resend_max),
            ("linger", self.linger),
            ("flapping_every", self.flapping_every),
            ("patience", self.patience),
            ("hint_max", self.hint_max),
        ] {
            check.within(name, time, MILLISECOND..=HOUR);
        }
        check.within("penalty", self.penalty, Span(Duration::ZERO)..=Span(Duration::from_secs(60)));
        check.within("identify_bytes", self.identify_bytes, Size(512)..=Size(1 << 20));
        check.within("receive", self.receive, Size(1)..=Size(1 << 30));
        check.within("outbox_bytes", self.outbox_bytes, Size(1)..=Size(1 << 30));
        check.within("max_memory", self.max_memory, Size(1 << 20)..=Size(1 << 40));
        for (name, most) in [
            ("outbox_frames", self.outbox_frames),
            ("max_sessions", self.max_sessions),
            ("flapping_burst", self.flapping_burst),
            ("initial_rate", self.initial_rate),
            ("min_waiting", self.min_waiting),
            ("refused_at_once", self.refused_at_once),
        ] {
            check.within(name, most, 1..=MANY);
        }
        let connections = [
            ("max_connections", Some(self.max_connections)),
            ("max_unidentified", self.max_unidentified),
            ("max_per_address", self.max_per_address),
            ("accept_queue", Some(self.accept_queue)),
            ("event_queue", Some(self.event_queue)),
        ];
        for (name, most) in connections.into_iter().filter_map(|(name, most)| Some((name, most?))) {
            check.within(name, most, 1..=1_000_000);
        }
        check.within("backlog", self.backlog, 1..=1_000_000);
        if let Some(buffer) = self.receive_buffer {
            check.within("receive_buffer", buffer, Size(1024)..=Size(1 << 26));
        }
        for (name, most) in [("max_unidentified", self.max_unidentified), ("max_per_address", self.max_per_address)] {
            let all = self.max_connections;
            if let Some(most) = most.filter(|most| *most > all) {
                mistakes.add(format!("limits.{name}"), format!("{most} is more than max_connections, which is {all}"));
            }
        }
        if self.resend > self.resend_max {
            let text = format!("{} is longer than resend_max, which is {}", self.resend, self.resend_max);
            mistakes.add("limits.resend", text);
        }
    }

    /// Sets the bounds of a server for native devices; with `datagrams`, also that of those.
    pub(crate) fn apply(&self, config: &mut ServerConfig, datagrams: bool) {
        let limits = &mut config.limits;
        // Every body is measured by it.
        limits.max_datagram = datagrams.then(|| u16::try_from(self.max_datagram.0).unwrap_or(u16::MAX));
        limits.max_payload = u16::try_from(self.max_payload.0).unwrap_or(u16::MAX);
        limits.heartbeat = self.heartbeat.0;
        limits.window = self.window;
        limits.retention = self.retention.0;
        limits.identify = self.identify.0;
        limits.identify_bytes = bytes(self.identify_bytes);
        limits.penalty = self.penalty.0;
        limits.inter_byte = self.inter_byte.0;
        limits.frame = self.frame.0;
        limits.receive = bytes(self.receive);
        limits.resend = self.resend.0;
        limits.resend_max = self.resend_max.0;
        limits.linger = self.linger.0;
        limits.outbox.frames = number(self.outbox_frames);
        limits.outbox.bytes = bytes(self.outbox_bytes);
        limits.outbox.when_full = match self.outbox_full {
            OutboxFull::Wait => WhenFull::Wait,
            OutboxFull::RefuseNew => WhenFull::RefuseNew,
            OutboxFull::DropOldest => WhenFull::DropOldest,
        };
        config.max_connections = number(self.max_connections);
        config.max_per_address = self.max_per_address.map(number);
        config.max_sessions = number(self.max_sessions);
        config.max_memory = bytes(self.max_memory);
        config.flapping = Some(self.flapping());
        self.at_the_door(&mut config.door);
        config.backlog = self.backlog;
        config.receive_buffer = self.receive_buffer();
        config.accept_queue = number(self.accept_queue);
        config.event_queue = number(self.event_queue);
    }

    /// Sets the bounds that a server for transparent DTUs has as well; its profile has the others.
    pub(crate) fn apply_to_transparent(&self, config: &mut TransparentConfig) {
        config.max_connections = number(self.max_connections);
        config.max_per_address = self.max_per_address.map(number);
        config.max_sessions = number(self.max_sessions);
        config.max_memory = bytes(self.max_memory);
        config.flapping = Some(self.flapping());
        self.at_the_door(&mut config.door);
        config.backlog = self.backlog;
        config.receive_buffer = self.receive_buffer();
        config.accept_queue = number(self.accept_queue);
        config.event_queue = number(self.event_queue);
    }

    fn at_the_door(&self, door: &mut dtu_net::door::DoorLimits) {
        door.patience = self.patience.0;
        door.initial_rate = self.initial_rate;
        door.min_waiting = number(self.min_waiting);
        door.max_unidentified = number(self.max_unidentified.unwrap_or(self.max_connections));
        door.hint_max = self.hint_max.0;
        door.refused_at_once = self.refused_at_once;
    }

    const fn flapping(&self) -> Flapping {
        Flapping { burst: self.flapping_burst, every: self.flapping_every.0 }
    }

    fn receive_buffer(&self) -> Option<u32> {
        self.receive_buffer.map(|size| u32::try_from(size.0).unwrap_or(u32::MAX))
    }
}

/// Tells what is out of its range.
struct Check<'a>(&'a mut Mistakes);

impl Check<'_> {
    fn within<T: PartialOrd + Display>(&mut self, name: &str, value: T, allowed: RangeInclusive<T>) {
        if !allowed.contains(&value) {
            let text = format!("{value} is out of range, expected {} to {}", allowed.start(), allowed.end());
            self.0.add(format!("limits.{name}"), text);
        }
    }
}

fn number(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn bytes(Size(value): Size) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn size(value: usize) -> Size {
    Size(u64::try_from(value).unwrap_or(u64::MAX))
}
