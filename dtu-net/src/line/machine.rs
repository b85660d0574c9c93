//! One request at a time: the queue, the request on the line, and what may still come of older ones.

use super::doubts::Doubts;
use super::event::{LineCounters, LineEvent, LineLedger, Unsolicited};
use super::frame::FrameBuf;
use super::limits::{LineLimits, QUIET_MAX};
use super::queue::{Queue, Waiting};
use super::reader::{Piece, Reader};
use super::request::{Outcome, Reply, Request, RequestError, RequestId};
use crate::limits::after;
use crate::retry::Class;
use core::time::Duration;
use dtu_proto::Framing;
use dtu_proto::tokens::TokenSet;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::SeedableRng;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Why [`Line::poll_timeout`] wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineTimer {
    /// A frame has begun, and does not go on.
    Stall,
    /// The reply to the request on the line is due.
    Reply,
    /// A reply that could be a late one has stayed the only one.
    Confirm,
    /// The line has been quiet for long enough, or a request may be repeated.
    Send,
    /// A request in the queue has no time left.
    Deadline,
}

/// The request on the line.
#[derive(Debug)]
struct Flight {
    waiting: Waiting,
    sent: Instant,
    until: Instant,
    attempts: u32,
    /// A reply that could be a late one, and until when another may come behind it.
    tentative: Option<(FrameBuf, Instant, Instant)>,
}

/// A half-duplex line. See the [module](super).
#[derive(Debug)]
pub struct Line<F> {
    reader: Reader<F>,
    limits: LineLimits,
    rng: Pcg32,
    queue: Queue,
    flight: Option<Flight>,
    doubts: Doubts,
    /// Since when a request could be sent, were it not for a frame that has begun.
    held: Option<Instant>,
    /// Whether what left last was not waited for, so that its echo may still come.
    follows: bool,
    /// Up to when the owner knows that it can send.
    told: Option<Instant>,
    is_connected: bool,
    is_closed: bool,
    next_id: u64,
    events: VecDeque<LineEvent>,
    ledger: LineLedger,
    counters: LineCounters,
}

impl<F: Framing> Line<F> {
    /// A line without a connection. `framing` is that of what comes; `seed` spreads the delays between repeats.
    #[must_use]
    pub fn new(framing: F, limits: LineLimits, seed: u64) -> Self {
        Self::with_tokens(framing, Arc::default(), limits, seed)
    }

    /// A line on which `tokens` stand between frames, or inside them, that are not of it: see [`dtu_proto::tokens`].
    #[must_use]
    pub fn with_tokens(framing: F, tokens: Arc<TokenSet>, limits: LineLimits, seed: u64) -> Self {
        Self {
            reader: Reader::new(framing, tokens, limits.stall),
            limits,
            rng: Pcg32::seed_from_u64(seed),
            queue: Queue::default(),
            flight: None,
            doubts: Doubts::default(),
            held: None,
            follows: false,
            told: None,
            is_connected: false,
            is_closed: false,
            next_id: 0,
            events: VecDeque::new(),
            ledger: LineLedger::default(),
            counters: LineCounters::default(),
        }
    }

    /// Takes these tokens out from now on. A frame that has begun is given up, so call it between connections.
    pub fn set_tokens(&mut self, now: Instant, tokens: Arc<TokenSet>)
    where
        F: Clone,
    {
        self.reader.set_tokens(tokens);
        self.take_pieces(now);
    }

    /// Puts a request into the queue. Its deadline runs from `now`.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: it was not taken, and is counted as refused.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<RequestId, RequestError> {
        self.ledger.asked += 1;
        let len = request.bytes.len();
        let refused = if self.is_closed {
            Some(RequestError::Closed)
        } else if len == 0 || len > self.limits.max_request {
            Some(RequestError::Length { len, limit: self.limits.max_request })
        } else {
            let limit = self.limits.queue;
            self.is_full().then_some(RequestError::Full { limit })
        };
        if let Some(error) = refused {
            self.ledger.refused += 1;
            return Err(error);
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.ledger.pending += 1;
        let (plan, deadline) = (request.plan(now), after(now, request.deadline));
        self.queue.put(Waiting { id, request, plan, deadline, not_before: None, sent: None });
        Ok(id)
    }

