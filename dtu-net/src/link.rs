//! A link: one device and one server, over as many connections as it takes. Facts in, work out; no clock, no socket and
//! no random number of its own.
//!
//! | state | what it is | deadline | then |
//! |---|---|---|---|
//! | `Disconnected` | a device waits for its next try | backoff | `Connecting` |
//! | | a server waits for its device | [`RETENTION`](crate::limits::RETENTION) | `Closed` |
//! | `Connecting` | a device dials | [`CONNECT`](crate::limits::CONNECT) | `Disconnected` |
//! | `Registering` | a device has sent REGISTER | [`IDENTIFY`](crate::limits::IDENTIFY) | `Disconnected` |
//! | `Connected` | DATA flows; a device asks after a silent heartbeat | heartbeat | PING |
//! | | the first PING stayed without an answer | probe timeout | `Suspect` |
//! | | a server heard nothing | 2 × heartbeat | `Disconnected` |
//! | `Suspect` | as `Connected`; any byte leads back to it | misses × probe timeout | `Disconnected` |
//! | `Closed` | the end | none | |
//!
//! From every state CLOSE with DONE, and [`close`](Link::close), lead to `Closed`; a broken transport and a broken rule lead to
//! `Disconnected`. Each connection has an [`Epoch`]; what is said of an older one does nothing.
//!
//! # The drain rule
//!
//! **After every call that takes `&mut self`, take everything out: bytes until `poll_transmit` says that there are none,
//! events until `poll_event` gives `None`; then sleep until the instant of `poll_timeout`, the next byte or the next call
//! of the application.** What the peer sent for the application may wait in the link: while
//! [`wants_bytes`](Link::wants_bytes) is false, do not read. That, and the transport behind it, bounds the memory.
//!
//! The whole loop, runnable and without tokio, is `examples/own_driver.rs`.

use crate::error::{Cause, CommitError, SendError};
use crate::event::{Epoch, Event, LinkCounters, Mark, Received, State, Timer};
use crate::limits::{DRAIN_MAX, Limits, after};
use crate::outbox::Outgoing;
pub use crate::role::Role;
pub(crate) use crate::role::sealed;
use crate::state::{Closing, Core};
use crate::wire::Wire;
use core::mem;
use core::time::Duration;
use dtu_proto::Step;
use dtu_proto::message::{CloseCode, Datagram};
use std::time::Instant;

/// One end of a link. See the [module](self) for its states and for the drain rule.
#[derive(Debug)]
pub struct Link<R> {
    pub(crate) wire: Option<Wire>,
    pub(crate) core: Core,
    pub(crate) role: R,
}

impl<R: Role> Link<R> {
    /// Takes bytes of the stream, all of them.
    pub fn handle_bytes(&mut self, epoch: Epoch, now: Instant, bytes: &[u8]) {
        if !bytes.is_empty() && self.is_live(epoch) {
            self.role.heard(&mut self.core, now);
            self.core.heard(now);
            self.drain(now, bytes);
            if !self.core.wants_bytes() {
                self.role.unread();
            }
        }
    }

    /// Takes a datagram that was opened by [`Datagram::open`] and had `length` bytes; its sender is trusted to be the peer.
    pub fn handle_datagram(&mut self, epoch: Epoch, now: Instant, datagram: &Datagram<'_>, length: usize) {
        let Some(Wire::Datagrams { .. }) = self.wire.as_ref().filter(|_| epoch == self.core.epoch) else { return };
        self.core.heard(now);
        let taken = self.core.handle(&mut self.role, now, false, &datagram.message, length);
        self.settle(now, taken);
    }

    /// Takes the end of the transport: [`Cause::Disconnected`] when the peer closed its stream in order, or what broke.
    /// Whole frames inside a candidate that now stays incomplete are still taken.
    pub fn handle_disconnected(&mut self, epoch: Epoch, now: Instant, cause: Cause) {
        self.handle_broken(epoch, now, cause, "");
    }

    /// The same with what the transport said about it for people.
    pub fn handle_broken(&mut self, epoch: Epoch, now: Instant, cause: Cause, reason: &str) {
        if epoch == self.core.epoch && self.is_connecting_or_live() {
            self.abandon(now);
        }
        // What was taken may have been the end already.
        if epoch == self.core.epoch && self.is_connecting_or_live() {
            self.lose(now, cause, reason);
        }
    }

