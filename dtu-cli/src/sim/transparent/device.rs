//! One DTU with its meter: what it says when. It has no socket and no clock.
//!
//! ```text
//!   handle_bytes ──> Unwrapper ──> Meter ──> Serial ──> wrap ──> Uplink ──> poll_transmit
//!                        └─ acknowledgements        registration, heartbeats ──┘
//! ```

use super::meter::{Meter, Said};
use super::profile::{Part, Profile, render};
use super::serial::Serial;
use super::summary::Counters;
use super::uplink::Uplink;
use super::wrapping::{Down, Unwrapper, wrap};
use crate::sim::random::Random;
use core::time::Duration;
use std::time::Instant;

/// How long the serial line is silent until a meter gives up what is no request. More than the 4 ms of the standard, as
/// requests come in pieces from the network.
const SILENCE: Duration = Duration::from_millis(100);

/// How long a meter takes for a reply, in milliseconds.
const WORK_MS: [u64; 2] = [5, 50];

/// And for a late one: more than the 3 s that are usually waited for.
const LATE_MS: [u64; 2] = [3_200, 8_000];

/// How long a DTU waits for an acknowledgement until it asks again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it asks, until it connects anew.
const ACK_TRIES: u32 = 3;

/// What all devices have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) profile: Profile,
    pub(super) heartbeat: Duration,
    /// The share of replies with noise before them, and behind them.
    pub(super) noise: f64,
    /// The share of late replies.
    pub(super) late: f64,
}

/// The machine.
///
/// After each `handle_*` call, `poll_transmit` until there is nothing, and call `handle_timeout` at what `poll_timeout` says.
#[derive(Debug)]
pub(super) struct Device {
    habits: Habits,
    number: u32,
    /// When it beats. The meter has numbers of its own, so that what becomes of a request does not hang on connections.
    beats: Random,
    meter_random: Random,
    unwrapper: Unwrapper,
    meter: Meter,
    /// A reply that the meter works on, and when it is ready.
    work: Option<(Instant, Vec<u8>)>,
    /// When the serial line is silent.
    silence: Option<Instant>,
    serial: Serial,
    uplink: Uplink,
    link: Option<Link>,
    counters: Counters,
}

/// A connection.
#[derive(Debug)]
struct Link {
    next_heartbeat: Instant,
    /// It has registered, and the acknowledgement is there where it is wanted.
    is_registered: bool,
    /// Until when an acknowledgement has to come.
    ack_until: Option<Instant>,
    unanswered: u32,
    is_over: bool,
}

impl Device {
    pub(super) fn new(habits: Habits, number: u32, seed: u64) -> Self {
        let mut seeds = Random::new(seed);
        Self {
            habits,
            number,
            serial: Serial::new(habits.noise, seeds.next()),
            uplink: Uplink::new(seeds.next()),
            beats: Random::new(seeds.next()),
            meter_random: seeds,
            unwrapper: Unwrapper::default(),
            meter: Meter::new(number),
            work: None,
            silence: None,
            link: None,
            counters: Counters::default(),
        }
    }

    /// A connection is there.
    pub(super) fn handle_connected(&mut self, now: Instant) {
        // What the meter said meanwhile is lost.
        self.handle_timeout(now);
        // Somewhere in the first period, so that a fleet does not beat as one.
        let period = self.habits.heartbeat.as_nanos() as u64;
        let next_heartbeat = now + Duration::from_nanos(self.beats.between(1, period.max(1)));
        self.counters.connections += 1;
        self.unwrapper.clear();
        self.uplink.clear();
        self.link = Some(Link {
            next_heartbeat,
            is_registered: !self.habits.profile.is_acknowledged,
            ack_until: None,
            unanswered: 0,
            is_over: false,
        });
        self.register(now);
    }

    /// The connection is lost.
    pub(super) fn handle_disconnected(&mut self) {
        self.link = None;
        self.uplink.clear();
    }

