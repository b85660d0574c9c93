//! COBS: consistent overhead byte stuffing, frames ended by a zero.

use super::verdict::{accept, reject, wait};
use crate::encode::{EncodeError, Sink};
use crate::frame::Frame;
use crate::framing::{Examined, Framing, Malformed};
use memchr::memchr;

/// COBS with frames of a longest length, each ended by `00`.
///
/// ```text
///  | code | code - 1 bytes, none of them 0 | code | ... | 00 |
/// ```
///
/// A block stands for its bytes and a zero behind them; for none when its code is `FF`, or when it is the last. The payload on the line is all
/// before the `00`. A frame begins behind a `00`, and what the line brings before the first one is judged like a frame.
/// Nothing but the codes says whether a frame is whole.
///
/// Source: Cheshire and Baker, Consistent Overhead Byte Stuffing, 1999.
///
/// # Examples
///
/// ```
/// use dtu_proto::Framing;
/// use dtu_proto::presets::Cobs;
///
/// let mut line = [0; 8];
/// let len = Cobs::new(64).encode_frame(&[], &[0x11, 0x00, 0x22], &mut line)?;
/// assert_eq!(line[..len], [0x02, 0x11, 0x02, 0x22, 0x00]);
/// # Ok::<(), dtu_proto::encode::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cobs {
    max_len: usize,
}

const DELIMITER: u8 = 0x00;
/// The code of a block that is full, and that no zero follows.
const FULL: u8 = 0xFF;
/// The bytes of a full block.
const MAX_BLOCK_LEN: usize = 254;
/// The shortest frame: one code and the delimiter.
const MIN_LEN: usize = 2;

impl Cobs {
    /// Frames of at most `max_len` bytes on the line, the delimiter among them; at least 2.
    #[must_use]
    pub const fn new(max_len: usize) -> Self {
        Self { max_len: if max_len < MIN_LEN { MIN_LEN } else { max_len } }
    }

    /// The longest payload that is sure to fit a frame, in bytes: one code for each block of 254 that is begun, and the delimiter.
    #[must_use]
    pub const fn max_payload(&self) -> usize {
        let blocks = self.max_len.saturating_sub(MIN_LEN) / 255;
        self.max_len.saturating_sub(MIN_LEN).saturating_sub(blocks)
    }
}

/// Hands the blocks of `encoded` to `sink` with whether a zero follows each, and returns where the chain of codes goes on
/// beyond its end, if it does.
fn blocks<'a>(encoded: &'a [u8], mut sink: impl FnMut(&'a [u8], bool)) -> Option<usize> {
    let mut rest = encoded;
    while let Some((&code, behind)) = rest.split_first() {
        let Some((block, behind)) = behind.split_at_checked(usize::from(code).saturating_sub(1)) else {
            return Some(encoded.len());
        };
        sink(block, code != FULL && !behind.is_empty());
        rest = behind;
    }
    None
}

impl Framing for Cobs {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let received = candidate.len();
        let within = candidate.get(..self.max_len).unwrap_or(candidate);
        let Some(end) = memchr(DELIMITER, within) else {
            return if received < self.max_len {
                wait(received, received.saturating_add(1).max(MIN_LEN))
            } else {
                let cause = Malformed::OverLimit { length: self.max_len, limit: self.max_payload() };
                reject(cause, self.max_len)
            };
        };
        let (encoded, len) = (within.get(..end).unwrap_or_default(), end.saturating_add(1));
        if end == 0 {
            return reject(Malformed::Fill, len);
        }
        match blocks(encoded, |_, _| {}) {
            None => accept(candidate, len, 0..end),
            Some(at) => reject(Malformed::Escape { at }, len),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        memchr(DELIMITER, bytes).map_or(bytes.len(), |at| at.saturating_add(1))
    }

    fn max_frame_len(&self) -> usize {
        self.max_len
    }

    fn evidence(&self) -> u32 {
        0
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        blocks(frame.payload(), |block, has_zero| {
            sink.put(block);
            if has_zero {
                sink.put(&[DELIMITER]);
            }
        });
    }

    /// There is no header.
    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        if !header.is_empty() {
            return Err(EncodeError::HeaderLength { needed: 0, found: header.len() });
        }
        let mut written: usize = 0;
        let mut put = |block: &[u8]| {
            let [code, ..] = block.len().saturating_add(1).to_le_bytes();
            sink.put(&[code]);
            sink.put(block);
            written = written.saturating_add(block.len()).saturating_add(1);
        };
        let mut runs = payload.split(|&byte| byte == DELIMITER).peekable();
        while let Some(run) = runs.next() {
            let mut rest = run;
            while let Some((block, behind)) = rest.split_at_checked(MAX_BLOCK_LEN) {
                put(block);
                rest = behind;
            }
            // A full block at the end of all says by itself that no zero follows.
            if runs.peek().is_some() || !rest.is_empty() || run.is_empty() {
                put(rest);
            }
        }
        let length = written.saturating_add(1);
        if length > self.max_len {
            return Err(EncodeError::PayloadTooLong { length: payload.len(), limit: self.max_payload() });
        }
        sink.put(&[DELIMITER]);
        Ok(())
    }
}
