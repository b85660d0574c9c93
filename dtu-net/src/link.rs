//! One connection, as a machine: facts in, work out, no clock and no socket of its own.
//!
//! ```text
//!             server                                    device
//!   Opening   REGISTER? ──Event::Register──> Deciding   Opening   REGISTER sent, WELCOME?
//!      │                        │ welcome()                │ WELCOME
//!      │ deadline, byte limit   │ refuse()                 │ REFUSE, deadline
//!      ▼                        ▼                          ▼
//!   Ended <── CLOSE, rules broken, silence, stall ── Connected
//! ```
//!
//! # The drain rule
//!
//! **After every call that takes `&mut self`, take everything out: transmissions until `poll_transmit` gives `None`,
//! events until `poll_event` does; then sleep until the instant of `poll_timeout`, the next byte or the next call of the
//! application.** A driver that may not take an event yet (the application is slow) does not read meanwhile: that, and
//! TCP behind it, is what keeps the memory of a link bounded.

use crate::error::{CommitAhead, Ended, SendError, SkipCause, Violation};
use crate::event::{Event, LinkCounters, Timer};
use crate::limits::Limits;
use crate::state::{Core, State};
use bytes::Bytes;
use dtu_proto::message::{CloseCode, Reason};
use dtu_proto::{Deframer, Message, Native, Step};
use std::io;
use std::time::Instant;

/// Which end of a connection a [`Link`] is: [`Server`](crate::Server) or [`Device`](crate::Device).
pub trait Role: sealed::Role {}

pub(crate) mod sealed {
    use super::{Core, Ended, Instant, Message, Violation};

    pub trait Role {
        /// Takes a message that comes before the link is connected.
        fn handle_opening(&mut self, core: &mut Core, now: Instant, message: Message<'_>);

        /// Which rule a message breaks that only one role may send, on a connected link.
        fn judge(&self, message: &Message<'_>) -> Violation;

        /// How this role ends a link whose peer does not open it.
        fn end_unopened(&self, core: &mut Core, cause: Ended);

        /// Whether bytes that come before the link is open are counted against a limit.
        const LIMITS_OPENING: bool;

        /// When the silence of the peer has to be acted upon.
        fn silence_deadline(&self, core: &Core) -> Instant;

        /// Acts upon it.
        fn handle_silence(&mut self, core: &mut Core, now: Instant);
    }
}

/// One end of one connection. See the [module](self) for its states and for the drain rule.
#[derive(Debug)]
pub struct Link<R> {
    deframer: Deframer<Native, Vec<u8>>,
    pub(crate) core: Core,
    pub(crate) role: R,
}

impl<R: Role> Link<R> {
    pub(crate) fn with_role(limits: Limits, stream: u64, now: Instant, role: R) -> Self {
        let native = Native::with_max_payload(limits.max_payload);
        Self { deframer: Deframer::new(native), core: Core::new(limits, stream, now), role }
    }

    /// Room for bytes from the transport; say with [`handle_received`](Self::handle_received) how many were put there.
    ///
    /// Ask for it only when there is something to read: between two frames a link holds no buffer.
    pub fn spare_capacity_mut(&mut self) -> &mut [u8] {
        self.deframer.spare_capacity_mut()
    }

    /// Takes the first `count` bytes of [`spare_capacity_mut`](Self::spare_capacity_mut).
    ///
    /// # Panics
    ///
    /// When there was no room for as many.
    pub fn handle_received(&mut self, now: Instant, count: usize) {
        self.deframer.commit(count);
        if count > 0 {
            self.core.heard(now, count);
        }
        self.drain(now);
    }

    /// Takes bytes that are somewhere else already.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_ended() {
            let count = self.deframer.push(bytes);
            if count == 0 {
                // Only a link that waits for a decision leaves its buffer full.
                let limit = self.deframer.buffered();
                let cause = Ended::TooMuchBeforeRegister { received: limit.saturating_add(bytes.len()), limit };
                return self.role.end_unopened(&mut self.core, cause);
            }
            self.core.heard(now, count);
            self.drain(now);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// Takes the end of the transport: `None` when the peer closed its stream in order. Whole frames inside a candidate
    /// that now stays incomplete still come out.
    pub fn handle_disconnected(&mut self, now: Instant, error: Option<io::ErrorKind>) {
        self.abandon(now);
        self.core.end(error.map_or(Ended::Disconnected, Ended::Transport), "");
    }

