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

mod books;
mod device;
mod fields;
mod index;
mod rings;
mod row;
mod serial;
mod time;

pub(crate) use books::Books;
pub(crate) use device::LINES;
pub(crate) use fields::{Field, annotate};
pub(crate) use index::Seen;
pub(crate) use rings::{Happened, LastFrame};
pub(crate) use row::{Row, Standing};
pub(crate) use time::Millis;

use crate::cluster::Cluster;
use crate::request::ask::{self, Answer, Ask, Outcome};
use crate::request::framing::{self, LineFraming};
use crate::request::profile::Replies;
use crate::settings::Mistakes;
use crate::settings::units::Span;
use anyhow::Context;
use core::ops::Bound;
use core::sync::atomic::Ordering;
use core::time::Duration;
use device::{Device, Hand};
use dtu_net::driver::transparent::{TransparentSession, UnitEvent};
use dtu_net::driver::{LinkEvent, Session};
use dtu_net::transparent::{Heard, TransparentEvent};
use dtu_net::{Cause, Event, Received, State, StateChange};
use dtu_proto::message::CloseCode;
use index::{Index, News};
use metrics::{Counter, Histogram};
use serde::Deserialize;
use serial::Serial;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use time::Clock;
use tokio::sync::Semaphore;

/// Devices that changed and have no new place so far. While nobody looks they are given one when there are so many.
const MARKED: usize = 256;

/// In so many looks each device is looked at that only keeps alive. Its last sign of life is told so much later.
const ROUND: usize = 15;

/// No two such looks are nearer than this, however many look.
const LOOK: Duration = Duration::from_millis(900);

/// The longest queue of a line.
const QUEUE_MAX: usize = 4096;

/// How old a count may be for those who look again and again: all of them together count the fleet once in it.
const RECENT: Duration = Duration::from_millis(900);

/// Requests that are asked at a time, in all lines; more are refused.
pub(crate) const ASKED: usize = 4096;

/// How devices are asked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestSettings {
    /// How long a reply may take from when the request has left, where the request does not say.
    pub(crate) timeout: Span,
    /// The requests that may wait for one serial line of a native device, with the one that is on it.
    pub(crate) queue: usize,
    /// The framing of the serial lines of native devices: a name of `dtu framings`, a file that declares one, or `raw`: the next DATA
    /// is the reply.
    pub(crate) framing: String,
}

impl Default for RequestSettings {
    fn default() -> Self {
        let timeout = Span(dtu_net::line::TIMEOUT);
        Self { timeout, queue: dtu_net::line::limits::QUEUE, framing: "modbus_rtu".to_owned() }
    }
}

impl RequestSettings {
    /// What cannot be.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        let right = Duration::from_millis(1)..=ask::TIMEOUT_MAX;
        if !right.contains(&self.timeout.0) {
            mistakes.add("requests.timeout", format!("{} is out of range, expected 1ms to 10m", self.timeout));
        }
        if !(1..=QUEUE_MAX).contains(&self.queue) {
            mistakes.add("requests.queue", format!("{} is out of range, expected 1 to {QUEUE_MAX}", self.queue));
        }
        if let Err(error) = framing::load(&self.framing) {
            mistakes.add("requests.framing", format!("{error:#}"));
        }
    }

    pub(crate) fn relative_to(&mut self, base: &Path) {
        if framing::is_file(&self.framing) {
            self.framing = base.join(&self.framing).to_string_lossy().into_owned();
        }
    }
}

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
    asked: Semaphore,
    round: Mutex<Round>,
    census: Mutex<Option<(Instant, Census)>>,
    meters: Meters,
    /// The other gateways, where there are any.
    cluster: OnceLock<Arc<Cluster>>,
}

/// The round past those that only keep alive.
#[derive(Debug, Default)]
struct Round {
    /// Who was looked at last.
    last: Option<Arc<str>>,
    at: Option<Instant>,
}

struct Meters {
    frames_up: Counter,
    bytes_up: Counter,
    frames_down: Counter,
    bytes_down: Counter,
    request_seconds: Histogram,
}

impl core::fmt::Debug for Meters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    fn new() -> Self {
        Self {
            frames_up: metrics::counter!("dtu_device_frames_total", "direction" => "up"),
            bytes_up: metrics::counter!("dtu_device_bytes_total", "direction" => "up"),
            frames_down: metrics::counter!("dtu_device_frames_total", "direction" => "down"),
            bytes_down: metrics::counter!("dtu_device_bytes_total", "direction" => "down"),
            request_seconds: metrics::histogram!("dtu_request_seconds"),
        }
    }
}

