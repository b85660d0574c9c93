//! Names of ours in subjects.

use core::fmt::Write;

/// What stands in a subject for nobody. No text is written so: what begins with `%` has two digits behind it.
const NOBODY: &str = "%";

/// A text as one token of a subject: `.`, `*`, `>`, `%`, blanks and control characters become `%XX` by byte. No text, or an empty
/// one, is `%`.
pub(crate) fn token(text: &str) -> String {
    if text.is_empty() {
        return NOBODY.to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '.' | '*' | '>' | '%') || character.is_whitespace() || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                // Writing into a string does not fail.
                let _written = write!(token, "%{byte:02X}");
            }
        } else {
            token.push(character);
        }
    }
    token
}

/// Whether a text from the settings can stand before tokens: tokens with dots between them.
pub(crate) fn is_prefix(text: &str) -> bool {
    !text.starts_with('$') && text.split('.').all(|part| !part.is_empty() && token(part) == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_token_may_have_is_escaped_and_nothing_else() {
        for (text, expected) in [
            ("meter-7", "meter-7"),
            ("a.b*c>d%e", "a%2Eb%2Ac%3Ed%25e"),
            ("a b\tc\u{7f}", "a%20b%09c%7F"),
            ("水表\u{3000}$1", "水表%E3%80%80$1"),
            ("", "%"),
            ("%", "%25"),
        ] {
            assert_eq!(token(text), expected);
        }
    }

    #[test]
    fn a_prefix_is_tokens_with_dots_between_them() {
        for text in ["dtu", "plant.7", "水"] {
            assert!(is_prefix(text), "{text}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "$JS", "100%"] {
            assert!(!is_prefix(text), "{text}");
        }
    }
}
