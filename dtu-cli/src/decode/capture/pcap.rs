//! The pcap format: a header, then records.

use super::{Found, Records, index};
use anyhow::{anyhow, bail};
use pcap_parser::{LegacyPcapBlock, PcapError, PcapHeader, nom};
use std::io::Read;

/// The first bytes of a file: microseconds and nanoseconds in both byte orders, and the "modified" format.
pub(super) const MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
];

const HEADER_LEN: u32 = 24;

type Parse = fn(&[u8]) -> nom::IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

/// What the header of a file says about its records.
pub(super) struct File {
    link: i32,
    big_endian: bool,
    /// Parts of a second in the second half of a time stamp.
    resolution: u32,
    record_header_len: u32,
    parse: Parse,
}

impl File {
    pub(super) fn open<R: Read>(records: &mut Records<R>) -> anyhow::Result<Self> {
        let header = records.begin(HEADER_LEN)?.ok_or_else(|| anyhow!("the capture is empty"))?;
        let (_, header) = pcap_parser::parse_pcap_header(header).map_err(|_| anyhow!("broken capture header"))?;
        Ok(Self::new(&header))
    }

    fn new(header: &PcapHeader) -> Self {
        let (record_header_len, parse): (u32, Parse) = if header.is_modified_format() {
            (24, pcap_parser::parse_pcap_frame_modified)
        } else if header.is_bigendian() {
            (16, pcap_parser::parse_pcap_frame_be)
        } else {
            (16, pcap_parser::parse_pcap_frame)
        };
        Self {
            // The upper half of the field holds flags.
            link: header.network.0 & 0xffff,
            big_endian: header.is_bigendian(),
            resolution: if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 },
            record_header_len,
            parse,
        }
    }

    pub(super) fn next_packet<R: Read>(&self, records: &mut Records<R>) -> anyhow::Result<Option<Found>> {
        let Some(header) = records.begin(self.record_header_len)? else { return Ok(None) };
        let &[_, _, _, _, _, _, _, _, a, b, c, d, ..] = header else { bail!("a record without a length") };
        let len = if self.big_endian { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) };
        let record = records.extend_to(self.record_header_len.saturating_add(len))?;
        let (_, block) = (self.parse)(record).map_err(|_| anyhow!("a record that cannot be read"))?;
        let time = f64::from(block.ts_sec) + f64::from(block.ts_usec) / f64::from(self.resolution);
        let range = index(self.record_header_len)..record.len();
        Ok(Some(Found { link: self.link, time: Some(time), range, original_len: block.origlen }))
    }
}
