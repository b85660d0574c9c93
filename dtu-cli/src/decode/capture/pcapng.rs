//! The pcapng format: sections of blocks, each with its length in front and behind.

use super::{Found, Records};
use anyhow::{anyhow, bail};
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Block, InterfaceDescriptionBlock};
use std::io::Read;

/// The type of the block that begins a file and each section of it; the same in both byte orders.
pub(super) const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// What a section's first block says about the byte order: little endian, big endian.
pub(super) const BYTE_ORDERS: [[u8; 4]; 2] = [[0x4d, 0x3c, 0x2b, 0x1a], [0x1a, 0x2b, 0x3c, 0x4d]];

const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type, length, and the byte order in a section's first block.
const BLOCK_HEADER_LEN: u32 = 12;

/// Interfaces that one section may describe.
const MAX_INTERFACES: usize = 4096;

/// What the blocks so far say about those that follow.
#[derive(Debug, Default)]
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    obsolete_blocks: u64,
}

#[derive(Debug)]
struct Interface {
    link: i32,
    /// The most that is kept of a packet, in bytes; 0 for all of it.
    snap_len: u32,
    ticks_per_second: f64,
    /// Seconds to add to every time stamp.
    offset: f64,
}

impl Interface {
    fn new(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let exponent = i32::from(description.if_tsresol & 0x7f);
        let base = if description.if_tsresol & 0x80 == 0 { 10_f64 } else { 2_f64 };
        // The library reads this option as little endian everywhere.
        let offset = if big_endian { description.if_tsoffset.swap_bytes() } else { description.if_tsoffset };
        Self {
            link: description.linktype.0,
            snap_len: description.snaplen,
            ticks_per_second: base.powi(exponent),
            offset: seconds(offset),
        }
    }

    fn time(&self, high: u32, low: u32) -> Option<f64> {
        let ticks = f64::from(high) * 4_294_967_296.0 + f64::from(low);
        Some(ticks / self.ticks_per_second + self.offset).filter(|time| time.is_finite())
    }
}

#[allow(clippy::cast_precision_loss)] // seconds since 1970 are far below 2^53
const fn seconds(offset: i64) -> f64 {
    offset as f64
}

impl Section {
    pub(super) const fn obsolete_blocks(&self) -> u64 {
        self.obsolete_blocks
    }

    pub(super) fn next_packet<R: Read>(&mut self, records: &mut Records<R>) -> anyhow::Result<Option<Found>> {
        loop {
            let Some(block) = self.next_block(records)? else { return Ok(None) };
            let base = block.as_ptr().addr();
            let range = |bytes: &[u8]| {
                let start = bytes.as_ptr().addr() - base;
                start..start + bytes.len()
            };
            let found = match self.parse(block)? {
                Some(Block::InterfaceDescription(description)) => {
                    if self.interfaces.len() >= MAX_INTERFACES {
                        bail!("more than {MAX_INTERFACES} interfaces");
                    }
                    self.interfaces.push(Interface::new(&description, self.big_endian));
                    continue;
                }
                Some(Block::EnhancedPacket(packet)) => {
                    let interface = self.interface(packet.if_id)?;
                    Found {
                        link: interface.link,
                        time: interface.time(packet.ts_high, packet.ts_low),
                        range: range(packet.packet_data()),
                        original_len: packet.origlen,
                    }
                }
                Some(Block::SimplePacket(packet)) => {
                    let interface = self.interface(0)?;
                    let kept = match interface.snap_len {
                        0 => packet.origlen,
                        snap_len => packet.origlen.min(snap_len),
                    };
                    let bytes = packet.packet_data();
                    Found {
                        link: interface.link,
                        time: None,
                        range: range(bytes.get(..super::index(kept)).unwrap_or(bytes)),
                        original_len: packet.origlen,
                    }
                }
                _ => continue,
            };
            return Ok(Some(found));
        }
    }

    /// Reads a whole block and follows the byte order of its section.
    fn next_block<'a, R: Read>(&mut self, records: &'a mut Records<R>) -> anyhow::Result<Option<&'a [u8]>> {
        let Some(header) = records.begin(BLOCK_HEADER_LEN)? else { return Ok(None) };
        let &[t0, t1, t2, t3, l0, l1, l2, l3, o0, o1, o2, o3] = header else { bail!("a block without a length") };
        if [t0, t1, t2, t3] == SECTION {
            self.big_endian = [o0, o1, o2, o3] == BYTE_ORDERS[1];
            self.interfaces.clear();
        }
        let len = self.number([l0, l1, l2, l3]);
        if len < BLOCK_HEADER_LEN {
            bail!("a block of {len} bytes, the least is {BLOCK_HEADER_LEN}");
        }
        let block = records.extend_to(len)?;
        match block.last_chunk() {
            Some(&behind) if self.number(behind) == len => Ok(Some(block)),
            _ => bail!("a block whose lengths in front and behind contradict each other"),
        }
    }

    /// Parses the blocks that matter here; the library never sees the others.
    fn parse<'a>(&mut self, block: &'a [u8]) -> anyhow::Result<Option<Block<'a>>> {
        let Some(&kind) = block.first_chunk() else { return Ok(None) };
        match self.number(kind) {
            _ if kind == SECTION => {}
            INTERFACE | SIMPLE_PACKET | ENHANCED_PACKET => {}
            OBSOLETE_PACKET => {
                self.obsolete_blocks += 1;
                return Ok(None);
            }
            _ => return Ok(None),
        }
        let parse = if self.big_endian { pcap_parser::parse_block_be } else { pcap_parser::parse_block_le };
        let (_, block) = parse(block).map_err(|_| anyhow!("a block that cannot be read"))?;
        Ok(Some(block))
    }

    fn interface(&self, id: u32) -> anyhow::Result<&Interface> {
        let described = self.interfaces.len();
        self.interfaces
            .get(super::index(id))
            .ok_or_else(|| anyhow!("a packet of interface {id}, and {described} are described"))
    }

    const fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}
