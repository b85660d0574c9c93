//! Why a connection or a link ended, why bytes were passed over, and what the application may not do.

use core::fmt;
use core::time::Duration;
use dtu_proto::Malformed;
use dtu_proto::message::{CloseCode, MessageError, RefuseCode};
use std::io;

/// Why a connection, or a whole link, ended. What the peer said about it for people is beside it in
/// [`StateChange`](crate::StateChange).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// This side closed it.
    Closed(CloseCode),
    /// The peer sent CLOSE.
    PeerClosed(CloseCode),
    /// This side, a server, did not let the device in.
    TurnedAway(RefuseCode),
    /// No key is known for the device that wants in.
    UnknownDevice,
    /// The device's proof does not fit its key.
    WrongProof,
    /// The server refused this device.
    Refused {
        /// Why.
        code: RefuseCode,
        /// How long the device shall wait before it comes again.
        retry_after: Duration,
    },
    /// The server asks for a proof, and this device has no key.
    NoKey,
    /// The peer's stream ended without a word of why: a device of the native protocol sends CLOSE first, and a transparent unit has
    /// no word for it.
    Disconnected,
    /// The peer connected and left without a byte, in order: a device that looks whether this server is there, a check by a load
    /// balancer, a scan of ports.
    SaidNothing,
    /// The transport broke, or did not come about.
    Transport(io::ErrorKind),
    /// The connection did not come about in time.
    NotConnected {
        /// The time it had.
        limit: Duration,
    },
    /// The peer did not register, or did not welcome, in time.
    NotIdentified {
        /// The time it had.
        limit: Duration,
    },
    /// The peer sent too much before it was identified.
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
    /// A newer connection of the same device took its place.
    Replaced,
    /// Another connection with the same id is alive, and its place is not given away.
    Taken,
    /// The device has made all the tries that its backoff allows.
    GivenUp {
        /// How many there were.
        attempts: u32,
    },
    /// The device has been away for too long; its session is not kept any more.
    Away {
        /// The time it had.
        limit: Duration,
    },
    /// The server answers in the middle of a connection with another stream: it was restarted, and knows nothing of this one.
    Restarted,
    /// This side, a device, goes back to an endpoint that is better than the one in use.
    MovedBack {
        /// Which one, from 0.
        endpoint: usize,
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
    /// A registration in the name of another device, on a connection that is identified.
    OtherDevice,
    /// A second REGISTER on one connection.
    RegisteredTwice,
    /// A message that this role does not send, or not in this state.
    Unexpected {
        /// Its kind byte.
        kind: u8,
    },
    /// DATA whose number is not the one that comes next, on a transport that keeps the order.
    Gap {
        /// The number awaited.
        expected: u32,
        /// The number that came.
        seq: u32,
    },
    /// A frame over this side's limit. Its DATA cannot be taken on any connection: the peer has to send shorter ones, or this
    /// side to raise its limit.
    OverLimit {
        /// The length of its payload in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// DATA beyond the window that was announced.
    BeyondWindow {
        /// The number that came.
        seq: u32,
        /// The first number beyond.
        limit: u32,
    },
    /// More PINGs in one heartbeat, or in 30 s of a longer one, than any honest peer sends.
    PingFlood {
        /// How many are allowed.
        limit: u32,
    },
    /// A stream with the number 0, which stands for none.
    NoStream,
    /// A REGISTER on datagrams in a stream by which the session of another device goes.
    ForeignStream {
        /// The stream.
        stream: u64,
    },
    /// An ACK for DATA that was never sent.
    AckAhead {
        /// What the ACK says.
        receive_next: u32,
        /// The number that is sent next.
        next: u32,
    },
    /// A WELCOME with which no link can be kept: a window of 0, or a heartbeat out of its bounds.
    Welcome {
        /// The heartbeat it announces, in milliseconds.
        heartbeat_ms: u32,
        /// The window it announces.
        window: u16,
    },
}

impl Cause {
    /// The cause as one word, for machine-readable output and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::PeerClosed(_) => "peer_closed",
            Self::TurnedAway(_) => "turned_away",
            Self::UnknownDevice => "unknown_device",
            Self::WrongProof => "wrong_proof",
            Self::Refused { .. } => "refused",
            Self::NoKey => "no_key",
            Self::Disconnected => "disconnected",
            Self::SaidNothing => "said_nothing",
            Self::Transport(_) => "transport",
            Self::NotConnected { .. } => "not_connected",
            Self::NotIdentified { .. } => "not_identified",
            Self::TooMuchBeforeRegister { .. } => "too_much_before_register",
            Self::Silent { .. } => "silent",
            Self::Replaced => "replaced",
            Self::Taken => "taken",
            Self::GivenUp { .. } => "given_up",
            Self::Away { .. } => "away",
            Self::Restarted => "restarted",
            Self::MovedBack { .. } => "moved_back",
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
            Self::OtherDevice => "other_device",
            Self::RegisteredTwice => "registered_twice",
            Self::Unexpected { .. } => "unexpected_message",
            Self::OverLimit { .. } => "over_limit",
            Self::Gap { .. } => "gap",
            Self::BeyondWindow { .. } => "beyond_window",
            Self::PingFlood { .. } => "ping_flood",
            Self::NoStream => "no_stream",
            Self::ForeignStream { .. } => "foreign_stream",
            Self::AckAhead { .. } => "ack_ahead",
            Self::Welcome { .. } => "unusable_welcome",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(f, "closed here, {}", CloseText(*code)),
            Self::PeerClosed(code) => write!(f, "closed by the peer, {}", CloseText(*code)),
            Self::TurnedAway(code) => write!(f, "not let in, {}", RefuseText(*code)),
            Self::UnknownDevice => f.write_str("no key is known for this device"),
            Self::WrongProof => f.write_str("the proof does not fit the key"),
            Self::Refused { code, retry_after } => {
                write!(f, "refused by the server, {}; it asks to wait {retry_after:?}", RefuseText(*code))
            }
            Self::NoKey => f.write_str("the server asks for a proof and there is no key"),
            Self::Disconnected => f.write_str("the peer's stream ended without a word of why"),
            Self::SaidNothing => f.write_str("it left without a byte"),
            Self::Transport(kind) => write!(f, "the transport broke: {kind}"),
            Self::NotConnected { limit } => write!(f, "no connection within {limit:?}"),
            Self::NotIdentified { limit } => write!(f, "the peer did not identify itself within {limit:?}"),
            Self::TooMuchBeforeRegister { received, limit } => {
                write!(f, "{received} bytes before it was identified, {limit} are allowed")
            }
            Self::Silent { limit } => write!(f, "no byte from the peer for {limit:?}"),
            Self::Replaced => f.write_str("replaced by a newer connection of the same device"),
            Self::Taken => f.write_str("another connection with the same id is alive"),
            Self::GivenUp { attempts } => write!(f, "given up after {attempts} tries"),
            Self::Away { limit } => write!(f, "away for more than {limit:?}"),
            Self::Restarted => f.write_str("the server was restarted"),
            Self::MovedBack { endpoint } => write!(f, "endpoint {endpoint} is back, and better"),
            Self::Violation(violation) => write!(f, "the peer broke the rules: {violation}"),
        }
    }
}

