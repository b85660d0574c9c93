use super::*;
use core::net::SocketAddr;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn device() -> SocketAddr {
    addr("10.0.0.1:40000")
}

fn server() -> SocketAddr {
    addr("10.0.0.2:9000")
}

/// A builder that is fed by hand.
struct Bench(Builder);

#[derive(Clone, Copy, Default)]
struct Flags {
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
}

const SYN: Flags = Flags { syn: true, ack: false, fin: false, rst: false };
const SYN_ACK: Flags = Flags { ack: true, ..SYN };
const DATA: Flags = Flags { syn: false, ..SYN_ACK };
const FIN: Flags = Flags { fin: true, ..DATA };
const RST: Flags = Flags { rst: true, ..DATA };

impl Bench {
    fn new(side: Side, port: Option<u16>) -> Self {
        Self(Builder::new(side, port))
    }

    fn tcp(&mut self, at: f64, up: bool, sequence: u32, flags: Flags, payload: &[u8]) -> &mut Self {
        let Flags { syn, ack, fin, rst } = flags;
        self.take(at, up, payload, Transport::Tcp { sequence, syn, ack, fin, rst })
    }

    fn take(&mut self, at: f64, up: bool, payload: &[u8], transport: Transport) -> &mut Self {
        let (source, destination) = if up { (device(), server()) } else { (server(), device()) };
        let carried = Carried { direction: Direction { source, destination }, payload, cut: 0, transport };
        self.0.take(Some(at), &carried).unwrap();
        self
    }

    fn finish(self) -> Recording {
        self.0.finish().unwrap()
    }
}

fn parts(conversation: &Conversation) -> Vec<(f64, &str)> {
    let text = |part: &'_ Part| core::str::from_utf8(&part.bytes).unwrap().to_owned().leak() as &str;
    conversation.parts.iter().map(|part| (part.at, text(part))).collect()
}

fn dialogue(side: Side) -> Recording {
    let mut bench = Bench::new(side, None);
    bench.tcp(1.0, true, 99, SYN, b"").tcp(1.1, false, 499, SYN_ACK, b"").tcp(1.2, true, 100, DATA, b"");
    bench.tcp(2.0, true, 100, DATA, b"ab").tcp(2.5, true, 100, DATA, b"ab").tcp(3.0, false, 500, DATA, b"xyz");
    // Out of order, and a hole that is never filled.
    bench.tcp(4.0, true, 104, DATA, b"ef").tcp(4.5, true, 102, DATA, b"cd").tcp(5.0, true, 109, DATA, b"j");
    bench.tcp(6.0, false, 503, FIN, b"");
    bench.finish()
}

#[test]
fn each_segment_is_a_part_at_its_time_and_repetitions_are_none() {
    let recording = dialogue(Side::Device);
    let [conversation] = &*recording.conversations else { panic!("one connection") };
    assert_eq!(parts(conversation), [(2.0, "ab"), (4.5, "cd"), (4.5, "ef"), (6.0, "j")]);
    assert_eq!((conversation.opened, conversation.end, conversation.answered, conversation.missing), (1.0, None, 3, 3));
    assert!(recording.notes()[0].starts_with("3 bytes are missing"), "{:?}", recording.notes());
}

#[test]
fn the_servers_side_is_what_the_device_got() {
    let recording = dialogue(Side::Server);
    let [conversation] = &*recording.conversations else { panic!("one connection") };
    assert_eq!(parts(conversation), [(3.0, "xyz")]);
    assert_eq!((conversation.end, conversation.answered), (Some((6.0, End::Finished)), 7));
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let mut bench = Bench::new(Side::Device, None);
    for (at, first, end) in [(1.0, 99, FIN), (5.0, 999, RST)] {
        bench.tcp(at, true, first, SYN, b"").tcp(at + 1.0, true, first + 1, DATA, b"a");
        // The same SYN once more begins nothing.
        bench.tcp(at + 1.5, true, first, SYN, b"").tcp(at + 2.0, true, first + 2, end, b"");
    }
    let recording = bench.finish();
    let seen: Vec<_> = recording.conversations.iter().map(|one| (one.opened, parts(one), one.end)).collect();
    let expected =
        [(1.0, vec![(2.0, "a")], Some((3.0, End::Finished))), (5.0, vec![(6.0, "a")], Some((7.0, End::Reset)))];
    assert_eq!(seen, expected);
}

#[test]
fn without_the_beginning_the_port_says_who_was_dialled() {
    let begins_late = |port| {
        let mut bench = Bench::new(Side::Device, port);
        bench.tcp(1.0, false, 500, DATA, b"down").tcp(2.0, true, 100, DATA, b"up");
        bench.finish()
    };
    let by_guess = begins_late(None);
    assert_eq!(parts(&by_guess.conversations[0]), [(2.0, "up")]);
    let by_port = begins_late(Some(40_000));
    assert_eq!((by_port.conversations[0].server, parts(&by_port.conversations[0])), (device(), vec![(1.0, "down")]));
    assert_eq!(begins_late(Some(1)).conversations.len(), 0);
}

#[test]
fn on_udp_who_speaks_first_has_dialled() {
    let mut bench = Bench::new(Side::Device, None);
    bench.take(1.0, false, b"a", Transport::Udp).take(2.0, true, b"bc", Transport::Udp);
    bench.take(3.0, false, b"d", Transport::Udp);
    let recording = bench.finish();
    let [conversation] = &*recording.conversations else { panic!("one conversation") };
    assert_eq!((conversation.device, parts(conversation)), (server(), vec![(1.0, "a"), (3.0, "d")]));
    assert_eq!(conversation.answered, 2);
}

#[test]
fn time_never_goes_back() {
    let mut bench = Bench::new(Side::Device, None);
    bench.tcp(5.0, true, 99, SYN, b"").tcp(4.0, true, 100, DATA, b"a").tcp(6.0, true, 101, DATA, b"b");
    assert_eq!(parts(&bench.finish().conversations[0]), [(5.0, "a"), (6.0, "b")]);
}
