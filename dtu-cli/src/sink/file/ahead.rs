//! Where a batch is on the disk first: a file of a fixed length beside the one with the lines.
//!
//! Bytes that make a file longer are on the disk only when the file system has written its own books, and those wait for what every other
//! program has written. Bytes over bytes that were there do not. So a batch is written to the file with the lines, where readers see
//! it, and besides over a place in this one, which is then waited for. When this one is full, the other is waited for once, and it
//! begins anew. After a crash what stands here is written again to where it belongs.
//!
//! ```text
//!   | magic | generation | file | offset | length | CRC-32C | lines ... | up to 4 KiB | next |
//!     8       8            8      8        8        8                     padding
//! ```
//!
//! All numbers are big-endian. The records of one generation follow each other in the file with the lines, from the first on. A record
//! of another generation is what an earlier one has left.

use super::journal::Medium;
use dtu_proto::checksum::{Batch, Crc32c, INITIAL, Kernel, finish};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The length of the file.
pub(super) const AHEAD_LEN: u64 = 32 * 1024 * 1024;

/// Records begin at multiples of this, so that no write touches the disk's blocks of an earlier one.
const BLOCK: u64 = 4096;

const MAGIC: [u8; 8] = *b"DTUAHEAD";

/// Bytes before the lines.
const HEAD_LEN: u64 = 48;

/// The part of the head that the checksum covers, besides the lines.
const COVERED: usize = 40;

/// The file, and where it is written next.
pub(super) struct Ahead<M> {
    medium: M,
    generation: u64,
    next: u64,
    scratch: Vec<u8>,
}

/// Lines, and where in their file they belong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) lines: Vec<u8>,
}

/// Where it is, for the file at `path`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".ahead");
    name.into()
}

/// Opens the file, or makes it.
///
/// # Errors
///
/// There is no room for it, among others.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != AHEAD_LEN {
        file.set_len(0)?;
        // Written, not only reserved: what is reserved is in the books of the file system, too.
        let written = io::copy(&mut io::Read::take(io::repeat(0), AHEAD_LEN), &mut file).and_then(|_| file.flush());
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            let _stays = std::fs::remove_file(path);
            return Err(error);
        }
    }
    Ok(file)
}

impl<M: Medium> Ahead<M> {
    pub(super) fn new(medium: M) -> io::Result<Self> {
        Ok(Self { medium, generation: generation()?, next: 0, scratch: Vec::new() })
    }

    pub(super) fn into_medium(self) -> M {
        self.medium
    }

    /// Whether there is ever room for so many bytes of lines.
    pub(super) fn fits(len: usize) -> bool {
        HEAD_LEN + to_u64(len) <= AHEAD_LEN
    }

    /// Whether there is room for so many bytes of lines now.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.next + HEAD_LEN + to_u64(len) <= AHEAD_LEN
    }

    /// Writes a record of the file with this number; it is on the disk when it is ready. After an error it is as before.
    pub(super) fn write(&mut self, file: u64, offset: u64, lines: &[u8]) -> io::Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(&MAGIC);
        for number in [self.generation, file, offset, to_u64(lines.len())] {
            self.scratch.extend_from_slice(&number.to_be_bytes());
        }
        let checksum = checksum(&self.scratch, lines);
        self.scratch.extend_from_slice(&checksum.to_be_bytes());
        self.scratch.extend_from_slice(lines);
        self.medium.write_all_at(&self.scratch, self.next)?;
        self.medium.sync()?;
        self.next = (self.next + to_u64(self.scratch.len())).next_multiple_of(BLOCK);
        Ok(())
    }

    /// Leaves nothing that could be taken for records: they are where they belong.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.medium.write_all_at(&[0; HEAD_LEN as usize], 0)?;
        self.medium.sync()?;
        (self.generation, self.next) = (generation()?, 0);
        Ok(())
    }

    /// The records of the file with this number, in their order.
    pub(super) fn records(&self, file: u64) -> io::Result<Vec<Record>> {
        let (mut records, mut at, mut generation) = (Vec::<Record>::new(), 0, None);
        while at + HEAD_LEN <= AHEAD_LEN {
            let mut head = [0; HEAD_LEN as usize];
            self.medium.read_exact_at(&mut head, at)?;
            let (magic, numbers) = head.split_first_chunk::<8>().expect("the head is longer");
            let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
            let mut number = || numbers.next().expect("the head has five numbers");
            let (of, owner, offset, len, sum) = (number(), number(), number(), number(), number());
            let follows = records.last().is_none_or(|last| last.offset + to_u64(last.lines.len()) == offset);
            let room = AHEAD_LEN - at - HEAD_LEN;
            if *magic != MAGIC || *generation.get_or_insert(of) != of || owner != file || !follows || len > room {
                break;
            }
            let mut lines = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            self.medium.read_exact_at(&mut lines, at + HEAD_LEN)?;
            if checksum(&head[..COVERED], &lines) != sum {
                break;
            }
            at = (at + HEAD_LEN + len).next_multiple_of(BLOCK);
            records.push(Record { offset, lines });
        }
        Ok(records)
    }
}

