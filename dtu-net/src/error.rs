//! Why a link ended, why bytes were passed over, and what the application may not do.

use core::fmt;
use core::time::Duration;
use dtu_proto::Malformed;
use dtu_proto::message::{CloseCode, MessageError, RefuseCode};
use std::io;

/// Why a link ended. What the peer said about it for people is beside it in [`Event::Closed`](crate::Event::Closed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// This side closed it.
    Closed(CloseCode),
    /// The peer sent CLOSE.
    PeerClosed(CloseCode),
    /// This side, a server, did not let the device in.
    TurnedAway(RefuseCode),
    /// The server refused this device.
    Refused {
        /// Why.
        code: RefuseCode,
        /// How long the device shall wait before it comes again.
        retry_after: Duration,
    },
    /// The peer's stream ended without CLOSE.
    Disconnected,
    /// The transport broke.
    Transport(io::ErrorKind),
    /// The peer did not register, or did not welcome, in time.
    NotIdentified {
        /// The time it had.
        limit: Duration,
    },
    /// The peer sent too much before it registered.
    TooMuchBeforeRegister {
        /// The bytes that came.
        received: usize,
        /// The bytes allowed.
        limit: usize,
    },
    /// No byte came from the peer for too long.
    Silent {
        /// The silence allowed.
        limit: Duration,
    },
    /// The peer has acknowledged nothing for too long while the window was full.
    Stalled {
        /// The DATA without acknowledgement.
        unacknowledged: u32,
        /// The time allowed.
        limit: Duration,
    },
    /// The peer does not read what is sent to it.
    NotRead {
        /// The bytes that may wait.
        limit: usize,
    },
    /// The peer broke the rules of the session.
    Violation(Violation),
}

/// A rule of the session that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The first message was not the one that opens a session.
    FirstMessage {
        /// Its kind byte.
        kind: u8,
    },
    /// The first message does not decode.
    FirstMessageMalformed(MessageError),
    /// The peer speaks another version of the messages.
    Version {
        /// The version it said.
        version: u8,
    },
    /// A second REGISTER on one connection.
    RegisteredTwice,
    /// A message that this role does not send, or not in this state.
    Unexpected {
        /// Its kind byte.
        kind: u8,
    },
    /// An ACK for DATA that was never sent.
    AckAhead {
        /// What the ACK says.
        receive_next: u32,
        /// The number that is sent next.
        next: u32,
    },
    /// A WELCOME with which no link can be kept: a heartbeat or a window of 0.
    Welcome {
        /// The heartbeat it announces, in milliseconds.
        heartbeat_ms: u32,
        /// The window it announces.
        window: u16,
    },
}

impl Ended {
    /// The cause as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::PeerClosed(_) => "peer_closed",
            Self::TurnedAway(_) => "turned_away",
            Self::Refused { .. } => "refused",
            Self::Disconnected => "disconnected",
            Self::Transport(_) => "transport",
            Self::NotIdentified { .. } => "not_identified",
            Self::TooMuchBeforeRegister { .. } => "too_much_before_register",
            Self::Silent { .. } => "silent",
            Self::Stalled { .. } => "stalled",
            Self::NotRead { .. } => "not_read",
            Self::Violation(violation) => violation.name(),
        }
    }
}

impl Violation {
    /// The rule as one word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FirstMessage { .. } => "first_message",
            Self::FirstMessageMalformed(_) => "first_message_malformed",
            Self::Version { .. } => "version",
            Self::RegisteredTwice => "registered_twice",
            Self::Unexpected { .. } => "unexpected_message",
            Self::AckAhead { .. } => "ack_ahead",
            Self::Welcome { .. } => "unusable_welcome",
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed here, {}", CloseText(*code)),
            Self::PeerClosed(code) => write!(f, "closed by the peer, {}", CloseText(*code)),
            Self::TurnedAway(code) => write!(f, "not let in, {}", RefuseText(*code)),
            Self::Refused { code, retry_after } => {
                write!(f, "refused by the server, {}; it asks to wait {retry_after:?}", RefuseText(*code))
            }
            Self::Disconnected => f.write_str("the peer's stream ended without CLOSE"),
            Self::Transport(kind) => write!(f, "the transport broke: {kind}"),
            Self::NotIdentified { limit } => write!(f, "the peer did not identify itself within {limit:?}"),
            Self::TooMuchBeforeRegister { received, limit } => {
                write!(f, "{received} bytes and no REGISTER among them, {limit} are allowed")
            }
            Self::Silent { limit } => write!(f, "no byte from the peer for {limit:?}"),
            Self::Stalled { unacknowledged, limit } => {
                write!(f, "window full for {limit:?}, {unacknowledged} DATA without acknowledgement")
            }
            Self::NotRead { limit } => write!(f, "the peer does not read, more than {limit} bytes wait for it"),
            Self::Violation(violation) => write!(f, "the peer broke the rules: {violation}"),
        }
    }
}

