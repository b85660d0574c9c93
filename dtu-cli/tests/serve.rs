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
use support::{PATIENCE, Process, Serve, dtu, fails_with_one_line, listening};

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).unwrap();
    bytes
}

fn register(id: &str) -> Vec<u8> {
    let resume = Resume { stream: 0xABC, send_base: 0, peer_stream: 0, receive_next: 0 };
    let device_id = DeviceId::new(id).unwrap();
    frame(&Message::Register(Register { version: 1, flags: 0, device_id, token: Token::EMPTY, resume }))
}

fn data(seq: u32, body: &[u8]) -> Vec<u8> {
    frame(&Message::Data(Data { seq, channel: 1, body }))
}

fn dial(addr: &str) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The payloads that come until `count` of them have, or the stream ends.
fn payloads(socket: &mut TcpStream, count: usize) -> Vec<Vec<u8>> {
    let mut deframer = Deframer::new(Native::new());
    let mut payloads = Vec::new();
    while payloads.len() < count {
        match deframer.next_step() {
            Step::Frame(frame) => payloads.push(frame.payload().to_vec()),
            Step::Skipped { bytes, cause } => panic!("{bytes} bytes: {cause}"),
            Step::NeedMore { .. } => match socket.read(deframer.spare_capacity_mut()).unwrap() {
                0 => break,
                count => deframer.commit(count),
            },
        }
    }
    payloads
}

#[test]
fn a_session_is_printed_and_answered() {
    let serve = Serve::start(&["--heartbeat", "7", "--window", "5"]);
    let mut socket = dial(&serve.addr);
    socket.write_all(&register("meter-7")).unwrap();
    let welcome = payloads(&mut socket, 1);
    assert_eq!(welcome[0][..7], [kind::WELCOME, 0, 0, 0x1B, 0x58, 0, 5], "7000 ms and a window of 5");
    let registered = serve.event();
    assert_eq!((&registered["event"], &registered["device"]), (&"registered".into(), &"meter-7".into()));
    assert_eq!(registered["peer"], socket.local_addr().unwrap().to_string());

    let stream =
        [&data(0, b"\x01\x03\xFF")[..], b"noise", &frame(&Message::Ping { nonce: 77 }), &data(1, b"")].concat();
    socket.write_all(&stream).unwrap();
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
        answers.extend(payloads(&mut socket, 1));
    }
    assert!(answers.contains(&vec![kind::PONG, 0, 0, 0, 0, 0, 0, 0, 77]), "{answers:?}");

    drop(socket);
    let closed = serve.event();
    assert_eq!((&closed["event"], &closed["cause"]), (&"closed".into(), &"disconnected".into()));
    assert_eq!((&closed["data"], &closed["skipped_bytes"]), (&2.into(), &5.into()));
}

#[test]
fn bad_peers_end_with_their_cause_and_hold_up_nobody() {
    let serve = Serve::start(&["--max-payload", "512"]);
    let _silent: Vec<_> = (0..20).map(|_| dial(&serve.addr)).collect();
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
        let mut socket = dial(&serve.addr);
        // The server may close before it has read everything.
        let _reset = socket.write_all(&bytes);
        let _reset = socket.shutdown(std::net::Shutdown::Write);
        assert_eq!(serve.event_of("closed")["cause"], cause);
    }
    let mut socket = dial(&serve.addr);
    socket.write_all(&[register("b"), data(0, &[7; 600]), data(1, b"small")].concat()).unwrap();
    assert_eq!(serve.event_of("skipped")["cause"], "over_limit");
    let after = serve.event_of("data");
    assert_eq!((&after["seq"], &after["missing"]), (&1.into(), &1.into()));
}

#[test]
fn the_newer_connection_of_a_device_replaces_the_older() {
    let serve = Serve::start(&[]);
    let mut old = dial(&serve.addr);
    old.write_all(&register("twin")).unwrap();
    assert_eq!(payloads(&mut old, 1).len(), 1);
    let mut new = dial(&serve.addr);
    new.write_all(&register("twin")).unwrap();
    let farewell = payloads(&mut old, 9);
    assert_eq!(farewell[0][..2], [kind::CLOSE, 4]);
    assert_eq!(payloads(&mut new, 1)[0][0], kind::WELCOME);
}

#[test]
fn signals_end_it_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let serve = Serve::start(&[]);
        let mut socket = dial(&serve.addr);
        socket.write_all(&register("m")).unwrap();
        assert_eq!(serve.event()["event"], "registered");
        serve.process.signal(signal);
        let farewell = payloads(&mut socket, 9);
        assert_eq!(farewell.last().unwrap()[..2], [kind::CLOSE, 2]);
        drop(socket);
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
    let mut socket = dial(&listening(&process));
    socket.write_all(&[register("m"), data(0, b"x")].concat()).unwrap();
    let kinds: Vec<u8> = payloads(&mut socket, 9).iter().map(|payload| payload[0]).collect();
    assert!(!kinds.contains(&kind::ACK), "{kinds:?}");
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("cannot write events to stdout")), "{said:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    let process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).stdout(writer));
    let mut socket = dial(&listening(&process));
    drop(reader);
    socket.write_all(&register("m")).unwrap();
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
