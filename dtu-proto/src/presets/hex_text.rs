//! Bytes as two hexadecimal digits each.

use crate::encode::Sink;
use crate::hex;

/// The value of one digit, in either case.
pub(super) const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The byte that two digits stand for.
pub(super) const fn byte([high, low]: [u8; 2]) -> Option<u8> {
    match (value(high), value(low)) {
        (Some(high), Some(low)) => Some((high << 4) | low),
        _ => None,
    }
}

/// Writes the digits of `bytes`, upper case.
pub(super) fn put(bytes: &[u8], sink: &mut dyn Sink) {
    for &byte in bytes {
        sink.put(&hex::digits(byte).map(|digit| digit.to_ascii_uppercase()));
    }
}

/// The bytes that `text` stands for, up to the first pair that is none.
pub(super) fn bytes(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (pairs, _) = text.as_chunks::<2>();
    pairs.iter().map_while(|&pair| byte(pair))
}