    /// Ends a request whose owner does not want it any more. Returns whether it was still there. The line stays quiet for the
    /// reply to one that was sent.
    pub fn cancel(&mut self, now: Instant, id: RequestId) -> bool {
        let is_on_line = self.flight.as_ref().is_some_and(|flight| flight.waiting.id == id);
        if is_on_line && let Some(mut flight) = self.flight.take() {
            self.give_back(&mut flight);
            self.doubt(&flight, now);
            self.settle(id, Outcome::Cancelled);
            return true;
        }
        let is_queued = self.queue.take(id).is_some();
        if is_queued {
            self.settle(id, Outcome::Cancelled);
        }
        is_queued
    }

    /// There is a connection.
    pub fn handle_connected(&mut self, now: Instant) {
        self.doubts.forget(now);
        self.is_connected = !self.is_closed;
    }

    /// The connection is gone. What is on the line is repeated on the next one where its policy says so, and is over otherwise;
    /// what waits goes on waiting.
    pub fn handle_disconnected(&mut self, now: Instant) {
        self.is_connected = false;
        self.reader.give_up();
        self.take_pieces(now);
        self.reader.forget_echoes();
        if let Some(mut flight) = self.flight.take() {
            self.give_back(&mut flight);
            // The unit may hand out what its line says now on its next connection.
            self.doubt(&flight, now);
            self.failed(now, flight, Outcome::LineGone);
        }
    }

    /// The end of the line: every request is over.
    pub fn close(&mut self, now: Instant) {
        self.handle_disconnected(now);
        self.is_closed = true;
        while let Some(waiting) = self.queue.take_any() {
            self.settle(waiting.id, Outcome::LineGone);
        }
    }

