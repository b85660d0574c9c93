//! The session of a unit: it outlives connections, and has one line.

use super::event::{Heard, TransparentCounters, TransparentEvent};
use super::framing::SharedFraming;
use super::inbox::Inbox;
use super::pattern::{Captures, Found};
use super::profile::{Mode, Profile};
use super::reception::Identified;
use super::wrapper::{Unwrapped, Wrapper};
use crate::error::{Cause, Violation};
use crate::event::{Epoch, State, StateChange};
use crate::line::{Line, LineCounters, LineEvent, LineLedger, Matcher, Request, RequestError, RequestId};
use core::time::Duration;
use dtu_proto::Malformed;
use dtu_proto::message::CloseCode;
use dtu_proto::tokens::TokenSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The bytes of answers to a unit that may wait to be sent. Beyond, it sends heartbeats and takes nothing.
pub const REPLIES: usize = 4096;

/// The session of a unit. See the [module](super).
#[derive(Debug)]
pub struct Transparent {
    profile: Arc<Profile>,
    id: Arc<str>,
    line: Line<SharedFraming>,
    /// What is around the line's bytes on the connection of now.
    wrapper: Option<Wrapper>,
    registration: Option<Captures>,
    /// The token that stands for the registration before packets.
    prefix: Option<usize>,
    state: State,
    epoch: Epoch,
    /// When the last byte came, or the connection began or ended.
    heard: Instant,
    last_byte: Option<Instant>,
    replies: Vec<u8>,
    inbox: Inbox,
    events: VecDeque<TransparentEvent>,
    counters: TransparentCounters,
}

impl Transparent {
    /// The session of the unit `id`, which has no connection yet; `seed` spreads the delays between repeats.
    #[must_use]
    pub fn new(profile: Arc<Profile>, id: Arc<str>, seed: u64, now: Instant) -> Self {
        let line = Line::new(profile.framing.clone(), profile.line(), seed);
        Self {
            profile,
            id,
            line,
            wrapper: None,
            registration: None,
            prefix: None,
            state: State::Disconnected,
            epoch: Epoch::default(),
            heard: now,
            last_byte: None,
            replies: Vec::new(),
            inbox: Inbox::default(),
            events: VecDeque::new(),
            counters: TransparentCounters::default(),
        }
    }

    /// The unit has connected and said who it is. An older connection is over. Returns the number of this one; `None` when the
    /// session is closed.
    pub fn handle_identified(&mut self, now: Instant, identified: Identified) -> Option<Epoch> {
        if self.state == State::Closed {
            return None;
        }
        if self.state == State::Connected {
            self.counters.replaced += 1;
            self.disconnect(now, Cause::Replaced);
        }
        let Identified { registration, rest, heartbeats, before, skipped } = identified;
        self.epoch = Epoch(self.epoch.number().wrapping_add(1));
        self.counters.connections += 1;
        self.counters.heartbeats += heartbeats;
        self.counters.received_bytes += (before + registration.len()) as u64;
        (self.heard, self.last_byte) = (now, Some(now));
        self.wrapper = self.profile.envelope.clone().map(|envelope| Wrapper::new(envelope, registration.as_bytes()));
        self.take_tokens(now, &registration);
        self.line.handle_connected(now);
        let event = TransparentEvent::Identified { epoch: self.epoch, registration: registration.clone() };
        self.events.push_back(event);
        self.registration = Some(registration);
        self.change(now, State::Connected, None);
        if skipped > 0 {
            self.events.push_back(TransparentEvent::Skipped { bytes: skipped, cause: Malformed::Magic });
        }
        self.answer_registration();
        self.handle_bytes(self.epoch, now, &rest);
        Some(self.epoch)
    }

    /// The tokens of the profile, and the registration as it came where it stands before packets.
    fn take_tokens(&mut self, now: Instant, registration: &Captures) {
        let mut tokens: TokenSet = self.profile.tokens.clone();
        // A heartbeat that is the same bytes is a heartbeat.
        self.prefix = match self.profile.mode {
            Mode::Once => None,
            Mode::Prefix | Mode::Both => tokens.add(registration.as_bytes()).ok(),
        };
        self.line.set_tokens(now, Arc::new(tokens));
    }

    /// Bytes came on the connection `epoch`; those of an older one do nothing.
    pub fn handle_bytes(&mut self, epoch: Epoch, now: Instant, bytes: &[u8]) {
        if bytes.is_empty() || !self.is_live(epoch) {
            return;
        }
        (self.heard, self.last_byte) = (now, Some(now));
        self.counters.received_bytes += bytes.len() as u64;
        if self.wrapper.is_some() {
            self.unwrap(now, bytes);
        } else {
            self.line.handle_bytes(now, bytes);
        }
        self.take_events();
    }

