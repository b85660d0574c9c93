//! One message, from bytes and to bytes.

use super::frames::encode_all_ways;
use crate::encode::{Payload, Sink};
use crate::framing::{Step, next_step};
use crate::message::{Message, MessageError};
use crate::native::Native;
use crate::parse;
use alloc::vec::Vec;
use arbitrary::Unstructured;

/// Any bytes as a payload: a message encodes to its own bytes again, and an error's numbers fit the bytes.
///
/// Input: the payload.
pub fn message_decode(input: &[u8]) {
    let decoded = Message::decode(input);
    assert_eq!(parse::message::<()>(input).is_ok(), decoded.is_ok());
    match decoded {
        Ok(message) => holds(&message, input),
        Err(error) => numbers_fit(error, input.len()),
    }
}

/// Any message: it decodes to itself, alone and as the payload of a frame.
///
/// Input: the message, as `arbitrary` reads it.
pub fn message_roundtrip(input: &[u8]) {
    let Ok(message) = Unstructured::new(input).arbitrary::<Message<'_>>() else { return };
    let bytes = encoded(&message);
    assert_eq!(Message::decode(&bytes), Ok(message));
    holds(&message, &bytes);
    let native = Native::new();
    let Some(frame) = encode_all_ways(native, &message, input.len() % 16) else { return };
    let Step::Frame(frame) = next_step(&native, &frame) else { panic!("an encoded frame is a frame") };
    assert_eq!(Message::decode(frame.payload()), Ok(message));
}

/// What is true of every message and its bytes.
fn holds(message: &Message<'_>, bytes: &[u8]) {
    assert_eq!(encoded(message), bytes, "one message, one encoding");
    assert_eq!(message.payload_len(), bytes.len());
    assert_eq!(bytes.first(), Some(&message.kind()));
    // These two end where the payload ends; every other kind has its length in itself.
    let is_open = matches!(message, Message::Data(_) | Message::Unknown(_));
    let longer = [bytes, &[0x00]].concat();
    let shortened = (0..bytes.len()).rev().take(300);
    if is_open {
        assert!(Message::decode(&longer).is_ok());
        shortened.for_each(|len| match Message::decode(&bytes[..len]) {
            Ok(shorter) => assert_eq!(encoded(&shorter), bytes[..len]),
            Err(error) => numbers_fit(error, len),
        });
    } else {
        assert_eq!(Message::decode(&longer), Err(MessageError::Trailing { bytes: 1 }));
        shortened.for_each(|len| {
            let error = Message::decode(&bytes[..len]).expect_err("a field is cut");
            assert!(matches!(error, MessageError::Truncated { .. }), "{len} of {} bytes: {error}", bytes.len());
            numbers_fit(error, len);
        });
    }
}

fn numbers_fit(error: MessageError, len: usize) {
    match error {
        MessageError::Truncated { needed, available, .. } => assert!(available < needed && available <= len),
        MessageError::Trailing { bytes } => assert!(0 < bytes && bytes < len),
        MessageError::NotUtf8 { valid_up_to, .. } => assert!(valid_up_to < len),
        MessageError::Length { length, min, max, .. } => assert!(!(min..=max).contains(&length)),
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    struct Collect(Vec<u8>);
    impl Sink for Collect {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }
    let mut collected = Collect(Vec::new());
    message.encode_into(&mut collected);
    collected.0
}
