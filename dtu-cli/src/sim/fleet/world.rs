//! The fleet, its server, the network between them and the clock: takes one event after another.

use super::backlog::Backlog;
use super::event::{Event, Pool, Trace, What};
use super::model::{MOST, Model, NO_CAP, SECOND, STAYS, WAY_LEAST, WAY_MOST};
use super::places::Places;
use super::policy::{Policy, Tries};
use super::server::Process;
use super::tally::Tally;
use super::wheel::Wheel;
use crate::sim::random::Random;
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::{Device, DeviceConfig, Epoch, Limits, Link, Server};
use std::sync::Arc;
use std::time::Instant;

/// The first part of a device's id; its number follows.
const ID: &str = "sim-";

/// After how many events somebody may look: some ten milliseconds.
const LOOK: u32 = 20_000;

/// What never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// A deadline of a machine, and the event that stands for it. The event comes no later than the deadline; when the deadline has
/// moved away by then, the event moves after it. So a deadline that moves with every byte costs nothing to plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer {
    pub(super) due: u64,
    /// When the event comes.
    planned: u64,
}

impl Timer {
    pub(super) const NONE: Self = Self { due: NEVER, planned: NEVER };
}

/// What is looked at for every event of a device, so that its machine, which is large, is touched only when something is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hot {
    pub(super) timer: Timer,
    pub(super) session_timer: Timer,
    /// How long one way takes.
    pub(super) way: u32,
    /// The connection that the device has or dials; 0 for none.
    pub(super) socket: u32,
    /// The connection of its session at the server; 0 for none.
    pub(super) session: u32,
    /// The newest connection of which the server has heard the end.
    pub(super) ended: u32,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) model: Model,
    pub(super) now: u64,
    /// The same as the machines read it.
    pub(super) instant: Instant,
    start: Instant,
    pub(super) wheel: Wheel<Event>,
    pub(super) pool: Pool,
    pub(super) trace: Trace,
    pub(super) random: Random,
    /// Where each device's things lie in what follows.
    pub(super) places: Places,
    pub(super) hot: Vec<Hot>,
    pub(super) links: Vec<Link<Device>>,
    pub(super) tries: Vec<Tries>,
    pub(super) sessions: Vec<Option<(Epoch, Link<Server>)>>,
    pub(super) limits: Arc<Limits>,
    pub(super) process: Process,
    pub(super) backlog: Backlog,
    pub(super) tally: Tally,
    is_tidy: bool,
    /// What a machine gives or takes at once.
    pub(super) scratch: Vec<u8>,
}

impl World {
    pub(super) fn new(model: Model) -> Self {
        let start = Instant::now();
        let mut limits = Limits::default();
        limits.heartbeat = Duration::from_micros(model.heartbeat);
        let mut world = Self {
            model,
            now: 0,
            instant: start,
            start,
            wheel: Wheel::new(),
            pool: Pool::default(),
            trace: Trace::new(),
            random: Random::new(model.seed),
            places: Places::new(model.devices),
            hot: Vec::new(),
            links: Vec::new(),
            tries: vec![Tries::default(); model.devices as usize],
            sessions: (0..model.devices).map(|_| None).collect(),
            limits: Arc::new(limits),
            process: Process::new(),
            backlog: Backlog::new(model.backlog as usize),
            tally: Tally::new(model.devices as usize),
            is_tidy: false,
            scratch: Vec::new(),
        };
        world.build();
        world
    }

    /// Makes the fleet, and plans its beginning and the outage.
    fn build(&mut self) {
        let model = self.model;
        let mut backoff = Backoff::RECONNECT;
        if !model.measures.cap {
            backoff = Backoff::exponential(backoff.delay(0), 1_500, Duration::from_micros(NO_CAP));
        }
        let mut limits = Limits::default();
        if let Some(patience) = model.policy.patience() {
            (limits.connect, limits.identify) = (patience, patience);
        }
        if model.policy != Policy::Dtu {
            // The machine has to wait for the other's delay.
            backoff = Backoff::fixed(dtu_net::backoff::LONGEST).jitter(Jitter::None);
        }
        let mut starts: Vec<u64> = (0..model.devices).map(|_| self.random.between(0, model.heartbeat - 1)).collect();
        // Who comes next lies next in memory.
        starts.sort_unstable();
        for (device, at) in (0..).zip(starts) {
            let mut config = DeviceConfig::new(&id(device)).expect("an id of at most 14 bytes");
            (config.backoff, config.limits) = (backoff, limits);
            let (stream, seed) = (self.random.next() | 1, self.random.next());
            self.links.push(Link::device(config, stream, seed, self.start));
            let way = self.random.between(WAY_LEAST, WAY_MOST) as u32;
            let (timer, session_timer) = (Timer::NONE, Timer::NONE);
            self.hot.push(Hot { timer, session_timer, way, socket: 0, session: 0, ended: 0 });
            self.plan(at, device, What::Start);
        }
        self.plan(model.dies_at(), 0, What::Dies);
        self.plan(model.returns_at(), 0, What::Returns);
    }

