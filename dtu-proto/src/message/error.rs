//! What can be wrong with a message.

use core::fmt;

/// Why a payload is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// The payload ends inside a field.
    Truncated {
        /// The field.
        field: Field,
        /// The bytes it takes.
        needed: usize,
        /// The bytes there are.
        available: usize,
    },
    /// Bytes are left over behind the last field of this kind.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A text is not UTF-8.
    NotUtf8 {
        /// The field.
        field: Field,
        /// How many of its bytes are.
        valid_up_to: usize,
    },
    /// A field's length lies outside what the specification allows.
    Length {
        /// The field.
        field: Field,
        /// Its length in bytes.
        length: usize,
        /// The least it may have.
        min: usize,
        /// The most it may have.
        max: usize,
    },
}

/// The fields of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the field of that name in the tables of spec/session.md
#[non_exhaustive]
pub enum Field {
    Kind,
    Version,
    Flags,
    DeviceId,
    Token,
    Stream,
    SendBase,
    PeerStream,
    ReceiveNext,
    HeartbeatMs,
    Window,
    Code,
    RetryAfterMs,
    Reason,
    Nonce,
    Seq,
    Channel,
    Mac,
    Next,
}

impl Field {
    /// The field's name as `spec/session.md` writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Version => "version",
            Self::Flags => "flags",
            Self::DeviceId => "device_id",
            Self::Token => "token",
            Self::Stream => "stream",
            Self::SendBase => "send_base",
            Self::PeerStream => "peer_stream",
            Self::ReceiveNext => "receive_next",
            Self::HeartbeatMs => "heartbeat_ms",
            Self::Window => "window",
            Self::Code => "code",
            Self::RetryAfterMs => "retry_after_ms",
            Self::Reason => "reason",
            Self::Nonce => "nonce",
            Self::Seq => "seq",
            Self::Channel => "channel",
            Self::Mac => "mac",
            Self::Next => "next",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl MessageError {
    /// The kind of error as one word, for metrics and machine-readable output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::Trailing { .. } => "trailing",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Length { .. } => "length",
        }
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { field, needed, available } => {
                write!(f, "message ends in {field}: bytes needed {needed}, there {available}")
            }
            Self::Trailing { bytes } => write!(f, "bytes behind the last field of the message: {bytes}"),
            Self::NotUtf8 { field, valid_up_to } => write!(f, "{field} is not UTF-8 from its byte {valid_up_to} on"),
            Self::Length { field, length, min, max } => {
                write!(f, "{field} has {length} bytes, {min} to {max} are allowed")
            }
        }
    }
}

impl core::error::Error for MessageError {}
