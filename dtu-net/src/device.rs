//! The device's end of a link: sends REGISTER, awaits WELCOME, and asks for a sign of life when the server is silent.

use crate::error::{Ended, Violation};
use crate::event::Event;
use crate::limits::Limits;
use crate::link::{Link, Role, sealed};
use crate::numbers::Incoming;
use crate::state::{Core, State};
use core::time::Duration;
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, DeviceId, Reason, Register, Token, VERSION};
use std::time::Instant;

/// The device's role in a [`Link`].
#[derive(Debug)]
pub struct Device {
    /// When the newest PING went out; means something while the core counts probes.
    probed: Instant,
}

impl Role for Device {}

impl Link<Device> {
    /// A link on a connection that has just been made. `stream` is a random number, the id of what this side will send.
    #[must_use]
    pub fn device(limits: Limits, id: DeviceId<'_>, token: Token<'_>, stream: u64, now: Instant) -> Self {
        let mut link = Self::with_role(limits, stream, now, Device { probed: now });
        let resume = link.core.resume();
        let register = Register { version: VERSION, flags: 0, device_id: id, token, resume };
        link.core.transmit(&Message::Register(register));
        link
    }
}

impl sealed::Role for Device {
    const LIMITS_OPENING: bool = false;

    #[expect(clippy::wildcard_enum_match_arm, reason = "any other message breaks the same rule, also one to come")]
    fn handle_opening(&mut self, core: &mut Core, _: Instant, message: Message<'_>) {
        match message {
            Message::Welcome(welcome) if welcome.heartbeat_ms == 0 || welcome.window == 0 => {
                let (heartbeat_ms, window) = (welcome.heartbeat_ms, welcome.window);
                core.violated(Violation::Welcome { heartbeat_ms, window });
            }
            Message::Welcome(welcome) => {
                core.state = State::Connected;
                core.limits.heartbeat = Duration::from_millis(u64::from(welcome.heartbeat_ms));
                core.limits.window = welcome.window;
                core.outgoing.open(welcome.window);
                core.incoming = Incoming::starting_at(welcome.resume.send_base);
                core.report(Event::Welcomed { heartbeat: core.limits.heartbeat, window: welcome.window });
            }
            Message::Refuse(refuse) => {
                let retry_after = Duration::from_millis(u64::from(refuse.retry_after_ms));
                core.end(Ended::Refused { code: refuse.code, retry_after }, refuse.reason.as_str());
            }
            Message::Close(close) => core.end(Ended::PeerClosed(close.code), close.reason.as_str()),
            other => core.violated(Violation::FirstMessage { kind: other.kind() }),
        }
    }

    fn judge(&self, message: &Message<'_>) -> Violation {
        Violation::Unexpected { kind: message.kind() }
    }

    fn end_unopened(&self, core: &mut Core, cause: Ended) {
        let code = if let Ended::NotIdentified { .. } = cause { CloseCode::TIMED_OUT } else { CloseCode::PROTOCOL };
        core.end_with_close(code, Reason::EMPTY, cause);
    }

    /// The first PING goes out after one heartbeat of silence; each one, and the end, follows its predecessor by the
    /// probe timeout. A clock that jumped causes one PING, not several.
    fn silence_deadline(&self, core: &Core) -> Instant {
        if core.probes == 0 {
            core.last_heard() + core.limits.heartbeat
        } else {
            self.probed + core.limits.probe_timeout
        }
    }

    fn handle_silence(&mut self, core: &mut Core, now: Instant) {
        if core.probes >= core.limits.probes {
            let limit = core.limits.device_silence();
            return core.end_with_close(CloseCode::TIMED_OUT, Reason::EMPTY, Ended::Silent { limit });
        }
        core.probes += 1;
        self.probed = now;
        core.transmit(&Message::Ping { nonce: core.nonce(now) });
    }
}