impl core::error::Error for Cause {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstMessage { kind } => write!(f, "the first message is of kind {kind:#04x}"),
            Self::FirstMessageMalformed(error) => write!(f, "the first message is malformed: {error}"),
            Self::Version { version } => write!(f, "it speaks version {version} of the messages"),
            Self::OtherDevice => f.write_str("a registration in the name of another device"),
            Self::RegisteredTwice => f.write_str("a second REGISTER"),
            Self::Unexpected { kind } => write!(f, "a message of kind {kind:#04x} does not belong here"),
            Self::OverLimit { length, limit } => {
                write!(f, "a payload of {length} bytes, and the limit here is {limit}")
            }
            Self::Gap { expected, seq } => write!(f, "DATA {seq} came and {expected} is awaited"),
            Self::BeyondWindow { seq, limit } => write!(f, "DATA {seq} came and the window ends at {limit}"),
            Self::PingFlood { limit } => write!(f, "more than {limit} PINGs in one heartbeat"),
            Self::NoStream => f.write_str("a stream with the number 0"),
            Self::ForeignStream { stream } => write!(f, "stream {stream:#x} is that of another device's session"),
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
    /// DATA came in a datagram while the application was too far behind. It comes again.
    NoRoom {
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
            Self::NoRoom { .. } => "no_room",
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
            Self::NoRoom { seq } => write!(f, "no room for DATA {seq}"),
        }
    }
}

/// Why DATA was not taken for sending. It is still the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The body is too long for one message, or for the whole outbox.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The outbox has no room, and its policy is to wait: try again after DATA was settled.
    Full,
    /// The outbox has no room, and its policy is to refuse. It stands in the ledger.
    Refused,
    /// The link closes, or is closed.
    Closed,
    /// The store that keeps the outbox does not take it.
    Store(io::ErrorKind),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => write!(f, "body of {length} bytes is over the limit of {limit}"),
            Self::Full => f.write_str("the outbox is full"),
            Self::Refused => f.write_str("the outbox is full, and its policy is to refuse"),
            Self::Closed => f.write_str("the link is closed"),
            Self::Store(kind) => write!(f, "the outbox cannot be kept: {kind}"),
        }
    }
}

impl core::error::Error for SendError {}

/// Why a commit was not taken. Nothing is acknowledged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// It says more than was delivered.
    Ahead {
        /// What was committed.
        next: u32,
        /// One above the highest number delivered.
        delivered_next: u32,
    },
    /// It is about a stream that has ended: the peer began another one since. Whatever was not acknowledged in it, the
    /// peer has forgotten, or settled otherwise.
    OtherStream {
        /// The stream that the commit is about.
        stream: u64,
        /// The peer's stream of now.
        now: u64,
    },
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { next, delivered_next } => {
                write!(f, "commit up to {next}, and only what is below {delivered_next} was delivered")
            }
            Self::OtherStream { stream, now } => {
                write!(f, "commit in stream {stream:#x}, and the peer's stream is {now:#x} by now")
            }
        }
    }
}

impl core::error::Error for CommitError {}

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
