//! Messages: what a payload says, decoded from payloads and encoded into frames.

use crate::contest::{Entry, Job, Tally};
use crate::encode::writer;
use crate::stream::{Random, Size};
use core::hint::black_box;
use dtu_proto::Native;
use dtu_proto::frame::{CHECKSUM_LEN, HEADER_LEN};
use dtu_proto::message::{Data, DeviceId, Message, Register, Resume, Token, VERSION};

/// The messages that are measured.
pub const GROUPS: [&str; 3] = ["message_data", "message_register", "message_ping"];

const COUNT: usize = 512;
const DATA_BODY_LEN: usize = 64;

/// The job of decoding and encoding the messages of a group of [`GROUPS`].
///
/// # Panics
///
/// Never: the messages are sound.
#[must_use]
pub fn job(group: &'static str) -> Job {
    let mut random = Random(5);
    // Messages borrow what they carry. A job is made a few times in a process, so its bytes may stay.
    let messages: Vec<Message<'static>> = (0..COUNT).map(|_| message(group, &mut random)).collect();
    let native = Native::new();
    let (mut line, mut payloads, mut found) = (Vec::new(), Vec::new(), Tally::default());
    for message in &messages {
        let start = line.len();
        native.encode_to(message, &mut line).expect("the messages are short");
        payloads.push(line[start + HEADER_LEN..line.len() - CHECKSUM_LEN].to_vec());
        consume(&mut found, message);
    }
    let (size, bytes) = (Size::Bytes(payloads[0].len()), payloads.iter().map(Vec::len).sum());
    let entries = vec![
        Entry::ours("decode", found, move || {
            let mut tally = Tally::default();
            for payload in black_box(&payloads) {
                consume(&mut tally, &Message::decode(payload).expect("the messages are sound"));
            }
            tally
        }),
        writer(Entry::ours, "encode", messages, line, move |message, out: &mut Vec<u8>, at| {
            native.encode(message, &mut out[at..]).expect("there is room")
        }),
    ];
    Job { group, size, frames: COUNT, bytes, entries }
}

fn message(group: &str, random: &mut Random) -> Message<'static> {
    let mut bytes = |len| -> &'static [u8] { random.bytes(len).leak() };
    match group {
        "message_data" => Message::Data(Data { seq: 1, channel: 1, body: bytes(DATA_BODY_LEN) }),
        "message_ping" => Message::Ping { nonce: random.next_u64() },
        _ => Message::Register(Register {
            version: VERSION,
            flags: 0,
            device_id: DeviceId::new("meter-0117-north-hall").expect("it is short"),
            token: Token::new(bytes(16)).expect("it is short"),
            resume: Resume { stream: random.next_u64(), send_base: 7, peer_stream: 9, receive_next: 11 },
        }),
    }
}

#[inline(always)]
fn consume(tally: &mut Tally, message: &Message<'_>) {
    if let Message::Data(data) = message {
        tally.frame(data.body);
    } else if let Message::Register(register) = message {
        tally.frame(register.device_id.as_str().as_bytes());
    } else if let Message::Ping { nonce } = message {
        tally.frame(&nonce.to_be_bytes());
    } else {
        panic!("{message:?} is not among the messages that are measured");
    }
}
