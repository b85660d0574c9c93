//! What the end of a try, or of a connection, says of the endpoint.

use crate::error::Cause;
use core::time::Duration;
use dtu_proto::message::{CloseCode, RefuseCode};
use std::io;

/// What is to be held of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The connection broke. Once it had held, that says little: the endpoint is tried once more before another.
    Broke,
    /// The endpoint failed, or said that it ends.
    Failed,
    /// The endpoint has no room, and asks for so much time.
    Busy(Duration),
    /// It is there, and does not let this device in; it is left alone for so long.
    Unwanted(Duration),
    /// Something on this side failed.
    Local,
    /// This side left it, or the device would fare the same anywhere.
    None,
}

impl Verdict {
    /// The verdict for a cause. `unwanted` is [`Limits::unwanted`](crate::Limits::unwanted).
    #[must_use]
    pub fn of(cause: &Cause, unwanted: Duration) -> Self {
        match cause {
            Cause::Disconnected => Self::Broke,
            Cause::Transport(kind) => Self::of_transport(*kind),
            Cause::Refused { code: RefuseCode::UNAUTHORIZED, retry_after } => {
                Self::Unwanted(unwanted.max(*retry_after))
            }
            Cause::Refused { retry_after, .. } => Self::Busy(*retry_after),
            Cause::NoKey => Self::Unwanted(unwanted),
            Cause::PeerClosed(CloseCode::REPLACED)
            | Cause::Closed(_)
            | Cause::MovedBack { .. }
            | Cause::GivenUp { .. } => Self::None,
            Cause::PeerClosed(_)
            | Cause::NotConnected { .. }
            | Cause::NotIdentified { .. }
            | Cause::Silent { .. }
            | Cause::Restarted
            | Cause::Violation(_)
            // The others are a server's.
            | Cause::TurnedAway(_)
            | Cause::UnknownDevice
            | Cause::WrongProof
            | Cause::SaidNothing
            | Cause::TooMuchBeforeRegister { .. }
            | Cause::Replaced
            | Cause::Taken
            | Cause::Away { .. } => Self::Failed,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other kind, also one to come, is the connection's")]
    const fn of_transport(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::OutOfMemory => Self::Local,
            _ => Self::Broke,
        }
    }
}
