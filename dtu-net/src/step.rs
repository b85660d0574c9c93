//! What one step of the line, or one message, does to a link.

use crate::error::{Cause, SkipCause, Violation};
use crate::link::Role;
use crate::state::Core;
use dtu_proto::message::CloseCode;
use dtu_proto::{Malformed, Message, Step};
use std::time::Instant;

impl Core {
    /// Takes one step of the line. The error ends the connection.
    pub(crate) fn handle_step<R: Role>(&mut self, role: &mut R, now: Instant, step: Step<'_>) -> Result<(), Cause> {
        match step {
            Step::NeedMore { .. } => Ok(()),
            Step::Skipped { bytes, cause } => {
                self.skipped(bytes, SkipCause::Line(cause));
                if let Malformed::OverLimit { length, limit } = cause
                    && self.state.is_up()
                {
                    // It would come again on every connection: its sender has to learn why.
                    return Err(Cause::Violation(Violation::OverLimit { length, limit }));
                }
                Ok(())
            }
            Step::Frame(frame) => match Message::decode(frame.payload()) {
                Ok(message) => self.handle(role, now, true, &message, frame.encoded_len()),
                Err(error) => {
                    self.skipped(frame.encoded_len(), SkipCause::Message(error));
                    Ok(())
                }
            },
        }
    }

    /// Takes one message. The error ends the connection.
    pub(crate) fn handle<R: Role>(
        &mut self,
        role: &mut R,
        now: Instant,
        ordered: bool,
        message: &Message<'_>,
        length: usize,
    ) -> Result<(), Cause> {
        if let Message::Close(close) = message {
            if !ordered && !self.state.is_up() && close.code != CloseCode::PROTOCOL {
                return Ok(()); // of an older connection, late
            }
            self.peer_reason = close.reason.as_str().into();
            return Err(Cause::PeerClosed(close.code));
        }
        if !self.state.is_up() {
            return role.handle_message(self, now, ordered, message);
        }
        match self.handle_message(now, message, length, ordered) {
            Ok(()) => Ok(()),
            Err(Some(violation)) => Err(Cause::Violation(violation)),
            // What opened the connection may come twice on datagrams.
            Err(None) if !ordered => role.handle_message(self, now, ordered, message),
            Err(None) => Err(Cause::Violation(role.judge(message))),
        }
    }
}
