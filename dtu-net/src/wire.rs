//! What carries frames: a stream of bytes, or datagrams of one frame each.

use crate::byte_stream::ByteStream;
use crate::limits::Limits;
use dtu_proto::message::Datagram;
use dtu_proto::{Message, Native};
use std::time::Instant;

/// What a connection carries frames on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A stream of bytes that keeps its order: TCP, TLS, a serial line.
    Stream,
    /// Datagrams, which are lost, doubled and overtaken. Each names the device's stream.
    Datagrams,
}

#[derive(Debug)]
pub enum Wire {
    Stream(ByteStream),
    Datagrams { stream: u64 },
}

impl Wire {
    pub(crate) fn new(carrier: Carrier, stream: u64, limits: &Limits) -> Self {
        match carrier {
            Carrier::Stream => Self::Stream(ByteStream::new(Native::with_max_payload(limits.max_payload))),
            Carrier::Datagrams => Self::Datagrams { stream },
        }
    }

    pub(crate) const fn is_ordered(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether a peer cannot tell what comes on this wire from what comes on the other.
    pub(crate) const fn is_named_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Datagrams { stream }, Self::Datagrams { stream: other }) => *stream == *other,
            _ => false,
        }
    }

    /// The bytes of a candidate that is not whole.
    pub(crate) fn buffered(&self) -> usize {
        match self {
            Self::Stream(stream) => stream.buffered(),
            Self::Datagrams { .. } => 0,
        }
    }

    /// Since when there has been such a candidate.
    pub(crate) fn candidate_since(&self) -> Option<Instant> {
        match self {
            Self::Stream(stream) => stream.candidate_since(),
            Self::Datagrams { .. } => None,
        }
    }

    /// Appends the frame of a message.
    pub(crate) fn encode(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        // The limit is the receiver's; what goes out is bounded by the fields of the messages and by `send`.
        let native = Native::new();
        let encoded = match *self {
            Self::Stream(_) => native.encode_to(message, out),
            Self::Datagrams { stream } => native.encode_to(&Datagram { stream, message: *message }, out),
        };
        encoded.expect("bodies are measured before, and the bounded fields of every other message fit a frame");
    }
}
