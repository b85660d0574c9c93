//! The UDP binding: a datagram is one frame, whose payload is the device's stream and then one message.
//!
//! ```text
//!  0             6                14                6+n         10+n
//!  | header      |  stream        |  message n - 8  |  CRC-32C  |
//!    D7 55 n ~n     payload n
//! ```
//!
//! Spec: `spec/session.md`, "UDP binding".

use super::{Message, MessageError, complete};
use crate::encode::{Payload, Sink, sealed};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed};
use crate::native::Native;
use crate::parse;
use core::fmt;

/// What a datagram says: which session it belongs to, and one message. As a [`Payload`] it is the payload of the
/// datagram's frame.
///
/// # Examples
///
/// To a datagram and back:
/// ```
/// use dtu_proto::message::Datagram;
/// use dtu_proto::{Message, Native};
///
/// let native = Native::new();
/// let said = Datagram { stream: 0x0123_4567_89AB_CDEF, message: Message::Ack { receive_next: 42 } };
/// let mut buffer = [0; 64];
/// let len = native.encode(&said, &mut buffer)?;
/// assert_eq!(len, 10 + 8 + 5);
/// assert_eq!(Datagram::open(&native, &buffer[..len]), Ok(said));
/// # Ok::<(), dtu_proto::encode::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Datagram<'a> {
    /// The device's stream, as in its REGISTER; it names the session in both directions.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::text::hex_u64"))]
    pub stream: u64,
    /// The message.
    pub message: Message<'a>,
}

impl<'a> Datagram<'a> {
    /// Opens a datagram as it came from the socket: it must be one whole intact frame and nothing more.
    ///
    /// # Errors
    ///
    /// [`DatagramError`]; the datagram is to be dropped and counted as a whole.
    #[inline]
    pub fn open(native: &Native, datagram: &'a [u8]) -> Result<Self, DatagramError> {
        let frame = only_frame(native, datagram)?;
        Self::decode(frame.payload()).map_err(DatagramError::Message)
    }

    /// Decodes the payload of a datagram's frame.
    ///
    /// # Errors
    ///
    /// [`MessageError`]; a payload that ends inside the stream is [`MessageError::Truncated`] with
    /// [`Field::Stream`](super::Field::Stream).
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, MessageError> {
        complete(parse::datagram(payload))
    }
}

/// The frame that the whole of `datagram` is.
#[inline]
fn only_frame<'a>(native: &Native, datagram: &'a [u8]) -> Result<Frame<'a>, DatagramError> {
    //= spec/session.md#S-22
    //= spec/session.md#S-23
    match native.examine(datagram) {
        Examined::Frame(frame) => match datagram.len().saturating_sub(frame.encoded_len()) {
            0 => Ok(frame),
            bytes => Err(DatagramError::Trailing { bytes }),
        },
        Examined::NeedMore { at_least } => {
            Err(DatagramError::Truncated { missing: at_least.get(), available: datagram.len() })
        }
        Examined::Rejected { cause, judged: _ } => Err(DatagramError::Frame(cause)),
    }
}

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramError {
    /// It ends inside its frame.
    Truncated {
        /// How many bytes are missing to the end of the header or of the frame, at the least.
        missing: usize,
        /// The bytes there are.
        available: usize,
    },
    /// Its first byte begins no intact frame.
    Frame(Malformed),
    /// Bytes are left over behind its frame.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The frame is intact, and its payload is no stream with a message.
    Message(MessageError),
}

impl DatagramError {
    /// The kind of error as one word, for metrics and machine-readable output. What is wrong with the frame or the
    /// message has its own [`Malformed::name`] or [`MessageError::name`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::Frame(_) => "frame",
            Self::Trailing { .. } => "trailing",
            Self::Message(_) => "message",
        }
    }
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { missing, available } => {
                write!(f, "datagram ends inside its frame: bytes there {available}, missing at least {missing}")
            }
            Self::Frame(_) => f.write_str("datagram is not an intact frame"),
            Self::Trailing { bytes } => write!(f, "bytes behind the frame of the datagram: {bytes}"),
            Self::Message(_) => f.write_str("payload of the datagram is not a stream and a message"),
        }
    }
}

impl core::error::Error for DatagramError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Frame(cause) => Some(cause),
            Self::Message(error) => Some(error),
            Self::Truncated { .. } | Self::Trailing { .. } => None,
        }
    }
}

impl sealed::Sealed for Datagram<'_> {}

impl Payload for Datagram<'_> {
    #[inline]
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        sink.put(&self.stream.to_be_bytes());
        self.message.encode_into(sink);
    }
}
