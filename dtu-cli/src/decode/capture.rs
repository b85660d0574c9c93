//! Packets out of a pcap or pcapng file that is read once, front to back.
//!
//! The framing of the records is done here, so that every length is judged before anything is read or allocated for
//! it and a broken file is told from one that was cut off; what is in a record, `pcap-parser` says.

mod pcap;
mod pcapng;

use super::walk::PacketMark;
use anyhow::{Context as _, bail};
use core::ops::Range;
use std::io::Read;

/// The longest record of a capture that is read, in bytes.
const MAX_RECORD_LEN: u32 = 16 << 20;

/// The kind of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pcap,
    PcapNg,
}

/// What the first bytes of an input say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// It is a capture.
    Capture(Kind),
    /// It is none.
    Raw,
    /// More bytes are needed.
    Undecided,
}

/// The bytes that [`sniff`] needs at the most.
pub(crate) const SNIFFED_LEN: usize = 12;

/// Tells captures from raw bytes.
pub(crate) fn sniff(head: &[u8]) -> Sniffed {
    let mut undecided = false;
    for magic in pcap::MAGICS {
        match head.len() {
            len if len >= magic.len() && head.starts_with(&magic) => return Sniffed::Capture(Kind::Pcap),
            len if len < magic.len() && magic.starts_with(head) => undecided = true,
            _ => {}
        }
    }
    let (block, order) = (head.get(..4).unwrap_or(head), head.get(8..).unwrap_or_default());
    if pcapng::SECTION.starts_with(block) {
        for magic in pcapng::BYTE_ORDERS {
            match order.get(..magic.len()) {
                Some(order) if order == magic => return Sniffed::Capture(Kind::PcapNg),
                None if magic.starts_with(order) => undecided = true,
                _ => {}
            }
        }
    }
    if undecided { Sniffed::Undecided } else { Sniffed::Raw }
}

/// A captured packet.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) mark: PacketMark,
    /// The type of its link layer, as the registry of link types numbers them.
    pub(crate) link: i32,
    pub(crate) bytes: &'a [u8],
    /// Whether the capture has all of it.
    pub(crate) whole: bool,
}

/// A capture that is being read.
pub(crate) struct Capture<R> {
    records: Records<R>,
    format: Format,
    /// How many packets have come.
    packets: u64,
}

enum Format {
    Pcap(pcap::File),
    PcapNg(pcapng::Section),
}

impl<R: Read> Capture<R> {
    /// Reads the header of a capture.
    pub(crate) fn open(kind: Kind, input: R) -> anyhow::Result<Self> {
        let mut records = Records { input, position: 0, bytes: Vec::new() };
        let format = match kind {
            Kind::Pcap => Format::Pcap(pcap::File::open(&mut records)?),
            Kind::PcapNg => Format::PcapNg(pcapng::Section::default()),
        };
        Ok(Self { records, format, packets: 0 })
    }

    /// Reads the next packet; `None` at the end.
    pub(crate) fn next_packet(&mut self) -> anyhow::Result<Option<Packet<'_>>> {
        let number = self.packets + 1;
        let at = self.records.position;
        let packet = match &mut self.format {
            Format::Pcap(file) => file.next_packet(&mut self.records),
            Format::PcapNg(section) => section.next_packet(&mut self.records),
        };
        let found = packet.with_context(|| format!("broken capture behind packet {} (byte {at})", self.packets))?;
        Ok(found.map(|Found { link, time, range, original_len }| {
            self.packets = number;
            let bytes = self.records.bytes.get(range).unwrap_or_default();
            Packet { mark: PacketMark { number, time }, link, bytes, whole: bytes.len() >= index(original_len) }
        }))
    }

    /// How many packets have come.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    /// How many blocks of an obsolete kind, which can hold packets, were passed over.
    pub(crate) const fn obsolete_blocks(&self) -> u64 {
        match &self.format {
            Format::Pcap(_) => 0,
            Format::PcapNg(section) => section.obsolete_blocks(),
        }
    }
}

/// A packet in the record that was read last.
struct Found {
    link: i32,
    time: Option<f64>,
    /// Where in the record it is.
    range: Range<usize>,
    /// Its length on the line, in bytes.
    original_len: u32,
}

/// One record at a time in memory.
struct Records<R> {
    input: R,
    position: u64,
    bytes: Vec<u8>,
}

impl<R: Read> Records<R> {
    /// Begins a record with its first `len` bytes; `None` when the file ends in front of it.
    fn begin(&mut self, len: u32) -> anyhow::Result<Option<&[u8]>> {
        self.bytes.clear();
        self.fill(len)?;
        if self.bytes.is_empty() {
            return Ok(None);
        }
        self.extend_to(len).map(Some)
    }

    /// Reads on until `len` bytes of the record are there.
    fn extend_to(&mut self, len: u32) -> anyhow::Result<&[u8]> {
        if len > MAX_RECORD_LEN {
            bail!("a record of {len} bytes, at most {MAX_RECORD_LEN} are read");
        }
        self.fill(len)?;
        if self.bytes.len() < index(len) {
            bail!("the file ends in a record after {} of {len} bytes", self.bytes.len());
        }
        Ok(&self.bytes)
    }

    fn fill(&mut self, len: u32) -> anyhow::Result<()> {
        let missing = u64::from(len).saturating_sub(super::walk::widen(self.bytes.len()));
        // Grows with what comes, not with what a header claims.
        let read = (&mut self.input).take(missing).read_to_end(&mut self.bytes)?;
        self.position += super::walk::widen(read);
        Ok(())
    }
}

/// A 32-bit length as an index.
fn index(len: u32) -> usize {
    usize::try_from(len).expect("this program needs at least 32 bits")
}

#[cfg(test)]
mod tests {
    use super::{Kind, SNIFFED_LEN, Sniffed, sniff};

    #[test]
    fn captures_are_told_from_raw_bytes_as_early_as_can_be() {
        let section = b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a";
        assert_eq!(section.len(), SNIFFED_LEN);
        for len in 0..SNIFFED_LEN {
            assert_eq!(sniff(&section[..len]), Sniffed::Undecided, "{len} bytes");
        }
        assert_eq!(sniff(section), Sniffed::Capture(Kind::PcapNg));
        assert_eq!(sniff(b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\0"), Sniffed::Capture(Kind::PcapNg));
        assert_eq!(sniff(b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x00"), Sniffed::Raw);
        assert_eq!(sniff(b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1b"), Sniffed::Raw);
        for magic in [b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"] {
            assert_eq!(sniff(magic), Sniffed::Capture(Kind::Pcap));
            assert_eq!(sniff(&magic[..3]), Sniffed::Undecided);
        }
        assert_eq!(sniff(b"\xd7"), Sniffed::Raw);
        assert_eq!(sniff(b"\xd4\xc3\x00"), Sniffed::Raw);
    }
}
