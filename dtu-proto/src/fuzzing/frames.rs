//! One frame, from bytes and to bytes.

use super::kernels;
use crate::checksum::Kernel;
use crate::encode::{EncodeError, Payload};
use crate::frame::{HEADER_LEN, OVERHEAD};
use crate::framing::{Examined, Framing, Malformed, Step, next_step};
use crate::native::Native;
use crate::parse;
use crate::testing::{End, Piece, deframe};
use alloc::vec;
use alloc::vec::Vec;
use arbitrary::Unstructured;
use bytes::{BufMut, BytesMut};

/// What stands in a buffer before something is encoded into it.
const DIRT: u8 = 0xA5;

/// Any bytes as a candidate: the verdict keeps the contract of [`Framing`], the nom functions and the naive deframer
/// agree with it, and a frame encodes to its own bytes again.
///
/// Input: the candidate.
pub fn frame_decode(input: &[u8]) {
    for limit in [u16::MAX, 64, 8, 0] {
        decode_one(Native::with_max_payload(limit), input);
    }
    let start = Native::new().find_start(input);
    let naive = (0..input.len()).find(|&at| input[at] == 0xD7 && input.get(at + 1).is_none_or(|&next| next == 0x55));
    assert_eq!(start, naive.unwrap_or(input.len()), "start in {input:02x?}");
}

fn decode_one(native: Native, input: &[u8]) {
    let examined = native.examine(input);
    let naive = deframe(input, native.max_payload(), End::Open);
    match examined {
        Examined::Frame(frame) => {
            let len = frame.encoded_len();
            assert_eq!(frame.as_bytes(), &input[..len]);
            assert_eq!(frame.payload_range(), HEADER_LEN..len - 4);
            assert_eq!(frame.payload(), &input[frame.payload_range()]);
            let payload = frame.payload().to_vec();
            assert_eq!(naive.pieces.first(), Some(&Piece::Frame { offset: 0, len, payload }));
            let mut again = vec![DIRT; len];
            assert_eq!(native.encode(frame.payload(), &mut again), Ok(len));
            assert_eq!(again, frame.as_bytes(), "one payload, one frame");
        }
        Examined::NeedMore { at_least } => {
            assert_eq!((naive.pieces.len(), naive.rest, naive.missing), (0, input.len(), at_least.get()));
            assert!(input.len() + at_least.get() <= native.max_frame_len(), "asks for more than a frame");
        }
        Examined::Rejected { cause, judged } => {
            assert!((1..=input.len()).contains(&judged), "judged {judged} of {}", input.len());
            let Some(Piece::Skipped { cause: expected, .. }) = naive.pieces.first() else {
                panic!("rejected for {cause:?}, and the oracle has {naive:?}")
            };
            assert_eq!(cause, *expected);
        }
    }
    as_nom_sees_it(native, input, examined);
    stays_as_it_is(native, input, examined);
}

/// The public nom function, with an error type that keeps the numbers and one that keeps nothing.
fn as_nom_sees_it(native: Native, input: &[u8], examined: Examined<'_>) {
    let limit = native.max_payload();
    let parsed = parse::frame::<_, Malformed>(limit, Kernel::detect())(input);
    let by_nom = match parsed {
        Ok((rest, frame)) => {
            assert_eq!(rest, &input[frame.encoded_len()..]);
            Ok(frame)
        }
        Err(nom::Err::Incomplete(nom::Needed::Size(needed))) => Err((None, Some(needed))),
        Err(nom::Err::Error(cause)) => Err((Some(cause), None)),
        Err(other) => panic!("neither a verdict nor a number of bytes: {other:?}"),
    };
    let by_framing = match examined {
        Examined::Frame(frame) => Ok(frame),
        Examined::NeedMore { at_least } => Err((None, Some(at_least))),
        Examined::Rejected { cause, .. } => Err((Some(cause), None)),
    };
    assert_eq!(by_nom, by_framing);
    assert_eq!(parse::frame::<_, ()>(limit, Kernel::detect())(input).is_ok(), by_framing.is_ok());
}

