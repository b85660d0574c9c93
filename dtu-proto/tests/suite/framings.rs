//! Small framings for the tests of what stands above framings: written plainly, one of each kind.

use core::num::NonZeroUsize;
use crc::{CRC_16_IBM_SDLC, CRC_16_MODBUS, Crc};
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::{Examined, Frame, Framing, Malformed};

pub(crate) fn crc_modbus(bytes: &[u8]) -> [u8; 2] {
    Crc::<u16>::new(&CRC_16_MODBUS).checksum(bytes).to_le_bytes()
}

fn missing(bytes: usize) -> Examined<'static> {
    Examined::NeedMore { at_least: NonZeroUsize::new(bytes).expect("something is missing") }
}

fn rejected(cause: Malformed, judged: usize) -> Examined<'static> {
    Examined::Rejected { cause, judged }
}

/// A start marker, markers at offsets, a length that the header says, a check over the whole frame.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) start: &'static [u8],
    pub(crate) fixed: &'static [(usize, u8)],
    pub(crate) header_len: usize,
    /// The frame's length by its header.
    pub(crate) len: fn(&[u8]) -> Option<usize>,
    /// Whether a frame of the right length is one.
    pub(crate) check: fn(&[u8]) -> bool,
    pub(crate) trailer_len: usize,
    pub(crate) max_frame_len: usize,
    pub(crate) evidence: u32,
}

impl Framing for Counted {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let here = candidate.len();
        for (at, &byte) in self.start.iter().enumerate() {
            match candidate.get(at) {
                None => return missing(self.header_len - here),
                Some(&found) if found != byte => return rejected(Malformed::Magic, here),
                Some(_) => {}
            }
        }
        for &(at, byte) in self.fixed {
            if candidate.get(at).is_some_and(|&found| found != byte) {
                return rejected(Malformed::Marker { at }, at + 1);
            }
        }
        if here < self.header_len {
            return missing(self.header_len - here);
        }
        let Some(len) = (self.len)(candidate).filter(|&len| len <= self.max_frame_len) else {
            return rejected(Malformed::Length { found: 0 }, self.header_len);
        };
        if here < len {
            return missing(len - here);
        }
        if !(self.check)(&candidate[..len]) {
            return rejected(Malformed::Checksum { computed: 0, found: 1 }, len);
        }
        Examined::Frame(Frame::new(&candidate[..len], self.header_len..len - self.trailer_len).expect("in bounds"))
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        let begins = |at: &usize| {
            let here = &bytes[*at..];
            here.starts_with(self.start) || self.start.starts_with(here)
        };
        (0..bytes.len()).find(begins).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        self.max_frame_len
    }

    fn evidence(&self) -> u32 {
        self.evidence
    }

    fn encode_into(&self, _: &[u8], _: &[u8], _: &mut dyn Sink) -> Result<(), EncodeError> {
        panic!("the tests write these frames themselves")
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// The sum from `FROM` on, and the end mark.
fn sum_and_16<const FROM: usize>(frame: &[u8]) -> bool {
    let end = frame.len();
    frame[end - 1] == 0x16 && frame[end - 2] == sum(&frame[FROM..end - 2])
}

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) * 256 + usize::from(bytes[at + 1])
}

const MARKED: Counted = Counted {
    start: &[0x68],
    fixed: &[],
    header_len: 0,
    len: |_| None,
    check: |_| true,
    trailer_len: 0,
    max_frame_len: 256,
    evidence: 0,
};

/// DL/T 645.
pub(crate) const DLT645: Counted = Counted {
    fixed: &[(7, 0x68)],
    header_len: 10,
    len: |frame| Some(usize::from(frame[9]) + 12).filter(|&len| len <= 212),
    check: sum_and_16::<0>,
    trailer_len: 2,
    evidence: 32,
    ..MARKED
};

/// CJ/T 188.
pub(crate) const CJT188: Counted = Counted {
    header_len: 11,
    len: |frame| Some(usize::from(frame[10]) + 13).filter(|&len| len <= 113),
    check: sum_and_16::<0>,
    trailer_len: 2,
    evidence: 24,
    ..MARKED
};

