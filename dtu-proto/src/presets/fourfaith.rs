//! Four-Faith PROT: a registration, then bytes with escapes and heartbeats between them.

use super::verdict::{accept, part, reject, wait};
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed};

/// What a Four-Faith DTU sends in PROT mode.
///
/// ```text
///  0      4                15   16     20
///  | id   | phone, 11 digits | 00 | IPv4 | 00 |    the registration, once and not escaped
///  | FE |                                        a heartbeat
///  | byte |  or  | FD ED |  or  | FD EE |          the application's bytes, of which FD and FE are escaped
/// ```
///
/// The application's bytes have no end of their own, so each is a frame of one byte of payload, and a framing within
/// puts them together. A heartbeat has no payload; the payload of a registration is all of it. Any byte but `FD` and `FE` passes,
/// so this framing finds no damage.
///
/// A registration is told by its digits and zeros, for which up to 20 bytes have to come. On a live line the last bytes before a
/// silence would wait for that, so whoever has read the registration goes on with [`behind_registration`](Self::behind_registration).
///
/// Source: Four-Faith, modem DTU data in PROT mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FourFaithProt {
    registers: bool,
}

const ESCAPE: u8 = 0xFD;
const HEARTBEAT: u8 = 0xFE;
const ESCAPED_ESCAPE: u8 = 0xED;
const ESCAPED_HEARTBEAT: u8 = 0xEE;
/// The registration, in bytes.
const REGISTRATION_LEN: usize = 21;

impl Default for FourFaithProt {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether byte `at` of a registration may be `byte`.
const fn may_register((at, byte): (usize, &u8)) -> bool {
    match at {
        4..15 => byte.is_ascii_digit(),
        15 | 20 => *byte == 0,
        _ => true,
    }
}

impl FourFaithProt {
    /// A connection from its start on.
    #[must_use]
    pub const fn new() -> Self {
        Self { registers: true }
    }

    /// A connection whose registration has been read.
    #[must_use]
    pub const fn behind_registration() -> Self {
        Self { registers: false }
    }
}

impl Framing for FourFaithProt {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        let front = part(candidate, 0..REGISTRATION_LEN.min(received));
        if self.registers && front.iter().enumerate().all(may_register) {
            return if front.len() == REGISTRATION_LEN {
                accept(candidate, REGISTRATION_LEN, 0..REGISTRATION_LEN)
            } else {
                wait(received, received.saturating_add(1))
            };
        }
        match candidate {
            [] => wait(0, 1),
            [HEARTBEAT, ..] => accept(candidate, 1, 1..1),
            [ESCAPE, ESCAPED_ESCAPE | ESCAPED_HEARTBEAT, ..] => accept(candidate, 2, 0..2),
            [ESCAPE] => wait(1, 2),
            [ESCAPE, ..] => reject(Malformed::Escape { at: 1 }, 1),
            [_, ..] => accept(candidate, 1, 0..1),
        }
    }

    fn find_start(&self, _: &[u8]) -> usize {
        0
    }

    fn max_frame_len(&self) -> usize {
        if self.registers { REGISTRATION_LEN } else { 2 }
    }

    fn evidence(&self) -> u32 {
        0
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        match frame.payload() {
            [ESCAPE, ESCAPED_ESCAPE] => sink.put(&[ESCAPE]),
            [ESCAPE, ESCAPED_HEARTBEAT] => sink.put(&[HEARTBEAT]),
            payload => sink.put(payload),
        }
    }

    /// A payload of one byte is the application's; none is a heartbeat; of 21, and where registrations are looked for, a registration.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        match (header, payload) {
            ([] | [HEARTBEAT], []) => sink.put(&[HEARTBEAT]),
            ([], [ESCAPE]) => sink.put(&[ESCAPE, ESCAPED_ESCAPE]),
            ([], [HEARTBEAT]) => sink.put(&[ESCAPE, ESCAPED_HEARTBEAT]),
            ([], [_]) => sink.put(payload),
            ([], _) if self.registers && payload.len() == REGISTRATION_LEN => {
                if let Some(at) = payload.iter().enumerate().position(|byte| !may_register(byte)) {
                    return Err(EncodeError::Unencodable { at });
                }
                sink.put(payload);
            }
            ([], _) => return Err(EncodeError::PayloadLength { length: payload.len() }),
            _ => return Err(EncodeError::HeaderLength { needed: 0, found: header.len() }),
        }
        Ok(())
    }
}
