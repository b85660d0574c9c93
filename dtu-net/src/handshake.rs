//! A connection at a server before it is known whose it is: takes REGISTER, and a proof of the key when one is asked for.
//!
//! ```text
//!   Opening ── REGISTER ──> Deciding ── challenge() ──> Proving ── PROOF ──> Proven
//!      │                       │ refuse()                  │ wrong              │
//!      │ deadline, bytes       ▼                           ▼                    ▼
//!      └───────────────────> Refusing ── penalty ──> REFUSE, over      Link::handle_registered
//! ```

use crate::auth::{self, Key};
use crate::error::{Cause, Violation};
use crate::event::Timer;
use crate::limits::{Limits, after};
use crate::wire::{Carrier, Wire};
use bytes::Bytes;
use core::mem;
use core::time::Duration;
use dtu_proto::message::{DeviceId, Reason, Refuse, RefuseCode, Register, Resume, VERSION};
use dtu_proto::{Message, Step};
use std::sync::Arc;
use std::time::Instant;

/// What a device said in its REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// Who it says it is: 1 to 64 bytes.
    pub device: Box<str>,
    /// What the server may ask for besides; may be empty.
    pub token: Bytes,
    /// Where its streams stand.
    pub resume: Resume,
}

/// What a handshake tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// A device wants in. Answer with `challenge` or `refuse`, or let it in by giving the handshake to its link.
    Register(Registration),
    /// The device has proved that it has the key. Let it in, or `refuse` it.
    Proven,
    /// It came to nothing. The last bytes are still to be sent.
    Over(Cause),
}

#[derive(Debug)]
enum Stage {
    Opening,
    Deciding,
    Proving { nonce: [u8; auth::NONCE_LEN], key: Option<Key> },
    Proven,
    Refusing { at: Instant, code: RefuseCode, retry_after: Duration, cause: Cause },
    Over,
}

/// A connection whose device is not known yet. It takes REGISTER, and a proof of the key where one is asked for; then
/// [`Link::handle_registered`](crate::Link::handle_registered) takes it.
#[derive(Debug)]
pub struct Handshake {
    limits: Arc<Limits>,
    wire: Wire,
    stage: Stage,
    opened: Instant,
    received: usize,
    registration: Option<Registration>,
    event: Option<HandshakeEvent>,
    out: Vec<u8>,
}

impl Handshake {
    /// A connection that has just been accepted; on datagrams, `stream` is the one that its first datagram names.
    #[must_use]
    pub fn new(limits: Arc<Limits>, carrier: Carrier, stream: u64, now: Instant) -> Self {
        let wire = Wire::new(carrier, stream, &limits);
        let (stage, out) = (Stage::Opening, Vec::new());
        Self { limits, wire, stage, opened: now, received: 0, registration: None, event: None, out }
    }

    /// Takes bytes of the stream. What follows a REGISTER waits in the buffer.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len());
        while !bytes.is_empty()
            && !matches!(self.stage, Stage::Refusing { .. } | Stage::Over)
            && let Wire::Stream(stream) = &mut self.wire
        {
            let count = stream.push(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
            self.drain(now);
            if count == 0 {
                break; // the buffer is full of what waits for a decision, which the limit below is about
            }
        }
        let (received, limit) = (self.received, self.limits.identify_bytes);
        if received > limit && !matches!(self.stage, Stage::Proven) {
            self.fail(now, RefuseCode::PROTOCOL, Cause::TooMuchBeforeRegister { received, limit });
        }
    }

    /// Takes the message of a datagram.
    pub fn handle_datagram(&mut self, now: Instant, message: &Message<'_>) {
        match (&self.stage, message) {
            // The CHALLENGE was lost.
            (Stage::Proving { nonce, .. }, Message::Register(_)) => {
                self.wire.encode(&Message::Challenge { nonce: *nonce }, &mut self.out);
            }
            (Stage::Opening, Message::Register(_)) | (Stage::Proving { .. }, Message::Proof { .. }) => {
                self.take(now, message);
            }
            // Late, doubled, or of a session that this server does not know: no answer helps a stranger.
            _ => {}
        }
    }

