//! Writes a capture: pcap, Ethernet, IPv4, TCP and UDP, as far as a dissector looks at them.

/// Who sends to whom, by port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    Tcp(u16, u16),
    Udp(u16, u16),
}

/// A capture that grows packet by packet, one each millisecond.
pub(crate) struct Capture {
    pcap: Vec<u8>,
    packets: u32,
}

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Lengths of segments, taken in turn: inside headers, at their end, a frame and more. The first one of either direction
/// holds a whole header, by which a connection is recognised.
const SEGMENTS: [usize; 12] = [14, 1, 6, 3, 90, 1400, 5, 33, 1, 257, 12, 700];

impl Capture {
    pub(crate) fn new() -> Self {
        // Little-endian, microseconds, version 2.4, no zone, no accuracy, packets of up to 64 KiB, Ethernet.
        let header = [0xA1B2_C3D4, 0x0004_0002, 0, 0, 65_535, 1_u32];
        Self { pcap: header.iter().flat_map(|word| word.to_le_bytes()).collect(), packets: 0 }
    }

    pub(crate) fn into_pcap(self) -> Vec<u8> {
        self.pcap
    }

    /// Both directions of a connection, segment by segment in turn; some segments are sent twice.
    ///
    /// Those of one byte are not: sent again, they look like the keep-alive of TCP, which tshark takes out of the stream.
    pub(crate) fn connection(&mut self, client: u16, server: u16, mut up: &[u8], mut down: &[u8]) {
        let (mut up_seq, mut down_seq) = (1000_u32, 0xFFFF_FF00_u32); // the second one wraps soon
        for (number, length) in SEGMENTS.iter().cycle().enumerate() {
            if up.is_empty() && down.is_empty() {
                break;
            }
            let times = |segment: &[u8]| if number % 10 == 9 && segment.len() > 1 { 2 } else { 1 };
            let (segment, rest) = up.split_at((*length).min(up.len()));
            for _ in 0..times(segment) {
                self.segment((client, CLIENT), (server, SERVER), (up_seq, down_seq), segment);
            }
            up_seq = up_seq.wrapping_add(u32::try_from(segment.len()).expect("short"));
            up = rest;
            let (segment, rest) = down.split_at(SEGMENTS[(number + 5) % SEGMENTS.len()].min(down.len()));
            for _ in 0..times(segment) {
                self.segment((server, SERVER), (client, CLIENT), (down_seq, up_seq), segment);
            }
            down_seq = down_seq.wrapping_add(u32::try_from(segment.len()).expect("short"));
            down = rest;
        }
    }

    fn segment(&mut self, from: (u16, [u8; 4]), to: (u16, [u8; 4]), (seq, ack): (u32, u32), payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let mut segment = [from.0.to_be_bytes(), to.0.to_be_bytes()].concat();
        segment.extend([seq.to_be_bytes(), ack.to_be_bytes()].concat());
        segment.extend([0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]); // 20 bytes of header, PSH and ACK, window
        segment.extend(payload);
        self.packet(TCP, from.1, to.1, segment, 16);
    }

    /// A datagram from the client to the server.
    pub(crate) fn datagram(&mut self, client: u16, server: u16, payload: &[u8]) {
        let length = u16::try_from(payload.len() + 8).expect("a datagram is short");
        let mut datagram = [client, server, length, 0].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        datagram.extend(payload);
        self.packet(UDP, CLIENT, SERVER, datagram, 6);
    }

    /// Puts IPv4 and Ethernet around `transport`, whose checksum goes to `checksum_at`.
    fn packet(&mut self, protocol: u8, from: [u8; 4], to: [u8; 4], mut transport: Vec<u8>, checksum_at: usize) {
        let length = u16::try_from(transport.len()).expect("a packet is short");
        let pseudo = [&from[..], &to, &[0, protocol], &length.to_be_bytes(), &transport].concat();
        transport[checksum_at..checksum_at + 2].copy_from_slice(&internet_checksum(&pseudo).to_be_bytes());
        let [high, low] = (length + 20).to_be_bytes();
        let mut ip = [&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0][..], &from, &to].concat();
        let checksum = internet_checksum(&ip).to_be_bytes();
        ip[10..12].copy_from_slice(&checksum);
        let packet = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip, &transport].concat();
        let size = u32::try_from(packet.len()).expect("a packet is short");
        let header = [1_700_000_000 + self.packets / 1000, self.packets % 1000 * 1000, size, size];
        self.pcap.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        self.pcap.extend(packet);
        self.packets += 1;
    }
}

/// The checksum of IPv4, TCP and UDP (RFC 1071).
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum = words.sum::<u32>();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}
