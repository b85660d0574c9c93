//! Seeded lines, and what must come out of them according to the stateless steps.

use dtu_proto::framing::{abandon_candidate, next_step};
use dtu_proto::message::{
    Close, CloseCode, Data, DeviceId, Reason, Refuse, RefuseCode, Register, Resume, Token, Welcome,
};
use dtu_proto::{Message, Native, Step};
use serde_json::{Value, json};

/// A small generator of pseudo-random numbers (SplitMix64): same seed, same numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("fits")).expect("below a usize")
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

/// The frame around a message.
pub(crate) fn frame(message: &Message<'_>) -> Vec<u8> {
    let native = Native::new();
    let mut bytes = vec![0; native.encoded_len(message).expect("the message is short")];
    native.encode(message, &mut bytes).expect("there is room");
    bytes
}

/// The frame around any payload.
pub(crate) fn frame_around(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; Native::new().encoded_len(payload).expect("the payload is short")];
    Native::new().encode(payload, &mut bytes).expect("there is room");
    bytes
}

pub(crate) fn data(seq: u32, body: &[u8]) -> Vec<u8> {
    frame(&Message::Data(Data { seq, channel: 0, body }))
}

/// Messages of every kind, payloads that are none, noise, false headers, flipped bits and cut frames.
pub(crate) fn dirty(seed: u64, pieces: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut line = Vec::new();
    for _ in 0..pieces {
        let len = random.below(300);
        let body = random.bytes(len);
        let mut bytes = match random.below(4) {
            0 => frame_around(&body),
            1 => data(7, &body),
            _ => some_message(&mut random),
        };
        match random.below(12) {
            0 => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            1 => bytes.truncate(random.below(bytes.len())),
            2 => bytes.extend(body),
            3 => bytes.extend([0xd7, 0x55, 0x00, 0x40, 0xff, 0xbf]),
            4 => bytes.extend([0xd7, 0xd7, 0x55]),
            _ => {}
        }
        line.extend(bytes);
    }
    line
}

fn some_message(random: &mut Random) -> Vec<u8> {
    let resume = Resume { stream: random.next(), send_base: 3, peer_stream: random.next(), receive_next: 9 };
    let nonce = random.next();
    let reason = Reason::new("because \u{1f50c}").expect("it is short");
    let device_id = DeviceId::new("pump-7").expect("it is short");
    let token = Token::new(b"\x00\xff").expect("it is short");
    frame(&match random.below(11) {
        0 => Message::Register(Register { version: 1, flags: 0, device_id, token, resume }),
        1 => Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 64, resume }),
        2 => Message::Refuse(Refuse { code: RefuseCode::BUSY, retry_after_ms: 5000, reason }),
        3 => Message::Ping { nonce },
        4 => Message::Pong { nonce },
        5 => Message::Ack { receive_next: 4 },
        6 => Message::Close(Close { code: CloseCode::DONE, reason }),
        7 => Message::Challenge { nonce: [9; 16] },
        8 => Message::Proof { mac: [8; 32] },
        9 => Message::Skip { next: 5 },
        _ => return frame_around(&[0x70, 1, 2, 3]),
    })
}

/// The lines that `dtu decode --json` must print of `line`.
pub(crate) fn expected(line: &[u8], max_payload: u16) -> Vec<Value> {
    let native = Native::with_max_payload(max_payload);
    let (mut lines, mut offset) = (Vec::<Value>::new(), 0);
    while offset < line.len() {
        let step = match next_step(&native, &line[offset..]) {
            Step::NeedMore { .. } => abandon_candidate(&native, &line[offset..]).expect("there are bytes"),
            step @ (Step::Frame(_) | Step::Skipped { .. }) => step,
        };
        match step {
            Step::Frame(frame) => {
                let mut line = json!({
                    "offset": offset, "frame": frame.encoded_len(), "payload": hex(frame.payload()), "message": null,
                });
                match Message::decode(frame.payload()) {
                    Ok(message) => line["message"] = serde_json::to_value(message).expect("it is JSON"),
                    Err(error) => line["error"] = json!({"name": error.name(), "text": error.to_string()}),
                }
                lines.push(line);
            }
            Step::Skipped { bytes, cause } => match lines.last_mut() {
                Some(last) if last["cause"] == cause.name() => {
                    last["skipped"] =
                        json!(last["skipped"].as_u64().expect("a number") + u64::try_from(bytes).expect("fits"));
                }
                _ => lines.push(json!({"offset": offset, "skipped": bytes, "cause": cause.name()})),
            },
            Step::NeedMore { .. } => unreachable!("the candidate was abandoned"),
        }
        offset += step.covered();
    }
    lines
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
