//! `dtu connect` with stdin, without a server, and with servers that go.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod support;

use dtu_proto::message::{Data, Resume, Welcome, kind};
use dtu_proto::{Deframer, Message, Native, Step};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use support::{PATIENCE, Process, Serve, dtu, fails_with_one_line, frame, lines};

/// Reads until a message of `kind` has come.
fn await_kind(socket: &mut TcpStream, deframer: &mut Deframer<Native, Vec<u8>>, kind: u8) -> Vec<u8> {
    loop {
        match deframer.next_step() {
            Step::Frame(frame) if frame.payload().first() == Some(&kind) => return frame.payload().to_vec(),
            Step::Frame(_) => {}
            Step::Skipped { bytes, cause } => panic!("{bytes} bytes: {cause}"),
            Step::NeedMore { .. } => match socket.read(deframer.spare_capacity_mut()).unwrap() {
                0 => panic!("the device went before a message of kind {kind:#04x}"),
                count => deframer.commit(count),
            },
        }
    }
}

/// A server of the test's own, and the device that it has let in.
fn by_hand(listener: &TcpListener) -> (TcpStream, Deframer<Native, Vec<u8>>) {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut deframer = Deframer::new(Native::new());
    await_kind(&mut socket, &mut deframer, kind::REGISTER);
    let resume = Resume { stream: 5, send_base: 0, peer_stream: 0, receive_next: 0 };
    socket.write_all(&frame(&Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 4, resume }))).unwrap();
    (socket, deframer)
}

#[test]
fn stdin_comes_out_of_the_server_byte_for_byte() {
    let serve = Serve::start(&[]);
    let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut device =
        Process::spawn(dtu(&["connect", &serve.addr, "--id", "m", "--channel", "3"]).stdin(Stdio::piped()));
    let mut stdin = device.stdin();
    let input = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut came = Vec::new();
    while came.len() < sent.len() {
        let event = serve.event_of("data");
        assert_eq!(event["channel"], 3);
        came.extend(support::from_hex(event["body"].as_str().unwrap()));
    }
    assert!(came == sent, "the bytes differ");
    writer.join().unwrap().unwrap();
    let (status, said) = device.end();
    assert!(status.success() && said.is_empty(), "{status} {said:?}");
    let closed = serve.event_of("closed");
    assert_eq!((&closed["cause"], &closed["missing"]), (&"peer_closed".into(), &0.into()));
}

#[test]
fn what_comes_down_is_written_and_then_acknowledged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut command = dtu(&["connect", &addr, "--id", "m"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let device = Process::spawn(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    let (mut socket, mut deframer) = by_hand(&listener);
    socket.write_all(&frame(&Message::Data(Data { seq: 0, channel: 0, body: b"down\n" }))).unwrap();
    assert_eq!(lines(reader).recv_timeout(PATIENCE).unwrap(), "down");
    assert_eq!(await_kind(&mut socket, &mut deframer, kind::ACK), [kind::ACK, 0, 0, 0, 1]);
    device.signal(Signal::SIGTERM);
    assert_eq!(await_kind(&mut socket, &mut deframer, kind::CLOSE)[1], 0);
    drop(socket);
    let (status, said) = device.end();
    assert!(status.success() && said.is_empty(), "{status} {said:?}");
}

#[test]
fn a_server_that_drops_is_told_with_what_it_did_not_acknowledge() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut device = Process::spawn(dtu(&["connect", &addr, "--id", "m"]).stdin(Stdio::piped()));
    let (mut socket, mut deframer) = by_hand(&listener);
    device.stdin().write_all(b"lost").unwrap();
    await_kind(&mut socket, &mut deframer, kind::DATA);
    drop(socket);
    let (status, said) = device.end();
    assert_eq!(status.code(), Some(1));
    let expected = "dtu: session ended: the peer's stream ended without CLOSE; 1 of 1 DATA not acknowledged";
    assert_eq!(said, [expected]);
}

#[test]
fn a_server_that_does_not_acknowledge_is_waited_for_and_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut device = Process::spawn(dtu(&["connect", &addr, "--id", "m", "--drain", "1"]).stdin(Stdio::piped()));
    let (mut socket, mut deframer) = by_hand(&listener);
    device.stdin().write_all(b"x").unwrap();
    await_kind(&mut socket, &mut deframer, kind::DATA);
    assert_eq!(await_kind(&mut socket, &mut deframer, kind::CLOSE)[1], 2, "going down, not done");
    drop(socket);
    let (status, said) = device.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("1 of 1 DATA not acknowledged")), "{said:?}");
}

#[test]
fn nobody_there_and_wrong_flags_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    fails_with_one_line(&mut dtu(&["connect", &addr, "--id", "m"]), "Connection refused");
    fails_with_one_line(&mut dtu(&["connect", "no-port", "--id", "m"]), "cannot connect to no-port");
    fails_with_one_line(&mut dtu(&["connect", &addr, "--id", "m", "--serial", "/nowhere/tty"]), "/nowhere/tty");
    fails_with_one_line(&mut dtu(&["connect", &addr, "--id", "m", "--serial", "/dev/null"]), "/dev/null");
    for args in [
        &["connect", &addr][..],
        &["connect", &addr, "--id", ""],
        &["connect", &addr, "--id", "m", "--baud", "9600"],
        &["connect", &addr, "--id", "m", "--serial", "/dev/null", "--parity", "mark"],
        &["connect", &addr, "--id", "m", "--max-payload", "10"],
    ] {
        let status = dtu(args).stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
