//! TCP streams out of a capture: pcap, Ethernet, IPv4, as far as the captures of the field need it.

use std::collections::BTreeMap;

/// One direction of a connection: addresses and ports of its sender and its receiver.
type Flow = ([u8; 4], u16, [u8; 4], u16);

/// The bytes of each direction of each connection in the order of their numbers, each byte once.
///
/// A gap, where a segment was not captured, ends nothing: what follows is glued to what was before.
pub(crate) fn streams(pcap: &[u8]) -> BTreeMap<Flow, Vec<u8>> {
    assert_eq!(pcap[..4], [0xD4, 0xC3, 0xB2, 0xA1], "little-endian pcap in microseconds");
    assert_eq!(pcap[20..24], [1, 0, 0, 0], "Ethernet");
    let mut segments: BTreeMap<Flow, Vec<(u32, Vec<u8>)>> = BTreeMap::new();
    let mut rest = &pcap[24..];
    while let Some((header, behind)) = rest.split_at_checked(16) {
        let captured = u32::from_le_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        let (packet, behind) = behind.split_at(captured);
        rest = behind;
        if let Some((flow, sequence, payload)) = segment(packet) {
            segments.entry(flow).or_default().push((sequence, payload.to_vec()));
        }
    }
    segments.into_iter().map(|(flow, segments)| (flow, in_order(segments))).collect()
}

/// The TCP segment in an Ethernet frame, if one with bytes is.
fn segment(packet: &[u8]) -> Option<(Flow, u32, &[u8])> {
    let number = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let ip = match packet {
        [..] if packet.len() > 34 && packet[12..14] == [0x08, 0x00] => &packet[14..],
        _ => return None,
    };
    let header_len = usize::from(ip[0] & 0x0F) * 4;
    let total = usize::from(number(ip, 2));
    if ip[0] >> 4 != 4 || ip[9] != 6 {
        return None;
    }
    let tcp = &ip[header_len..total.min(ip.len())];
    let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
    let address = |at: usize| ip[at..at + 4].try_into().expect("four bytes");
    let flow = (address(12), number(tcp, 0), address(16), number(tcp, 2));
    let sequence = u32::from_be_bytes(tcp[4..8].try_into().expect("four bytes"));
    (!payload.is_empty()).then_some((flow, sequence, payload))
}

/// Puts segments one behind the other; what was sent twice counts once.
fn in_order(mut segments: Vec<(u32, Vec<u8>)>) -> Vec<u8> {
    let first = segments[0].0;
    segments.sort_by_key(|(sequence, _)| sequence.wrapping_sub(first) as i32);
    let mut stream = Vec::new();
    let mut next = segments[0].0;
    for (sequence, payload) in segments {
        let known = next.wrapping_sub(sequence) as i32;
        let new = payload.get(usize::try_from(known).unwrap_or(0)..).unwrap_or_default();
        stream.extend_from_slice(new);
        if !new.is_empty() {
            next = sequence.wrapping_add(u32::try_from(payload.len()).expect("a segment is short"));
        }
    }
    stream
}
