//! CRC-32C by itself: this project's kernels against the crates that people use.

use crate::contest::{Entry, Job, Tally};
use crate::stream::{Random, Size};
use core::hint::black_box;
use crc::{CRC_32_ISCSI, Crc, Table};
use crc_fast::CrcAlgorithm;
use dtu_proto::checksum::{Batch, Crc32c, Kernel, Portable};

/// The lengths that checksums are measured at, in bytes.
pub const LENGTHS: [usize; 9] = [8, 16, 64, 128, 256, 1024, 4096, 16384, 65535];

/// How many bytes a run covers, at the most.
const LINE_LEN: usize = 65_535;

static TABLE_16: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The job of checksumming 64 KiB in runs of `len` bytes.
#[must_use]
pub fn job(len: usize) -> Job {
    let runs = Runs { line: Random(2).bytes(LINE_LEN), lengths: vec![len; LINE_LEN / len] };
    let expected = runs.each(|bytes| TABLE_16.checksum(bytes));
    let [a, b, c, d, e, f] = [(); 6].map(|()| runs.clone());
    let entries = vec![
        // Inlined into the loop, as the decoders use it, and by a call that chooses each time.
        Entry::ours("kernel", expected, move || Kernel::detect().run(black_box(&a))),
        Entry::ours("kernel_call", expected, move || b.each(|bytes| Kernel::detect().checksum(bytes))),
        Entry::ours("portable", expected, move || black_box(&c).run(Portable)),
        Entry::peer("crc32c", expected, move || d.each(crc32c::crc32c)),
        Entry::peer("crc_fast", expected, move || {
            e.each(|bytes| {
                let checksum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
                u32::try_from(checksum).expect("a CRC-32 has 32 bits")
            })
        }),
        Entry::peer("crc", expected, move || f.each(|bytes| TABLE_16.checksum(bytes))),
    ];
    Job {
        group: "checksum",
        size: Size::Bytes(len),
        frames: runs.lengths.len(),
        bytes: len * (LINE_LEN / len),
        entries,
    }
}

/// Bytes and how to cut them. The lengths are a list for the reason given at [`Floor`](crate::decode::Floor).
#[derive(Clone)]
struct Runs {
    line: Vec<u8>,
    lengths: Vec<usize>,
}

impl Runs {
    #[inline(always)]
    fn each(&self, checksum: impl Fn(&[u8]) -> u32) -> Tally {
        let mut tally = Tally { frames: self.lengths.len(), ..Tally::default() };
        let mut rest = black_box(&self.line[..]);
        for &len in &self.lengths {
            let (bytes, behind) = rest.split_at(len);
            tally.mark ^= checksum(bytes);
            rest = behind;
        }
        tally
    }
}

impl Batch for &Runs {
    type Output = Tally;
    #[inline(always)]
    fn run<C: Crc32c>(self, crc: C) -> Tally {
        self.each(|bytes| crc.checksum(bytes))
    }
}
