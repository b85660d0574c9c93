//! One frame: known answers, every truncation, every flipped bit, every limit.

use dtu_proto::encode::EncodeError;
use dtu_proto::frame::{MAX_FRAME_LEN, MAX_PAYLOAD_LEN, OVERHEAD};
use dtu_proto::testing::frame_around;
use dtu_proto::{Examined, Framing, Malformed, Native, fuzzing};
use proptest::prelude::*;

/// Frames with their payloads; the checksums come from a calculator that is not this crate's.
const KNOWN: [(&[u8], &[u8]); 4] = [
    (b"", b"\xD7\x55\x00\x00\xFF\xFF\x6D\xDA\xF1\x97"),
    (b"hi", b"\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06"),
    (b"\xD7\x55", b"\xD7\x55\x00\x02\xFF\xFD\xD7\x55\x54\xEA\x73\xE0"),
    (b"123456789", b"\xD7\x55\x00\x09\xFF\xF6123456789\x10\x4B\x4B\xE7"),
];

/// Payload lengths around everything that the checksum kernels and the length field could trip over.
const LENGTHS: [usize; 12] = [0, 1, 2, 7, 8, 9, 54, 245, 246, 502, 503, 777];

fn payload_of(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 151 + len) as u8).collect()
}

#[test]
fn known_frames_decode_and_encode() {
    for (payload, bytes) in KNOWN {
        let Examined::Frame(frame) = Native::new().examine(bytes) else { panic!("{bytes:02x?} is a frame") };
        assert_eq!((frame.payload(), frame.as_bytes()), (payload, bytes));
        let mut dirty = [0xA5; 32];
        assert_eq!(Native::new().encode(payload, &mut dirty), Ok(bytes.len()));
        assert_eq!(dirty[..bytes.len()], *bytes);
        assert!(dirty[bytes.len()..].iter().all(|&byte| byte == 0xA5), "wrote behind the frame");
        assert_eq!(frame_around(payload), bytes, "the oracle itself");
    }
}

#[test]
fn every_truncation_asks_for_what_is_missing() {
    for len in LENGTHS {
        let frame = frame_around(&payload_of(len));
        for cut in 0..frame.len() {
            let asked = if cut < 6 { 6 } else { frame.len() };
            let Examined::NeedMore { at_least } = Native::new().examine(&frame[..cut]) else {
                panic!("{cut} of {} bytes have a verdict", frame.len())
            };
            assert_eq!(cut + at_least.get(), asked);
        }
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    for len in LENGTHS {
        let frame = frame_around(&payload_of(len));
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cause = match Native::new().examine(&flipped) {
                Examined::Rejected { cause, .. } => cause,
                other @ (Examined::Frame(_) | Examined::NeedMore { .. }) => {
                    panic!("payload of {len}, bit {bit}: {other:?}")
                }
            };
            let expected = match bit / 8 {
                0..2 => "magic",
                2..6 => "length_guard",
                _ => "checksum",
            };
            assert_eq!(cause.name(), expected, "payload of {len}, bit {bit}");
        }
    }
}

#[test]
fn causes_carry_the_numbers_of_the_bytes() {
    let rejected = |limit: u16, bytes: &[u8]| match Native::with_max_payload(limit).examine(bytes) {
        Examined::Rejected { cause, judged } => (cause, judged),
        other @ (Examined::Frame(_) | Examined::NeedMore { .. }) => panic!("{bytes:02x?}: {other:?}"),
    };
    assert_eq!(rejected(9, b"\xD8\x55"), (Malformed::Magic, 2));
    let guard = Malformed::LengthGuard { length: 0x0102, guard: 0xFEFC };
    assert_eq!(rejected(9, b"\xD7\x55\x01\x02\xFE\xFC\x00"), (guard, 6));
    // Judged by the header alone, with nothing behind it: no byte is awaited for a frame that cannot be taken.
    let over = Malformed::OverLimit { length: 10, limit: 9 };
    assert_eq!(rejected(9, b"\xD7\x55\x00\x0A\xFF\xF5"), (over, 6));
    let checksum = Malformed::Checksum { computed: 0x6DDA_F197, found: 0x6DDA_F198 };
    assert_eq!(rejected(9, b"\xD7\x55\x00\x00\xFF\xFF\x6D\xDA\xF1\x98\x00"), (checksum, 10));
}

