//! Captures made in memory: packets, and the two file formats around them.

use etherparse::PacketBuilder;

pub(crate) const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
pub(crate) const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);

/// The name of the stream from the client to the server.
pub(crate) const UP: &str = "10.0.0.1:40000 -> 10.0.0.2:9000";
pub(crate) const DOWN: &str = "10.0.0.2:9000 -> 10.0.0.1:40000";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    None,
    Syn,
    /// The answer to a SYN.
    SynAck,
    Fin,
    Rst,
}

/// An IPv4 packet with a TCP segment.
pub(crate) fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), sequence: u32, flag: Flag, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 4096);
    let builder = match flag {
        Flag::None => builder.ack(1),
        Flag::Syn => builder.syn(),
        Flag::SynAck => builder.syn().ack(1),
        Flag::Fin => builder.fin().ack(1),
        Flag::Rst => builder.rst(),
    };
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, payload).expect("the packet is short");
    packet
}

pub(crate) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, payload).expect("the packet is short");
    packet
}

/// A packet in a capture: its bytes, and its length on the line where that is more.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    pub(crate) original: usize,
    pub(crate) second: u32,
}

impl Captured {
    pub(crate) fn whole(bytes: Vec<u8>, second: u32) -> Self {
        Self { original: bytes.len(), bytes, second }
    }
}

/// One packet a second from second 1 on.
pub(crate) fn each_second(packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<Captured> {
    (1..).zip(packets).map(|(second, bytes)| Captured::whole(bytes, second)).collect()
}

/// The link layers that the packets, which begin with IP, can be put on.
pub(crate) const LINKS: [(u32, &[u8]); 9] = [
    (1, &[2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x08, 0x00]),
    // VLAN, and VLAN in VLAN.
    (1, &[2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x81, 0x00, 0, 7, 0x08, 0x00]),
    (1, &[2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x00]),
    (113, &[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 0x08, 0x00]),
    (276, &[0x08, 0x00, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]),
    (101, &[]),
    (228, &[]),
    (0, &[2, 0, 0, 0]),
    (108, &[0, 0, 0, 2]),
];

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("captures here are small")
}

/// A pcap file. `nanoseconds` and `big_endian` choose among its four forms.
pub(crate) fn pcap(link: (u32, &[u8]), packets: &[Captured], big_endian: bool, nanoseconds: bool) -> Vec<u8> {
    let u32 = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = u32(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    let version = if big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file = [magic, version, u32(0), u32(0), u32(262_144), u32(link.0)].concat();
    for packet in packets {
        let (kept, original) = (link.1.len() + packet.bytes.len(), link.1.len() + packet.original);
        let half = if nanoseconds { 500_000_000 } else { 500_000 };
        file.extend([u32(packet.second), u32(half), u32(number(kept)), u32(number(original))].concat());
        file.extend(link.1);
        file.extend(&packet.bytes);
    }
    file
}

/// A pcapng file: an unknown block and a second interface stand among the packets.
pub(crate) fn pcapng(link: (u32, &[u8]), packets: &[Captured], big_endian: bool) -> Vec<u8> {
    let u32 = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let u16 = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let len = u32(number(12 + body.len() + padding.len()));
        [&u32(kind)[..], &len, body, &padding, &len].concat()
    };
    let interface = |link: u32, options: &[u8]| {
        let link = u16(u16::try_from(link).expect("a link type has 16 bits"));
        block(1, &[&link[..], &[0, 0], &u32(262_144), options].concat())
    };
    let section = [&u32(0x1a2b_3c4d)[..], &u16(1), &u16(0), &[0xff; 8]].concat();
    // if_tsresol: milliseconds.
    let milliseconds = [&u16(9)[..], &u16(1), &[3, 0, 0, 0], &[0; 4]].concat();
    let mut file = [block(0x0a0d_0d0a, &section), interface(147, &[]), interface(link.0, &milliseconds)].concat();
    for packet in packets {
        let (kept, original) = (link.1.len() + packet.bytes.len(), link.1.len() + packet.original);
        let time = packet.second * 1000 + 500;
        let head = [u32(1), u32(0), u32(time), u32(number(kept)), u32(number(original))].concat();
        file.extend(block(6, &[&head[..], link.1, &packet.bytes].concat()));
        file.extend(block(0x0bad, b"unknown"));
    }
    file
}
