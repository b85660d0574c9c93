//! The server's end of a link: takes REGISTER, answers WELCOME or REFUSE.

use crate::error::{Ended, Violation};
use crate::event::{Event, Registration};
use crate::limits::Limits;
use crate::link::{Link, Role, sealed};
use crate::numbers::Incoming;
use crate::state::{Core, State};
use bytes::Bytes;
use core::time::Duration;
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, Reason, Refuse, RefuseCode, VERSION, Welcome};
use std::time::Instant;

/// The server's role in a [`Link`].
///
/// # Examples
///
/// A device registers and is let in:
/// ```
/// use dtu_net::{Device, Event, Limits, Link, Server};
/// use dtu_proto::message::{DeviceId, Token};
/// # let now = std::time::Instant::now();
///
/// let mut server: Link<Server> = Link::server(Limits::default(), 1, now);
/// let mut device: Link<Device> = Link::device(Limits::default(), DeviceId::new("meter-7")?, Token::EMPTY, 2, now);
/// while let Some(bytes) = device.poll_transmit() {
///     server.handle_bytes(now, &bytes);
/// }
/// let Some(Event::Register(registration)) = server.poll_event() else { panic!("REGISTER came") };
/// assert_eq!(&*registration.device, "meter-7");
/// server.welcome(now);
/// while let Some(bytes) = server.poll_transmit() {
///     device.handle_bytes(now, &bytes);
/// }
/// assert!(matches!(device.poll_event(), Some(Event::Welcomed { window: 64, .. })));
/// # Ok::<(), dtu_proto::message::MessageError>(())
/// ```
#[derive(Debug)]
pub struct Server {}

impl Role for Server {}

impl Link<Server> {
    /// A link that a device has just opened. `stream` is a random number, the id of what this side will send.
    #[must_use]
    pub fn server(limits: Limits, stream: u64, now: Instant) -> Self {
        Self::with_role(limits, stream, now, Server {})
    }

    /// Lets the device in that [`Event::Register`] told of, and takes what it sent meanwhile. Does nothing when there is
    /// none to let in.
    pub fn welcome(&mut self, now: Instant) {
        let core = &mut self.core;
        if core.state == State::Deciding {
            core.state = State::Connected;
            core.outgoing.open(core.limits.window);
            core.heard(now, 0);
            let heartbeat_ms = u32::try_from(core.limits.heartbeat.as_millis()).unwrap_or(u32::MAX);
            let resume = core.resume();
            core.transmit(&Message::Welcome(Welcome { heartbeat_ms, window: core.limits.window, resume }));
            self.drain(now);
        }
    }

    /// Does not let it in; the link ends.
    pub fn refuse(&mut self, code: RefuseCode, retry_after: Duration, reason: Reason<'_>) {
        refuse(&mut self.core, code, retry_after, reason, Ended::TurnedAway(code));
    }
}

fn refuse(core: &mut Core, code: RefuseCode, retry_after: Duration, reason: Reason<'_>, cause: Ended) {
    let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
    core.end_with(&Message::Refuse(Refuse { code, retry_after_ms, reason }), cause);
}

impl sealed::Role for Server {
    const LIMITS_OPENING: bool = true;

    fn handle_opening(&mut self, core: &mut Core, _: Instant, message: Message<'_>) {
        let Message::Register(register) = message else {
            let violation = Violation::FirstMessage { kind: message.kind() };
            return self.end_unopened(core, Ended::Violation(violation));
        };
        if register.version != VERSION {
            let violation = Violation::Version { version: register.version };
            return self.end_unopened(core, Ended::Violation(violation));
        }
        core.state = State::Deciding;
        core.incoming = Incoming::starting_at(register.resume.send_base);
        core.report(Event::Register(Registration {
            device: register.device_id.as_str().into(),
            token: Bytes::copy_from_slice(register.token.as_bytes()),
            stream: register.resume.stream,
        }));
    }

    fn judge(&self, message: &Message<'_>) -> Violation {
        if let Message::Register(_) = message {
            Violation::RegisteredTwice
        } else {
            Violation::Unexpected { kind: message.kind() }
        }
    }

    fn end_unopened(&self, core: &mut Core, cause: Ended) {
        let reason = Reason::new(cause.name()).unwrap_or(Reason::EMPTY);
        refuse(core, RefuseCode::PROTOCOL, Duration::ZERO, reason, cause);
    }

    fn silence_deadline(&self, core: &Core) -> Instant {
        core.last_heard() + core.limits.server_silence()
    }

    fn handle_silence(&mut self, core: &mut Core, _: Instant) {
        let limit = core.limits.server_silence();
        core.end_with_close(CloseCode::TIMED_OUT, Reason::EMPTY, Ended::Silent { limit });
    }
}
