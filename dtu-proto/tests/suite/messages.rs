//! One message: known answers for each kind, each kind of damage, and the round trips.

use dtu_proto::encode::Payload;
use dtu_proto::message::{
    Close, CloseCode, Data, DeviceId, Field, MAX_DEVICE_ID_LEN, Message, MessageError, Reason, Refuse, RefuseCode,
    Register, Resume, Token, Unknown, VERSION, Welcome,
};
use dtu_proto::{Native, fuzzing};
use proptest::prelude::*;

const RESUME: Resume =
    Resume { stream: 0x0102_0304_0506_0708, send_base: 42, peer_stream: 0x1112_1314_1516_1718, receive_next: 7 };
const RESUME_BYTES: &[u8] =
    b"\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x2A\x11\x12\x13\x14\x15\x16\x17\x18\x00\x00\x00\x07";

#[test]
fn known_messages_decode_and_encode() {
    let register = Register {
        version: VERSION,
        flags: 0,
        device_id: DeviceId::new("dtu-17").unwrap(),
        token: Token::new(b"key").unwrap(),
        resume: RESUME,
    };
    let full = Reason::new("full").unwrap();
    let known: [(Message<'_>, Vec<u8>); 13] = [
        (Message::Register(register), [b"\x01\x01\x00\x06dtu-17\x03key", RESUME_BYTES].concat()),
        (
            Message::Register(Register { token: Token::EMPTY, ..register }),
            [b"\x01\x01\x00\x06dtu-17\x00", RESUME_BYTES].concat(),
        ),
        (
            Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 64, resume: RESUME }),
            [b"\x02\x00\x00\x75\x30\x00\x40", RESUME_BYTES].concat(),
        ),
        (
            Message::Refuse(Refuse { code: RefuseCode::BUSY, retry_after_ms: 1000, reason: full }),
            b"\x03\x03\x00\x00\x03\xE8\x04full".to_vec(),
        ),
        (Message::Ping { nonce: 1_000_000 }, b"\x04\x00\x00\x00\x00\x00\x0F\x42\x40".to_vec()),
        (Message::Pong { nonce: 1_000_000 }, b"\x05\x00\x00\x00\x00\x00\x0F\x42\x40".to_vec()),
        (
            Message::Data(Data { seq: 0x0708_090A, channel: 2, body: b"\x01\x03" }),
            b"\x06\x07\x08\x09\x0A\x02\x01\x03".to_vec(),
        ),
        (Message::Ack { receive_next: 42 }, b"\x07\x00\x00\x00\x2A".to_vec()),
        (Message::Close(Close { code: CloseCode::GOING_DOWN, reason: Reason::EMPTY }), b"\x08\x02\x00".to_vec()),
        (Message::Challenge { nonce: [0x5A; 16] }, [&[0x09][..], &[0x5A; 16]].concat()),
        (Message::Proof { mac: [0xC3; 32] }, [&[0x0A][..], &[0xC3; 32]].concat()),
        (Message::Skip { next: 9 }, b"\x0B\x00\x00\x00\x09".to_vec()),
        (Message::Unknown(Unknown::new(0x0C, b"later").unwrap()), b"\x0Clater".to_vec()),
    ];
    for (message, bytes) in known {
        assert_eq!(Message::decode(&bytes), Ok(message));
        assert_eq!((message.kind(), message.payload_len()), (bytes[0], bytes.len()));
        let mut dirty = [0xA5; 128];
        let len = Native::new().encode(&message, &mut dirty).unwrap();
        assert_eq!(dirty[6..len - 4], bytes);
        assert!(dirty[len..].iter().all(|&byte| byte == 0xA5));
        fuzzing::message_decode(&bytes);
    }
}

#[test]
fn damage_names_the_field_and_the_numbers() {
    let cases: [(&[u8], MessageError); 9] = [
        (b"", MessageError::Truncated { field: Field::Kind, needed: 1, available: 0 }),
        (b"\x04\x00\x00", MessageError::Truncated { field: Field::Nonce, needed: 8, available: 2 }),
        (b"\x06\x00\x00\x00\x01", MessageError::Truncated { field: Field::Channel, needed: 1, available: 0 }),
        (b"\x03\x03\x00\x00\x03\xE8\x04ful", MessageError::Truncated { field: Field::Reason, needed: 4, available: 3 }),
        (b"\x0A\x00", MessageError::Truncated { field: Field::Mac, needed: 32, available: 1 }),
        (b"\x07\x00\x00\x00\x2A\x00\x00", MessageError::Trailing { bytes: 2 }),
        (b"\x08\x00\x02a\xFF", MessageError::NotUtf8 { field: Field::Reason, valid_up_to: 1 }),
        (b"\x01\x01\x00\x01\xFF", MessageError::NotUtf8 { field: Field::DeviceId, valid_up_to: 0 }),
        (b"\x01\x01\x00\x00\x00", MessageError::Length { field: Field::DeviceId, length: 0, min: 1, max: 64 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(Message::decode(bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn bounded_fields_take_their_bounds_and_no_more() {
    let text = "x".repeat(256);
    let too_long = |field, length, min, max| MessageError::Length { field, length, min, max };
    assert!(DeviceId::new(&text[..MAX_DEVICE_ID_LEN]).is_ok());
    assert_eq!(DeviceId::new(&text[..65]), Err(too_long(Field::DeviceId, 65, 1, 64)));
    assert_eq!(DeviceId::new(""), Err(too_long(Field::DeviceId, 0, 1, 64)));
    assert!(Token::new(&text.as_bytes()[..255]).is_ok());
    assert_eq!(Token::new(text.as_bytes()), Err(too_long(Field::Token, 256, 0, 255)));
    assert!(Reason::new(&text[..255]).is_ok());
    assert_eq!(Reason::new(&text), Err(too_long(Field::Reason, 256, 0, 255)));
    // On the wire the same bound holds.
    let long_id = [b"\x01\x01\x00\x41", &text.as_bytes()[..65], b"\x00", RESUME_BYTES].concat();
    assert_eq!(Message::decode(&long_id), Err(too_long(Field::DeviceId, 65, 1, 64)));
}

#[test]
fn no_known_kind_passes_as_unknown() {
    for kind in 0..=u8::MAX {
        let is_known = (0x01..=0x0B).contains(&kind);
        assert_eq!(Unknown::new(kind, b"").is_none(), is_known, "{kind:#04x}");
        let kept = matches!(Message::decode(&[kind]), Ok(Message::Unknown(unknown)) if unknown.kind() == kind);
        assert_eq!(kept, !is_known, "{kind:#04x}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::message_decode(&bytes);
    }

    #[test]
    fn bytes_of_a_known_kind_are_too(kind in 0_u8..0x0D, bytes in prop::collection::vec(0_u8..9, 0..80)) {
        fuzzing::message_decode(&[&[kind][..], &bytes].concat());
    }

    #[test]
    fn message_to_bytes_to_message(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::message_roundtrip(&bytes);
    }
}
