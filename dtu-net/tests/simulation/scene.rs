//! What both ends share: the clock, the plan of what comes, the pipe between them, and the truth about all DATA.

use super::books::Books;
use super::config::Config;
use super::random::Random;
use super::trace::Trace;
use core::time::Duration;
use dtu_net::{Carrier, Cause, Epoch, Mark};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::time::Instant;

/// One of the two ends; of a lane the one that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Device,
    Server,
}

impl End {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Device => Self::Server,
            Self::Server => Self::Device,
        }
    }
}

/// What is to happen.
#[derive(Debug)]
pub(crate) enum What {
    Arrive { conn: u32, to: End, bytes: Vec<u8>, damaged: bool },
    Read { conn: u32, to: End },
    Over { conn: u32, to: End, cause: Cause },
    Dialled { life: u32, epoch: Epoch, outcome: Dial },
    Decide { conn: u32 },
    Send(End),
    Poll(End),
    Commit { end: End, life: u32, mark: Mark },
    Cut,
    Stall,
    Restart(End),
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    Accepted,
    Dropped,
    Failed(ErrorKind),
    NoAnswer,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// When the last piece arrives; on a stream no later one comes before it.
    last: u64,
    /// Nothing arrives after this.
    dead_at: Option<u64>,
    stalled_until: u64,
    closed: bool,
    /// What has arrived and was not read.
    pub(crate) arrived: VecDeque<u8>,
    pub(crate) over: Option<Cause>,
}

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) config: Config,
    pub(crate) now: u64,
    start: Instant,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) books: Books,
    plan: BTreeMap<(u64, u64), What>,
    planned: u64,
    conns: Vec<[Lane; 2]>,
}

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Scene {
    pub(crate) fn new(config: Config, printed: bool) -> Self {
        Self {
            now: 0,
            start: start(),
            random: Random::new(config.seed),
            trace: Trace::new(printed),
            books: Books::default(),
            plan: BTreeMap::new(),
            planned: 0,
            conns: Vec::new(),
            config,
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    /// The first microsecond that is not before `instant`.
    pub(crate) fn micros(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.start).as_nanos();
        u64::try_from(nanos.div_ceil(1_000)).expect("a run is short")
    }

    pub(crate) const fn is_quiet(&self) -> bool {
        self.now >= self.config.quiet_at
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.config.carrier == Carrier::Stream
    }

    pub(crate) fn plan(&mut self, at: u64, what: What) {
        self.planned += 1;
        self.plan.insert((at.max(self.now), self.planned), what);
    }

    /// Plans something about `mean` from now, and never for a mean of 0.
    pub(crate) fn plan_about(&mut self, mean: u64, what: What) {
        if mean > 0 {
            let at = self.now + self.random.between(1, 2 * mean);
            self.plan(at, what);
        }
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.plan.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn take_due(&mut self) -> Option<What> {
        let due = self.plan.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        Some(due.remove())
    }

    /// A chance that only counts while things go wrong.
    pub(crate) fn fails(&mut self, permille: u64) -> bool {
        !self.is_quiet() && self.random.permille(permille)
    }

    pub(crate) fn open(&mut self) -> u32 {
        self.conns.push([Lane::default(), Lane::default()]);
        u32::try_from(self.conns.len() - 1).expect("a run is short")
    }

    pub(crate) fn lane(&mut self, conn: u32, to: End) -> &mut Lane {
        &mut self.conns[conn as usize][to as usize]
    }

    fn travel(&mut self) -> u64 {
        self.config.delay + self.random.up_to(self.config.jitter)
    }

    /// Takes bytes that one end has written: a piece of a stream, or one datagram.
    pub(crate) fn write(&mut self, conn: u32, to: End, bytes: Vec<u8>) {
        if self.is_ordered() { self.write_stream(conn, to, bytes) } else { self.write_datagram(conn, to, &bytes) }
    }

    fn write_stream(&mut self, conn: u32, to: End, mut bytes: Vec<u8>) {
        if self.fails(self.config.corrupt) {
            let at = self.random.size(bytes.len() - 1);
            bytes[at] ^= self.random.between(1, 255) as u8;
        }
        if self.fails(self.config.lose) {
            let from = self.random.size(bytes.len() - 1);
            let until = (from + 1 + self.random.size(40)).min(bytes.len());
            bytes.drain(from..until);
        }
        let most = self.config.piece.max(bytes.len() / 8);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + self.random.size(most.min(rest.len()) - 1));
            rest = behind;
            let pauses = self.config.stall_mean > 0 && self.fails(10);
            let pause = if pauses { self.random.up_to(self.config.stall_most) } else { 0 };
            let at = self.now + self.travel();
            let lane = self.lane(conn, to);
            let at = at.max(lane.last + pause).max(lane.stalled_until);
            lane.last = at;
            if !lane.closed {
                self.plan(at, What::Arrive { conn, to, bytes: piece.to_vec(), damaged: false });
            }
        }
    }

    fn write_datagram(&mut self, conn: u32, to: End, bytes: &[u8]) {
        let copies = if self.fails(self.config.double) { 2 } else { 1 };
        for _ in 0..copies {
            let (mut bytes, mut damaged) = (bytes.to_vec(), false);
            let stalled = self.now < self.lane(conn, to).stalled_until;
            if self.fails(self.config.lose) || stalled {
                continue;
            }
            if self.fails(self.config.corrupt) {
                damaged = true;
                if self.random.permille(500) {
                    let at = self.random.size(bytes.len() - 1);
                    bytes[at] ^= self.random.between(1, 255) as u8;
                } else {
                    bytes.truncate(self.random.size(bytes.len() - 1));
                }
            }
            let at = self.now + self.travel();
            self.plan(at, What::Arrive { conn, to, bytes, damaged });
        }
    }

    /// Bytes have come to the end of a lane. Returns whether they are there.
    pub(crate) fn arrive(&mut self, conn: u32, to: End, bytes: &[u8]) -> bool {
        let now = self.now;
        let lane = self.lane(conn, to);
        let there = lane.dead_at.is_none_or(|dead_at| now <= dead_at);
        if there {
            lane.arrived.extend(bytes);
        }
        there
    }

    /// One end closes its side of a connection behind all that it wrote.
    pub(crate) fn close(&mut self, conn: u32, by: End, told: bool) {
        let at = self.now + self.travel();
        let to = by.other();
        let reset = self.random.permille(300);
        let ordered = self.is_ordered();
        let lane = self.lane(conn, to);
        let at = at.max(lane.last).max(lane.stalled_until);
        lane.closed = true;
        if told && ordered && lane.dead_at.is_none() {
            let cause = if reset { Cause::Transport(ErrorKind::ConnectionReset) } else { Cause::Disconnected };
            self.plan(at, What::Over { conn, to, cause });
        }
    }

    /// Breaks a connection: both ends, one or none of them is told, and bytes on the way are lost from some moment on.
    pub(crate) fn cut(&mut self) {
        let Some(conn) = self.any() else { return };
        let told = self.random.up_to(3);
        let one_way = self.random.permille(200);
        for (bit, to) in [(1, End::Device), (2, End::Server)] {
            let dead_at = self.now + self.random.up_to(self.config.delay + self.config.jitter);
            let is_told = told & bit != 0 && self.is_ordered();
            if is_told || !one_way || self.random.permille(500) {
                let lane = self.lane(conn, to);
                let dead_at = lane.dead_at.map_or(dead_at, |before| before.min(dead_at));
                lane.dead_at = Some(dead_at);
                self.trace.note(self.now, format_args!("cut {conn} to {to:?} at {dead_at}, told {is_told}"));
            }
            if is_told {
                self.plan(dead_at + 1, What::Over { conn, to, cause: Cause::Transport(ErrorKind::TimedOut) });
            }
        }
    }

    /// Whatever is on its way on this connection is lost. A limit of the UDP binding: datagrams name the device's stream and
    /// not the server's, so a REGISTER that arrives late, at a server that has just lost its memory, opens a session whose
    /// numbers the device takes for those of the session before.
    pub(crate) fn lose(&mut self, conn: u32) {
        let now = self.now;
        for to in [End::Device, End::Server] {
            self.lane(conn, to).dead_at = Some(now);
        }
    }

    pub(crate) fn stall(&mut self) {
        let Some(conn) = self.any() else { return };
        let most = self.config.stall_most;
        for to in [End::Device, End::Server] {
            let until = self.now + self.random.up_to(most);
            if self.random.permille(700) {
                self.lane(conn, to).stalled_until = until;
                self.trace.note(self.now, format_args!("stall {conn} to {to:?} until {until}"));
            }
        }
    }

    /// One of the newest connections.
    fn any(&mut self) -> Option<u32> {
        let count = self.conns.len().checked_sub(1)?;
        let back = if self.random.permille(800) { 0 } else { self.random.size(2) };
        u32::try_from(count.saturating_sub(back)).ok()
    }
}