    fn unwrap(&mut self, now: Instant, mut bytes: &[u8]) {
        loop {
            let Some(wrapper) = &mut self.wrapper else { return };
            let (taken, unwrapped) = wrapper.next(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            match unwrapped {
                Unwrapped::Data(data) => self.line.handle_bytes(now, &data),
                Unwrapped::Register(frame) => match self.profile.pattern.at_front(&frame, true) {
                    Found::Whole(again) if again.id() != &*self.id => {
                        return self.disconnect(now, Cause::Violation(Violation::OtherDevice));
                    }
                    Found::Whole(_) => {
                        self.heartbeat(None);
                        self.answer_registration();
                    }
                    // Envelopes without a checksum let damage through.
                    Found::NeedMore | Found::None => self.skip_envelope(frame.len(), Malformed::Magic),
                },
                Unwrapped::Logout(frame) => {
                    if let Some(envelope) = self.profile.envelope.as_ref().map(|envelope| &envelope.logout_reply) {
                        let mut reply = Vec::new();
                        if let Some(registration) = &self.registration {
                            envelope.render(&frame, registration, &mut reply);
                        }
                        self.reply(&reply);
                    }
                }
                Unwrapped::Control { kind } => self.events.push_back(TransparentEvent::Control { kind }),
                Unwrapped::Skipped { bytes, cause } => self.skip_envelope(bytes, cause),
                Unwrapped::NeedMore => return,
            }
        }
    }

    fn skip_envelope(&mut self, bytes: usize, cause: Malformed) {
        self.counters.envelope_skipped_bytes += bytes as u64;
        self.events.push_back(TransparentEvent::Skipped { bytes, cause });
    }

    /// The connection `epoch` is gone; an older one does nothing.
    pub fn handle_disconnected(&mut self, epoch: Epoch, now: Instant, cause: Cause) {
        if self.is_live(epoch) {
            self.disconnect(now, cause);
        }
    }

    fn disconnect(&mut self, now: Instant, cause: Cause) {
        self.line.handle_disconnected(now);
        self.take_events();
        self.wrapper = None;
        // It was meant for that connection.
        self.replies = Vec::new();
        self.heard = now;
        self.change(now, State::Disconnected, Some(cause));
    }

    /// Time has passed. An early or repeated call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if let Some(wrapper) = self.wrapper.as_mut().filter(|_| self.heard + self.profile.stall <= now) {
            wrapper.give_up();
            self.unwrap(now, &[]);
        }
        self.line.handle_timeout(now);
        self.take_events();
        let is_up = self.state == State::Connected;
        let limit = self.silence_limit();
        if now < self.heard + limit {
            return;
        }
        if is_up {
            self.disconnect(now, Cause::Silent { limit });
        } else {
            self.end(now, Cause::Away { limit });
        }
    }

    /// How long nothing may be heard in the state of now.
    fn silence_limit(&self) -> Duration {
        if self.state == State::Connected { self.profile.idle } else { self.profile.retention }
    }

    /// Puts what is to be sent next on the connection `epoch` behind `out`. Returns whether there was something. Call it when
    /// what was taken before has left: the timeout of a request runs from then.
    #[must_use]
    pub fn poll_transmit(&mut self, epoch: Epoch, now: Instant, out: &mut Vec<u8>) -> bool {
        if !self.is_live(epoch) {
            return false;
        }
        if !self.replies.is_empty() {
            out.append(&mut self.replies);
            self.replies = Vec::new();
            return true;
        }
        let Some(wrapper) = &self.wrapper else {
            let sent = self.line.poll_transmit(now, out);
            self.take_events();
            return sent;
        };
        let mut bytes = Vec::new();
        let sent = self.line.poll_transmit(now, &mut bytes);
        if sent && let Err(error) = wrapper.wrap(&bytes, out) {
            self.counters.unsendable += 1;
            self.events.push_back(TransparentEvent::Unsendable { bytes: bytes.len(), error });
        }
        self.take_events();
        sent
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<TransparentEvent> {
        self.events.pop_front()
    }

    /// The next frame of the line that is no reply to a request.
    #[must_use]
    pub fn poll_heard(&mut self) -> Option<Heard> {
        self.inbox.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and then [`poll_transmit`](Self::poll_transmit) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let silence = self.heard + self.silence_limit();
        let line = self.line.poll_timeout().map(|(at, _)| at);
        let is_stalled = self.wrapper.as_ref().is_some_and(Wrapper::is_waiting);
        let stall = is_stalled.then(|| self.heard + self.profile.stall);
        [Some(silence), line, stall].into_iter().flatten().min()
    }

    /// Asks the line. The outcome comes as an event.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: it was not taken.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<RequestId, RequestError> {
        let request = if self.profile.echo { request.echoed() } else { request };
        self.line.request(now, request)
    }

    /// Sends bytes that have no reply, in turn with the requests. The outcome comes as an event.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: they were not taken.
    pub fn send(&mut self, now: Instant, bytes: &[u8]) -> Result<RequestId, RequestError> {
        self.request(now, Request::new(bytes, Matcher::None).timeout(Duration::ZERO))
    }

    /// As [`Line::cancel`].
    pub fn cancel(&mut self, now: Instant, id: RequestId) -> bool {
        let cancelled = self.line.cancel(now, id);
        self.take_events();
        cancelled
    }

    /// Ends the session and everything that was asked of it. What the unit is sent last is an end of its connection.
    pub fn close(&mut self, now: Instant, code: CloseCode) {
        if self.state != State::Closed {
            self.end(now, Cause::Closed(code));
        }
    }

    fn end(&mut self, now: Instant, cause: Cause) {
        self.line.close(now);
        self.take_events();
        self.wrapper = None;
        self.replies = Vec::new();
        self.change(now, State::Closed, Some(cause));
    }

    fn change(&mut self, at: Instant, state: State, cause: Option<Cause>) {
        self.state = state;
        let change = StateChange { state, cause, reason: Box::default(), at, epoch: self.epoch };
        self.events.push_back(TransparentEvent::State(change));
    }

    fn take_events(&mut self) {
        while let Some(event) = self.line.poll_event() {
            match event {
                LineEvent::Settled { id, outcome } => self.events.push_back(TransparentEvent::Settled { id, outcome }),
                LineEvent::Skipped { bytes, cause } => {
                    self.events.push_back(TransparentEvent::Skipped { bytes, cause });
                }
                LineEvent::Token { index } if Some(index) == self.prefix => self.counters.prefixes += 1,
                LineEvent::Token { index } => self.heartbeat(Some(index)),
                LineEvent::Unsolicited { frame, kind } => {
                    for lost in self.inbox.put(Heard { frame, kind, epoch: self.epoch }) {
                        self.counters.overruns += 1;
                        let bytes = lost.frame.as_bytes().len();
                        self.events.push_back(TransparentEvent::Overrun { bytes });
                    }
                }
            }
        }
    }

    fn heartbeat(&mut self, index: Option<usize>) {
        self.counters.heartbeats += 1;
        self.events.push_back(TransparentEvent::Heartbeat { index });
        let reply = index.and_then(|index| self.profile.heartbeat_replies.get(index));
        if let (Some(reply), Some(index), Some(registration)) = (reply, index, &self.registration) {
            let mut out = Vec::new();
            reply.render(self.profile.tokens.pattern(index).unwrap_or_default(), registration, &mut out);
            self.reply(&out);
        }
    }

    fn answer_registration(&mut self) {
        let Some(registration) = &self.registration else { return };
        let mut out = Vec::new();
        self.profile.registration_reply.render(registration.as_bytes(), registration, &mut out);
        self.reply(&out);
    }

    fn reply(&mut self, bytes: &[u8]) {
        if self.replies.len() + bytes.len() <= REPLIES {
            self.replies.extend_from_slice(bytes);
        } else {
            self.counters.replies_dropped += 1;
            self.events.push_back(TransparentEvent::ReplyDropped { bytes: bytes.len() });
        }
    }

    /// Who the unit is.
    #[must_use]
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What it said last when it connected.
    #[must_use]
    pub const fn registration(&self) -> Option<&Captures> {
        self.registration.as_ref()
    }

    /// `Connected`, `Disconnected` or `Closed`.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The number of the connection of now, or of the last one.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the last byte of the unit came; `None` before its first connection.
    #[must_use]
    pub const fn last_heard(&self) -> Option<Instant> {
        self.last_byte
    }

    /// Whether `epoch` is the connection of now.
    #[must_use]
    pub fn is_live(&self, epoch: Epoch) -> bool {
        self.state == State::Connected && self.epoch == epoch
    }

    /// Whether a request would be refused for want of room.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.line.is_full()
    }

    /// Whether frames wait for the application.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The bytes of memory that the session holds: frames that wait for the application, requests, answers that wait to leave,
    /// and what is not whole of a frame or an envelope. Bounded by the [bounds of the inbox](super::HEARD_BYTES), the profile's
    /// line and [`REPLIES`].
    #[must_use]
    pub fn memory(&self) -> usize {
        let envelope = self.wrapper.as_ref().map_or(0, Wrapper::buffered);
        let frames = self.inbox.memory().saturating_add(self.line.memory());
        frames.saturating_add(self.replies.len()).saturating_add(envelope)
    }

    /// What became of the requests so far.
    #[must_use]
    pub const fn ledger(&self) -> &LineLedger {
        self.line.ledger()
    }

    /// What the line has seen besides.
    #[must_use]
    pub const fn line_counters(&self) -> LineCounters {
        self.line.counters()
    }

    /// What the session has seen besides.
    #[must_use]
    pub const fn counters(&self) -> TransparentCounters {
        self.counters
    }
}
