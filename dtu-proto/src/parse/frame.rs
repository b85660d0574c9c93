//! `frame = magic length guard payload checksum`

use crate::checksum::Crc32c;
use crate::frame::{Frame, HEADER_LEN, MAGIC, OVERHEAD};
use crate::framing::Malformed;
use nom::error::{ErrorKind, FromExternalError};
use nom::{Err, IResult, Needed};

impl<I> FromExternalError<I, Self> for Malformed {
    #[inline(always)]
    fn from_external_error(_: I, _: ErrorKind, error: Self) -> Self {
        error
    }
}

/// Parses a frame's header and returns the payload's length in bytes.
///
/// `header = %xD7 %x55 length guard ; length = 2OCTET, guard = its one's complement`
///
/// # Errors
///
/// [`Malformed::Magic`], [`Malformed::LengthGuard`], and [`Malformed::OverLimit`] for a length over `max_payload`
/// bytes, in this order. `Incomplete` while fewer than a header's bytes came and they begin like the magic.
#[inline(always)]
pub fn header<'a, E>(max_payload: usize) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], usize, E>
where
    E: FromExternalError<&'a [u8], Malformed>,
{
    #[inline(always)] // only inside a batch do the kernel's intrinsics become instructions
    move |input| {
        let fail = |cause| Err(Err::Error(E::from_external_error(input, ErrorKind::Verify, cause)));
        let Some((&[m0, m1, l0, l1, g0, g1], rest)) = input.split_first_chunk::<HEADER_LEN>() else {
            //= spec/frame.md#F-2
            return if input.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic) {
                Err(Err::Incomplete(Needed::new(HEADER_LEN.saturating_sub(input.len()))))
            } else {
                fail(Malformed::Magic)
            };
        };
        //= spec/frame.md#F-1
        if [m0, m1] != MAGIC {
            return fail(Malformed::Magic);
        }
        let (length, guard) = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([g0, g1]));
        //= spec/frame.md#F-3
        if u16::from_ne_bytes([l0, l1]) ^ u16::from_ne_bytes([g0, g1]) != u16::MAX {
            return fail(Malformed::LengthGuard { length: length.into(), guard: guard.into() });
        }
        let length = usize::from(length);
        //= spec/frame.md#F-5
        if length > max_payload {
            return fail(Malformed::OverLimit { length, limit: max_payload });
        }
        Ok((rest, length))
    }
}

/// Parses a frame with a payload of at most `max_payload` bytes and verifies its checksum with the kernel `crc`.
///
/// `frame = header payload checksum ; payload = <length>OCTET, checksum = 4OCTET`
///
/// The kernel is a parameter, so that a loop over frames can be compiled for it; see
/// [`Kernel::run`](crate::checksum::Kernel::run).
///
/// # Errors
///
/// Those of [`header`], which is judged before the payload is awaited, and [`Malformed::Checksum`]. `Incomplete` says
/// how many bytes are missing to the end of the header or the frame.
///
/// # Examples
///
/// Two frames as a nom grammar:
/// ```
/// use dtu_proto::checksum::Kernel;
/// use dtu_proto::parse;
/// use nom::Parser;
///
/// let two = b"\xD7\x55\x00\x00\xFF\xFF\x6D\xDA\xF1\x97\xD7\x55\x00\x00\xFF\xFF\x6D\xDA\xF1\x97";
/// let frame = || parse::frame::<_, nom::error::Error<&[u8]>>(1024, Kernel::detect());
/// let (rest, (first, second)) = (frame(), frame()).parse(two)?;
/// assert!(rest.is_empty() && first.payload().is_empty() && first == second);
/// # Ok::<(), nom::Err<nom::error::Error<&[u8]>>>(())
/// ```
#[inline(always)]
pub fn frame<'a, C, E>(max_payload: usize, crc: C) -> impl Fn(&'a [u8]) -> IResult<&'a [u8], Frame<'a>, E>
where
    C: Crc32c,
    E: FromExternalError<&'a [u8], Malformed>,
{
    let header = header(max_payload);
    #[inline(always)] // only inside a batch do the kernel's intrinsics become instructions
    move |input| {
        let (_, length) = header(input)?;
        let total = length.saturating_add(OVERHEAD);
        let Some((bytes, rest)) = input.split_at_checked(total) else {
            return Err(Err::Incomplete(Needed::new(total.saturating_sub(input.len()))));
        };
        let (covered, checksum) = bytes.split_last_chunk().expect("the total counts the checksum");
        let (computed, found) = (crc.checksum(covered), u32::from_be_bytes(*checksum));
        //= spec/frame.md#F-6
        if computed != found {
            let cause = Malformed::Checksum { computed, found };
            return Err(Err::Error(E::from_external_error(input, ErrorKind::Verify, cause)));
        }
        let payload = covered.get(HEADER_LEN..).expect("the total counts the header");
        Ok((rest, Frame::from_parts(bytes, payload)))
    }
}
