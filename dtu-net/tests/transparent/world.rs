//! A unit with Modbus devices behind it, and the network in front of it, on a virtual clock.
//!
//! All requests of one kind look alike to a matcher: the same device, function and count. What they read is their own number, which
//! the device gives back as the registers' values. So the test sees whose reply it is, and the line cannot.

use super::bench::{ms, start};
use super::random::Random;
use super::rtu::{read, registers, write};
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::line::{LineLimits, Matcher, Outcome, Request, RequestId};
use dtu_net::retry::Policy;
use dtu_net::transparent::{
    HeartbeatSpec, Profile, ProfileSpec, Reception, ReceptionEvent, ReplySpec, Transparent, TransparentEvent,
};
use dtu_net::{Cause, Epoch};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

const REGISTRATION: &[u8] = b"REG:13800138000\r\n";
pub(crate) const TIMEOUT: Duration = ms(1000);
pub(crate) const QUARANTINE: Duration = ms(1000);

/// How a world behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) requests: usize,
    /// How late the replies that are late may be, from when the request left.
    pub(crate) latest: Duration,
    pub(crate) suspicion: Duration,
    /// Damage, echoes, lost connections, cancellations and short deadlines besides.
    pub(crate) is_rough: bool,
}

/// What came of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Result {
    pub(crate) replied: usize,
    pub(crate) wrong: usize,
    pub(crate) late: u64,
    pub(crate) skipped: u64,
    pub(crate) heartbeats: u64,
    pub(crate) connections: u64,
    pub(crate) attempts: u64,
    pub(crate) echoed: u64,
}

enum Coming {
    Bytes(Vec<u8>),
    Connection,
    Cancellation(RequestId),
}

struct Asked {
    bytes: Vec<u8>,
    number: u16,
}

pub(crate) struct World {
    random: Random,
    scene: Scene,
    is_echoed: bool,
    profile: Arc<Profile>,
    session: Transparent,
    epoch: Option<Epoch>,
    now: Instant,
    coming: BTreeMap<(Instant, u64), Coming>,
    next: u64,
    /// What is on its way up is not overtaken.
    up: Instant,
    /// The devices are asked one after the other.
    free: Instant,
    /// What the unit holds back while it has no connection, and until when it can be of use.
    held: VecDeque<(Instant, Vec<u8>)>,
    asked: BTreeMap<RequestId, Asked>,
    count: usize,
    result: Result,
}

impl World {
    pub(crate) fn new(seed: u64, scene: Scene) -> Self {
        let mut spec = ProfileSpec::new("modbus_rtu", r"REG:{id:digit*11}\r\n");
        spec.heartbeat.push(HeartbeatSpec { token: "PING".into(), reply: ReplySpec::None });
        (spec.stall_ms, spec.idle_ms) = (400, 3_600_000);
        let mut limits = LineLimits::default();
        (limits.quarantine, limits.suspicion) = (QUARANTINE, scene.suspicion);
        let profile = Arc::new(spec.build().unwrap().line_limits(limits));
        let now = start();
        let session = Transparent::new(Arc::clone(&profile), "13800138000".into(), seed, now);
        let mut random = Random::new(seed);
        let is_echoed = scene.is_rough && random.permille(300);
        let mut world = Self {
            random,
            scene,
            is_echoed,
            profile,
            session,
            epoch: None,
            now,
            coming: BTreeMap::new(),
            next: 0,
            up: now,
            free: now,
            held: VecDeque::new(),
            asked: BTreeMap::new(),
            count: 0,
            result: Result::default(),
        };
        world.connect();
        world
    }

    pub(crate) fn run(mut self) -> Result {
        loop {
            self.ask();
            self.drain();
            if self.count == self.scene.requests && self.asked.is_empty() {
                break;
            }
            let timer = self.session.poll_timeout().expect("a session that is open has a deadline");
            match self.coming.first_key_value() {
                Some((&(at, number), _)) if at <= timer => {
                    self.now = self.now.max(at);
                    match self.coming.remove(&(at, number)).expect("it is there") {
                        Coming::Bytes(bytes) => self.arrive(&bytes),
                        Coming::Connection => self.connect(),
                        // It may be over by then.
                        Coming::Cancellation(id) => drop(self.session.cancel(self.now, id)),
                    }
                }
                _ => {
                    assert!(timer >= self.now);
                    self.now = timer;
                    self.session.handle_timeout(self.now);
                }
            }
        }
        let (line, counters) = (self.session.line_counters(), self.session.counters());
        self.result.late = line.late;
        self.result.skipped = line.skipped_bytes;
        self.result.attempts = line.attempts;
        self.result.echoed = line.echo_bytes;
        self.result.heartbeats = counters.heartbeats;
        self.result.connections = counters.connections;
        let ledger = self.session.ledger();
        assert!(ledger.is_balanced() && ledger.pending == 0, "{ledger:?}");
        self.result
    }

    fn time(&mut self, least: u64, most: u64) -> Duration {
        ms(self.random.between(least, most))
    }

    fn come(&mut self, at: Instant, coming: Coming) {
        self.coming.insert((at, self.next), coming);
        self.next += 1;
    }