    fn drain(&mut self, now: Instant) {
        while matches!(self.stage, Stage::Opening | Stage::Proving { .. })
            && let Wire::Stream(stream) = &mut self.wire
        {
            match stream.next_step() {
                Step::NeedMore { .. } => return,
                Step::Skipped { .. } => {} // counted by the stream, which the link takes over
                Step::Frame(frame) => {
                    let payload = frame.payload().to_vec();
                    match Message::decode(&payload) {
                        Ok(message) => self.take(now, &message),
                        Err(error) => {
                            let violation = Violation::FirstMessageMalformed(error);
                            self.fail(now, RefuseCode::PROTOCOL, Cause::Violation(violation));
                        }
                    }
                }
            }
        }
    }

    fn take(&mut self, now: Instant, message: &Message<'_>) {
        match (&self.stage, message) {
            (_, Message::Close(close)) => self.over(Cause::PeerClosed(close.code)),
            (Stage::Opening, Message::Register(register)) => match judge(register) {
                Ok(()) => self.registered(register),
                Err(violation) => self.fail(now, RefuseCode::PROTOCOL, Cause::Violation(violation)),
            },
            (Stage::Proving { nonce, key }, Message::Proof { mac }) => {
                let id = self.registration.as_ref().and_then(|registration| DeviceId::new(&registration.device).ok());
                let proven = id.is_some_and(|id| auth::verify(key.as_ref(), nonce, id, mac));
                let cause = if key.is_some() { Cause::WrongProof } else { Cause::UnknownDevice };
                if proven {
                    self.stage = Stage::Proven;
                    self.event = Some(HandshakeEvent::Proven);
                } else {
                    self.fail(now, RefuseCode::UNAUTHORIZED, cause);
                }
            }
            (Stage::Proving { .. }, Message::Register(_)) => {
                self.fail(now, RefuseCode::PROTOCOL, Cause::Violation(Violation::RegisteredTwice));
            }
            (_, message) => {
                let violation = Violation::FirstMessage { kind: message.kind() };
                self.fail(now, RefuseCode::PROTOCOL, Cause::Violation(violation));
            }
        }
    }

    fn registered(&mut self, register: &Register<'_>) {
        let registration = Registration {
            device: register.device_id.as_str().into(),
            token: Bytes::copy_from_slice(register.token.as_bytes()),
            resume: register.resume,
        };
        self.stage = Stage::Deciding;
        self.registration = Some(registration.clone());
        self.event = Some(HandshakeEvent::Register(registration));
    }

    /// Asks the device that wants in for a proof of its key. `nonce` is random and used only here. Without a key it is asked
    /// all the same, so that nobody learns which ids have one; no proof is right then.
    pub fn challenge(&mut self, now: Instant, nonce: [u8; auth::NONCE_LEN], key: Option<Key>) {
        if let Stage::Deciding = self.stage {
            self.stage = Stage::Proving { nonce, key };
            self.wire.encode(&Message::Challenge { nonce }, &mut self.out);
            self.drain(now);
        }
    }

    /// Does not let the device in. Who has no right to is told after the penalty.
    pub fn refuse(&mut self, now: Instant, code: RefuseCode, retry_after: Duration) {
        let penalty = if code == RefuseCode::UNAUTHORIZED { self.limits.penalty } else { Duration::ZERO };
        self.refuse_at(now, after(now, penalty), code, retry_after, Cause::TurnedAway(code));
    }

    /// Does not let the device in, because it breaks a rule that only the owner of all sessions can judge.
    #[cfg(feature = "tokio")]
    pub(crate) fn violated(&mut self, now: Instant, violation: Violation) {
        self.fail(now, RefuseCode::PROTOCOL, Cause::Violation(violation));
    }