/// M-Bus, long frames.
pub(crate) const MBUS: Counted = Counted {
    fixed: &[(3, 0x68)],
    header_len: 4,
    len: |frame| Some(usize::from(frame[1]) + 6).filter(|&len| len >= 9 && frame[1] == frame[2]),
    check: sum_and_16::<4>,
    trailer_len: 2,
    max_frame_len: 261,
    evidence: 40,
    ..MARKED
};

/// IEC 60870-5-104, which has no checksum.
pub(crate) const IEC104: Counted = Counted {
    header_len: 6,
    len: |frame| Some(usize::from(frame[1]) + 2).filter(|&len| (6..=255).contains(&len)),
    evidence: 8,
    ..MARKED
};

/// Hongdian DDP.
pub(crate) const DDP: Counted = Counted {
    start: &[0x7B],
    header_len: 15,
    len: |frame| Some(be16(frame, 2)).filter(|&len| (16..=1040).contains(&len)),
    check: |frame| frame.ends_with(&[0x7B]),
    trailer_len: 1,
    max_frame_len: 1040,
    evidence: 16,
    ..MARKED
};

/// Alotcer.
pub(crate) const ALOTCER: Counted = Counted {
    start: &[0x7B],
    header_len: 15,
    len: |frame| {
        Some(usize::from(frame[3]) * 256 + usize::from(frame[2]) + 4).filter(|&len| (16..=1040).contains(&len))
    },
    check: |frame| frame.ends_with(&[0x7D]),
    trailer_len: 1,
    max_frame_len: 1040,
    evidence: 16,
    ..MARKED
};

/// HJ 212, its checksum not looked at.
pub(crate) const HJ212: Counted = Counted {
    start: b"##",
    header_len: 6,
    len: |frame| Some(core::str::from_utf8(&frame[2..6]).ok()?.parse::<usize>().ok()? + 12),
    check: |frame| frame.ends_with(b"\r\n"),
    trailer_len: 6,
    max_frame_len: 1036,
    evidence: 32,
    ..MARKED
};

/// GB/T 32960.
pub(crate) const GBT32960: Counted = Counted {
    start: b"##",
    header_len: 24,
    len: |frame| Some(be16(frame, 22) + 25),
    check: |frame| frame[2..].iter().fold(0, |xor, byte| xor ^ byte) == 0,
    trailer_len: 1,
    max_frame_len: 65_556,
    evidence: 24,
    ..MARKED
};

/// SL 651.
pub(crate) const SL651: Counted = Counted {
    start: &[0x7E, 0x7E],
    header_len: 14,
    len: |frame| Some((be16(frame, 11) & 0xFFF) + 17),
    check: |frame| {
        let (body, [low, high]) = frame.split_last_chunk().expect("a frame has 17 bytes");
        crc_modbus(body) == [*high, *low]
    },
    trailer_len: 3,
    max_frame_len: 4112,
    evidence: 32,
    ..MARKED
};

/// Modbus RTU replies: to reads of registers, and exceptions.
pub(crate) const RTU: Counted = Counted {
    start: &[],
    header_len: 3,
    len: |frame| match frame[1] {
        3 | 4 => Some(usize::from(frame[2]) + 5).filter(|len| len % 2 == 1),
        0x83 | 0x84 => Some(5),
        _ => None,
    },
    check: |frame| {
        let (body, check) = frame.split_last_chunk().expect("a frame has 5 bytes");
        crc_modbus(body) == *check
    },
    trailer_len: 2,
    evidence: 16,
    ..MARKED
};

/// `7E`, bytes of which `7D` escapes some, `7E`; a check over what they mean.
#[derive(Clone, Copy)]
pub(crate) struct Flagged {
    pub(crate) unescape: fn(u8) -> Option<u8>,
    pub(crate) check: fn(&[u8]) -> bool,
    pub(crate) min: usize,
    pub(crate) evidence: u32,
}

