//! Base64 (RFC 4648, section 4), for requests and replies of a few hundred bytes.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 0x3F;
            text.push(if place <= group.len() { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    text
}

/// # Errors
/// What is wrong, in words.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Err("there are no digits".to_owned());
    }
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return Err(format!("{} characters; they come in fours, filled up with `=`", text.len()));
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            let value = ALPHABET.iter().position(|digit| digit == byte);
            let value = value.ok_or_else(|| format!("`{}` is no digit of base64", byte.escape_ascii()))?;
            bits = (bits << 6) | value as u32;
        }
        let whole = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let (kept, rest) = whole[1..].split_at(group.len() - 1);
        if rest.iter().any(|byte| *byte != 0) {
            return Err("bits are left over at its end".to_owned());
        }
        bytes.extend_from_slice(kept);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc_go_both_ways() {
        for (text, bytes) in
            [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!((encode(bytes.as_bytes()), decode(text)), (text.to_owned(), Ok(bytes.as_bytes().to_vec())));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Ok(all));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["", "Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zm8=Zm8=", "Zm-v", "Zm9v\n", "\u{e9}\u{e9}"]
        {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }
}