/// What changed, ready to be told: first those that left.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<Arc<str>>,
    pub(crate) rows: Vec<Row>,
    /// Goes on from here.
    pub(crate) seen: Seen,
    /// There is more at once.
    pub(crate) more: bool,
}

/// One device with all that is known of it, newest first.
#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) row: Row,
    pub(crate) timeline: Vec<Happened>,
    pub(crate) frames: Vec<LastFrame>,
}

/// Which devices are wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: usize,
    pub(crate) state: Option<Standing>,
    /// A part of the id, in small or capital letters.
    pub(crate) search: Option<&'a str>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// The last of them, when there are more behind it.
    pub(crate) next: Option<Arc<str>>,
    /// How many there are in all that fit.
    pub(crate) total: usize,
}

/// How many devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub(crate) connected: usize,
    pub(crate) disconnected: usize,
}

/// What came of closing a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Closed,
    /// It was closed already, and is about to leave.
    Already,
    Unknown,
}

/// The place of a device in the fleet. It leaves when its seat is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    fleet: Arc<Fleet>,
    device: Arc<Device>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.fleet.index().leave(&self.device);
        let Some(cluster) = self.fleet.cluster.get() else { return };
        let id = self.device.id();
        let is_here = || self.fleet.find(id).is_some();
        if !is_here() {
            cluster.release(id);
            // It may have come again in between, and its claim then came before.
            if is_here() {
                cluster.claim(id);
            }
        }
    }
}

impl Seat {
    /// Its session has taken something from the device.
    pub(crate) fn received(&self, received: &[Received]) {
        received.iter().for_each(|received| self.receive(received));
        self.fleet.mark(&self.device);
    }

    fn receive(&self, received: &Received) {
        match received {
            Received::Data { seq, channel, body, .. } => {
                self.device.received(*channel, Some(*seq), body);
                self.fleet.meters.up(body.len());
            }
            Received::Skip { from, next, .. } => {
                self.device.happened("missing", format!("{} from {from} on will not come", next.wrapping_sub(*from)));
            }
        }
    }

    /// A frame came that no request waited for.
    pub(crate) fn heard(&self, heard: &Heard) {
        let bytes = heard.frame.as_bytes();
        self.device.received(0, None, bytes);
        self.fleet.meters.up(bytes.len());
        self.fleet.mark(&self.device);
    }
}

impl Meters {
    fn up(&self, bytes: usize) {
        self.frames_up.increment(1);
        self.bytes_up.increment(bytes.try_into().unwrap_or(u64::MAX));
    }

