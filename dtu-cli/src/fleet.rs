//! The fleet: which devices are there, over all listeners, what they did last, and how they are asked.
//!
//! ```text
//!   carry ── Seat::received ──┐                 ┌── list, one, changes ──> HTTP API, page
//!   tell ─── handle_link ─────┼──> Fleet ───────┼── ask, close ──────────> control socket, HTTP API, cluster
//!   accept ─ enter ───────────┘                 └── let_go ──────────────> cluster
//! ```
//!
//! A device is in here from when its session is accepted to when that is closed. What costs time is done where somebody looks: a row
//! is read from its session then, and what has changed is put in order then. What a device sends costs a few counters, and its place
//! in the ring of last frames.

mod asking;
mod books;
mod device;
mod fields;
mod index;
mod look;
mod meters;
mod rings;
mod row;
mod seat;
mod serial;
mod settings;
mod shared;
mod time;

pub(crate) use books::Books;
pub(crate) use fields::{Field, annotate};
pub(crate) use index::Seen;
pub(crate) use look::{Census, Changes, Detail, Page, Wanted};
pub(crate) use rings::LastFrame;
pub(crate) use row::{Row, Standing};
pub(crate) use seat::{NativeSeat, Seat};
pub(crate) use settings::RequestSettings;
pub(crate) use shared::Here;
pub(crate) use time::Millis;

use crate::cluster::Cluster;
use crate::request::ask::Repeats;
use crate::request::framing::{self, LineFraming};
use crate::request::profile::Replies;
use anyhow::Context;
use asking::ASKED;
use core::sync::atomic::Ordering;
use core::time::Duration;
use device::{Device, Hand};
use dtu_net::driver::transparent::{TransparentSession, UnitEvent};
use dtu_net::driver::{LinkEvent, Session};
use dtu_net::transparent::TransparentEvent;
use dtu_net::{Cause, Epoch, Event, State, StateChange};
use dtu_proto::message::CloseCode;
use index::Index;
use look::Round;
use meters::Meters;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use time::Clock;
use tokio::sync::Semaphore;

/// Devices that changed and have no new place so far. While nobody looks they are given one when there are so many.
const MARKED: usize = 256;

/// Shared by all who bring devices and all who look at them.
#[derive(Debug)]
pub(crate) struct Fleet {
    index: Mutex<Index>,
    /// Those that changed since the last look, each once.
    marked: Mutex<Vec<Arc<Device>>>,
    clock: Clock,
    lines: LineFraming,
    queue: usize,
    timeout: Duration,
    repeats: Repeats,
    asked: Semaphore,
    round: Mutex<Round>,
    census: Mutex<Option<(Instant, Census)>>,
    meters: Meters,
    /// There when gateways share the fleet.
    cluster: OnceLock<Arc<Cluster>>,
}

/// What came of closing a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Closed,
    /// It was closed already, and is about to leave.
    Already,
    Unknown,
}

impl Fleet {
    /// # Errors
    /// A framing that there is not.
    pub(crate) fn new(settings: &RequestSettings) -> anyhow::Result<Arc<Self>> {
        let lines = framing::load(&settings.framing).context("requests.framing")?;
        Ok(Arc::new(Self {
            index: Mutex::default(),
            marked: Mutex::default(),
            clock: Clock::start(),
            lines,
            queue: settings.queue,
            timeout: settings.timeout.0,
            repeats: settings.repeats(),
            asked: Semaphore::new(ASKED),
            round: Mutex::default(),
            census: Mutex::default(),
            meters: Meters::new(),
            cluster: OnceLock::new(),
        }))
    }

    /// A session was accepted.
    #[must_use]
    pub(crate) fn enter_native(self: &Arc<Self>, session: Session) -> NativeSeat {
        NativeSeat(self.enter(Hand::Native(session)))
    }

    /// A session with a transparent DTU was accepted; by `replies` its replies are known.
    #[must_use]
    pub(crate) fn enter_unit(self: &Arc<Self>, session: &TransparentSession, replies: Replies) -> Seat {
        self.enter(Hand::Unit(session.clone(), replies))
    }

    fn enter(self: &Arc<Self>, hand: Hand) -> Seat {
        let device = Arc::new(Device::new(Arc::downgrade(self), hand));
        let before = {
            let mut index = self.index();
            // Under the lock, so that nobody gives up what was claimed a moment ago.
            self.claim(device.id());
            index.enter(Arc::clone(&device))
        };
        // Its last hand may go here: not under the lock.
        drop(before);
        Seat(device)
    }

