//! What the end of a file looks like after a crash, and where its whole lines end.
//!
//! Only the last batch can be half there: everything before it was on the disk before the next one began. It was not
//! acknowledged, so what is left of its last line is cut; its device sends it again. A file system may also have kept the length of
//! a write and not its bytes, which then read as zeros; no line of JSON has one.

use crate::sink::keeper::BATCH_BYTES;
use crate::sink::queue::QUEUE_BYTES;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How far from the end a write that was cut short can have begun: a full batch, and one item more, each byte of which is two
/// digits, and the rest of its lines.
const TAIL: u64 = BATCH_BYTES as u64 + 2 * QUEUE_BYTES as u64 + 1024 * 1024;

/// Where the last whole line of a file of `len` bytes ends.
///
/// # Errors
///
/// The file cannot be read, or holds something that is no lines of JSON; nothing in it is changed then.
pub(super) fn whole_lines(file: &File, len: u64) -> io::Result<u64> {
    if len == 0 {
        return Ok(0);
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0)?;
    if !matches!(byte, [b'{' | 0]) {
        return Err(strange("it is no file of JSON lines"));
    }
    let start = len.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(len - start).expect("the tail is short")];
    file.read_exact_at(&mut tail, start)?;
    let written = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
    match tail[..written].iter().rposition(|byte| *byte == b'\n') {
        Some(line_feed) => Ok(start + u64::try_from(line_feed + 1).expect("the tail is short")),
        None if start == 0 => Ok(0),
        None => Err(strange("its last line is longer than any of this gateway")),
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn whole(bytes: &[u8]) -> io::Result<u64> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        whole_lines(&file, u64::try_from(bytes.len()).unwrap())
    }

    #[test]
    fn wherever_a_write_was_cut_the_lines_before_it_stay() {
        let text = b"{\"a\":1}\n{\"a\":22}\n{\"a\":333}\n";
        let ends = [0, 8, 17, 27];
        for len in 0..=text.len() {
            let expected = ends.iter().rev().find(|end| **end <= len).copied().unwrap();
            assert_eq!(whole(&text[..len]).unwrap(), u64::try_from(expected).unwrap(), "{len}");
            // The length was kept, and the bytes from here on were not.
            let mut holes = text.to_vec();
            holes[len..].fill(0);
            assert_eq!(whole(&holes).unwrap(), u64::try_from(expected).unwrap(), "{len}");
        }
    }

    #[test]
    fn what_stands_behind_a_hole_was_not_acknowledged() {
        assert_eq!(whole(b"{\"a\":1}\n{\"a\0\0\0}\n{\"a\":3}\n").unwrap(), 8);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        for other in [&b"PNG"[..], b"\n", b" {}\n", b"[]\n"] {
            assert_eq!(whole(other).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let mut endless = vec![b'x'; usize::try_from(TAIL).unwrap() + 2];
        endless[0] = b'{';
        assert_eq!(whole(&endless).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
