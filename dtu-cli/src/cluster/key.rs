//! Names as keys of a bucket, which may have letters, digits, `-`, `_`, `/`, `=` and `.`.

use core::fmt::Write;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Device(String),
    Gateway(String),
}

const DEVICE: &str = "device.";
const GATEWAY: &str = "gateway.";

impl Name {
    pub(super) fn device_key(id: &str) -> String {
        key(DEVICE, id)
    }

    pub(super) fn gateway_key(id: &str) -> String {
        key(GATEWAY, id)
    }

    /// `None` for a key that is none of ours.
    pub(super) fn of(text: &str) -> Option<Self> {
        let named = |prefix: &str| read(text.strip_prefix(prefix)?).filter(|id| key(prefix, id) == text);
        named(DEVICE).map(Self::Device).or_else(|| named(GATEWAY).map(Self::Gateway))
    }
}

/// Bytes other than letters, digits, `-` and `_` become `=XX`. No text is `=`.
fn key(prefix: &str, id: &str) -> String {
    let mut key = prefix.to_owned();
    if id.is_empty() {
        key.push('=');
    }
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            key.push(byte.into());
        } else {
            // Writing into a string does not fail.
            let _written = write!(key, "={byte:02X}");
        }
    }
    key
}

fn read(text: &str) -> Option<String> {
    if text == "=" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = if first == b'=' {
            let (digits, behind) = behind.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
            behind
        } else {
            bytes.push(first);
            behind
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_key_of_its_own_and_is_read_from_it() {
        for (id, expected) in [
            ("meter-7_a", "device.meter-7_a"),
            ("a.b=c/d*>", "device.a=2Eb=3Dc=2Fd=2A=3E"),
            ("水", "device.=E6=B0=B4"),
            ("", "device.="),
            ("\0\u{7f}", "device.=00=7F"),
        ] {
            let key = Name::device_key(id);
            assert_eq!(key, expected);
            assert_eq!(Name::of(&key), Some(Name::Device(id.to_owned())));
        }
        assert_eq!(Name::of(&Name::gateway_key("gw.1")), Some(Name::Gateway("gw.1".to_owned())));
    }

    #[test]
    fn what_is_no_key_of_ours_is_passed_over() {
        for key in ["", "other", "device.a=2", "device.=zz", "device.=FF", "device.=+1", "device.=2e", "device.a.b"] {
            assert_eq!(Name::of(key), None, "{key}");
        }
    }
}
