//! `message = kind fields`, one parser a kind.

use crate::message::{
    Close, CloseCode, Data, Datagram, DeviceId, Field, Message, MessageError, Reason, Refuse, RefuseCode, Register,
    Resume, Token, Unknown, Welcome, kind,
};
use nom::error::{ErrorKind, FromExternalError};
use nom::{Err, IResult};

impl<I> FromExternalError<I, Self> for MessageError {
    #[inline(always)]
    fn from_external_error(_: I, _: ErrorKind, error: Self) -> Self {
        error
    }
}

/// What an error type of these parsers must be able to hold.
pub trait FieldError<'a>: FromExternalError<&'a [u8], MessageError> {}
impl<'a, E: FromExternalError<&'a [u8], MessageError>> FieldError<'a> for E {}

/// Parses the message that the whole of `input` is; nothing is left over.
///
/// `message = register / welcome / refuse / ping / pong / data / ack / close / challenge / proof / skip / unknown`
///
/// `unknown = %x00 / %x0C-FF *OCTET`
///
/// # Errors
///
/// Every [`MessageError`]; never `Incomplete`.
///
/// # Examples
///
/// ```
/// use dtu_proto::message::{Field, MessageError};
/// use dtu_proto::{parse, Message};
///
/// let (rest, message) = parse::message::<MessageError>(b"\x07\x00\x00\x00\x2A").unwrap();
/// assert_eq!((rest, message), (&[][..], Message::Ack { receive_next: 42 }));
/// let cut = parse::message::<MessageError>(b"\x07\x00\x00");
/// let error = MessageError::Truncated { field: Field::ReceiveNext, needed: 4, available: 2 };
/// assert_eq!(cut, Err(nom::Err::Error(error)));
/// ```
pub fn message<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (fields, kind) = u8(Field::Kind)(input)?;
    let (rest, message) = match kind {
        kind::REGISTER => register(fields)?,
        kind::WELCOME => welcome(fields)?,
        kind::REFUSE => refuse(fields)?,
        kind::PING => u64(Field::Nonce)(fields).map(|(rest, nonce)| (rest, Message::Ping { nonce }))?,
        kind::PONG => u64(Field::Nonce)(fields).map(|(rest, nonce)| (rest, Message::Pong { nonce }))?,
        kind::DATA => data(fields)?,
        kind::ACK => u32(Field::ReceiveNext)(fields).map(|(rest, n)| (rest, Message::Ack { receive_next: n }))?,
        kind::CLOSE => close(fields)?,
        kind::CHALLENGE => array(Field::Nonce)(fields).map(|(rest, nonce)| (rest, Message::Challenge { nonce }))?,
        kind::PROOF => array(Field::Mac)(fields).map(|(rest, mac)| (rest, Message::Proof { mac }))?,
        kind::SKIP => u32(Field::Next)(fields).map(|(rest, next)| (rest, Message::Skip { next }))?,
        kind => {
            let unknown = Unknown::new(kind, fields).expect("every known kind has its arm above");
            (&[][..], Message::Unknown(unknown))
        }
    };
    //= spec/session.md#M-3
    if rest.is_empty() { Ok((rest, message)) } else { fail(rest, MessageError::Trailing { bytes: rest.len() }) }
}

/// Parses the payload of a datagram's frame, the whole of `input`; nothing is left over.
///
/// `datagram = stream message ; 8OCTET`
///
/// # Errors
///
/// Every [`MessageError`]; never `Incomplete`.
#[inline]
pub fn datagram<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Datagram<'a>, E> {
    let (rest, stream) = u64(Field::Stream)(input)?;
    let (rest, message) = message(rest)?;
    Ok((rest, Datagram { stream, message }))
}

/// Parses the resume fields of REGISTER and WELCOME.
///
/// `resume = stream send_base peer_stream receive_next ; 8OCTET 4OCTET 8OCTET 4OCTET`
///
/// # Errors
///
/// [`MessageError::Truncated`].
pub fn resume<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Resume, E> {
    let (rest, stream) = u64(Field::Stream)(input)?;
    let (rest, send_base) = u32(Field::SendBase)(rest)?;
    let (rest, peer_stream) = u64(Field::PeerStream)(rest)?;
    let (rest, receive_next) = u32(Field::ReceiveNext)(rest)?;
    Ok((rest, Resume { stream, send_base, peer_stream, receive_next }))
}

