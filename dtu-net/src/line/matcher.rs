//! By what the reply to a request is known.

use super::modbus::{RtuReply, TcpReply};
use core::fmt;
use std::sync::Arc;

/// A matcher of the user's own.
///
/// It sees whole frames of the line's framing, as they stood on the line.
pub trait Match: fmt::Debug + Send + Sync {
    /// Whether `frame` can be the reply.
    fn is_reply(&self, frame: &[u8]) -> bool;

    /// Whether the reply to another request, also to the same bytes sent again, is never taken for this one: requests carry a
    /// number that replies repeat. The line is not held quiet for it after a timeout.
    fn is_unique(&self) -> bool {
        false
    }
}

/// By what the reply to a request is known.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Matcher {
    /// Modbus RTU: address, function or its exception, and how much was asked for.
    ModbusRtu(RtuReply),
    /// Modbus TCP: transaction, unit, and function or its exception.
    ModbusTcp(TcpReply),
    /// The first frame that comes. For lines on which nobody speaks unasked.
    AnyFrame,
    /// There is no reply, as to a broadcast.
    None,
    /// As the user says.
    Custom(Arc<dyn Match>),
}

impl Matcher {
    /// For `request`, a whole Modbus RTU frame with its checksum. One to address 0 is a broadcast, which nobody answers.
    ///
    /// # Errors
    ///
    /// When `request` is none: see [`MatcherError`].
    pub fn modbus_rtu(request: &[u8]) -> Result<Self, MatcherError> {
        let reply = RtuReply::to(request)?;
        Ok(if reply.address() == 0 { Self::None } else { Self::ModbusRtu(reply) })
    }

    /// For `request`, a whole Modbus TCP frame. Give each request another transaction than those before it: by that its reply is
    /// told from theirs, and the line is not held quiet for them.
    ///
    /// # Errors
    ///
    /// When `request` is none: see [`MatcherError`].
    pub fn modbus_tcp(request: &[u8]) -> Result<Self, MatcherError> {
        TcpReply::to(request).map(Self::ModbusTcp)
    }

    /// By a matcher of the user's own.
    #[must_use]
    pub fn custom(matcher: impl Match + 'static) -> Self {
        Self::Custom(Arc::new(matcher))
    }

    /// By a function of the frame as it stood on the line.
    #[must_use]
    pub fn by(is_reply: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self::custom(By(is_reply))
    }

    /// Whether `frame` can be the reply.
    #[must_use]
    pub fn is_reply(&self, frame: &[u8]) -> bool {
        match self {
            Self::ModbusRtu(reply) => reply.is_reply(frame),
            Self::ModbusTcp(reply) => reply.is_reply(frame),
            Self::AnyFrame => true,
            Self::None => false,
            Self::Custom(matcher) => matcher.is_reply(frame),
        }
    }

    /// Whether the reply to another request is never taken for this one.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        match self {
            Self::ModbusTcp(_) => true,
            Self::ModbusRtu(_) | Self::AnyFrame | Self::None => false,
            Self::Custom(matcher) => matcher.is_unique(),
        }
    }

    pub(super) const fn expects_reply(&self) -> bool {
        !matches!(self, Self::None)
    }
}

struct By<F>(F);

impl<F> fmt::Debug for By<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By")
    }
}

impl<F: Fn(&[u8]) -> bool + Send + Sync> Match for By<F> {
    fn is_reply(&self, frame: &[u8]) -> bool {
        self.0(frame)
    }
}

/// Why bytes are no request of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatcherError {
    /// Too short for its function, or too long.
    Length {
        /// How many bytes.
        len: usize,
    },
    /// The checksum does not fit the bytes.
    Checksum {
        /// The checksum of the bytes.
        computed: u16,
        /// The checksum that stands behind them.
        found: u16,
    },
    /// The protocol's number is not that of Modbus.
    Protocol {
        /// The number.
        found: u16,
    },
    /// The function is none that a request can have.
    Function {
        /// The function.
        found: u8,
    },
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len } => write!(f, "{len} bytes are no request with this function"),
            Self::Checksum { computed, found } => {
                // As whoever wrote the request has it before him: the low byte stands first.
                let ([f0, f1], [c0, c1]) = (found.to_le_bytes(), computed.to_le_bytes());
                write!(f, "the checksum of the request is {f0:02X} {f1:02X}, its bytes give {c0:02X} {c1:02X}")
            }
            Self::Protocol { found } => write!(f, "the protocol is {found}, that of Modbus is 0"),
            Self::Function { found } => write!(f, "{found:#04x} is not the function of a request"),
        }
    }
}

impl core::error::Error for MatcherError {}