    /// Keeps some requests in the queue.
    fn ask(&mut self) {
        while self.count < self.scene.requests && self.asked.len() < 4 {
            let number = u16::try_from(self.count % 65_536).expect("below");
            self.count += 1;
            let bytes = match self.random.up_to(9) {
                0 => write(1, 7, number),
                1 => read(1, number, 3),
                2 => read(2, number, 2),
                _ => read(1, number, 2),
            };
            let matcher = Matcher::modbus_rtu(&bytes).unwrap();
            let mut request = Request::new(&bytes, matcher).timeout(TIMEOUT).deadline(Duration::from_secs(120));
            if self.random.permille(300) {
                request = request.policy(Policy::new(Backoff::fixed(ms(100)).max_attempts(2)).idempotent());
            }
            if self.is_echoed {
                request = request.echoed();
            }
            if self.scene.is_rough && self.random.permille(30) {
                request = request.deadline(self.time(50, 1500));
            }
            let id = self.session.request(self.now, request).unwrap();
            if self.scene.is_rough && self.random.permille(30) {
                let at = self.now + self.time(0, 1500);
                self.come(at, Coming::Cancellation(id));
            }
            self.asked.insert(id, Asked { bytes, number });
        }
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(epoch) = self.epoch
            && self.session.poll_transmit(epoch, self.now, &mut out)
        {
            let request = core::mem::take(&mut out);
            self.carry(&request);
            if self.scene.is_rough && self.random.permille(5) {
                self.lose(epoch);
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let TransparentEvent::Settled { id, outcome } = event {
                let asked = self.asked.remove(&id).expect("each has one outcome");
                if let Outcome::Replied(reply) = outcome {
                    self.result.replied += 1;
                    let is_right = *reply.frame.as_bytes() == answer(&asked.bytes);
                    self.result.wrong += usize::from(!is_right);
                    assert!(
                        self.scene.latest > TIMEOUT + QUARANTINE || is_right,
                        "the reply to another than {}",
                        asked.number
                    );
                }
            }
        }
        while self.session.poll_heard().is_some() {}
    }

    /// The network, the unit and the line carry a request there, and what comes of it back.
    fn carry(&mut self, request: &[u8]) {
        let sent = self.now;
        let there = (sent + self.time(5, 80)).max(self.free);
        if self.is_echoed {
            let missing = if self.random.permille(100) { self.random.size(3) } else { 0 };
            self.rise(there, sent + TIMEOUT, request[missing..].to_vec());
        }
        let fate = self.random.up_to(99);
        if self.scene.is_rough && fate < 3 {
            // The device has not heard it.
            return;
        }
        let mut done = there + self.time(10, 150);
        if fate < 10 {
            let latest = self.scene.latest.as_millis() - 500;
            done = sent + self.time(900, u64::try_from(latest).expect("short"));
        }
        self.free = done.max(self.free);
        let mut reply = answer(request);
        if self.scene.is_rough && (10..13).contains(&fate) {
            let bit = self.random.size(reply.len() * 8 - 1);
            reply[bit / 8] ^= 1 << (bit % 8);
        }
        if self.random.permille(50) {
            // In front, at the end, or inside.
            let at = self.random.size(reply.len());
            reply.splice(at..at, *b"PING");
        }
        if self.scene.is_rough && self.random.permille(100) {
            let count = self.random.between(1, 12);
            let noise = self.random.bytes(usize::try_from(count).expect("small"));
            if self.random.permille(500) {
                reply.splice(..0, noise);
            } else {
                reply.extend(noise);
            }
        }
        self.rise(self.free, sent + self.scene.latest, reply);
    }

    /// Bytes leave the line at `at`, and come up in pieces; none of them after `latest`.
    fn rise(&mut self, at: Instant, latest: Instant, mut bytes: Vec<u8>) {
        let mut at = at;
        loop {
            let count = if self.random.permille(300) { 1 + self.random.size(bytes.len() - 1) } else { bytes.len() };
            let rest = bytes.split_off(count);
            self.up = (at + self.time(5, 60)).max(self.up).min(latest.max(self.up));
            let up = self.up;
            self.come(up, Coming::Bytes(bytes));
            if rest.is_empty() {
                return;
            }
            (bytes, at) = (rest, up + self.time(0, 60));
            if bytes.len() > 20 {
                at = up;
            }
        }
    }

    fn arrive(&mut self, bytes: &[u8]) {
        match self.epoch {
            Some(epoch) => self.session.handle_bytes(epoch, self.now, bytes),
            // The unit sends it when it is back, or has forgotten it.
            None if self.random.permille(500) => self.held.push_back((self.now, bytes.to_vec())),
            None => {}
        }
    }

    fn lose(&mut self, epoch: Epoch) {
        self.session.handle_disconnected(epoch, self.now, Cause::Disconnected);
        self.epoch = None;
        let back = self.now + self.time(50, 400);
        self.come(back, Coming::Connection);
    }

    fn connect(&mut self) {
        let mut reception = Reception::new(Arc::clone(&self.profile), self.now);
        reception.handle_bytes(self.now, REGISTRATION);
        let Some(ReceptionEvent::Identified(identified)) = reception.poll_event() else { unreachable!("it registers") };
        let epoch = self.session.handle_identified(self.now, identified).expect("the session is open");
        self.epoch = Some(epoch);
        // What was said while it was away is at most as late as the longest absence.
        while let Some((_, bytes)) = self.held.pop_front() {
            self.session.handle_bytes(epoch, self.now, &bytes);
        }
    }
}

/// What a device says to a request.
fn answer(request: &[u8]) -> Vec<u8> {
    if request[1] == 0x06 {
        return request.to_vec();
    }
    let number = u16::from_be_bytes([request[2], request[3]]);
    let values: Vec<u16> = (0..u16::from(request[5])).map(|at| number ^ (at * 0x5A5A)).collect();
    registers(request[0], &values)
}