    /// Runs to the end, and lets `look` look now and then.
    pub(super) fn run(&mut self, mut look: impl FnMut(&Self)) {
        let mut until_look = LOOK;
        let returns_at = self.model.returns_at();
        let end = returns_at + self.model.after.unwrap_or(MOST);
        while let Some((at, event)) = self.wheel.next() {
            let back = self.tally.all_since.filter(|since| *since >= returns_at);
            let stays = back.filter(|_| self.model.after.is_none());
            let end = stays.map_or(end, |since| end.min(since + STAYS));
            if at > end {
                self.now = end;
                return;
            }
            if !self.is_tidy && back.is_some_and(|since| since + self.model.heartbeat <= at) {
                self.tidy();
            }
            self.step(at, event);
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK;
                look(self);
            }
        }
    }

    /// Lays the fleet anew in the order of its deadlines: who comes next lies next in memory. They keep that order, as all have
    /// one heartbeat, until the next outage.
    fn tidy(&mut self) {
        self.is_tidy = true;
        let hot = &self.hot;
        let order = self.places.in_order(|place| hot[place].timer.due);
        self.places.lay(order, |one, other| {
            self.hot.swap(one, other);
            self.links.swap(one, other);
            self.sessions.swap(one, other);
            self.tries.swap(one, other);
        });
    }

    pub(super) fn plan(&mut self, at: u64, device: u32, what: What) {
        self.wheel.plan(at.max(self.now), Event { device, what });
    }

    /// Plans something at the other end of a device's line.
    pub(super) fn send(&mut self, device: u32, what: What) {
        let at = self.now + u64::from(self.hot[self.places.of(device)].way);
        self.plan(at, device, what);
    }

    fn step(&mut self, at: u64, event: Event) {
        if at != self.now {
            self.now = at;
            self.instant = self.start + Duration::from_micros(at);
        }
        let Event { device, what } = event;
        let of = self.places.of(device);
        // Timers that moved are no events.
        let moved = matches!(what, What::DeviceTimer) && !self.is_due(device, false)
            || matches!(what, What::SessionTimer) && !self.is_due(device, true);
        if moved {
            return;
        }
        self.trace.note(at, event);
        match what {
            What::Start => self.connect_at_once(device),
            What::DeviceTimer => {
                self.links[of].handle_timeout(self.instant);
                self.pump_device(device);
            }
            What::SessionTimer => self.session_timeout(device),
            What::Redial => {
                self.links[of].reconnect_now(self.instant);
                self.links[of].handle_timeout(self.instant);
                self.pump_device(device);
            }
            What::Syn { serial, repeat } => self.syn(device, serial, repeat),
            What::Opened { serial, life } => self.opened(device, serial, life),
            What::First { serial, bytes, repeat, life } => self.first(device, serial, bytes, repeat, life),
            What::ToServer { serial, bytes } => self.arrives_at_server(device, serial, bytes),
            What::ToDevice { serial, bytes } => self.arrives_at_device(device, serial, bytes),
            What::EndAtServer { serial } => self.end_at_server(device, serial),
            What::EndAtDevice { serial, reset } => self.end_at_device(device, serial, reset),
            What::Worked { life } => self.worked(life),
            What::Dies => self.dies(),
            What::Returns => self.returns(),
        }
    }

    /// Whether the deadline of a timer event has come. One that moved away is planned anew.
    fn is_due(&mut self, device: u32, session: bool) -> bool {
        let now = self.now;
        let hot = &mut self.hot[self.places.of(device)];
        let (timer, what) =
            if session { (&mut hot.session_timer, What::SessionTimer) } else { (&mut hot.timer, What::DeviceTimer) };
        if timer.planned != now {
            return false; // an earlier one took its place
        }
        timer.planned = NEVER;
        if timer.due <= now {
            return true;
        }
        if timer.due != NEVER {
            timer.planned = timer.due;
            let at = timer.due;
            self.plan(at, device, what);
        }
        false
    }

    /// Takes the deadline that a machine named last.
    pub(super) fn arm(&mut self, device: u32, session: bool, deadline: Option<Instant>) {
        let due = deadline.map_or(NEVER, |deadline| self.micros(deadline).max(self.now));
        let hot = &mut self.hot[self.places.of(device)];
        let (timer, what) =
            if session { (&mut hot.session_timer, What::SessionTimer) } else { (&mut hot.timer, What::DeviceTimer) };
        timer.due = due;
        if due < timer.planned {
            timer.planned = due;
            self.plan(due, device, what);
        }
    }

    /// The first microsecond that is not before `instant`.
    pub(super) fn micros(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        since.as_secs() * SECOND + u64::from(since.subsec_nanos().div_ceil(1_000))
    }
}

/// The id of a device.
pub(super) fn id(device: u32) -> String {
    format!("{ID}{device}")
}

/// The device of an id.
pub(super) fn number(id: &str) -> Option<u32> {
    id.strip_prefix(ID)?.parse().ok()
}

#[cfg(test)]
mod tests;
