//! One datagram: one frame with a stream and a message in it, and every way in which it is not.

use core::error::Error;
use dtu_proto::encode::Payload;
use dtu_proto::framing::Malformed;
use dtu_proto::message::{
    Close, CloseCode, Data, Datagram, DatagramError, DeviceId, Field, Message, MessageError, Reason, Refuse,
    RefuseCode, Register, Resume, Token, Unknown, VERSION, Welcome,
};
use dtu_proto::{Native, fuzzing};
use proptest::prelude::*;

const STREAM: u64 = 0x0123_4567_89AB_CDEF;
const RESUME: Resume = Resume { stream: STREAM, send_base: 5, peer_stream: 0xFEDC_BA98_7654_3210, receive_next: 9 };

fn one_of_each_kind() -> [Message<'static>; 12] {
    let device_id = DeviceId::new("meter-0001").expect("in bounds");
    let token = Token::new(b"secret").expect("in bounds");
    let reason = Reason::new("full").expect("in bounds");
    [
        Message::Register(Register { version: VERSION, flags: 0, device_id, token, resume: RESUME }),
        Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 64, resume: RESUME }),
        Message::Refuse(Refuse { code: RefuseCode::BUSY, retry_after_ms: 1000, reason }),
        Message::Ping { nonce: 1_000_000 },
        Message::Pong { nonce: 1_000_000 },
        Message::Data(Data { seq: 7, channel: 2, body: b"\x01\x03" }),
        Message::Ack { receive_next: 42 },
        Message::Close(Close { code: CloseCode::GOING_DOWN, reason: Reason::EMPTY }),
        Message::Challenge { nonce: [0x5A; 16] },
        Message::Proof { mac: [0xC3; 32] },
        Message::Skip { next: 9 },
        Message::Unknown(Unknown::new(0x0C, b"later").expect("in bounds")),
    ]
}

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let datagram = Datagram { stream: STREAM, message };
    let len = Native::new().encode_to(&datagram, &mut out).expect("the payload is short");
    assert_eq!(len, out.len());
    out
}

#[test]
fn the_stream_stands_in_front_of_the_message() {
    for (message, kind) in one_of_each_kind().into_iter().zip(1_u8..) {
        let mut payload = vec![0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, kind];
        let (datagram, bytes) = (Datagram { stream: STREAM, message }, encoded(message));
        let said = &bytes[6..bytes.len() - 4];
        payload.extend_from_slice(&said[9..]);
        assert_eq!(said, payload);
        assert_eq!(said.len(), datagram.payload_len());
        assert_eq!(Message::decode(&said[8..]), Ok(message));
        assert_eq!(Datagram::decode(said), Ok(datagram));
        assert_eq!(Datagram::open(&Native::new(), &bytes), Ok(datagram));
    }
}

#[test]
fn a_payload_that_ends_in_the_stream_or_right_behind_it_names_the_field() {
    for available in 0..8 {
        let error = MessageError::Truncated { field: Field::Stream, needed: 8, available };
        assert_eq!(Datagram::decode(&[0xA5; 8][..available]), Err(error));
    }
    let error = MessageError::Truncated { field: Field::Kind, needed: 1, available: 0 };
    assert_eq!(Datagram::decode(&[0xA5; 8]), Err(error));
    assert_eq!(Datagram::decode(b"12345678\x07\0\0\0\0!"), Err(MessageError::Trailing { bytes: 1 }));
}

#[test]
fn an_intact_frame_without_a_stream_and_a_message_is_an_error_of_the_message() {
    let mut frame = Vec::new();
    Native::new().encode_to(&Message::Ping { nonce: 1 }, &mut frame).unwrap();
    // Nine bytes of PING are read as a stream and a kind; the last byte of the nonce, 01, is that of REGISTER.
    let version = MessageError::Truncated { field: Field::Version, needed: 1, available: 0 };
    let error = Datagram::open(&Native::new(), &frame).unwrap_err();
    assert_eq!((error, error.name()), (DatagramError::Message(version), "message"));
    assert_eq!(error.source().unwrap().to_string(), version.to_string());
}

#[test]
fn every_truncation_says_what_is_missing() {
    for message in one_of_each_kind() {
        let bytes = encoded(message);
        for available in 0..bytes.len() {
            let missing = if available < 6 { 6 - available } else { bytes.len() - available };
            let error = DatagramError::Truncated { missing, available };
            assert_eq!(Datagram::open(&Native::new(), &bytes[..available]), Err(error));
        }
    }
}

#[test]
fn bytes_behind_the_frame_are_counted_even_when_they_are_a_frame() {
    let bytes = encoded(Message::Ack { receive_next: 42 });
    for behind in [&b"\0"[..], b"\xD7", b"\r\n", &bytes] {
        let glued = [&bytes[..], behind].concat();
        let error = DatagramError::Trailing { bytes: behind.len() };
        assert_eq!(Datagram::open(&Native::new(), &glued), Err(error));
    }
}

#[test]
fn a_frame_behind_noise_is_not_searched_for() {
    let noisy = [b"\0", &encoded(Message::Ack { receive_next: 42 })[..]].concat();
    let error = Datagram::open(&Native::new(), &noisy).unwrap_err();
    assert_eq!((error, error.name()), (DatagramError::Frame(Malformed::Magic), "frame"));
    assert_eq!(error.source().unwrap().to_string(), Malformed::Magic.to_string());
}

#[test]
fn every_flipped_bit_is_an_error() {
    for message in one_of_each_kind() {
        let bytes = encoded(message);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = Datagram::open(&Native::new(), &flipped);
            assert!(matches!(opened, Err(DatagramError::Frame(_))), "{}, bit {bit}: {opened:?}", message.name());
        }
    }
}

#[test]
fn the_limit_counts_the_stream() {
    let bytes = encoded(Message::Ack { receive_next: 42 });
    assert!(Datagram::open(&Native::with_max_payload(13), &bytes).is_ok());
    let over = DatagramError::Frame(Malformed::OverLimit { length: 13, limit: 12 });
    assert_eq!(Datagram::open(&Native::with_max_payload(12), &bytes), Err(over));
}

#[cfg(feature = "serde")]
#[test]
fn as_json_the_stream_is_hexadecimal_text_beside_the_message() {
    let json = serde_json::to_value(Datagram { stream: STREAM, message: Message::Skip { next: 9 } }).unwrap();
    let expected = serde_json::json!({ "stream": "0123456789abcdef", "message": { "kind": "SKIP", "next": 9 } });
    assert_eq!(json, expected);
}

proptest! {
    #[test]
    fn any_bytes_are_a_datagram_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Datagram::open(&Native::new(), &bytes).is_err());
        // As a payload they are the stream in front of what the decoder of messages says.
        let decoded = Datagram::decode(&bytes);
        match bytes.split_first_chunk() {
            Some((stream, message)) => {
                let datagram = |message| Datagram { stream: u64::from_be_bytes(*stream), message };
                prop_assert_eq!(decoded, Message::decode(message).map(datagram));
                fuzzing::message_decode(message);
            }
            None => prop_assert!(decoded.is_err()),
        }
    }
}