/// Drawn, so that no record of an earlier generation is taken for one of this.
fn generation() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::from)
}

fn checksum(head: &[u8], lines: &[u8]) -> u64 {
    struct Sum<'a>(&'a [u8], &'a [u8]);
    impl Batch for Sum<'_> {
        type Output = u64;

        fn run<C: Crc32c>(self, crc: C) -> u64 {
            finish(crc.update(crc.update(INITIAL, self.0), self.1)).into()
        }
    }
    Kernel::detect().run(Sum(head, lines))
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("memory is smaller than that")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn ahead() -> (File, Ahead<File>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(AHEAD_LEN).unwrap();
        (file.try_clone().unwrap(), Ahead::new(file).unwrap())
    }

    fn record(offset: u64, lines: &[u8]) -> Record {
        Record { offset, lines: lines.into() }
    }

    #[test]
    fn records_come_back_in_their_order_and_only_to_their_file() {
        let (_, mut ahead) = ahead();
        assert_eq!(ahead.records(7).unwrap(), []);
        let long = vec![b'x'; 5_000];
        ahead.write(7, 10, &long).unwrap();
        ahead.write(7, 5_010, b"{}\n").unwrap();
        assert_eq!(ahead.records(7).unwrap(), [record(10, &long), record(5_010, b"{}\n")]);
        assert_eq!(ahead.records(8).unwrap(), []);
        ahead.clear().unwrap();
        assert_eq!(ahead.records(7).unwrap(), []);
    }

    #[test]
    fn what_an_earlier_generation_has_left_is_no_record() {
        let (_, mut ahead) = ahead();
        (0..3).for_each(|number| ahead.write(7, 3 * number, b"{}\n").unwrap());
        ahead.clear().unwrap();
        ahead.write(7, 0, b"{}\n").unwrap();
        assert_eq!(ahead.records(7).unwrap(), [record(0, b"{}\n")]);
    }

    #[test]
    fn a_record_with_one_byte_wrong_ends_them() {
        let (file, mut ahead) = ahead();
        ahead.write(7, 0, b"{1}\n").unwrap();
        ahead.write(7, 4, b"{2}\n").unwrap();
        for at in 0..HEAD_LEN + 4 {
            let mut byte = [0];
            FileExt::read_exact_at(&file, &mut byte, BLOCK + at).unwrap();
            FileExt::write_all_at(&file, &[byte[0] ^ 1], BLOCK + at).unwrap();
            assert_eq!(ahead.records(7).unwrap(), [record(0, b"{1}\n")], "{at}");
            FileExt::write_all_at(&file, &byte, BLOCK + at).unwrap();
        }
        assert_eq!(ahead.records(7).unwrap().len(), 2);
    }

    #[test]
    fn it_is_full_at_its_length() {
        let (_, mut ahead) = ahead();
        let all = usize::try_from(AHEAD_LEN - HEAD_LEN).unwrap();
        assert!(Ahead::<File>::fits(all) && !Ahead::<File>::fits(all + 1));
        assert!(ahead.has_room(all));
        ahead.write(7, 0, b"{}\n").unwrap();
        let rest = all - usize::try_from(BLOCK).unwrap();
        assert!(ahead.has_room(rest) && !ahead.has_room(rest + 1));
        ahead.write(7, 3, &vec![b'x'; rest]).unwrap();
        assert_eq!(ahead.records(7).unwrap().len(), 2);
        assert!(!ahead.has_room(0));
    }
}