impl core::error::Error for Ended {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstMessage { kind } => write!(f, "the first message is of kind {kind:#04x}"),
            Self::FirstMessageMalformed(error) => write!(f, "the first message is malformed: {error}"),
            Self::Version { version } => write!(f, "it speaks version {version} of the messages"),
            Self::RegisteredTwice => f.write_str("a second REGISTER"),
            Self::Unexpected { kind } => write!(f, "a message of kind {kind:#04x} does not belong here"),
            Self::AckAhead { receive_next, next } => write!(f, "ACK up to {receive_next}, and {next} was never sent"),
            Self::Welcome { heartbeat_ms, window } => {
                write!(f, "WELCOME with a heartbeat of {heartbeat_ms} ms and a window of {window}")
            }
        }
    }
}

/// Why bytes of the stream carried nothing to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipCause {
    /// They belong to no frame.
    Line(Malformed),
    /// The frame is whole and its payload is no message.
    Message(MessageError),
    /// The message is of a kind that this version does not know.
    UnknownKind(u8),
    /// The DATA was delivered before.
    Repeated {
        /// Its number.
        seq: u32,
    },
}

impl SkipCause {
    /// The cause as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Line(malformed) => malformed.name(),
            Self::Message(_) => "message",
            Self::UnknownKind(_) => "unknown_kind",
            Self::Repeated { .. } => "repeated",
        }
    }
}

impl fmt::Display for SkipCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(malformed) => malformed.fmt(f),
            Self::Message(error) => error.fmt(f),
            Self::UnknownKind(kind) => write!(f, "message of unknown kind {kind:#04x}"),
            Self::Repeated { seq } => write!(f, "DATA {seq} was delivered before"),
        }
    }
}

/// Why DATA was not taken for sending. It is still the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The body is too long for one message.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The window is full, or too many bytes wait to leave: try again after an event.
    Full,
    /// The link is not established, or has ended.
    NotConnected,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => write!(f, "body of {length} bytes is over the limit of {limit}"),
            Self::Full => f.write_str("the window is full"),
            Self::NotConnected => f.write_str("the link is not connected"),
        }
    }
}

impl core::error::Error for SendError {}

/// The application took responsibility for DATA that was never delivered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitAhead {
    /// What it committed.
    pub next: u32,
    /// One above the highest number delivered.
    pub delivered_next: u32,
}

impl fmt::Display for CommitAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit up to {}, and only what is below {} was delivered", self.next, self.delivered_next)
    }
}

impl core::error::Error for CommitAhead {}

struct CloseText(CloseCode);

impl fmt::Display for CloseText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CloseCode::DONE => f.write_str("all is said"),
            CloseCode::PROTOCOL => f.write_str("the rules were broken"),
            CloseCode::GOING_DOWN => f.write_str("going down"),
            CloseCode::TIMED_OUT => f.write_str("silent for too long"),
            CloseCode::REPLACED => f.write_str("replaced by a newer connection of the same device"),
            CloseCode(code) => write!(f, "code {code:#04x}"),
        }
    }
}

struct RefuseText(RefuseCode);

impl fmt::Display for RefuseText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RefuseCode::PROTOCOL => f.write_str("the rules were broken"),
            RefuseCode::UNAUTHORIZED => f.write_str("not authorized"),
            RefuseCode::BUSY => f.write_str("no room at the moment"),
            RefuseCode(code) => write!(f, "code {code:#04x}"),
        }
    }
}