/// More bytes do not change a verdict, and with fewer bytes there is none or the same.
fn stays_as_it_is(native: Native, input: &[u8], examined: Examined<'_>) {
    let more = [input, &[0xD7, 0x55, 0x00]].concat();
    match (examined, native.examine(&more)) {
        (Examined::NeedMore { at_least }, Examined::Frame(_)) => assert!(at_least.get() <= 3, "asked for too much"),
        (Examined::NeedMore { .. }, _) => {}
        (Examined::Rejected { cause, .. }, Examined::Rejected { cause: then, .. }) => assert_eq!(cause, then),
        (now, then) => assert_eq!(now, then),
    }
    let Examined::Frame(frame) = examined else { return };
    for len in [0, 1, 2, HEADER_LEN - 1, HEADER_LEN, frame.encoded_len() - 1] {
        let Examined::NeedMore { at_least } = native.examine(&input[..len]) else {
            panic!("{len} bytes of a frame have a verdict")
        };
        let asked = if len < HEADER_LEN { HEADER_LEN } else { frame.encoded_len() };
        assert_eq!(len + at_least.get(), asked);
    }
}

/// Any payload: three encoders write the same frame, as long as `encoded_len` says and nothing beyond it, and it decodes to
/// the payload; with one bit flipped it does not.
///
/// Input: a limit (u16), room behind the frame (u8), a bit to flip (u32), then the payload.
pub fn frame_roundtrip(input: &[u8]) {
    let mut u = Unstructured::new(input);
    let (Ok(limit), Ok(behind), Ok(flip)) = (u.arbitrary::<u16>(), u.arbitrary::<u8>(), u.arbitrary::<u32>()) else {
        return;
    };
    // Half of the runs without a limit, or most payloads would be over it.
    let native = if limit & 1 == 1 { Native::new() } else { Native::with_max_payload(limit >> 1) };
    let payload = u.take_rest();
    let Some(frame) = encode_all_ways(native, payload, usize::from(behind)) else { return };
    for kernel in kernels() {
        let mut native = native;
        native.kernel = kernel;
        assert_eq!(encode_all_ways(native, payload, usize::from(behind)).as_ref(), Some(&frame), "{kernel:?}");
    }

    let Step::Frame(decoded) = next_step(&native, &frame) else { panic!("an encoded frame is a frame") };
    assert_eq!((decoded.payload(), decoded.as_bytes()), (payload, &frame[..]));

    let mut flipped = frame;
    let bit = flip as usize % (flipped.len() * 8);
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(!matches!(native.examine(&flipped), Examined::Frame(_)), "bit {bit} does not matter");
}

/// Encodes `payload` every way there is and returns the frame; `None` when it is over the limit.
pub(super) fn encode_all_ways<P: Payload + ?Sized>(native: Native, payload: &P, behind: usize) -> Option<Vec<u8>> {
    let length = payload.payload_len();
    if length > native.max_payload() {
        let too_long = EncodeError::PayloadTooLong { length, limit: native.max_payload() };
        assert_eq!(native.encoded_len(payload), Err(too_long));
        assert_eq!(native.encode(payload, &mut vec![DIRT; length + OVERHEAD]), Err(too_long));
        assert_eq!(native.encode_to(payload, &mut Vec::new()), Err(too_long));
        assert_eq!(native.envelope(payload), Err(too_long));
        return None;
    }
    let needed = length + OVERHEAD;
    assert_eq!(native.encoded_len(payload), Ok(needed));

    let mut slice = vec![DIRT; needed + behind];
    assert_eq!(native.encode(payload, &mut slice), Ok(needed));
    assert!(slice[needed..].iter().all(|&byte| byte == DIRT), "wrote beyond the frame");
    slice.truncate(needed);

    let mut growing = BytesMut::from(&[DIRT; 3][..]);
    assert_eq!(native.encode_to(payload, &mut growing), Ok(needed));
    assert_eq!(growing, [&[DIRT; 3][..], &slice].concat(), "BytesMut against slice");

    // A buffer of two pieces, so that a run of bytes goes across the seam.
    let mut pieces = vec![DIRT; needed + behind];
    let (first, second) = pieces.split_at_mut(behind.min(needed));
    assert_eq!(native.encode_to(payload, &mut first.chain_mut(second)), Ok(needed));
    assert_eq!(pieces[..needed], slice, "two pieces against slice");
    assert!(pieces[needed..].iter().all(|&byte| byte == DIRT), "wrote beyond the frame");

    let envelope = native.envelope(payload).expect("the payload is within the limit");
    let around = [&envelope.header[..], &slice[HEADER_LEN..needed - 4], &envelope.trailer].concat();
    assert_eq!(around, slice, "envelope against slice");

    let available = behind % needed;
    let mut short = vec![DIRT; available];
    let too_small = EncodeError::BufferTooSmall { needed, available };
    assert_eq!(native.encode(payload, &mut short), Err(too_small));
    assert_eq!(native.encode_to(payload, &mut &mut short[..]), Err(too_small));
    assert!(short.iter().all(|&byte| byte == DIRT), "wrote a part of a frame");
    Some(slice)
}
