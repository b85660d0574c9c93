//! What is wrong with a profile, by its key.

use core::fmt;
use core::time::Duration;
use dtu_proto::spec::SpecError;

/// A key of a profile has a value that it cannot have.
///
/// # Examples
///
/// ```
/// use dtu_net::transparent::{Key, Problem, ProfileSpec};
///
/// let mut spec = ProfileSpec::new("modbus_rtu", "REG:{device:digit*11}");
/// let error = spec.build().expect_err("a place has to be named id");
/// assert_eq!((error.key, error.problem), (Key::Pattern, Problem::NoId));
/// assert_eq!(error.to_string(), "registration.pattern: there is no place {id:…}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileError {
    /// Which key.
    pub key: Key,
    /// What is wrong with its value.
    pub problem: Problem,
}

/// A key of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// What the registration looks like.
    Pattern,
    /// What it is answered with.
    RegistrationReply,
    /// How long a device has to register.
    Within,
    /// How many bytes it has.
    MaxBytes,
    /// One of the heartbeats, from 0.
    Token(usize),
    /// What it is answered with.
    TokenReply(usize),
    /// All of them.
    Heartbeats,
    /// The framing of the line.
    Framing,
    /// The framing around it.
    EnvelopeFraming,
    /// Where the kind of an envelope stands.
    KindAt,
    /// The kind that registers.
    Register,
    /// The kind in which the bytes of the line come.
    DataUp,
    /// The kind with which a unit takes its leave.
    Logout,
    /// What a logout is answered with.
    LogoutReply,
    /// How many requests may wait.
    Queue,
    /// How long the line is quiet after a reply that did not come.
    Quarantine,
    /// How long that reply is reckoned with.
    Suspicion,
    /// How long another one is waited for.
    Confirm,
    /// The silence after which a connection is over.
    Idle,
    /// The silence after which a frame that has begun is given up.
    Stall,
    /// How long the session of an absent device is kept.
    Retention,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "registration.pattern",
            Self::RegistrationReply => "registration.reply",
            Self::Within => "registration.within_ms",
            Self::MaxBytes => "registration.max_bytes",
            Self::Token(index) => return write!(f, "heartbeat[{index}].token"),
            Self::TokenReply(index) => return write!(f, "heartbeat[{index}].reply"),
            Self::Heartbeats => "heartbeat",
            Self::Framing => "framing",
            Self::EnvelopeFraming => "envelope.framing",
            Self::KindAt => "envelope.kind_at",
            Self::Register => "envelope.register",
            Self::DataUp => "envelope.data_up",
            Self::Logout => "envelope.logout",
            Self::LogoutReply => "envelope.logout_reply",
            Self::Queue => "line.queue",
            Self::Quarantine => "line.quarantine_ms",
            Self::Suspicion => "line.suspicion_ms",
            Self::Confirm => "line.confirm_ms",
            Self::Idle => "idle_ms",
            Self::Stall => "stall_ms",
            Self::Retention => "retention_ms",
        })
    }
}

/// What is wrong with the value of a key. Places are in bytes from the start of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing known stands behind a backslash.
    Escape {
        /// Where.
        at: usize,
    },
    /// A brace without its other one, or a place where there can be none.
    Brace {
        /// Where.
        at: usize,
    },
    /// A place is not written as `name:class*count`.
    Place {
        /// Where.
        at: usize,
    },
    /// A place of changing length is followed by another place: nobody knows where it ends.
    OpenEnd {
        /// Where.
        at: usize,
    },
    /// A name stands twice.
    NameTwice {
        /// Where the second one stands.
        at: usize,
    },
    /// A name is that of no place in the registration.
    UnknownName {
        /// Where.
        at: usize,
    },
    /// The pattern names no id.
    NoId,
    /// It is empty.
    Empty,
    /// It is too long.
    TooLong {
        /// How many bytes it can have, or how many of them there are.
        len: usize,
        /// The bound.
        limit: usize,
    },
    /// The same as an earlier one.
    Repeated {
        /// Which.
        index: usize,
    },
    /// The same as another key, from which it has to differ.
    SameAs {
        /// Which.
        key: Key,
    },
    /// It stands behind the header.
    BehindHeader {
        /// How many bytes the header has.
        len: usize,
    },
    /// There is no framing of this name.
    UnknownFraming,
    /// On a stream nobody knows where frames of this framing end: it is one of datagrams.
    OfDatagrams,
    /// The declared framing contradicts itself.
    Declared(SpecError),
    /// The time is outside of its bounds.
    Time {
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// The number is outside of its bounds.
    Number {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Escape { at } => write!(f, "no escape that is known stands at byte {at}"),
            Self::Brace { at } => write!(f, "the brace at byte {at} has no other one, or no place here"),
            Self::Place { at } => write!(f, "the place at byte {at} is not {{name:class*count}}"),
            Self::OpenEnd { at } => write!(f, "where the place at byte {at} ends is not fixed by what follows"),
            Self::NameTwice { at } => write!(f, "the name at byte {at} stands twice"),
            Self::UnknownName { at } => write!(f, "the name at byte {at} is none of the registration"),
            Self::NoId => f.write_str("there is no place {id:…}"),
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong { len, limit } => write!(f, "it has {len}, and may have {limit}"),
            Self::Repeated { index } => write!(f, "it is the same as the one with the index {index}"),
            Self::SameAs { key } => write!(f, "it is the same as {key}"),
            Self::BehindHeader { len } => write!(f, "it has to stand in the header, which has {len} bytes"),
            Self::UnknownFraming => f.write_str("there is no framing of this name"),
            Self::OfDatagrams => f.write_str("it is a framing of datagrams, and this is a stream"),
            Self::Declared(error) => error.fmt(f),
            Self::Time { least, most } => write!(f, "it has to be from {} to {}", least.as_millis(), most.as_millis()),
            Self::Number { least, most } => write!(f, "it has to be from {least} to {most}"),
        }
    }
}

impl core::error::Error for ProfileError {}
impl core::error::Error for Problem {}
