//! Bytes as a profile writes them: text with escapes, and places in braces.
//!
//! | written | is |
//! |---|---|
//! | `\r` `\n` `\t` `\\` `\{` `\}` | the byte |
//! | `\x7B` | the byte with this number |
//! | `{…}` | a place: see [`Pattern`](super::Pattern) and [`Template`](super::Template) |
//! | anything else | its UTF-8 |

use super::error::Problem;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Bytes(Vec<u8>),
    /// What stands in braces, and where, in bytes from the start of the text.
    Place {
        inside: &'a str,
        at: usize,
    },
}

pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, Problem> {
    let mut parts = Vec::new();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let at = text.len() - rest.len();
        let behind = rest.get(next.len_utf8()..).unwrap_or_default();
        rest = match next {
            '\\' => {
                let (byte, len) = escaped(behind).ok_or(Problem::Escape { at })?;
                bytes.push(byte);
                behind.get(len..).unwrap_or_default()
            }
            '{' => {
                let (inside, behind) = behind.split_once('}').ok_or(Problem::Brace { at })?;
                if !bytes.is_empty() {
                    parts.push(Part::Bytes(core::mem::take(&mut bytes)));
                }
                parts.push(Part::Place { inside, at });
                behind
            }
            '}' => return Err(Problem::Brace { at }),
            _ => {
                bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                behind
            }
        };
    }
    if !bytes.is_empty() {
        parts.push(Part::Bytes(bytes));
    }
    Ok(parts)
}

/// A text without places.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    let mut all = Vec::new();
    for part in parts(text)? {
        match part {
            Part::Bytes(bytes) => all.extend(bytes),
            Part::Place { at, .. } => return Err(Problem::Brace { at }),
        }
    }
    Ok(all)
}

/// The byte that is written behind a backslash, and how long that is.
fn escaped(text: &str) -> Option<(u8, usize)> {
    let byte = match text.as_bytes().first()? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'x' => return Some((u8::from_str_radix(text.get(1..3).filter(|digits| is_hex(digits))?, 16).ok()?, 3)),
        byte @ (b'\\' | b'{' | b'}') => *byte,
        _ => return None,
    };
    Some((byte, 1))
}

/// `from_str_radix` takes a sign, too.
fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{Part, Problem, bytes, parts};

    #[test]
    fn text_is_itself_and_escapes_are_their_bytes() {
        assert_eq!(bytes(r"PING\r\n\x7b\xFE\\\{\}é"), Ok(b"PING\r\n\x7B\xFE\\{}\xC3\xA9".to_vec()));
        assert_eq!(bytes(""), Ok(vec![]));
    }

    #[test]
    fn places_stand_between_bytes() {
        let found = parts("A{id:digit*3}{x}B").expect("it is well formed");
        let [
            Part::Bytes(a),
            Part::Place { inside: "id:digit*3", at: 1 },
            Part::Place { inside: "x", at: 13 },
            Part::Bytes(b),
        ] = &found[..]
        else {
            unreachable!("{found:?}")
        };
        assert_eq!((&a[..], &b[..]), (&b"A"[..], &b"B"[..]));
    }

    #[test]
    fn what_is_malformed_is_told_by_its_place() {
        for (text, problem) in [
            (r"ab\", Problem::Escape { at: 2 }),
            (r"ab\q", Problem::Escape { at: 2 }),
            (r"\x1", Problem::Escape { at: 0 }),
            (r"\x+1", Problem::Escape { at: 0 }),
            (r"\x1é", Problem::Escape { at: 0 }),
            ("ab{", Problem::Brace { at: 2 }),
            ("ab}", Problem::Brace { at: 2 }),
            ("a{b}", Problem::Brace { at: 1 }),
        ] {
            assert_eq!(bytes(text), Err(problem), "{text}");
        }
    }
}