    /// Something happened on the link of a native device.
    pub(crate) fn handle_link(&self, event: &LinkEvent) {
        let LinkEvent::Link { device, epoch, event } = event else { return };
        let Some(device) = self.find_of(device) else { return };
        match event {
            Event::State(change) => {
                self.came_again(&device, *epoch, change.state);
                device.changed(change);
            }
            Event::Skipped { bytes, cause } => {
                device.skipped(*bytes);
                device.happened("skipped", format!("{bytes} bytes: {cause}"));
            }
            // A connect is told by the state.
            Event::Resumed(_)
            | Event::Endpoint { .. }
            | Event::Settled { .. }
            | Event::HeartbeatLearned(_)
            | Event::NetworkForgotten { .. }
            | _ => return,
        }
        self.mark(&device);
    }

    /// Claims a device at each connection after its first, with which it entered.
    fn came_again(&self, device: &Device, epoch: Epoch, state: State) {
        if state == State::Connected && epoch.number() > 1 {
            self.claim(device.id());
        }
    }

    /// Something happened in the session of a transparent DTU.
    pub(crate) fn handle_unit(&self, event: &UnitEvent) {
        let UnitEvent::Session { device, epoch, event } = event else { return };
        let Some(device) = self.find_of(device) else { return };
        match event {
            TransparentEvent::State(change) => {
                self.came_again(&device, *epoch, change.state);
                device.changed(change);
            }
            TransparentEvent::Skipped { bytes, cause } => {
                device.skipped(u64::try_from(*bytes).unwrap_or(u64::MAX));
                device.happened("skipped", format!("{bytes} bytes: {cause}"));
            }
            TransparentEvent::Overrun { bytes } => device.happened("lost", format!("a frame of {bytes} bytes")),
            TransparentEvent::ReplyDropped { bytes } => device.happened("lost", format!("an answer of {bytes} bytes")),
            TransparentEvent::Unsendable { bytes, error } => {
                device.happened("lost", format!("a request of {bytes} bytes: {error}"));
            }
            TransparentEvent::Control { kind } => device.happened("control", format!("an envelope of kind {kind:02X}")),
            TransparentEvent::Identified { .. }
            | TransparentEvent::Settled { .. }
            | TransparentEvent::Heartbeat { .. }
            | _ => return,
        }
        self.mark(&device);
    }

    /// How long a reply may take where the request does not say.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes the session with a device. It may come again, and begins a new one then.
    pub(crate) fn close(&self, device: &str, reason: &str) -> Closing {
        self.end(device, CloseCode::GOING_DOWN, reason)
    }

    /// Another gateway has the device now: the session here ends.
    pub(crate) fn let_go(&self, device: &str) -> Closing {
        self.end(device, CloseCode::REPLACED, "")
    }

    fn end(&self, device: &str, code: CloseCode, reason: &str) -> Closing {
        let Some(device) = self.find(device) else { return Closing::Unknown };
        if row::standing(&device) == Standing::Closed {
            return Closing::Already;
        }
        match &device.hand {
            Hand::Native(session) => session.close(code, reason, Duration::ZERO),
            Hand::Unit(session, _) => session.close(code),
            #[cfg(test)]
            Hand::Played(_) => {}
        }
        self.mark(&device);
        Closing::Closed
    }

    fn find(&self, device: &str) -> Option<Arc<Device>> {
        self.index().by_id.get(device).cloned()
    }

    /// The device of the session that has this very id: the words of one that it had before may come late.
    fn find_of(&self, device: &Arc<str>) -> Option<Arc<Device>> {
        self.find(device).filter(|found| Arc::ptr_eq(found.id(), device))
    }

    fn mark(&self, device: &Arc<Device>) {
        // Mostly it stands in the list already, and a look is cheaper than a change.
        if device.is_marked.load(Ordering::Relaxed) || device.is_marked.swap(true, Ordering::AcqRel) {
            return;
        }
        let count = {
            let mut marked = self.marked();
            marked.push(Arc::clone(device));
            marked.len()
        };
        if count >= MARKED {
            self.put_in_order();
        }
    }

    /// Gives those that changed their new places.
    fn put_in_order(&self) {
        let marked = core::mem::take(&mut *self.marked());
        let mut index = self.index();
        for device in &marked {
            device.is_marked.store(false, Ordering::Release);
            index.changed(device);
        }
        drop(index);
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marked(&self) -> MutexGuard<'_, Vec<Arc<Device>>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// The state of its session changed.
    fn changed(&self, change: &StateChange) {
        let why = || change.cause.as_ref().map(Cause::to_string).unwrap_or_default();
        match change.state {
            // That it came for the first time is known.
            State::Connected if change.epoch.number() <= 1 => {}
            State::Connected => self.happened("connected", format!("connection {}", change.epoch)),
            State::Disconnected if change.reason.is_empty() => self.happened("disconnected", why()),
            State::Disconnected => self.happened("disconnected", format!("{}: {}", why(), change.reason)),
            State::Closed => self.happened("closed", why()),
            State::Connecting | State::Registering | State::Suspect => {}
        }
    }
}

#[cfg(test)]
mod tests;