/// JT/T 808.
pub(crate) const JTT808: Flagged = Flagged {
    unescape: |byte| match byte {
        1 => Some(0x7D),
        2 => Some(0x7E),
        _ => None,
    },
    check: |inner| {
        let header = if inner[2] & 0x40 != 0 { 17 } else { 12 };
        let header = header + if inner[2] & 0x20 != 0 { 4 } else { 0 };
        inner.len() == (be16(inner, 2) & 0x3FF) + header + 1 && inner.iter().fold(0, |xor, byte| xor ^ byte) == 0
    },
    min: 13,
    evidence: 34,
};

/// HDLC as PPP has it.
pub(crate) const HDLC: Flagged = Flagged {
    unescape: |byte| Some(byte ^ 0x20),
    check: |inner| {
        let (body, check) = inner.split_last_chunk().expect("long enough");
        Crc::<u16>::new(&CRC_16_IBM_SDLC).checksum(body).to_le_bytes() == *check
    },
    min: 4,
    evidence: 32,
};

impl Flagged {
    fn inner(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut inner = Vec::new();
        let mut bytes = bytes.iter();
        while let Some(&byte) = bytes.next() {
            inner.push(if byte == 0x7D { (self.unescape)(*bytes.next()?)? } else { byte });
        }
        Some(inner)
    }
}

impl Framing for Flagged {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        if candidate.first().is_some_and(|&byte| byte != 0x7E) {
            return rejected(Malformed::Magic, candidate.len());
        }
        let Some(end) = candidate.iter().skip(1).position(|&byte| byte == 0x7E) else {
            return if candidate.len() >= 2100 { rejected(Malformed::Marker { at: 0 }, 2100) } else { missing(1) };
        };
        if end == 0 {
            return rejected(Malformed::Fill, 1);
        }
        let frame = &candidate[..end + 2];
        match self.inner(&frame[1..=end]) {
            Some(inner) if inner.len() >= self.min && (self.check)(&inner) => {
                Examined::Frame(Frame::new(frame, 1..end + 1).expect("in bounds"))
            }
            _ => rejected(Malformed::Checksum { computed: 0, found: 1 }, end + 1),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|&byte| byte == 0x7E).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        2100
    }

    fn evidence(&self) -> u32 {
        self.evidence
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        sink.put(&self.inner(frame.payload()).expect("a frame has been through this"));
    }

    fn encode_into(&self, _: &[u8], _: &[u8], _: &mut dyn Sink) -> Result<(), EncodeError> {
        panic!("the tests write these frames themselves")
    }
}

/// Lines that end in `\n`, of at most 80 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Lines;

impl Framing for Lines {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        match candidate.iter().position(|&byte| byte == b'\n') {
            Some(end) if end < 80 => Examined::Frame(Frame::new(&candidate[..=end], 0..end).expect("in bounds")),
            None if candidate.len() < 80 => missing(1),
            _ => rejected(Malformed::OverLimit { length: 80, limit: 79 }, 80),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1)
    }

    fn max_frame_len(&self) -> usize {
        80
    }

    fn evidence(&self) -> u32 {
        8
    }

    fn encode_into(&self, _: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        sink.put(payload);
        sink.put(b"\n");
        Ok(())
    }
}

/// A DL/T 645 reply around `payload`.
pub(crate) fn dlt645(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x68, 1, 2, 3, 4, 5, 6, 0x68, 0x91, u8::try_from(payload.len()).expect("short")];
    frame.extend(payload);
    frame.extend([sum(&frame), 0x16]);
    frame
}

/// A Modbus RTU reply with `payload`, an even number of bytes.
pub(crate) fn rtu(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 3, u8::try_from(payload.len()).expect("short")];
    frame.extend(payload);
    frame.extend(crc_modbus(&frame));
    frame
}

/// A DDP frame of `kind` around `payload`.
pub(crate) fn ddp(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 16).expect("short").to_be_bytes();
    [&[0x7B, kind], &len[..], b"13912345678", payload, &[0x7B]].concat()
}