    fn fail(&mut self, now: Instant, code: RefuseCode, cause: Cause) {
        let unauthorized = code == RefuseCode::UNAUTHORIZED;
        let (penalty, retry_after) =
            if unauthorized { (self.limits.penalty, self.limits.unwanted) } else { (Duration::ZERO, Duration::ZERO) };
        self.refuse_at(now, after(now, penalty), code, retry_after, cause);
    }

    fn refuse_at(&mut self, now: Instant, at: Instant, code: RefuseCode, retry_after: Duration, cause: Cause) {
        if !matches!(self.stage, Stage::Refusing { .. } | Stage::Over) {
            self.stage = Stage::Refusing { at, code, retry_after, cause };
            self.handle_timeout(now);
        }
    }

    /// Takes the end of the transport. An end in order before the first byte is told as [`Cause::SaidNothing`].
    pub fn handle_disconnected(&mut self, cause: Cause) {
        let said_nothing = matches!(self.stage, Stage::Opening) && self.received == 0 && cause == Cause::Disconnected;
        self.over(if said_nothing { Cause::SaidNothing } else { cause });
    }

    fn over(&mut self, cause: Cause) {
        if !matches!(self.stage, Stage::Over) {
            // Who hangs up before the verdict is told is counted by the verdict.
            let cause = if let Stage::Refusing { cause, .. } = self.stage { cause } else { cause };
            self.stage = Stage::Over;
            self.event = Some(HandshakeEvent::Over(cause));
        }
    }

    /// Takes the time. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.stage {
            Stage::Refusing { at, code, retry_after, cause } if at <= now => {
                let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                // Whoever tries keys learns only that it did not work.
                let word = if code == RefuseCode::UNAUTHORIZED { "" } else { cause.name() };
                let reason = Reason::new(word).unwrap_or(Reason::EMPTY);
                self.wire.encode(&Message::Refuse(Refuse { code, retry_after_ms, reason }), &mut self.out);
                self.over(cause);
            }
            Stage::Opening | Stage::Deciding | Stage::Proving { .. } if self.identify_by() <= now => {
                let limit = self.limits.identify;
                self.fail(now, RefuseCode::PROTOCOL, Cause::NotIdentified { limit });
            }
            Stage::Opening
            | Stage::Deciding
            | Stage::Proving { .. }
            | Stage::Proven
            | Stage::Refusing { .. }
            | Stage::Over => {}
        }
    }

    fn identify_by(&self) -> Instant {
        after(self.opened, self.limits.identify)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. `None` when never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self.stage {
            Stage::Opening | Stage::Deciding | Stage::Proving { .. } => Some((self.identify_by(), Timer::Identify)),
            Stage::Refusing { at, .. } => Some((at, Timer::Identify)),
            Stage::Proven | Stage::Over => None,
        }
    }

    /// Appends the bytes to send next to `out`, and returns whether there were any.
    #[must_use]
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let bytes = mem::take(&mut self.out);
        out.extend_from_slice(&bytes);
        !bytes.is_empty()
    }

    /// What happened next.
    #[must_use]
    pub const fn poll_event(&mut self) -> Option<HandshakeEvent> {
        self.event.take()
    }

    /// Whether it came to nothing.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// What a link takes over: the connection, and what the device said of the streams; nothing of the latter while the
    /// device owes a proof, or when it was refused.
    pub(crate) fn into_parts(self) -> (Wire, Option<Resume>) {
        let may_in = matches!(self.stage, Stage::Deciding | Stage::Proven);
        (self.wire, self.registration.filter(|_| may_in).map(|registration| registration.resume))
    }
}

fn judge(register: &Register<'_>) -> Result<(), Violation> {
    if register.version != VERSION {
        return Err(Violation::Version { version: register.version });
    }
    if register.resume.stream == 0 {
        return Err(Violation::NoStream);
    }
    Ok(())
}
