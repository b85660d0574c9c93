//! The records of the file; the table is in the module's description.

use dtu_proto::encode::EncodeError;
use dtu_proto::frame::{MAX_PAYLOAD_LEN, OVERHEAD};
use dtu_proto::message::{DATA_HEADER_LEN, Data, Datagram, Unknown};
use dtu_proto::{Message, Native};

/// The version of the file that is written here, and the only one that is read.
pub const VERSION: u8 = 1;

/// The bytes of a record's stream.
const STREAM_LEN: usize = 8;

/// The bytes of a DATA record besides its body: the frame around it, the stream, the header of DATA.
pub const DATA_OVERHEAD: usize = OVERHEAD + STREAM_LEN + DATA_HEADER_LEN;

/// The longest body that a record can hold, in bytes. As on UDP, where the stream takes the same 8 bytes.
pub const MAX_BODY_LEN: usize = MAX_PAYLOAD_LEN - STREAM_LEN - DATA_HEADER_LEN;

/// The length of the head record, in bytes.
pub const HEAD_LEN: usize = OVERHEAD + STREAM_LEN + 1 + HEAD_BODY_LEN;

const HEAD_BODY_LEN: usize = SIGNATURE.len() + 1 + 4 + 4;
const SIGNATURE: [u8; 6] = *b"outbox";

const HEAD: u8 = 0xF0;
const SETTLED: u8 = 0xF1;

/// What one record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Head(Head),
    Data(Data<'a>),
    SettledBelow { base: u32 },
    Settled { seq: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) base: u32,
    pub(super) next: u32,
}

/// What the payload of a frame is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Record {
        stream: u64,
        record: Record<'a>,
    },
    /// A head of a version that is not known here.
    OtherVersion(u8),
    /// No record of this version.
    Foreign,
}

impl Record<'_> {
    /// Puts the record's frame into `out`, in place of what is there.
    pub(super) fn encode(&self, stream: u64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match *self {
            Self::Head(Head { base, next }) => {
                let mut body = [0; HEAD_BODY_LEN];
                let parts = SIGNATURE.into_iter().chain([VERSION]).chain(base.to_be_bytes()).chain(next.to_be_bytes());
                body.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
                put(stream, own(HEAD, &body), out)
            }
            Self::Data(data) => put(stream, Message::Data(data), out),
            Self::SettledBelow { base } => put(stream, Message::Ack { receive_next: base }, out),
            Self::Settled { seq } => put(stream, own(SETTLED, &seq.to_be_bytes()), out),
        }
    }
}

fn own(kind: u8, body: &[u8]) -> Message<'_> {
    Message::Unknown(Unknown::new(kind, body).expect("the kinds of the file are none of the line"))
}

fn put(stream: u64, message: Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.clear();
    Native::new().encode_to(&Datagram { stream, message }, out).map(drop)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every message but three is foreign here")]
pub(super) fn decode(payload: &[u8]) -> Decoded<'_> {
    let Ok(Datagram { stream, message }) = Datagram::decode(payload) else { return Decoded::Foreign };
    let record = match message {
        Message::Data(data) => Record::Data(data),
        Message::Ack { receive_next } => Record::SettledBelow { base: receive_next },
        Message::Unknown(unknown) => match (unknown.kind(), unknown.body()) {
            (HEAD, body) => match head(body) {
                Ok(head) => Record::Head(head),
                Err(decoded) => return decoded,
            },
            (SETTLED, &[a, b, c, d]) => Record::Settled { seq: u32::from_be_bytes([a, b, c, d]) },
            _ => return Decoded::Foreign,
        },
        _ => return Decoded::Foreign,
    };
    Decoded::Record { stream, record }
}

fn head(body: &[u8]) -> Result<Head, Decoded<'_>> {
    match body.strip_prefix(&SIGNATURE) {
        Some(&[VERSION, b0, b1, b2, b3, n0, n1, n2, n3]) => {
            Ok(Head { base: u32::from_be_bytes([b0, b1, b2, b3]), next: u32::from_be_bytes([n0, n1, n2, n3]) })
        }
        Some(&[version, ..]) if version != VERSION => Err(Decoded::OtherVersion(version)),
        _ => Err(Decoded::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtu_proto::framing::{Step, next_step};

    fn there_and_back(record: Record<'_>, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xA5; 3];
        record.encode(0x0123_4567_89AB_CDEF, &mut bytes).unwrap();
        let Step::Frame(frame) = next_step(&Native::new(), &bytes) else { panic!("a record is a frame") };
        assert_eq!(frame.encoded_len(), length);
        assert_eq!(decode(frame.payload()), Decoded::Record { stream: 0x0123_4567_89AB_CDEF, record });
        frame.payload().to_vec()
    }

    #[test]
    fn records_have_the_documented_bytes_and_come_back() {
        let head = there_and_back(Record::Head(Head { base: 2, next: 0x0A0B_0C0D }), 34);
        assert_eq!(head, b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\xF0outbox\x01\0\0\0\x02\x0A\x0B\x0C\x0D");
        assert_eq!(HEAD_LEN, 34);
        let settled = there_and_back(Record::Settled { seq: 7 }, 23);
        assert_eq!(settled, b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\xF1\0\0\0\x07");
        there_and_back(Record::SettledBelow { base: u32::MAX }, 23);
        there_and_back(Record::Data(Data { seq: 7, channel: 1, body: b"" }), 24);
        there_and_back(Record::Data(Data { seq: 7, channel: 1, body: &[0xD7; MAX_BODY_LEN] }), 65_545);
        let too_long = Record::Data(Data { seq: 7, channel: 1, body: &[0; MAX_BODY_LEN + 1] });
        let refused = EncodeError::PayloadTooLong { length: 65_536, limit: 65_535 };
        assert_eq!(too_long.encode(1, &mut Vec::new()), Err(refused));
    }

    #[test]
    fn a_head_is_told_by_signature_and_version_alone() {
        let stream = [0; 8];
        let payload = |rest: &[u8]| [&stream[..], rest].concat();
        assert_eq!(decode(&payload(b"\xF0outbox\x02 whatever follows")), Decoded::OtherVersion(2));
        assert_eq!(decode(&payload(b"\xF0outbox\x01\0\0\0\0\0\0\0")), Decoded::Foreign, "a byte is missing");
        assert_eq!(decode(&payload(b"\xF0inbox!\x01\0\0\0\0\0\0\0\0")), Decoded::Foreign);
        assert_eq!(decode(&payload(b"\xF1\0\0\0\0\0")), Decoded::Foreign);
        assert_eq!(decode(b"\xF0outbox"), Decoded::Foreign);
    }
}
