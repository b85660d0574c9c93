//! Messages, version 1: what the payload of a native frame says.
//!
//! A payload is one message: `kind: u8`, then fields that the kind fixes. A kind that this version does not know is
//! kept as [`Unknown`] and is no error. Spec: `spec/session.md`, "Messages".
//!
//! | kind | name | body |
//! |---|---|---|
//! | `01` | REGISTER | version u8, flags u8, device id, token, resume fields |
//! | `02` | WELCOME | heartbeat_ms u32, window u16, resume fields |
//! | `03` | REFUSE | code u8, retry_after_ms u32, reason |
//! | `04` | PING | nonce u64 |
//! | `05` | PONG | nonce u64 |
//! | `06` | DATA | seq u32, channel u8, body |
//! | `07` | ACK | receive_next u32 |
//! | `08` | CLOSE | code u8, reason |
//! | `09` | CHALLENGE | nonce, 16 bytes |
//! | `0A` | PROOF | HMAC-SHA-256, 32 bytes |
//! | `0B` | SKIP | next u32 |
//!
//! Device id, token and reason each have a length byte in front. Numbers are big-endian.
//!
//! # Examples
//!
//! A message to a frame and back:
//! ```
//! use dtu_proto::message::Data;
//! use dtu_proto::{framing::next_step, Message, Native, Step};
//!
//! let reading = Message::Data(Data { seq: 7, channel: 0, body: b"\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6" });
//! let native = Native::new();
//! let mut buffer = [0; 64];
//! let len = native.encode(&reading, &mut buffer)?;
//! let Step::Frame(frame) = next_step(&native, &buffer[..len]) else { panic!("the frame is whole") };
//! assert_eq!(Message::decode(frame.payload()), Ok(reading));
//! # Ok::<(), dtu_proto::encode::EncodeError>(())
//! ```

mod datagram;
mod error;
mod text;

pub use datagram::{Datagram, DatagramError};
pub use error::{Field, MessageError};
pub use text::{DeviceId, MAX_DEVICE_ID_LEN, Reason, Token};

use crate::encode::{Payload, Sink, sealed};
use crate::parse;

/// The version of the messages that this crate speaks, as REGISTER says it.
pub const VERSION: u8 = 1;

/// The bytes of a DATA message before its body: kind, seq and channel.
pub const DATA_HEADER_LEN: usize = 6;

/// The kind bytes.
pub mod kind {
    /// A device says who it is.
    pub const REGISTER: u8 = 0x01;
    /// The server lets a device in.
    pub const WELCOME: u8 = 0x02;
    /// The server does not let a device in.
    pub const REFUSE: u8 = 0x03;
    /// Asks for a sign of life.
    pub const PING: u8 = 0x04;
    /// Gives it.
    pub const PONG: u8 = 0x05;
    /// Bytes from or to a serial port.
    pub const DATA: u8 = 0x06;
    /// Takes responsibility for DATA.
    pub const ACK: u8 = 0x07;
    /// Ends the session in order.
    pub const CLOSE: u8 = 0x08;
    /// Asks a device to prove that it has its key.
    pub const CHALLENGE: u8 = 0x09;
    /// Proves it.
    pub const PROOF: u8 = 0x0A;
    /// Says that some DATA will not come.
    pub const SKIP: u8 = 0x0B;
}

