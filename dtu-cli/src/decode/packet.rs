//! From a captured packet to the bytes of TCP and UDP that it carries.

use super::capture::Packet;
use core::net::{IpAddr, SocketAddr};
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// The link layers that are understood, by their number in the registry of link types.
mod link {
    pub(crate) const NULL: i32 = 0;
    pub(crate) const ETHERNET: i32 = 1;
    pub(crate) const RAW: i32 = 101;
    pub(crate) const LOOP: i32 = 108;
    pub(crate) const LINUX_SLL: i32 = 113;
    pub(crate) const IPV4: i32 = 228;
    pub(crate) const IPV6: i32 = 229;
    pub(crate) const LINUX_SLL2: i32 = 276;
}

/// Bytes in front of the packet, and where the EtherType stands in them.
const SLL_HEADER_LEN: usize = 16;
const SLL_PROTOCOL: usize = 14;
const SLL2_HEADER_LEN: usize = 20;
const SLL2_PROTOCOL: usize = 0;
const LOOPBACK_HEADER_LEN: usize = 4;

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Direction {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Direction {
    /// The way back.
    pub(crate) const fn opposite(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// What a packet carries.
#[derive(Debug)]
pub(crate) struct Carried<'a> {
    pub(crate) direction: Direction,
    pub(crate) payload: &'a [u8],
    /// Payload bytes that were on the line and are not in the capture.
    pub(crate) cut: usize,
    pub(crate) transport: Transport,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    Tcp { sequence: u32, syn: bool, ack: bool, fin: bool, rst: bool },
    Udp,
}

/// Why a packet gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Its link layer is not understood.
    Link(i32),
    /// It is neither TCP nor UDP.
    Other,
    /// It is a fragment of an IP packet.
    Fragment,
    /// Its headers are damaged, or cut off by the capture.
    Headers,
}

/// Takes a packet apart.
pub(crate) fn dissect<'a>(packet: &Packet<'a>) -> Result<Carried<'a>, Nothing> {
    let bytes = packet.bytes;
    let sliced = match packet.link {
        link::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).map_err(|_| Nothing::Headers)?,
        link::LINUX_SLL => cooked(bytes, SLL_HEADER_LEN, SLL_PROTOCOL)?,
        link::LINUX_SLL2 => cooked(bytes, SLL2_HEADER_LEN, SLL2_PROTOCOL)?,
        link::RAW | link::IPV4 | link::IPV6 => ip(bytes)?,
        link::NULL | link::LOOP => loopback(bytes)?,
        other => return Err(Nothing::Link(other)),
    };
    let (addresses, cut) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let ends = (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
            let extensions = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let there = header.slice().len() + extensions + ip.payload().payload.len();
            (ends, missing(ip.payload().incomplete, usize::from(header.total_len()), there))
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let ends = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
            let there = ip.extensions().slice().len() + ip.payload().payload.len();
            (ends, missing(ip.payload().incomplete, usize::from(header.payload_length()), there))
        }
        Some(LaxNetSlice::Arp(_)) => return Err(Nothing::Other),
        None if sliced.stop_err.is_some() => return Err(Nothing::Headers),
        None => return Err(Nothing::Other),
    };
    // The capture has the whole packet, and its IP header promises more: no host would take it.
    if cut > 0 && packet.whole {
        return Err(Nothing::Headers);
    }
    if sliced.net.as_ref().and_then(LaxNetSlice::ip_payload_ref).is_some_and(|payload| payload.fragmented) {
        return Err(Nothing::Fragment);
    }
    let between = |source, destination| Direction {
        source: SocketAddr::new(addresses.0, source),
        destination: SocketAddr::new(addresses.1, destination),
    };
    match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => Ok(Carried {
            direction: between(tcp.source_port(), tcp.destination_port()),
            payload: tcp.payload(),
            cut,
            transport: Transport::Tcp {
                sequence: tcp.sequence_number(),
                syn: tcp.syn(),
                ack: tcp.ack(),
                fin: tcp.fin(),
                rst: tcp.rst(),
            },
        }),
        Some(TransportSlice::Udp(udp)) => Ok(Carried {
            direction: between(udp.source_port(), udp.destination_port()),
            payload: udp.payload(),
            cut,
            transport: Transport::Udp,
        }),
        None if sliced.stop_err.is_some() => Err(Nothing::Headers),
        Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_)) | None => {
            Err(Nothing::Other)
        }
    }
}

/// How many bytes of an IP packet of `total` bytes are not there.
const fn missing(incomplete: bool, total: usize, there: usize) -> usize {
    // A length of 0, which offloading leaves behind, is not incomplete.
    if incomplete { total.saturating_sub(there) } else { 0 }
}

fn ip(bytes: &[u8]) -> Result<LaxSlicedPacket<'_>, Nothing> {
    LaxSlicedPacket::from_ip(bytes).map_err(|_| Nothing::Headers)
}

/// Linux "cooked" headers: an EtherType among other things.
fn cooked(bytes: &[u8], header_len: usize, protocol: usize) -> Result<LaxSlicedPacket<'_>, Nothing> {
    let (header, rest) = bytes.split_at_checked(header_len).ok_or(Nothing::Headers)?;
    let &protocol = header.get(protocol..).and_then(<[u8]>::first_chunk).ok_or(Nothing::Headers)?;
    Ok(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(protocol)), rest))
}

/// BSD loopback: an address family in the byte order of the machine that captured, which nobody knows.
fn loopback(bytes: &[u8]) -> Result<LaxSlicedPacket<'_>, Nothing> {
    let (&family, rest) = bytes.split_first_chunk::<LOOPBACK_HEADER_LEN>().ok_or(Nothing::Headers)?;
    let family = u32::from_be_bytes(family).min(u32::from_le_bytes(family));
    match family {
        // AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD, macOS.
        2 | 10 | 24 | 28 | 30 => ip(rest),
        _ => Err(Nothing::Other),
    }
}
