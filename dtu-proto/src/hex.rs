//! Bytes as hex text, the way messages are serialised and printed.

use core::fmt;

/// Bytes as lower-case hex text without separators.
///
/// # Examples
///
/// ```
/// use dtu_proto::hex::Hex;
///
/// assert_eq!(Hex(b"\xD7\x55").to_string(), "d755");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

/// The two lower-case hex digits of a byte.
#[must_use]
#[allow(clippy::indexing_slicing, clippy::as_conversions)] // a nibble is below 16
pub const fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 0x0F) as usize]]
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RUN: usize = 32;
        // Runs of digits: a call of the formatter for each byte is most of the time that printing a frame takes.
        self.0.chunks(RUN).try_for_each(|bytes| {
            let mut text = [[0; 2]; RUN];
            for (pair, byte) in text.iter_mut().zip(bytes) {
                *pair = digits(*byte);
            }
            let text = text.get(..bytes.len()).unwrap_or_default().as_flattened();
            f.write_str(core::str::from_utf8(text).map_err(|_| fmt::Error)?)
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Hex;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn every_byte_and_every_length_around_a_run() {
        let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
        for len in [0, 1, 31, 32, 33, 64, 65, 512] {
            let expected: String = bytes[..len].iter().map(|byte| std::format!("{byte:02x}")).collect();
            assert_eq!(Hex(&bytes[..len]).to_string(), expected);
        }
    }
}