/// A message that borrows what it carries from the frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE"))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Message<'a> {
    /// A device says who it is.
    Register(Register<'a>),
    /// The server lets a device in.
    Welcome(Welcome),
    /// The server does not let a device in.
    Refuse(Refuse<'a>),
    /// Asks for a sign of life.
    Ping {
        /// The sender's own monotonic clock in microseconds; means nothing to the peer.
        #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex_u64"))]
        nonce: u64,
    },
    /// Gives it.
    Pong {
        /// The nonce of the PING.
        #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex_u64"))]
        nonce: u64,
    },
    /// Bytes from or to a serial port.
    Data(Data<'a>),
    /// Takes responsibility for DATA.
    Ack {
        /// Every number below this one is taken.
        receive_next: u32,
    },
    /// Ends the session in order.
    Close(Close<'a>),
    /// Asks a device to prove that it has its key.
    Challenge {
        /// Random bytes, new each time.
        #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex"))]
        nonce: [u8; 16],
    },
    /// Proves it.
    Proof {
        /// HMAC-SHA-256 over the nonce and the device id, with the device's key.
        #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex"))]
        mac: [u8; 32],
    },
    /// Says that some DATA will not come.
    Skip {
        /// The numbers below this one will not come any more: expired, or dropped by policy.
        next: u32,
    },
    /// A message of a kind that this version does not know.
    Unknown(Unknown<'a>),
}

/// REGISTER: a device says who it is and where its streams stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Register<'a> {
    /// The version of the messages, [`VERSION`].
    pub version: u8,
    /// No flag is defined; senders write 0, receivers ignore it.
    pub flags: u8,
    /// Who the device is.
    pub device_id: DeviceId<'a>,
    /// What the server may ask for besides, opaque here; may be empty.
    pub token: Token<'a>,
    /// Where the streams stand.
    pub resume: Resume,
}

/// WELCOME: the server lets a device in and says how the link is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Welcome {
    /// How long the device may be silent before it sends a PING, in milliseconds.
    pub heartbeat_ms: u32,
    /// How many DATA the device may have unacknowledged.
    pub window: u16,
    /// Where the streams stand.
    pub resume: Resume,
}

/// The resume fields of REGISTER and WELCOME: where the sender's stream stands, and what it knows of the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Resume {
    /// The sender's own stream, a random id.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex_u64"))]
    pub stream: u64,
    /// The first number of that stream that is not acknowledged.
    pub send_base: u32,
    /// The peer's stream that the sender remembers; 0 when it remembers none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex_u64"))]
    pub peer_stream: u64,
    /// The number of the peer's stream that the sender awaits next.
    pub receive_next: u32,
}

/// REFUSE: the server does not let a device in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Refuse<'a> {
    /// Why.
    pub code: RefuseCode,
    /// How long the device shall wait before it comes again, in milliseconds.
    pub retry_after_ms: u32,
    /// The same for people; may be empty.
    pub reason: Reason<'a>,
}

/// DATA: bytes from or to a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Data<'a> {
    /// The number in the sender's stream, from 0, modulo 2^32.
    pub seq: u32,
    /// Which serial port.
    pub channel: u8,
    /// The bytes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex"))]
    pub body: &'a [u8],
}

/// CLOSE: ends the session in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Close<'a> {
    /// Why.
    pub code: CloseCode,
    /// The same for people; may be empty.
    pub reason: Reason<'a>,
}

/// A message of a kind that this version does not know, kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Unknown<'a> {
    #[cfg_attr(feature = "serde", serde(rename = "unknown_kind"))]
    kind: u8,
    #[cfg_attr(feature = "serde", serde(serialize_with = "text::hex"))]
    body: &'a [u8],
}

impl<'a> Unknown<'a> {
    /// A message of an unknown kind; `None` when this version knows the kind.
    #[must_use]
    pub const fn new(kind: u8, body: &'a [u8]) -> Option<Self> {
        match kind {
            kind::REGISTER..=kind::SKIP => None,
            _ => Some(Self { kind, body }),
        }
    }

    /// The kind byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// What follows it.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Why a device was refused. A value without a constant is kept as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RefuseCode(pub u8);

impl RefuseCode {
    /// The first message was not REGISTER, or the messages' version is not spoken here.
    pub const PROTOCOL: Self = Self(0x01);
    /// Unknown device, wrong token or proof.
    pub const UNAUTHORIZED: Self = Self(0x02);
    /// The server has no room at the moment.
    pub const BUSY: Self = Self(0x03);
}

/// Why a session was closed. A value without a constant is kept as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct CloseCode(pub u8);

impl CloseCode {
    /// All is said.
    pub const DONE: Self = Self(0x00);
    /// The peer broke the rules.
    pub const PROTOCOL: Self = Self(0x01);
    /// The side that closes goes down.
    pub const GOING_DOWN: Self = Self(0x02);
    /// The peer was silent for too long.
    pub const TIMED_OUT: Self = Self(0x03);
    /// A newer connection of the same device has taken its place.
    pub const REPLACED: Self = Self(0x04);
}

impl<'a> Message<'a> {
    /// Decodes the message that `payload` is.
    ///
    /// # Errors
    ///
    /// [`MessageError`] says which field is wrong. The frame was intact, so the stream can go on; the peer that sent
    /// it is not of this version.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, MessageError> {
        complete(parse::message(payload))
    }

