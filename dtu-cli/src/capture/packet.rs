//! A packet with its headers.

use core::net::{IpAddr, SocketAddr};
use dtu_net::driver::tap::Way;
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, TcpOptionElement};

/// The most bytes in one segment: with the longest headers it is below the 64 KiB of an IP packet. A longer write is several segments.
pub(super) const MAX_SEGMENT: usize = 65_000;

/// As it is common.
const TIME_TO_LIVE: u8 = 64;

/// The largest window there is, 1 GiB with the scale: no segment is ever outside it, however late the other side's next one is.
const WINDOW: u16 = u16::MAX;
const WINDOW_SCALE: u8 = 14;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    peer: SocketAddr,
    local: SocketAddr,
}

impl Ends {
    /// Both addresses of one family: a peer with IPv4 at a listener for both has an address of IPv6 for the system.
    pub(super) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let (mut from, mut to) = (peer.ip().to_canonical(), local.ip().to_canonical());
        if from.is_ipv4() && to.is_unspecified() {
            to = core::net::Ipv4Addr::UNSPECIFIED.into();
        } else if from.is_ipv4() != to.is_ipv4() {
            (from, to) = (mapped(from), mapped(to));
        }
        Self { peer: SocketAddr::new(from, peer.port()), local: SocketAddr::new(to, local.port()) }
    }

    const fn source_and_target(&self, way: Way) -> (SocketAddr, SocketAddr) {
        match way {
            Way::Up => (self.peer, self.local),
            Way::Down => (self.local, self.peer),
        }
    }
}

fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}

/// What a segment says besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flags {
    None,
    Push,
    Syn,
    Fin,
    Reset,
}

impl Flags {
    /// How many sequence numbers they take.
    pub(super) const fn length(self) -> u32 {
        match self {
            Self::Syn | Self::Fin => 1,
            Self::None | Self::Push | Self::Reset => 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Udp,
    Tcp { sequence: u32, acknowledged: Option<u32>, flags: Flags },
}

/// A packet; its headers are put together when it is written.
#[derive(Debug)]
pub(super) struct Packet {
    ends: Ends,
    pub(super) way: Way,
    transport: Transport,
    payload: Box<[u8]>,
}

impl Packet {
    pub(super) fn datagram(ends: Ends, way: Way, payload: &[u8]) -> Self {
        Self { ends, way, transport: Transport::Udp, payload: payload.into() }
    }

    pub(super) fn segment(
        ends: Ends,
        way: Way,
        sequence: u32,
        acknowledged: Option<u32>,
        flags: Flags,
        payload: &[u8],
    ) -> Self {
        Self { ends, way, transport: Transport::Tcp { sequence, acknowledged, flags }, payload: payload.into() }
    }

    pub(super) const fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Appends the IP packet.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (from, to) = self.ends.source_and_target(self.way);
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), TIME_TO_LIVE)
            }
            (source, destination) => {
                let (IpAddr::V6(source), IpAddr::V6(destination)) = (mapped(source), mapped(destination)) else {
                    unreachable!("mapped addresses are of IPv6")
                };
                PacketBuilder::ipv6(source.octets(), destination.octets(), TIME_TO_LIVE)
            }
        };
        let written = match self.transport {
            Transport::Udp => ip.udp(from.port(), to.port()).write(out, &self.payload),
            Transport::Tcp { sequence, acknowledged, flags } => {
                let tcp = ip.tcp(from.port(), to.port(), sequence, WINDOW);
                let tcp = acknowledged.into_iter().fold(tcp, PacketBuilderStep::ack);
                flagged(tcp, flags).write(out, &self.payload)
            }
        };
        written.expect("a segment or datagram fits an IP packet, and a vector takes all");
    }
}

fn flagged(tcp: PacketBuilderStep<TcpHeader>, flags: Flags) -> PacketBuilderStep<TcpHeader> {
    match flags {
        Flags::None => tcp,
        Flags::Push => tcp.psh(),
        Flags::Syn => {
            tcp.syn().options(&[TcpOptionElement::WindowScale(WINDOW_SCALE)]).expect("one option fits a header")
        }
        Flags::Fin => tcp.fin(),
        Flags::Reset => tcp.rst(),
    }
}