    fn down(&self, bytes: usize) {
        self.frames_down.increment(1);
        self.bytes_down.increment(bytes.try_into().unwrap_or(u64::MAX));
    }
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
            asked: Semaphore::new(ASKED),
            round: Mutex::default(),
            census: Mutex::default(),
            meters: Meters::new(),
            cluster: OnceLock::new(),
        }))
    }

    /// Shares the devices that come from now on with other gateways. Only the first call counts.
    pub(crate) fn share(&self, cluster: Arc<Cluster>) {
        let _first = self.cluster.set(cluster);
    }

    /// The device has connected here, for the first time or again.
    fn claim(&self, device: &Device) {
        if let Some(cluster) = self.cluster.get() {
            cluster.claim(device.id());
        }
    }

    /// A session was accepted.
    #[must_use]
    pub(crate) fn enter_native(self: &Arc<Self>, session: &Session) -> Seat {
        self.enter(Hand::Native(session.clone()))
    }

    /// A session with a transparent DTU was accepted; by `replies` its replies are known.
    #[must_use]
    pub(crate) fn enter_unit(self: &Arc<Self>, session: &TransparentSession, replies: Replies) -> Seat {
        self.enter(Hand::Unit(session.clone(), replies))
    }

    fn enter(self: &Arc<Self>, hand: Hand) -> Seat {
        let device = Arc::new(Device::new(hand));
        let before = self.index().enter(Arc::clone(&device));
        // Its last hand may go here: not under the lock.
        drop(before);
        self.claim(&device);
        Seat { fleet: Arc::clone(self), device }
    }

    /// Something happened on the link of a native device.
    pub(crate) fn handle_link(&self, event: &LinkEvent) {
        let LinkEvent::Link { device, event, .. } = event else { return };
        let Some(device) = self.find(device) else { return };
        match event {
            Event::State(change) => {
                device.changed(change);
                if change.state == State::Connected {
                    self.claim(&device);
                }
            }
            Event::Skipped { bytes, cause } => {
                device.skipped(*bytes);
                device.happened("skipped", format!("{bytes} bytes: {cause}"));
            }
            _ => return,
        }
        self.mark(&device);
    }

    /// Something happened in the session of a transparent DTU.
    pub(crate) fn handle_unit(&self, event: &UnitEvent) {
        let UnitEvent::Session { device, event, .. } = event else { return };
        let Some(device) = self.find(device) else { return };
        match event {
            TransparentEvent::State(change) => {
                device.changed(change);
                if change.state == State::Connected {
                    self.claim(&device);
                }
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
            _ => return,
        }
        self.mark(&device);
    }

    /// Asks the line of a device, wherever it is, and waits for the reply.
    pub(crate) async fn ask(self: &Arc<Self>, ask: &Ask) -> Answer {
        match self.cluster.get() {
            Some(cluster) if self.find(&ask.device).is_none() => cluster.ask(ask).await,
            Some(_) | None => self.ask_here(ask).await,
        }
    }

    /// Asks the line of a device that is here, whichever kind it is of, and waits for the reply.
    pub(crate) async fn ask_here(self: &Arc<Self>, ask: &Ask) -> Answer {
        let failed = |outcome, text: &str| Answer::failed(&ask.device, outcome, text);
        let Some(device) = self.find(&ask.device) else {
            return failed(Outcome::UnknownDevice, "no such device has come");
        };
        let Ok(_asked) = self.asked.try_acquire() else {
            return failed(Outcome::Full, "as many requests are asked as may be at a time");
        };
        let began = Instant::now();
        let answer = match &device.hand {
            Hand::Native(session) => self.ask_native(session, &device, ask).await,
            Hand::Unit(session, replies) => self.ask_unit(session, *replies, &device, ask).await,
            #[cfg(test)]
            Hand::Played(_) => failed(Outcome::TimedOut, "it is played"),
        };
        if answer.outcome == Outcome::Replied {
            self.meters.request_seconds.record(began.elapsed());
        }
        self.mark(&device);
        answer
    }

    async fn ask_unit(&self, session: &TransparentSession, replies: Replies, device: &Device, ask: &Ask) -> Answer {
        let answer = ask::put(session, replies, ask).await;
        if !matches!(answer.outcome, Outcome::BadRequest | Outcome::Full | Outcome::Expired)
            && let Ok(request) = ask::bytes(&ask.hex)
        {
            device.sent(0, &request);
            self.meters.down(request.len());
        }
        if let Some(reply) = answer.hex.as_deref().and_then(|hex| ask::bytes(hex).ok()) {
            device.received(0, None, &reply);
            self.meters.up(reply.len());
        }
        answer
    }

    async fn ask_native(self: &Arc<Self>, session: &Session, device: &Arc<Device>, ask: &Ask) -> Answer {
        let replies = self.lines.replies;
        let request = match ask::request(replies, ask) {
            Ok(request) => request,
            Err(text) => return Answer::failed(&ask.device, Outcome::BadRequest, text),
        };
        let (len, most) = (request.bytes().len(), session.max_body());
        let (channel, timeout) = (ask.channel.unwrap_or_default(), Duration::from_millis(ask.timeout_ms));
        let outcome = if len > most {
            Err(serial::too_long(len, most))
        } else {
            loop {
                let make = || Serial::new(channel, &self.lines, self.queue, seed(), Instant::now());
                let Some((line, is_new)) = device.open_line(channel, make) else {
                    let text = format!("replies are awaited on {LINES} serial lines of it already");
                    return Answer::failed(&ask.device, Outcome::Full, text);
                };
                if is_new {
                    tokio::spawn(Arc::clone(&line).run(session.clone(), Arc::clone(device)));
                }
                match line.ask(request.clone(), timeout).await {
                    Ok(outcome) => break outcome,
                    Err(serial::Over) => device.close_line(&line),
                }
            }
        };
        match outcome {
            Ok(reply) => {
                let bytes = if self.lines.is_raw { reply.frame.payload() } else { reply.frame.as_bytes() };
                Answer::replied(&ask.device, replies, bytes, reply.round_trip)
            }
            Err(unanswered) => Answer::unanswered(&ask.device, &unanswered, session.state().state),
        }
    }

    /// How long a reply may take where the request does not say.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes the session with a device. It may come again, and begins a new one then.
    pub(crate) fn close(&self, device: &str, reason: &str) -> Closing {
        self.end(device, CloseCode::GOING_DOWN, reason)
    }

    /// Another gateway has the device now: the session here ends. Returns whether there was one.
    pub(crate) fn let_go(&self, device: &str) -> bool {
        self.end(device, CloseCode::REPLACED, "") == Closing::Closed
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

    /// One device.
    pub(crate) fn detail(&self, device: &str) -> Option<Detail> {
        let device = self.find(device)?;
        let row = Row::of(&device, &self.clock);
        Some(Detail { row, timeline: device.timeline(), frames: device.frames() })
    }

    /// A part of the list, in the order of the ids.
    pub(crate) fn list(&self, wanted: &Wanted<'_>) -> Page<Row> {
        self.part(wanted, |device| Row::of(device, &self.clock))
    }

    /// The books of the sessions of a part of the list.
    pub(crate) fn books(&self, wanted: &Wanted<'_>) -> Page<Books> {
        self.part(wanted, Books::of)
    }

    fn part<T>(&self, wanted: &Wanted<'_>, of: impl Fn(&Device) -> T) -> Page<T> {
        let search = wanted.search.map(str::to_lowercase);
        let fits = |device: &&Arc<Device>| {
            search.as_ref().is_none_or(|search| device.id().to_lowercase().contains(search))
                && wanted.state.is_none_or(|state| row::standing(device) == state)
        };
        let (devices, total) = {
            let index = self.index();
            let after = wanted.after.map_or(Bound::Unbounded, Bound::Excluded);
            let behind = index.by_id.range::<str, _>((after, Bound::Unbounded)).map(|(_, device)| device);
            let part: Vec<_> = behind.filter(fits).take(wanted.limit.saturating_add(1)).cloned().collect();
            let is_all = search.is_none() && wanted.state.is_none();
            (part, if is_all { index.by_id.len() } else { index.by_id.values().filter(fits).count() })
        };
        let shown = devices.get(..wanted.limit).unwrap_or(&devices);
        let next = shown.last().filter(|_| devices.len() > shown.len()).map(|device| Arc::clone(device.id()));
        Page { rows: shown.iter().map(|device| of(device)).collect(), next, total }
    }

    /// How many devices there are, by where they stand.
    pub(crate) fn census(&self) -> Census {
        let devices: Vec<_> = self.index().by_id.values().cloned().collect();
        let connected = devices.iter().filter(|device| row::standing(device) == Standing::Connected).count();
        Census { connected, disconnected: devices.len() - connected }
    }

    /// The same as it was not longer ago than a second, for those who look again and again.
    pub(crate) fn recent_census(&self) -> Census {
        let mut recent = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        match *recent {
            Some((at, census)) if at.elapsed() < RECENT => census,
            _ => recent.insert((Instant::now(), self.census())).1,
        }
    }

    /// Every device, to be looked at in pieces: up to `limit` behind `after`.
    pub(crate) fn news(&self, seen: Seen, limit: usize) -> Option<Changes> {
        self.go_round();
        self.put_in_order();
        let News { gone, changed, seen, more } = self.index().news(seen, limit)?;
        let rows = changed.iter().map(|device| Row::of(device, &self.clock)).collect();
        Some(Changes { gone, rows, seen, more })
    }

    fn find(&self, device: &str) -> Option<Arc<Device>> {
        self.index().by_id.get(device).cloned()
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

    /// Marks those of the next part of the fleet that were heard since they were told last.
    fn go_round(&self) {
        let part: Vec<_> = {
            let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
            if round.at.is_some_and(|at| at.elapsed() < LOOK) {
                return;
            }
            round.at = Some(Instant::now());
            let index = self.index();
            let behind = round.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let count = index.by_id.len().div_ceil(ROUND);
            let part: Vec<_> = index
                .by_id
                .range::<str, _>((behind, Bound::Unbounded))
                .take(count)
                .map(|(_, device)| Arc::clone(device))
                .collect();
            // A part that is not full was the last one.
            round.last = part.last().filter(|_| part.len() == count).map(|device| Arc::clone(device.id()));
            part
        };
        for device in part.iter().filter(|device| device.is_heard_anew(&self.clock)) {
            self.mark(device);
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

/// Spreads the repeats of a line.
fn seed() -> u64 {
    // Without a random number repeats are spread less, and nothing else is lost.
    getrandom::u64().unwrap_or_default()
}
