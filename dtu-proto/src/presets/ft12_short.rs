//! The short frame of FT1.2 and the single character that stands for a confirmation.

use super::verdict::{accept, wait};
use crate::encode::{EncodeError, Sink};
use crate::framing::{Examined, Framing};
use crate::spec::Declared;
use memchr::memchr2;

/// Short frames of FT1.2, as a declaration has them, and the single character `E5`.
///
/// ```text
///  0    1         2              2+a   4+a
///  | 10 | control | address (a) | sum | 16 |
///  | E5 |
/// ```
///
/// A lone `E5` is a whole frame, so one of 256 bytes of noise passes for one.
#[derive(Debug, Clone, Copy)]
pub struct Ft12Short {
    short: &'static Declared,
}

const START: u8 = 0x10;
const ACKNOWLEDGED: u8 = 0xE5;
/// The single character.
const EVIDENCE: u32 = 8;

impl Ft12Short {
    /// The frames of `short`, which start with `10`, and the single character.
    #[must_use]
    pub const fn new(short: &'static Declared) -> Self {
        Self { short }
    }
}

impl Framing for Ft12Short {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        match candidate {
            [] => wait(0, 1),
            [ACKNOWLEDGED, ..] => accept(candidate, 1, 1..1),
            _ => self.short.examine(candidate),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr2(START, ACKNOWLEDGED, bytes).unwrap_or(bytes.len())
    }

    fn max_frame_len(&self) -> usize {
        self.short.max_frame_len()
    }

    fn evidence(&self) -> u32 {
        EVIDENCE
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        match (header, payload) {
            ([ACKNOWLEDGED], []) => {
                sink.put(&[ACKNOWLEDGED]);
                Ok(())
            }
            _ => self.short.encode_into(header, payload, sink),
        }
    }
}