    /// The kind's name as `spec/session.md` writes it; `UNKNOWN` for one that this version does not know.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "REGISTER",
            Self::Welcome(_) => "WELCOME",
            Self::Refuse(_) => "REFUSE",
            Self::Ping { .. } => "PING",
            Self::Pong { .. } => "PONG",
            Self::Data(_) => "DATA",
            Self::Ack { .. } => "ACK",
            Self::Close(_) => "CLOSE",
            Self::Challenge { .. } => "CHALLENGE",
            Self::Proof { .. } => "PROOF",
            Self::Skip { .. } => "SKIP",
            Self::Unknown(_) => "UNKNOWN",
        }
    }

    /// The kind byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Register(_) => kind::REGISTER,
            Self::Welcome(_) => kind::WELCOME,
            Self::Refuse(_) => kind::REFUSE,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Data(_) => kind::DATA,
            Self::Ack { .. } => kind::ACK,
            Self::Close(_) => kind::CLOSE,
            Self::Challenge { .. } => kind::CHALLENGE,
            Self::Proof { .. } => kind::PROOF,
            Self::Skip { .. } => kind::SKIP,
            Self::Unknown(unknown) => unknown.kind,
        }
    }
}

/// What a parser of a whole payload found; the one place that reads nom's errors for messages.
#[inline(always)]
fn complete<T>(parsed: nom::IResult<&[u8], T, MessageError>) -> Result<T, MessageError> {
    match parsed {
        Ok((_, value)) => Ok(value),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
        Err(nom::Err::Incomplete(_)) => unreachable!("message parsers are complete"),
    }
}

impl sealed::Sealed for Message<'_> {}

impl Payload for Message<'_> {
    #[inline]
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Data(data) => {
                let [s0, s1, s2, s3] = data.seq.to_be_bytes();
                sink.put(&[kind::DATA, s0, s1, s2, s3, data.channel]);
                sink.put(data.body);
            }
            Self::Ping { nonce } | Self::Pong { nonce } => {
                let [a, b, c, d, e, f, g, h] = nonce.to_be_bytes();
                sink.put(&[self.kind(), a, b, c, d, e, f, g, h]);
            }
            Self::Ack { receive_next: number } | Self::Skip { next: number } => {
                let [a, b, c, d] = number.to_be_bytes();
                sink.put(&[self.kind(), a, b, c, d]);
            }
            Self::Register(register) => {
                sink.put(&[kind::REGISTER, register.version, register.flags, register.device_id.length_byte()]);
                sink.put(register.device_id.as_str().as_bytes());
                sink.put(&[register.token.length_byte()]);
                sink.put(register.token.as_bytes());
                register.resume.encode_into(sink);
            }
            Self::Welcome(welcome) => {
                sink.put(&[kind::WELCOME]);
                sink.put(&welcome.heartbeat_ms.to_be_bytes());
                sink.put(&welcome.window.to_be_bytes());
                welcome.resume.encode_into(sink);
            }
            Self::Refuse(refuse) => {
                sink.put(&[kind::REFUSE, refuse.code.0]);
                sink.put(&refuse.retry_after_ms.to_be_bytes());
                sink.put(&[refuse.reason.length_byte()]);
                sink.put(refuse.reason.as_str().as_bytes());
            }
            Self::Close(close) => {
                sink.put(&[kind::CLOSE, close.code.0, close.reason.length_byte()]);
                sink.put(close.reason.as_str().as_bytes());
            }
            Self::Challenge { nonce } => {
                sink.put(&[kind::CHALLENGE]);
                sink.put(nonce);
            }
            Self::Proof { mac } => {
                sink.put(&[kind::PROOF]);
                sink.put(mac);
            }
            Self::Unknown(unknown) => {
                sink.put(&[unknown.kind]);
                sink.put(unknown.body);
            }
        }
    }
}

impl Resume {
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        sink.put(&self.stream.to_be_bytes());
        sink.put(&self.send_base.to_be_bytes());
        sink.put(&self.peer_stream.to_be_bytes());
        sink.put(&self.receive_next.to_be_bytes());
    }
}

#[cfg(feature = "arbitrary")]
impl<'a> arbitrary::Arbitrary<'a> for Unknown<'a> {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        // `kind::SKIP` is the last kind known; every byte above it is unknown, and so is 0.
        let kind = u.int_in_range(kind::SKIP..=u8::MAX)?;
        let kind = if kind == kind::SKIP { 0 } else { kind };
        Self::new(kind, u.arbitrary()?).ok_or(arbitrary::Error::IncorrectFormat)
    }
}