    /// Bytes came. They count before what is due by now: they may have waited for this call.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.doubts.forget(now);
        self.reader.handle_bytes(now, bytes);
        self.take_pieces(now);
    }

    /// Time has passed. An early or repeated call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.doubts.forget(now);
        self.told = Some(now);
        self.reader.handle_timeout(now);
        self.take_pieces(now);
        let is_due = |flight: &Flight| flight.until <= now;
        if self.flight.as_ref().is_some_and(is_due) {
            // Its reply may stand behind a false beginning.
            self.reader.give_up();
            self.take_pieces(now);
        }
        let is_confirmed = |flight: &Flight| flight.tentative.as_ref().is_some_and(|(_, _, until)| *until <= now);
        if let Some(flight) = self.flight.take_if(|flight| is_due(flight) || is_confirmed(flight)) {
            self.end_flight(now, flight);
        }
        while let Some(waiting) = self.queue.take_expired(now) {
            self.settle(waiting.id, without_reply(&waiting));
        }
    }

    /// Puts the bytes of the next request behind `out` when it is its turn. Returns whether it did. Its timeout runs from
    /// now on, so call it when what was taken before has left.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.doubts.forget(now);
        if !self.is_clear(now) {
            self.held = None;
            return false;
        }
        if self.reader.is_waiting() {
            let held = *self.held.get_or_insert(now);
            if now < after(held, self.limits.stall) {
                return false;
            }
            self.reader.give_up();
            self.take_pieces(now);
        }
        self.held = None;
        while let Some(mut waiting) = self.queue.take_ready(now) {
            let Ok(attempt) = waiting.plan.begin(now) else {
                self.settle(waiting.id, without_reply(&waiting));
                continue;
            };
            waiting.sent = Some(now);
            let is_over = !waiting.request.matcher.expects_reply() && waiting.request.timeout.is_zero();
            out.extend_from_slice(&waiting.request.bytes);
            if !self.follows {
                self.reader.forget_echoes();
            }
            if waiting.request.echo {
                self.reader.expect_echo(waiting.request.bytes.clone());
            }
            self.follows = is_over;
            self.counters.attempts += 1;
            if is_over {
                self.settle(waiting.id, Outcome::Sent);
                return true;
            }
            let (until, attempts) = (attempt.until, attempt.number);
            self.flight = Some(Flight { waiting, sent: now, until, attempts, tentative: None });
            return true;
        }
        false
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<LineEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and then [`poll_transmit`](Self::poll_transmit) next, and why. Who
    /// cannot send then is not told of that turn again: call `poll_transmit` as soon as what was taken before has left.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, LineTimer)> {
        let stall = self.reader.poll_timeout().map(|at| (at, LineTimer::Stall));
        let reply = self.flight.as_ref().map(|flight| (flight.until, LineTimer::Reply));
        let tentative = self.flight.as_ref().and_then(|flight| flight.tentative.as_ref());
        let confirm = tentative.map(|(_, _, until)| (*until, LineTimer::Confirm));
        let deadline =
            self.queue.iter().map(|waiting| (waiting.deadline, LineTimer::Deadline)).min_by_key(|(at, _)| *at);
        let send = self.next_turn().map(|at| (at, LineTimer::Send));
        [stall, reply, confirm, send, deadline].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When the next request can be sent, as far as time alone keeps it back. What has been told is not told again: the owner
    /// may be unable to send.
    fn next_turn(&self) -> Option<Instant> {
        if !self.is_connected || self.flight.is_some() {
            return None;
        }
        let held = self.held.map(|held| after(held, self.limits.stall));
        let quiet = self.doubts.quiet_until();
        let turn = held.or_else(|| self.queue.iter().filter_map(|waiting| waiting.not_before.max(quiet)).min())?;
        (self.told < Some(turn)).then_some(turn)
    }

    /// Whether nothing is in the way of the next request but what stands in the queue.
    fn is_clear(&self, now: Instant) -> bool {
        let is_quiet = self.doubts.quiet_until().is_none_or(|until| until <= now);
        let is_ready = |waiting: &Waiting| waiting.not_before.is_none_or(|from| from <= now);
        self.is_connected && self.flight.is_none() && is_quiet && self.queue.iter().any(is_ready)
    }

    /// Until when the request on the line waits for its reply; `None` where none is on it. Behind it the attempt is over, so its
    /// bytes are not to leave any more.
    #[must_use]
    pub fn reply_until(&self) -> Option<Instant> {
        self.flight.as_ref().map(|flight| flight.until)
    }

    /// Whether a request is on the line or in the queue.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.ledger.pending > 0
    }

    /// Whether as many requests wait as may.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.ledger.pending >= self.limits.queue as u64
    }

    /// What became of the requests so far.
    #[must_use]
    pub const fn ledger(&self) -> &LineLedger {
        &self.ledger
    }

    /// What the line has seen besides.
    #[must_use]
    pub const fn counters(&self) -> LineCounters {
        let echo_bytes = self.reader.echo_bytes;
        let skipped_bytes = self.reader.skipped_bytes;
        LineCounters { echo_bytes, skipped_bytes, ..self.counters }
    }

    /// The bytes of memory that requests take here, and a frame that is not whole. Bounded by [`LineLimits`] and the framing.
    #[must_use]
    pub fn memory(&self) -> usize {
        let flight = self.flight.as_ref().map_or(0, |flight| {
            let tentative = flight.tentative.as_ref().map_or(0, |(frame, ..)| frame.memory());
            flight.waiting.memory().saturating_add(tentative)
        });
        self.queue.memory().saturating_add(flight).saturating_add(self.reader.memory())
    }

    /// The framing.
    #[must_use]
    pub const fn framing(&self) -> &F {
        self.reader.framing()
    }

    fn take_pieces(&mut self, now: Instant) {
        while let Some(piece) = self.reader.pieces.pop_front() {
            match piece {
                Piece::Frame(frame) => self.handle_frame(now, frame),
                Piece::Skipped { bytes, cause } => self.events.push_back(LineEvent::Skipped { bytes, cause }),
                Piece::Token { index } => self.events.push_back(LineEvent::Token { index }),
            }
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: FrameBuf) {
        let Some(flight) = &mut self.flight else { return self.handle_idle_frame(now, frame) };
        let id = flight.waiting.id;
        if !flight.waiting.request.matcher.is_reply(frame.as_bytes()) {
            let kind =
                self.doubts.take(frame.as_bytes()).map_or(Unsolicited::Mismatched, |id| Unsolicited::Late { id });
            return self.tell(frame, kind);
        }
        let Some(mut flight) = self.flight.take() else { return };
        // One that came before is older: it was the late one.
        self.give_back(&mut flight);
        if self.doubts.is_doubtful(id, frame.as_bytes()) {
            flight.tentative = Some((frame, now, after(now, self.limits.confirm)));
            self.flight = Some(flight);
        } else {
            self.replied(now, flight, frame);
        }
    }

    /// A frame while nothing is on the line: the late reply to a request, which may still wait to be repeated.
    fn handle_idle_frame(&mut self, now: Instant, frame: FrameBuf) {
        let Some(id) = self.doubts.take(frame.as_bytes()) else { return self.tell(frame, Unsolicited::Idle) };
        let Some(waiting) = self.queue.take(id) else { return self.tell(frame, Unsolicited::Late { id }) };
        let sent = waiting.sent.unwrap_or(now);
        let (attempts, round_trip) = (waiting.plan.attempts(), now.saturating_duration_since(sent));
        self.settle(id, Outcome::Replied(Reply { frame, attempts, round_trip, is_late: true }));
    }

    /// A reply that could be a late one counts as that.
    fn give_back(&mut self, flight: &mut Flight) {
        let Some((frame, ..)) = flight.tentative.take() else { return };
        let late = self.doubts.take(frame.as_bytes());
        self.tell(frame, late.map_or(Unsolicited::Mismatched, |id| Unsolicited::Late { id }));
    }

    fn tell(&mut self, frame: FrameBuf, kind: Unsolicited) {
        let count = match kind {
            Unsolicited::Idle => &mut self.counters.idle,
            Unsolicited::Mismatched => &mut self.counters.mismatched,
            Unsolicited::Late { .. } => &mut self.counters.late,
        };
        *count += 1;
        self.events.push_back(LineEvent::Unsolicited { frame, kind });
    }

    /// The time of the request on the line is up, or that of a reply that could be a late one.
    fn end_flight(&mut self, now: Instant, mut flight: Flight) {
        if let Some((frame, came, _)) = flight.tentative.take() {
            // A device answers in turn, so nothing older comes any more.
            while self.doubts.take(frame.as_bytes()).is_some() {}
            return self.replied(came, flight, frame);
        }
        self.doubt(&flight, now);
        if !flight.waiting.request.matcher.expects_reply() {
            return self.settle(flight.waiting.id, Outcome::Sent);
        }
        let outcome = Outcome::TimedOut { attempts: flight.attempts };
        self.failed(now, flight, outcome);
    }

    /// An attempt is over without a reply: it is repeated, or ends so.
    fn failed(&mut self, now: Instant, flight: Flight, outcome: Outcome) {
        let mut waiting = flight.waiting;
        match waiting.plan.failed(Class::Transient, false, now, &mut self.rng) {
            Ok(at) if !self.is_closed && waiting.request.matcher.expects_reply() => {
                waiting.not_before = Some(at);
                self.queue.put(waiting);
            }
            Ok(_) | Err(_) => self.settle(waiting.id, outcome),
        }
    }

    fn replied(&mut self, now: Instant, flight: Flight, frame: FrameBuf) {
        let round_trip = now.saturating_duration_since(flight.sent);
        let reply = Reply { frame, attempts: flight.attempts, round_trip, is_late: false };
        self.settle(flight.waiting.id, Outcome::Replied(reply));
    }

    /// The reply to a request that is over at `now` may still come, reckoned from when its timeout is: a deadline, a cancellation or
    /// the end of the connection makes no device faster.
    fn doubt(&mut self, flight: &Flight, now: Instant) {
        let Request { matcher, timeout, .. } = &flight.waiting.request;
        let due = after(flight.sent, *timeout).max(now);
        let waits_until = due.min(after(now, QUIET_MAX));
        if matcher.expects_reply() {
            let quiet = if matcher.is_unique() { Duration::ZERO } else { self.limits.quarantine };
            let until = after(after(due, quiet), self.limits.suspicion);
            self.doubts.add(flight.waiting.id, matcher.clone(), after(waits_until, quiet), until);
        } else if due > now {
            // Nothing comes, but the devices on the line are given their time.
            self.doubts.add(flight.waiting.id, matcher.clone(), waits_until, waits_until);
        }
    }

    fn settle(&mut self, id: RequestId, outcome: Outcome) {
        self.ledger.settle(&outcome);
        self.events.push_back(LineEvent::Settled { id, outcome });
    }
}

/// How a request ends whose time is up while it waits.
const fn without_reply(waiting: &Waiting) -> Outcome {
    match waiting.plan.attempts() {
        0 => Outcome::Expired,
        attempts => Outcome::TimedOut { attempts },
    }
}
