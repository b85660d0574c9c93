//! Modbus RTU as these tests need it: what a device says to functions 03, 06 and 10, and exceptions.

use core::num::NonZeroUsize;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::{Examined, Frame, Framing, Malformed};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtu;

impl Framing for Rtu {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let more = |len: usize| NonZeroUsize::new(len.saturating_sub(candidate.len()));
        if let Some(at_least) = more(3) {
            return Examined::NeedMore { at_least };
        }
        let len = match candidate[1] {
            0x03 => 5 + usize::from(candidate[2]),
            0x06 | 0x10 => 8,
            0x80.. => 5,
            code => return Examined::Rejected { cause: Malformed::Unknown { code: code.into() }, judged: 1 },
        };
        if let Some(at_least) = more(len) {
            return Examined::NeedMore { at_least };
        }
        let computed = crc(&candidate[..len - 2]);
        let found = u16::from_le_bytes([candidate[len - 2], candidate[len - 1]]);
        if computed != found {
            let cause = Malformed::Checksum { computed: computed.into(), found: found.into() };
            return Examined::Rejected { cause, judged: 1 };
        }
        Examined::Frame(Frame::new(&candidate[..len], 1..len - 2).expect("inside"))
    }

    fn find_start(&self, _: &[u8]) -> usize {
        0
    }

    fn max_frame_len(&self) -> usize {
        260
    }

    fn evidence(&self) -> u32 {
        16
    }

    fn encode_into(&self, _: &[u8], _: &[u8], _: &mut dyn Sink) -> Result<(), EncodeError> {
        unreachable!("requests are made by hand")
    }
}

fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc
}

/// `body` with its checksum.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    [body, &crc(body).to_le_bytes()].concat()
}

/// Reads `count` registers from `start` on.
pub(crate) fn read(address: u8, start: u16, count: u16) -> Vec<u8> {
    sealed(&[&[address, 0x03][..], &start.to_be_bytes(), &count.to_be_bytes()].concat())
}

/// The reply to that: the registers.
pub(crate) fn registers(address: u8, values: &[u16]) -> Vec<u8> {
    let count = u8::try_from(values.len() * 2).expect("few");
    let mut body = vec![address, 0x03, count];
    body.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    sealed(&body)
}

/// Writes one register; also the reply to that.
pub(crate) fn write(address: u8, register: u16, value: u16) -> Vec<u8> {
    sealed(&[&[address, 0x06][..], &register.to_be_bytes(), &value.to_be_bytes()].concat())
}

pub(crate) fn exception(address: u8, function: u8, code: u8) -> Vec<u8> {
    sealed(&[address, function | 0x80, code])
}