/// `register = version flags device_id token resume ; device_id = length 1*64OCTET, token = length *255OCTET`
fn register<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (rest, version) = u8(Field::Version)(input)?;
    let (rest, flags) = u8(Field::Flags)(rest)?;
    let (rest, device_id) = text(Field::DeviceId)(rest)?;
    let device_id = DeviceId::new(device_id).or_else(|error| fail(rest, error))?;
    let (rest, token) = counted(Field::Token)(rest)?;
    let token = Token::new(token).or_else(|error| fail(rest, error))?;
    let (rest, resume) = resume(rest)?;
    Ok((rest, Message::Register(Register { version, flags, device_id, token, resume })))
}

/// `welcome = heartbeat_ms window resume ; 4OCTET 2OCTET`
fn welcome<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (rest, heartbeat_ms) = u32(Field::HeartbeatMs)(input)?;
    let (rest, window) = u16(Field::Window)(rest)?;
    let (rest, resume) = resume(rest)?;
    Ok((rest, Message::Welcome(Welcome { heartbeat_ms, window, resume })))
}

/// `refuse = code retry_after_ms reason ; 1OCTET 4OCTET, reason = length *255OCTET`
fn refuse<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (rest, code) = u8(Field::Code)(input)?;
    let (rest, retry_after_ms) = u32(Field::RetryAfterMs)(rest)?;
    let (rest, reason) = reason(rest)?;
    Ok((rest, Message::Refuse(Refuse { code: RefuseCode(code), retry_after_ms, reason })))
}

/// `data = seq channel body ; 4OCTET 1OCTET *OCTET`
#[inline]
fn data<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (rest, seq) = u32(Field::Seq)(input)?;
    let (body, channel) = u8(Field::Channel)(rest)?;
    Ok((&[], Message::Data(Data { seq, channel, body })))
}

/// `close = code reason`
fn close<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Message<'a>, E> {
    let (rest, code) = u8(Field::Code)(input)?;
    let (rest, reason) = reason(rest)?;
    Ok((rest, Message::Close(Close { code: CloseCode(code), reason })))
}

fn reason<'a, E: FieldError<'a>>(input: &'a [u8]) -> IResult<&'a [u8], Reason<'a>, E> {
    let (rest, reason) = text(Field::Reason)(input)?;
    Ok((rest, Reason::new(reason).or_else(|error| fail(rest, error))?))
}

/// The one leaf: `N` bytes of `field`.
#[inline(always)]
fn array<'a, E: FieldError<'a>, const N: usize>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], [u8; N], E> {
    move |input| match input.split_first_chunk() {
        Some((bytes, rest)) => Ok((rest, *bytes)),
        None => fail(input, MessageError::Truncated { field, needed: N, available: input.len() }),
    }
}

#[inline(always)]
fn u8<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], u8, E> {
    move |input| array(field)(input).map(|(rest, [byte])| (rest, byte))
}

#[inline(always)]
fn u16<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], u16, E> {
    move |input| array(field)(input).map(|(rest, bytes)| (rest, u16::from_be_bytes(bytes)))
}

#[inline(always)]
fn u32<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], u32, E> {
    move |input| array(field)(input).map(|(rest, bytes)| (rest, u32::from_be_bytes(bytes)))
}

#[inline(always)]
fn u64<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], u64, E> {
    move |input| array(field)(input).map(|(rest, bytes)| (rest, u64::from_be_bytes(bytes)))
}

/// A length byte and so many bytes.
fn counted<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], &'a [u8], E> {
    move |input| {
        let (rest, length) = u8(field)(input)?;
        let needed = usize::from(length);
        match rest.split_at_checked(needed) {
            Some((bytes, rest)) => Ok((rest, bytes)),
            None => fail(rest, MessageError::Truncated { field, needed, available: rest.len() }),
        }
    }
}

/// A length byte and so many bytes of UTF-8.
fn text<'a, E: FieldError<'a>>(field: Field) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], &'a str, E> {
    move |input| {
        let (rest, bytes) = counted(field)(input)?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok((rest, text)),
            Err(error) => fail(input, MessageError::NotUtf8 { field, valid_up_to: error.valid_up_to() }),
        }
    }
}

#[cold]
fn fail<'a, T, E: FieldError<'a>>(input: &'a [u8], error: MessageError) -> Result<T, Err<E>> {
    Err(Err::Error(E::from_external_error(input, ErrorKind::Verify, error)))
}
