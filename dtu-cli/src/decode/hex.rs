//! Hex text to bytes, in pieces of any size.

use core::fmt;

/// Reads hex text: two digits a byte; white space, commas and `0x` in front of a byte do not matter; a colon may stand
/// between two bytes.
#[derive(Debug)]
pub(super) struct HexText {
    line: u64,
    column: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Outside of bytes: white space, a comma or the beginning came last.
    Between,
    /// One digit of a byte came; `prefix` when it is a 0 that can become `0x`.
    Half { high: u8, prefix: bool },
    /// A whole byte came.
    Whole,
    /// `0x` or a colon came: the first digit of a byte must follow.
    Promised(&'static str),
}

/// Where hex text is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HexError {
    line: u64,
    column: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    NoDigit(u8),
    HalfByte,
    Loose(&'static str),
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hex text, line {}, column {}: ", self.line, self.column)?;
        match &self.what {
            What::NoDigit(byte) => write!(f, "'{}' is no hex digit", byte.escape_ascii()),
            What::HalfByte => f.write_str("odd number of digits, a byte has two"),
            What::Loose(":") => {
                f.write_str("no byte behind the colon (if this is a dump with offsets, take them out: `xxd -r`)")
            }
            What::Loose(what) => write!(f, "no byte behind {what}"),
        }
    }
}

impl core::error::Error for HexError {}

impl HexText {
    pub(super) const fn new() -> Self {
        Self { line: 1, column: 0, state: State::Between }
    }

    /// Appends the bytes that `text` says to `bytes`. After an error those before it are there.
    pub(super) fn push(&mut self, text: &[u8], bytes: &mut Vec<u8>) -> Result<(), HexError> {
        for &character in text {
            self.column += 1;
            self.state = match (self.state, character, digit(character)) {
                (State::Half { high, .. }, _, Some(low)) => {
                    bytes.push(high << 4 | low);
                    State::Whole
                }
                (State::Half { prefix: true, .. }, b'x' | b'X', _) => State::Promised("0x"),
                (State::Half { .. }, _, _) => return Err(self.error(What::HalfByte)),
                (State::Between, _, Some(high)) => State::Half { high, prefix: high == 0 },
                (State::Whole | State::Promised(_), _, Some(high)) => State::Half { high, prefix: false },
                (State::Whole, b':', None) => State::Promised(":"),
                (State::Promised(what), _, None) => return Err(self.error(What::Loose(what))),
                (State::Between | State::Whole, b',', None) => State::Between,
                (State::Between | State::Whole, _, None) if character.is_ascii_whitespace() => State::Between,
                (State::Between | State::Whole, _, None) => return Err(self.error(What::NoDigit(character))),
            };
            if character == b'\n' {
                (self.line, self.column) = (self.line + 1, 0);
            }
        }
        Ok(())
    }

    /// Says that the text has ended.
    pub(super) fn finish(&mut self) -> Result<(), HexError> {
        self.column += 1;
        match self.state {
            State::Between | State::Whole => Ok(()),
            State::Half { .. } => Err(self.error(What::HalfByte)),
            State::Promised(what) => Err(self.error(What::Loose(what))),
        }
    }

    const fn error(&self, what: What) -> HexError {
        HexError { line: self.line, column: self.column, what }
    }
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::HexText;

    fn read(text: &str, cut: usize) -> Result<Vec<u8>, String> {
        let (mut hex, mut bytes) = (HexText::new(), Vec::new());
        for piece in text.as_bytes().chunks(cut) {
            hex.push(piece, &mut bytes).map_err(|error| error.to_string())?;
        }
        hex.finish().map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    #[test]
    fn every_notation_and_every_cut_gives_the_same_bytes() {
        for text in ["d7550102", "D7 55\r\n01\t02\n", "0xD7, 0x55, 0x01,0x02", "d7:55:01:02", "0xd7550102", "d755 0102"]
        {
            for cut in 1..=text.len() {
                assert_eq!(read(text, cut), Ok(vec![0xd7, 0x55, 0x01, 0x02]), "{text:?} in pieces of {cut}");
            }
        }
        assert_eq!(read("", 1), Ok(vec![]));
        assert_eq!(read("00 0x00 00:00", 1), Ok(vec![0; 4]));
    }

    #[test]
    fn errors_say_where() {
        let error = |text| read(text, 1).expect_err(text);
        assert_eq!(error("d7 55\n0"), "hex text, line 2, column 2: odd number of digits, a byte has two");
        assert_eq!(error("d7 5 5"), "hex text, line 1, column 5: odd number of digits, a byte has two");
        assert_eq!(error("d7 55 |.U|"), "hex text, line 1, column 7: '|' is no hex digit");
        assert_eq!(error("d7\x1b"), "hex text, line 1, column 3: '\\x1b' is no hex digit");
        assert_eq!(error("0x"), "hex text, line 1, column 3: no byte behind 0x");
        assert_eq!(error("d70x55"), "hex text, line 1, column 4: odd number of digits, a byte has two");
        let dump = error("00000000: d755 0002 fffd 6869  .U....hi");
        assert!(dump.starts_with("hex text, line 1, column 10: no byte behind the colon"), "{dump}");
    }
}
