//! `dtu serve` against good and bad peers, bad arguments and a bad stdout.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod support;

use dtu_proto::message::{Data, DeviceId, Register, Resume, Token, kind};
use dtu_proto::{Deframer, Message, Native, Step};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use support::{PATIENCE, Process, Serve, dtu, fails_with_one_line, frame, listening};

fn register(id: &str) -> Vec<u8> {
    let resume = Resume { stream: 0xABC, send_base: 0, peer_stream: 0, receive_next: 0 };
    let device_id = DeviceId::new(id).unwrap();
    frame(&Message::Register(Register { version: 1, flags: 0, device_id, token: Token::EMPTY, resume }))
}

fn data(seq: u32, body: &[u8]) -> Vec<u8> {
    frame(&Message::Data(Data { seq, channel: 1, body }))
}

/// A client that speaks by hand.
struct Peer {
    socket: TcpStream,
    deframer: Deframer<Native, Vec<u8>>,
}

impl Peer {
    fn dial(addr: &str) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, deframer: Deframer::new(Native::new()) }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next payload; `None` at the end of the stream.
    fn payload(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.deframer.next_step() {
                Step::Frame(frame) => return Some(frame.payload().to_vec()),
                Step::Skipped { bytes, cause } => panic!("{bytes} bytes: {cause}"),
                Step::NeedMore { .. } => match self.socket.read(self.deframer.spare_capacity_mut()).unwrap() {
                    0 => return None,
                    count => self.deframer.commit(count),
                },
            }
        }
    }

    /// Everything up to the end of the stream.
    fn rest(&mut self) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.payload()).collect()
    }
}

#[test]
fn a_session_is_printed_and_answered() {
    let serve = Serve::start(&["--heartbeat", "7", "--window", "5"]);
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&register("meter-7"));
    let welcome = peer.payload().unwrap();
    assert_eq!(welcome[..7], [kind::WELCOME, 0, 0, 0x1B, 0x58, 0, 5], "7000 ms and a window of 5");
    let registered = serve.event();
    assert_eq!((&registered["event"], &registered["device"]), (&"registered".into(), &"meter-7".into()));
    assert_eq!(registered["peer"], peer.socket.local_addr().unwrap().to_string());

    let stream =
        [&data(0, b"\x01\x03\xFF")[..], b"noise", &frame(&Message::Ping { nonce: 77 }), &data(1, b"")].concat();
    peer.send(&stream);
    let first = serve.event();
    assert_eq!((&first["event"], &first["seq"], &first["channel"]), (&"data".into(), &0.into(), &1.into()));
    assert_eq!((&first["body"], &first["connection"]), (&"0103ff".into(), &1.into()));
    let skipped = serve.event();
    assert_eq!(
        (&skipped["event"], &skipped["bytes"], &skipped["cause"]),
        (&"skipped".into(), &5.into(), &"magic".into())
    );
    assert_eq!(serve.event()["body"], "");
    let mut answers = Vec::new();
    while answers.last() != Some(&vec![kind::ACK, 0, 0, 0, 2]) {
        answers.push(peer.payload().expect("the session goes on"));
    }
    assert!(answers.contains(&vec![kind::PONG, 0, 0, 0, 0, 0, 0, 0, 77]), "{answers:?}");

    drop(peer);
    let closed = serve.event();
    assert_eq!((&closed["event"], &closed["cause"]), (&"closed".into(), &"disconnected".into()));
    assert_eq!((&closed["data"], &closed["skipped_bytes"]), (&2.into(), &5.into()));
}

#[test]
fn bad_peers_end_with_their_cause_and_hold_up_nobody() {
    let serve = Serve::start(&["--max-payload", "512"]);
    let _silent: Vec<_> = (0..20).map(|_| Peer::dial(&serve.addr)).collect();
    let cases: [(&str, Vec<u8>); 5] = [
        ("too_much_before_register", vec![0x55; 64 * 1024]),
        ("first_message", data(0, b"x")),
        ("first_message_malformed", {
            let mut b = Vec::new();
            Native::new().encode_to(&[1, 1][..], &mut b).unwrap();
            b
        }),
        ("registered_twice", [register("a"), register("a")].concat()),
        ("disconnected", (0..=255).cycle().take(2000).collect()),
    ];
    for (cause, bytes) in cases {
        let mut peer = Peer::dial(&serve.addr);
        // The server may close before it has read everything.
        let _reset = peer.socket.write_all(&bytes);
        let _reset = peer.socket.shutdown(std::net::Shutdown::Write);
        assert_eq!(serve.event_of("closed")["cause"], cause);
    }
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&[register("b"), data(0, &[7; 600]), data(1, b"small")].concat());
    assert_eq!(serve.event_of("skipped")["cause"], "over_limit");
    let after = serve.event_of("data");
    assert_eq!((&after["seq"], &after["missing"]), (&1.into(), &1.into()));
}

#[test]
fn the_newer_connection_of_a_device_replaces_the_older() {
    let serve = Serve::start(&[]);
    let mut old = Peer::dial(&serve.addr);
    old.send(&register("twin"));
    assert_eq!(old.payload().unwrap()[0], kind::WELCOME);
    let mut new = Peer::dial(&serve.addr);
    new.send(&register("twin"));
    assert_eq!(old.payload().unwrap()[..2], [kind::CLOSE, 4]);
    assert_eq!(new.payload().unwrap()[0], kind::WELCOME);
}

#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let serve = Serve::start(&[]);
        let mut peer = Peer::dial(&serve.addr);
        peer.send(&register("m"));
        assert_eq!(serve.event()["event"], "registered");
        serve.process.signal(signal);
        assert_eq!(peer.rest().last().unwrap()[..2], [kind::CLOSE, 2]);
        drop(peer);
        assert_eq!(serve.event()["event"], "closed");
        let (status, said) = serve.process.end();
        assert!(status.success() && said.is_empty(), "{status} {said:?}");
    }
}

#[test]
fn what_cannot_be_printed_is_not_acknowledged() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).stdout(full));
    let mut peer = Peer::dial(&listening(&process));
    peer.send(&[register("m"), data(0, b"x")].concat());
    let kinds: Vec<u8> = peer.rest().iter().map(|payload| payload[0]).collect();
    assert!(!kinds.contains(&kind::ACK), "{kinds:?}");
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("cannot write events to stdout")), "{said:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    let process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).stdout(writer));
    let mut peer = Peer::dial(&listening(&process));
    drop(reader);
    peer.send(&register("m"));
    // A child that another test is just starting may hold the reader for a moment, so one line may get through.
    peer.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut seq = 0;
    while peer.socket.write_all(&data(seq, b"x")).is_ok() {
        seq += 1;
    }
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("cannot write events to stdout")), "{said:?}");
}

#[test]
fn bad_arguments_are_told() {
    let serve = Serve::start(&[]);
    fails_with_one_line(&mut dtu(&["serve", "--listen", &serve.addr]), "cannot listen on");
    for args in [
        &["serve"][..],
        &["serve", "--listen", "nonsense"],
        &["serve", "--listen", "127.0.0.1:0", "--max-payload", "70000"],
        &["serve", "--listen", "127.0.0.1:0", "--window", "0"],
        &["serve", "--listen", "127.0.0.1:0", "--unknown"],
    ] {
        let status = dtu(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