    /// Takes the time. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, timer)) = self.poll_timeout()
            && deadline <= now
        {
            match timer {
                Timer::Identify => {
                    let limit = self.core.limits.identify;
                    self.role.end_unopened(&mut self.core, Ended::NotIdentified { limit });
                }
                Timer::InterByte => self.abandon(now),
                Timer::Silence => self.role.handle_silence(&mut self.core, now),
                Timer::Stall => self.core.stalled(),
            }
        }
    }

    /// The bytes to send next, in one piece. `None` when there is nothing to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.core.poll_transmit()
    }

    /// What happened next.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.poll_event(self.deframer.counters())
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next, and for what. `None` when never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let core = &self.core;
        let waiting = self.deframer.buffered() > 0 && core.state != State::Deciding;
        let inter_byte = waiting.then(|| (core.last_heard() + core.limits.inter_byte, Timer::InterByte));
        let of_state = match core.state {
            State::Ended => return None,
            State::Opening | State::Deciding => [Some((core.opened + core.limits.identify, Timer::Identify)), None],
            State::Connected => [
                Some((self.role.silence_deadline(core), Timer::Silence)),
                core.outgoing.full_since().map(|since| (since + core.limits.stall, Timer::Stall)),
            ],
        };
        of_state.into_iter().flatten().chain(inter_byte).min_by_key(|(deadline, _)| *deadline)
    }

    /// Sends a DATA message and returns its number.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then.
    pub fn send(&mut self, now: Instant, channel: u8, body: &[u8]) -> Result<u32, SendError> {
        self.core.send(now, channel, body)
    }

    /// Whether [`send`](Self::send) would take a body of allowed length now.
    #[must_use]
    pub const fn can_send(&self) -> bool {
        self.core.can_send()
    }

    /// Takes responsibility for all DATA below `next`: they are acknowledged, as far as none before them is missing.
    ///
    /// # Errors
    ///
    /// [`CommitAhead`] when that many were not delivered. Nothing is acknowledged then.
    pub const fn commit(&mut self, next: u32) -> Result<(), CommitAhead> {
        self.core.incoming.commit(next)
    }

    /// Ends the link in order: a CLOSE goes out.
    pub fn close(&mut self, code: CloseCode, reason: Reason<'_>) {
        self.core.end_with_close(code, reason, Ended::Closed(code));
    }

    /// Whether the link has ended. Bytes and events may still be there to be taken.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.core.state == State::Ended
    }

    /// The bounds of this link; a device's hold what the server announced.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// What the link has carried so far.
    #[must_use]
    pub const fn counters(&self) -> LinkCounters {
        self.core.counters(self.deframer.counters())
    }

    /// Gives up every candidate that waits; the line fell silent or ended.
    fn abandon(&mut self, now: Instant) {
        if self.core.state == State::Deciding {
            return;
        }
        while let Some(step) = self.deframer.abandon_candidate() {
            self.core.handle_step(&mut self.role, now, step);
            self.drain(now);
        }
    }

    /// Takes all steps there are. While a server's owner decides about a device, what it sends behind REGISTER waits, so
    /// that nothing comes from a device that is then refused.
    pub(crate) fn drain(&mut self, now: Instant) {
        while self.core.state != State::Deciding {
            let step = self.deframer.next_step();
            if let Step::NeedMore { .. } = step {
                break;
            }
            self.core.handle_step(&mut self.role, now, step);
        }
        if R::LIMITS_OPENING {
            let (received, limit) = (self.core.received_unopened(), self.core.limits.identify_bytes);
            if received > limit {
                let cause = Ended::TooMuchBeforeRegister { received, limit };
                self.role.end_unopened(&mut self.core, cause);
            }
        }
    }
}

impl Core {
    /// Takes one step of the line.
    fn handle_step<R: Role>(&mut self, role: &mut R, now: Instant, step: Step<'_>) {
        match step {
            Step::NeedMore { .. } => {}
            Step::Skipped { bytes, cause } => self.skipped(bytes, SkipCause::Line(cause)),
            Step::Frame(frame) => match (self.state, Message::decode(frame.payload())) {
                (State::Ended, _) => {}
                (State::Opening, Err(error)) => {
                    let cause = Ended::Violation(Violation::FirstMessageMalformed(error));
                    role.end_unopened(self, cause);
                }
                (_, Err(error)) => self.skipped(frame.encoded_len(), SkipCause::Message(error)),
                (State::Opening, Ok(message)) => role.handle_opening(self, now, message),
                // In `Deciding` no step is taken; the arm is there for the compiler.
                (State::Deciding | State::Connected, Ok(message)) => {
                    if let Err(violation) = self.handle_message(now, &message, frame.encoded_len()) {
                        let violation = violation.unwrap_or_else(|| role.judge(&message));
                        self.violated(violation);
                    }
                }
            },
        }
    }
}