#[test]
fn the_limit_itself_passes_and_one_more_does_not() {
    for limit in [0, 1, 64, u16::MAX] {
        let native = Native::with_max_payload(limit);
        let payload = payload_of(usize::from(limit));
        assert_eq!((native.max_payload(), native.max_frame_len()), (payload.len(), payload.len() + OVERHEAD));
        let mut out = vec![0xA5; MAX_FRAME_LEN + 1];
        let len = native.encode(&payload[..], &mut out).unwrap();
        assert!(matches!(native.examine(&out[..len]), Examined::Frame(frame) if frame.payload() == payload));

        let longer = payload_of(payload.len() + 1);
        let too_long = EncodeError::PayloadTooLong { length: longer.len(), limit: payload.len() };
        assert_eq!(native.encode(&longer[..], &mut out), Err(too_long));
        assert_eq!(native.encoded_len(&longer[..]), Err(too_long));
    }
    assert_eq!(Native::new().max_payload(), MAX_PAYLOAD_LEN);
    assert_eq!(Native::new().max_frame_len(), MAX_FRAME_LEN);
}

#[test]
fn a_buffer_one_byte_short_stays_as_it_was() {
    for len in LENGTHS {
        let (needed, available) = (len + OVERHEAD, len + OVERHEAD - 1);
        let mut short = vec![0xA5; available];
        let too_small = EncodeError::BufferTooSmall { needed, available };
        assert_eq!(Native::new().encode(&payload_of(len)[..], &mut short), Err(too_small));
        assert!(short.iter().all(|&byte| byte == 0xA5));
    }
}

/// The kernels change their way with the length.
#[test]
fn checksums_agree_with_the_oracle_at_every_length() {
    let bytes = payload_of(700);
    for len in (0..=bytes.len()).rev() {
        for cut in [0, 1, 7, len / 2, len.saturating_sub(5)] {
            let [high, low] = (cut as u16).to_be_bytes();
            fuzzing::checksum(&[&[high, low, (len % 9) as u8, 0], &bytes[..len]].concat());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_keep_the_contract_of_a_candidate(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::frame_decode(&bytes);
    }

    #[test]
    fn bytes_behind_a_good_header_keep_it_too(
        length in 0_u16..80,
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        fuzzing::frame_decode(&[&[0xD7, 0x55][..], &length.to_be_bytes(), &(!length).to_be_bytes(), &bytes].concat());
    }

    #[test]
    fn a_frame_keeps_it_whatever_follows(
        payload in prop::collection::vec(any::<u8>(), 0..700),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        fuzzing::frame_decode(&[frame_around(&payload), behind].concat());
    }

    #[test]
    fn payload_to_frame_to_payload(
        front in prop::array::uniform7(any::<u8>()),
        payload in prop::collection::vec(any::<u8>(), 0..1200),
    ) {
        fuzzing::frame_roundtrip(&[&front[..], &payload].concat());
    }

    #[test]
    fn checksums_agree_with_the_oracle(
        front in prop::array::uniform4(any::<u8>()),
        bytes in prop::collection::vec(any::<u8>(), 0..1200),
    ) {
        fuzzing::checksum(&[&front[..], &bytes].concat());
    }
}

#[test]
fn causes_say_what_they_are_about_and_checksums_as_wide_as_they_are() {
    let unknown = Malformed::Unknown { code: 0x61 };
    assert_eq!(unknown.to_string(), "function or message 0x61 is not known");
    for (computed, found, text) in [
        (0x2, 0x1B, "the bytes give 0x02, the frame says 0x1b"),
        (0xFF, 0x100, "the bytes give 0x00ff, the frame says 0x0100"),
        (0xC40B, 0x0BC4, "the bytes give 0xc40b, the frame says 0x0bc4"),
        (0xFFFF, 0x1_0000, "the bytes give 0x00ffff, the frame says 0x010000"),
        (0x0617_BE75, 0xFF_FFFF, "the bytes give 0x0617be75, the frame says 0x00ffffff"),
    ] {
        assert_eq!(Malformed::Checksum { computed, found }.to_string(), text);
    }
}