    /// Bytes from the server.
    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        for down in self.unwrapper.take(self.habits.profile.wrapping, bytes) {
            let Some(link) = &mut self.link else { return };
            match down {
                Down::Data(data) if link.is_registered => {
                    self.meter.handle_bytes(&data);
                    self.silence = Some(now + SILENCE);
                }
                Down::Data(data) => self.counters.strange_bytes += data.len() as u64,
                Down::Ack => {
                    (link.is_registered, link.ack_until, link.unanswered) = (true, None, 0);
                    self.counters.acknowledged += 1;
                }
                Down::Leave => link.is_over = true,
                Down::Register => self.register(now),
            }
        }
        self.ask_meter(now);
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        // In their own time, also when nobody has looked for long.
        while let Some((ready, reply)) = self.work.take_if(|(ready, _)| *ready <= now) {
            let free = self.serial.handle_reply(ready, &reply);
            self.ask_meter(free);
        }
        self.ask_meter(now);
        while let Some(bytes) = self.serial.poll_packet(now) {
            if self.link.is_some() {
                let packet = wrap(&self.habits.profile, self.number, &bytes);
                self.uplink.push(now, packet);
            } else {
                self.counters.lost_bytes += bytes.len() as u64;
            }
        }
        self.beat(now);
    }

    /// The next bytes for one write.
    #[must_use]
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.uplink.poll_transmit(now)
    }

    /// When something is to be done; what has gone by is to be done at once.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let link = self.link.as_ref().filter(|link| !link.is_over);
        let times = [
            self.work.as_ref().map(|(ready, _)| *ready),
            self.silence.filter(|_| self.work.is_none() && self.meter.has_input()),
            self.serial.poll_timeout(),
            self.uplink.poll_timeout(),
            link.map(|link| link.next_heartbeat),
            link.and_then(|link| link.ack_until),
        ];
        times.into_iter().flatten().min()
    }

    /// Whether the DTU wants to be rid of its connection.
    pub(super) fn is_leaving(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_over)
    }

    pub(super) const fn is_registered(&self) -> bool {
        matches!(&self.link, Some(link) if link.is_registered)
    }

    /// What has happened so far.
    pub(super) const fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.cut = self.serial.cut + self.uplink.cut;
        counters.glued = self.serial.glued + self.uplink.glued;
        counters.noise_bytes = self.serial.noise_bytes;
        counters.strange_bytes += self.meter.strange + self.unwrapper.strange;
        counters
    }

    /// A meter works on one request at a time; the others wait in it.
    fn ask_meter(&mut self, now: Instant) {
        while self.work.is_none() {
            let is_silent = self.silence.is_some_and(|silence| silence <= now);
            let Some(said) = self.meter.poll_reply(is_silent) else { return };
            self.counters.requests += 1;
            let reply = match said {
                Said::Reply(reply) => reply,
                Said::Exception(reply) => {
                    self.counters.exceptions += 1;
                    reply
                }
                Said::Nothing => continue,
            };
            self.counters.answered += 1;
            // The same draws for each request, so that what becomes of the next one does not hang on this one.
            let [work, late] = [WORK_MS, LATE_MS].map(|[least, most]| self.meter_random.between(least, most));
            let is_late = self.meter_random.between(1, 1 << 32) as f64 <= self.habits.late * (1_u64 << 32) as f64;
            self.counters.late += u64::from(is_late);
            self.work = Some((now + Duration::from_millis(if is_late { late } else { work }), reply));
        }
    }

    fn register(&mut self, now: Instant) {
        self.counters.registrations += 1;
        self.say(now, self.habits.profile.registration);
    }

    /// Heartbeats, and what is to be acknowledged.
    fn beat(&mut self, now: Instant) {
        let Some(link) = self.link.as_mut().filter(|link| !link.is_over) else { return };
        if link.ack_until.is_some_and(|until| until <= now) {
            link.unanswered += 1;
            link.ack_until = None;
            if link.unanswered == ACK_TRIES {
                link.is_over = true;
                self.counters.unanswered += 1;
                return;
            }
            self.register(now);
        } else if link.next_heartbeat <= now {
            link.next_heartbeat = now + self.habits.heartbeat;
            // Who is not let in has nothing to keep alive.
            if link.is_registered {
                self.counters.heartbeats += 1;
                self.say(now, self.habits.profile.heartbeat);
            }
        }
    }

    fn say(&mut self, now: Instant, parts: &[Part]) {
        self.uplink.push(now, render(parts, self.number));
        if let Some(link) = self.link.as_mut().filter(|_| self.habits.profile.is_acknowledged) {
            link.ack_until.get_or_insert(now + ACK_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests;
