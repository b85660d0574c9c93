//! Serial bytes into what the connection carries, and back.

use super::profile::{Profile, Wrapping, id, render};

/// `7B type(1) length(2) id(11)` and the closing `7B`.
const DDP_HEADER: usize = 15;
const DDP_LEN: core::ops::RangeInclusive<usize> = 16..=1040;
const DDP_FLAG: u8 = 0x7B;

/// Types of DDP that come from a server.
const ACK: u8 = 0x81;
const LOGOUT_ACK: u8 = 0x82;
const REGISTER_AGAIN: u8 = 0x83;
const DATA_ACK: u8 = 0x85;
const DATA_DOWN: u8 = 0x89;
/// And to it.
const DATA_UP: u8 = 0x09;

const ESCAPE: u8 = 0xFD;
const HEARTBEAT: u8 = 0xFE;
const ESCAPED_ESCAPE: u8 = 0xED;
const ESCAPED_HEARTBEAT: u8 = 0xEE;

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Down {
    /// For the serial line.
    Data(Vec<u8>),
    /// The registration, or a heartbeat, is acknowledged.
    Ack,
    /// The DTU is told to go, and to come again.
    Leave,
    /// The DTU is told to register again.
    Register,
}

/// The packet of a device with these serial bytes.
pub(super) fn wrap(profile: &Profile, number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut packet = render(profile.prefix, number);
    match profile.wrapping {
        Wrapping::Bare => packet.extend_from_slice(bytes),
        Wrapping::Ddp => {
            // The packets of a serial line are no longer than a frame of its protocol.
            let len = (DDP_HEADER + bytes.len() + 1) as u16;
            packet.extend([DDP_FLAG, DATA_UP]);
            packet.extend(len.to_be_bytes());
            packet.extend(id(number).bytes());
            packet.extend_from_slice(bytes);
            packet.push(DDP_FLAG);
        }
        Wrapping::Escaped => {
            for byte in bytes {
                match *byte {
                    ESCAPE => packet.extend([ESCAPE, ESCAPED_ESCAPE]),
                    HEARTBEAT => packet.extend([ESCAPE, ESCAPED_HEARTBEAT]),
                    other => packet.push(other),
                }
            }
        }
    }
    packet
}

/// Takes apart what comes from the server, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Unwrapper {
    bytes: Vec<u8>,
    /// Bytes that mean nothing to this DTU.
    pub(super) strange: u64,
}

impl Unwrapper {
    /// What the connection before has left.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// What `bytes` complete.
    pub(super) fn take(&mut self, wrapping: Wrapping, bytes: &[u8]) -> Vec<Down> {
        match wrapping {
            Wrapping::Bare => vec![Down::Data(bytes.to_vec())],
            Wrapping::Escaped => vec![Down::Data(self.unescape(bytes))],
            Wrapping::Ddp => {
                self.bytes.extend_from_slice(bytes);
                core::iter::from_fn(|| self.envelope()).collect()
            }
        }
    }

    /// At most the escape itself is kept for the next time.
    fn unescape(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let is_escaped = self.bytes.pop().is_some();
            match byte {
                ESCAPED_ESCAPE if is_escaped => plain.push(ESCAPE),
                ESCAPED_HEARTBEAT if is_escaped => plain.push(HEARTBEAT),
                ESCAPE => {
                    self.strange += u64::from(is_escaped);
                    self.bytes.push(ESCAPE);
                }
                // A bare one is the server's heartbeat.
                HEARTBEAT => self.strange += u64::from(is_escaped),
                other => {
                    self.strange += u64::from(is_escaped);
                    plain.push(other);
                }
            }
        }
        plain
    }

    /// At most one envelope is kept for the next time.
    fn envelope(&mut self) -> Option<Down> {
        loop {
            let start = self.bytes.iter().position(|byte| *byte == DDP_FLAG).unwrap_or(self.bytes.len());
            self.forget(start);
            let &[_, kind, a, b] = self.bytes.first_chunk()?;
            let len = usize::from(u16::from_be_bytes([a, b]));
            if !DDP_LEN.contains(&len) {
                self.forget(1);
                continue;
            }
            let envelope = self.bytes.get(..len)?;
            let payload = envelope.get(DDP_HEADER..len - 1).unwrap_or_default().to_vec();
            if envelope.last() != Some(&DDP_FLAG) {
                self.forget(1);
                continue;
            }
            self.bytes.drain(..len);
            match kind {
                ACK => return Some(Down::Ack),
                DATA_DOWN => return Some(Down::Data(payload)),
                LOGOUT_ACK => return Some(Down::Leave),
                REGISTER_AGAIN => return Some(Down::Register),
                DATA_ACK => {}
                _ => self.strange += len as u64,
            }
        }
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.strange += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        Profile::named(name).unwrap()
    }

    #[test]
    fn serial_bytes_are_wrapped_as_the_hardware_does_it() {
        assert_eq!(wrap(&profile("plain"), 7, b"\x01\xFD"), b"\x01\xFD");
        assert_eq!(wrap(&profile("prefix"), 7, b"\x01"), b"#13900000007#\x01");
        let envelope = wrap(&profile("ddp"), 12_345_678, b"\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6");
        assert_eq!(envelope, b"\x7B\x09\x00\x1913912345678\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6\x7B");
        assert_eq!(wrap(&profile("fourfaith"), 7, b"\x01\xFD\xFE\xED"), b"\x01\xFD\xED\xFD\xEE\xED");
    }

    #[test]
    fn what_comes_down_is_the_same_however_it_is_cut() {
        let ddp = b"zz\x7B\x81\x00\x1013900000007\x7B\x7B\x00\x7B\x89\x00\x1213900000007\x7B\x02\x7B\
                    \x7B\x83\x00\x1013900000007\x7B\x7B\x85\x00\x1013900000007\x7B\x7B\x82\x00\x1013900000007\x7B\
                    \x7B\x99\x00\x1013900000007\x7B";
        let expected = [Down::Ack, Down::Data(vec![0x7B, 2]), Down::Register, Down::Leave];
        for chunk in 1..=ddp.len() {
            let mut unwrapper = Unwrapper::default();
            let came: Vec<_> = ddp.chunks(chunk).flat_map(|bytes| unwrapper.take(Wrapping::Ddp, bytes)).collect();
            assert_eq!((&came[..], unwrapper.strange), (&expected[..], 2 + 2 + 16), "in pieces of {chunk}");
        }
    }

    #[test]
    fn escapes_are_undone_however_they_are_cut() {
        let escaped = b"\x01\xFD\xED\xFE\xFD\xEE\xED\xFD\x05\xFD\xFD\xED";
        for chunk in 1..=escaped.len() {
            let mut unwrapper = Unwrapper::default();
            let pieces = escaped.chunks(chunk).flat_map(|bytes| unwrapper.take(Wrapping::Escaped, bytes));
            let plain: Vec<u8> =
                pieces.flat_map(|down| if let Down::Data(data) = down { data } else { vec![] }).collect();
            assert_eq!((&plain[..], unwrapper.strange), (&b"\x01\xFD\xFE\xED\x05\xFD"[..], 2), "in pieces of {chunk}");
        }
    }

    #[test]
    fn an_envelope_without_its_end_does_not_hide_the_next_one() {
        let mut unwrapper = Unwrapper::default();
        let bytes = b"\x7B\x89\x00\x1113900000007\x01X\x7B\x81\x00\x1013900000007\x7B";
        assert_eq!(unwrapper.take(Wrapping::Ddp, bytes), [Down::Ack]);
        assert_eq!(unwrapper.strange, 17);
    }
}
