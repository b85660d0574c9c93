//! JT/T 808: vehicle terminals.

use super::verdict::reject;
use crate::checksum::Algorithm;
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed};
use crate::spec::{Check, Declared, Escape, FrameSpec};

/// The envelope of JT/T 808: flags, escapes and checksum. The length in the message header is not looked at.
pub const JTT808_ENVELOPE: FrameSpec = FrameSpec::new(MAX_LEN)
    .start(&[FLAG])
    .shared()
    .escape(Escape::map(0x7D, &[(0x01, 0x7D), (0x02, FLAG)]))
    .check(Check::new(Algorithm::Xor8, 2).from(1))
    .end(&[FLAG])
    .min_len(MIN_LEN);

/// JT/T 808 of 2011, 2013 and 2019.
///
/// ```text
///  | 7E | message header and body, escaped: payload | XOR | 7E |
/// ```
///
/// `7D 01` stands for `7D` and `7D 02` for `7E`, in the checksum too. The payload with escapes undone is
/// message id (2 bytes), properties (2), phone number in BCD, serial number (2) and the body. The ten lowest bits of the
/// properties are the body's length, which is checked; bit 14 says that a version byte and a number of ten
/// bytes follow instead of six, bit 13 that there are four more bytes of total and index. The header is the opening flag,
/// which a frame lacks that shares it with the frame before.
///
/// Source: JT/T 808-2013 and -2019, as read by traccar and SmallChi/JT808.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jtt808;

static ENVELOPE: Declared = JTT808_ENVELOPE.declared();

const FLAG: u8 = 0x7E;
/// The shortest frame: a header of 12 bytes, no body, the checksum and both flags.
const MIN_LEN: usize = 15;
/// Header of 21 bytes, body of 1023 and checksum, all of them escaped, and flags; rounded up.
const MAX_LEN: usize = 2100;
/// The ten bits of the length.
const LENGTH_BITS: u32 = 10;

/// What the message header says of the payload's length.
#[derive(Default)]
struct Announced {
    len: u32,
    /// The first four bytes; the properties are the last two of them.
    front: u32,
}

impl Sink for Announced {
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.len < 4 {
                self.front = self.front << 8 | u32::from(byte);
            }
            self.len = self.len.saturating_add(1);
        }
    }
}

impl Announced {
    const fn properties(&self) -> u32 {
        self.front & 0xFFFF
    }

    /// Whether the payload is as long as its properties say.
    const fn is_right(&self) -> bool {
        let properties = self.properties();
        // Message id, properties, serial number and phone, the latter with a version before it.
        let header: u32 = if properties & 0x4000 == 0 { 6 + 6 } else { 6 + 11 };
        let parts = if properties & 0x2000 == 0 { 0 } else { 4 };
        let body = properties & 0x03FF;
        self.len == header.saturating_add(parts).saturating_add(body)
    }
}

impl Framing for Jtt808 {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let examined = ENVELOPE.examine(candidate);
        let Examined::Frame(frame) = examined else { return examined };
        let mut announced = Announced::default();
        ENVELOPE.payload_into(&frame, &mut announced);
        if announced.is_right() {
            examined
        } else {
            // The closing flag may open the next frame.
            let judged = frame.encoded_len().saturating_sub(1);
            reject(Malformed::Length { found: announced.properties() }, judged)
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        ENVELOPE.find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        ENVELOPE.max_frame_len()
    }

    fn evidence(&self) -> u32 {
        ENVELOPE.evidence().saturating_add(LENGTH_BITS)
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        ENVELOPE.payload_into(frame, sink);
    }

    /// The opening flag is written in any case.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        let mut announced = Announced::default();
        announced.put(payload);
        if !announced.is_right() {
            return Err(EncodeError::PayloadLength { length: payload.len() });
        }
        ENVELOPE.encode_into(header, payload, sink)
    }
}