    /// Takes the time. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, timer)) = self.poll_timeout()
            && deadline <= now
        {
            let done = match timer {
                Timer::InterByte | Timer::Frame if !self.core.wants_bytes() => {
                    // The rest of the candidate waits in the transport, unread.
                    self.core.heartbeat.heard(now);
                    if let Some(Wire::Stream(stream)) = &mut self.wire {
                        stream.restart_candidate(now);
                    }
                    Ok(())
                }
                Timer::InterByte | Timer::Frame => {
                    self.abandon(now);
                    Ok(())
                }
                Timer::Silence if !self.core.wants_bytes() => {
                    // Nothing was read, so the silence is not the peer's. It has to hear that this side lives.
                    self.core.heartbeat.heard(now);
                    self.core.heartbeat.sent(now);
                    self.core.ask();
                    Ok(())
                }
                Timer::Silence => self.role.handle_silence(&mut self.core, now),
                Timer::Resend => {
                    self.resend(now);
                    Ok(())
                }
                Timer::Expiry => {
                    self.core.outbox.expire(now, &mut self.core.events);
                    Ok(())
                }
                Timer::Drain => {
                    self.finish(now);
                    Ok(())
                }
                Timer::Reconnect
                | Timer::Connect
                | Timer::Identify
                | Timer::Repeat
                | Timer::Retention
                | Timer::Probe
                | Timer::Move => self.role.handle_timer(&mut self.core, now, timer),
            };
            self.settle(now, done);
        }
    }

    /// Appends the bytes to send next to `out`, and returns whether there were any: on a stream up to about 16 KiB, on
    /// datagrams exactly one datagram. Of a connection that is over these are its last words.
    #[must_use]
    pub fn poll_transmit(&mut self, epoch: Epoch, now: Instant, out: &mut Vec<u8>) -> bool {
        if let Some(bytes) = self.core.take_farewell(epoch) {
            out.extend_from_slice(&bytes);
            return true;
        }
        let Some(wire) = self.wire.as_ref().filter(|_| epoch == self.core.epoch) else { return false };
        let before = out.len();
        loop {
            let more = self.role.transmit(&mut self.core, now, wire, out)
                || self.core.state.is_up() && self.core.transmit(now, wire, out);
            if !more || !Core::may_grow(out.len() - before, wire) {
                let sent = out.len() > before;
                if sent {
                    self.role.sent(&mut self.core, now);
                    self.core.heartbeat.sent(now);
                }
                return sent;
            }
        }
    }

    /// What happened next.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.core.events.pop_front();
        if event.is_none() && self.core.events.capacity() > 0 {
            self.core.events = std::collections::VecDeque::new();
        }
        event
    }

    /// What the peer sent next for the application. [`commit`](Self::commit) its mark once you have taken responsibility for
    /// it.
    #[must_use]
    pub fn poll_received(&mut self) -> Option<Received> {
        self.core.inbox.take()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next, and for what. `None` when never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let core = &self.core;
        if core.state == State::Closed {
            return None;
        }
        let mut earliest = self.role.timer(core);
        let mut consider = |deadline: Instant, timer| {
            if earliest.is_none_or(|(before, _)| deadline < before) {
                earliest = Some((deadline, timer));
            }
        };
        if let Some(wire) = &self.wire {
            if wire.buffered() > 0 {
                consider(after(core.heartbeat.last_heard(), core.limits.inter_byte), Timer::InterByte);
                if let Some(since) = wire.candidate_since() {
                    consider(after(since, core.limits.frame), Timer::Frame);
                }
            }
            if core.state.is_up() {
                consider(self.role.silence_deadline(core), Timer::Silence);
                if let Some(at) = core.outbox.resend_at(self.resend_timeout(), core.limits.resend_max) {
                    consider(at, Timer::Resend);
                }
            }
        }
        if let Some(at) = core.outbox.expires_at() {
            consider(at, Timer::Expiry);
        }
        if let Some(closing) = &core.closing {
            consider(closing.until, Timer::Drain);
        }
        earliest
    }

    /// Puts DATA into the outbox and returns its number. It may leave on this connection or on a later one; what became of
    /// it is told by [`Event::Settled`].
    ///
    /// # Errors
    ///
    /// [`SendError`]; the outbox is as before then.
    pub fn send(&mut self, outgoing: Outgoing) -> Result<u32, SendError> {
        let (length, limit) = (outgoing.body.len(), self.core.limits.max_body());
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        if self.core.closing.is_some() || self.core.state == State::Closed {
            return Err(SendError::Closed);
        }
        let Core { limits, outbox, events, .. } = &mut self.core;
        outbox.push(outgoing, &limits.outbox, events)
    }

    /// Whether the outbox has room for a body of `length` bytes.
    #[must_use]
    pub fn has_room(&self, length: usize) -> bool {
        self.core.outbox.has_room(length, &self.core.limits.outbox)
    }

    /// Takes responsibility for everything before `mark`: it is acknowledged. An earlier mark changes nothing.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Nothing is acknowledged then.
    pub fn commit(&mut self, mark: Mark) -> Result<(), CommitError> {
        self.core.inbox.commit(mark)
    }

    /// Closes the link: takes no more DATA, and sends CLOSE as soon as all there is has its outcome, at the latest after
    /// `drain`, which is a day at most. What is left then is abandoned. The first call decides how; a later one can only
    /// shorten the time.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str, drain: Duration) {
        let until = now + drain.min(DRAIN_MAX);
        match &mut self.core.closing {
            Some(closing) => closing.until = closing.until.min(until),
            None => self.core.closing = Some(Box::new(Closing { until, code, reason: reason.into() })),
        }
        self.settle(now, Ok(()));
    }

    /// Whether [`close`](Self::close) was called, and there is still something to wait for.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.core.closing.is_some()
    }

    /// The state of now.
    #[must_use]
    pub const fn state(&self) -> State {
        self.core.state
    }

    /// The connection of now, or the last one.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.core.epoch
    }

    /// Whether this connection is the one of now and not over. Last words may still wait to leave when it is over.
    #[must_use]
    pub fn is_live(&self, epoch: Epoch) -> bool {
        epoch == self.core.epoch && self.wire.is_some()
    }

    /// Whether bytes of the transport are welcome: the application is not too far behind.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        self.core.wants_bytes()
    }

    /// Whether [`poll_received`](Self::poll_received) has something.
    #[must_use]
    pub fn has_received(&self) -> bool {
        self.core.inbox.is_waiting()
    }

    /// Whether an acknowledgement waits to leave.
    #[must_use]
    pub const fn is_ack_due(&self) -> bool {
        self.core.inbox.is_ack_due()
    }

    /// The bounds of this link; a device's hold the heartbeat that the server announced.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// The id of the stream in which this side sends.
    #[must_use]
    pub const fn stream(&self) -> u64 {
        self.core.outbox.stream()
    }

    /// What the link has carried so far.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        let line = match &self.wire {
            Some(Wire::Stream(stream)) => Some(stream.counters()),
            Some(Wire::Datagrams { .. }) | None => None,
        };
        self.core.counters(line)
    }

    /// The bytes of memory that DATA takes here, and a candidate that is not whole. Bounded by [`Limits`]: the outbox, what
    /// waits for the application, and on datagrams the window.
    #[must_use]
    pub fn memory(&self) -> usize {
        let buffered = self.wire.as_ref().map_or(0, Wire::buffered);
        self.core.outbox.memory().saturating_add(self.core.inbox.memory()).saturating_add(buffered)
    }

    const fn is_connecting_or_live(&self) -> bool {
        self.wire.is_some() || matches!(self.core.state, State::Connecting)
    }

    /// Takes all steps there are of what waits and of `bytes` behind it.
    pub(crate) fn drain(&mut self, now: Instant, mut bytes: &[u8]) {
        let mut progress = false;
        loop {
            let Some(Wire::Stream(stream)) = &mut self.wire else { return };
            let (count, step) = stream.next_step_from(bytes);
            let taken = match step {
                Step::NeedMore { .. } => break,
                Step::Frame(_) | Step::Skipped { .. } => self.core.handle_step(&mut self.role, now, step),
            };
            bytes = bytes.get(count..).unwrap_or_default();
            progress = true;
            self.settle(now, taken);
        }
        if let Some(Wire::Stream(stream)) = &mut self.wire {
            stream.settle(now, progress);
        }
    }

    /// Gives up every candidate that waits; the line fell silent or ended.
    fn abandon(&mut self, now: Instant) {
        while let Some(Wire::Stream(stream)) = &mut self.wire
            && let Some(step) = stream.abandon_candidate()
        {
            let taken = self.core.handle_step(&mut self.role, now, step);
            self.settle(now, taken);
            self.drain(now, &[]);
        }
    }

    fn resend(&mut self, now: Instant) {
        let ordered = self.wire.as_ref().is_some_and(Wire::is_ordered);
        let (before, most) = if ordered {
            // A stream loses at most what was damaged on it, and then all that follows is refused: the first decides.
            (now, 1)
        } else {
            let timeout = self.resend_timeout();
            (now.checked_sub(timeout).unwrap_or(now), usize::MAX)
        };
        self.core.outbox.resend(now, before, most);
    }

    fn resend_timeout(&self) -> Duration {
        let measured = self.core.heartbeat.round_trip().timeout();
        match &self.wire {
            Some(Wire::Datagrams { .. }) => measured,
            Some(Wire::Stream(_)) | None => measured.max(self.core.limits.resend),
        }
    }

    /// Ends the connection on an error, and the link when it closes and everything has its outcome.
    pub(crate) fn settle(&mut self, now: Instant, done: Result<(), Cause>) {
        if let Err(cause) = done {
            self.end(now, cause);
        }
        if let Some(cause) = self.role.leaves(&self.core) {
            self.end(now, cause);
        }
        if self.core.closing.is_some() && self.core.outbox.is_empty() && self.core.state != State::Closed {
            self.finish(now);
        }
    }

    /// Ends the connection by this side's decision or the peer's word, with the last words that belong to it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only what this side decided is said to the peer")]
    fn end(&mut self, now: Instant, cause: Cause) {
        let code = match &cause {
            Cause::Silent { .. } | Cause::NotIdentified { .. } => Some(CloseCode::TIMED_OUT),
            Cause::Violation(_) => Some(CloseCode::PROTOCOL),
            Cause::Replaced => Some(CloseCode::REPLACED),
            Cause::NoKey => Some(CloseCode::DONE),
            Cause::MovedBack { .. } => Some(CloseCode::GOING_DOWN),
            _ => None,
        };
        if let (Some(code), Some(wire)) = (code, &self.wire) {
            self.core.say_close(wire, code, if matches!(cause, Cause::Violation(_)) { cause.name() } else { "" });
        }
        let reason = mem::take(&mut self.core.peer_reason);
        self.lose(now, cause, &reason);
    }

    /// The connection is over. The role says what follows.
    pub(crate) fn lose(&mut self, now: Instant, cause: Cause, reason: &str) {
        if let Some(Wire::Stream(stream)) = self.wire.take() {
            self.core.keep_line(stream.counters());
        }
        if self.core.state == State::Closed {
            return;
        }
        let over = match (cause, self.role.lost(&mut self.core, now, cause)) {
            (Cause::PeerClosed(CloseCode::DONE), _) => Some(cause),
            (_, Err(over)) => Some(over),
            (_, Ok(())) => None,
        };
        match over {
            Some(over) => {
                self.core.change(now, State::Closed, Some(over), reason);
                self.core.outbox.abandon(&mut self.core.events);
            }
            None => self.core.change(now, State::Disconnected, Some(cause), reason),
        }
    }

    /// The last step of closing.
    fn finish(&mut self, now: Instant) {
        let Some(closing) = self.core.closing.take() else { return };
        let Closing { code, reason, .. } = *closing;
        if let Some(wire) = &self.wire {
            self.core.say_close(wire, code, &reason);
        }
        if let Some(Wire::Stream(stream)) = self.wire.take() {
            self.core.keep_line(stream.counters());
        }
        self.core.change(now, State::Closed, Some(Cause::Closed(code)), "");
        self.core.outbox.abandon(&mut self.core.events);
    }
}
