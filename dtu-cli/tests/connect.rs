//! `dtu connect` with stdin, without a server, and with servers that go.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU8, Ordering};
use dtu_proto::Message;
use dtu_proto::message::{Data, Refuse, RefuseCode, Resume, Welcome, kind};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;
use support::peer::{Peer, frame};
use support::{PATIENCE, Process, Serve, connect, dtu, fails_with_one_line, from_hex, lines};

/// A socket that a device can be let in on by hand, and its address.
fn door() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

/// An address on which nobody listens, nor will by chance: each has a host of its own.
fn nobody() -> String {
    static HOSTS: AtomicU8 = AtomicU8::new(1);
    let host = Ipv4Addr::new(127, 77, 0, HOSTS.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string()
}

#[test]
fn stdin_comes_out_of_the_server_byte_for_byte() {
    let serve = Serve::start(&[]);
    let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut device = connect(&serve.addr, &["--id", "m", "--channel", "3"]);
    let mut stdin = device.stdin();
    let input = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let (mut came, mut count) = (Vec::new(), 0);
    while came.len() < sent.len() {
        let event = serve.event_of("data");
        assert_eq!((&event["channel"], &event["seq"]), (&3.into(), &count.into()));
        came.extend(from_hex(event["body"].as_str().unwrap()));
        count += 1;
    }
    assert!(came == sent, "the bytes differ");
    writer.join().unwrap().unwrap();
    let expected = format!(
        "sent {count}: acked {count}, expired 0, refused 0, abandoned 0; received 0; connections 1, sent again 0, came \
         again 0"
    );
    assert_eq!(device.succeeds(), expected);
    let closed = serve.event_of("closed");
    assert_eq!((&closed["cause"], &closed["missing"]), (&"peer_closed".into(), &0.into()));
}

#[test]
fn what_comes_down_is_written_and_then_acknowledged() {
    let (listener, addr) = door();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = dtu(&["connect", &addr, "--id", "m"]);
    let device = Process::spawn(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    let mut server = Peer::serve(&listener);
    server.send(&frame(&Message::Data(Data { seq: 0, channel: 0, body: b"down\n" })));
    assert_eq!(lines(reader).recv_timeout(PATIENCE).unwrap(), "down");
    assert_eq!(server.payload_of(kind::ACK), [kind::ACK, 0, 0, 0, 1]);
    device.signal(Signal::SIGTERM);
    assert_eq!(server.payload_of(kind::CLOSE)[1], 0);
    drop(server);
    let books = device.succeeds();
    assert!(books.contains("received 1;"), "{books}");
}

#[test]
fn a_device_that_searches_asks_no_later_than_the_server_announces() {
    let (listener, addr) = door();
    let device = connect(&addr, &["--id", "m", "--adaptive-heartbeat"]);
    let mut server = Peer::accept(&listener);
    server.payload_of(kind::REGISTER);
    let resume = Resume { stream: 5, send_base: 0, peer_stream: 0, receive_next: 0 };
    server.send(&frame(&Message::Welcome(Welcome { heartbeat_ms: 100, window: 64, resume })));
    for _ in 0..3 {
        let Ok(Message::Ping { nonce }) = Message::decode(&server.payload_of(kind::PING)) else { panic!("no PING") };
        server.send(&frame(&Message::Pong { nonce }));
    }
    device.kill();
}

#[test]
fn what_cannot_be_written_is_not_acknowledged() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let (listener, addr) = door();
    let device = Process::spawn(dtu(&["connect", &addr, "--id", "m"]).stdin(Stdio::piped()).stdout(full));
    let mut server = Peer::serve(&listener);
    server.send(&frame(&Message::Data(Data { seq: 0, channel: 0, body: b"x" })));
    let kinds: Vec<u8> = server.rest().iter().map(|payload| payload[0]).collect();
    assert!(!kinds.contains(&kind::ACK), "{kinds:?}");
    let [_, error] = device.fails();
    assert!(error.contains("cannot write to stdout"), "{error}");
}

#[test]
fn with_once_a_server_that_drops_is_told_with_what_it_did_not_acknowledge() {
    let (listener, addr) = door();
    let mut device = connect(&addr, &["--id", "m", "--once"]);
    let mut server = Peer::serve(&listener);
    device.stdin().write_all(b"lost").unwrap();
    server.payload_of(kind::DATA);
    drop(server);
    let [books, error] = device.fails();
    assert!(books.starts_with("sent 1: acked 0, expired 0, refused 0, abandoned 1;"), "{books}");
    assert!(error.contains("the peer's stream ended without a word of why"), "{error}");
    assert!(error.ends_with("; 1 of 1 DATA not acknowledged"), "{error}");
}

#[test]
fn without_once_it_comes_again_and_sends_again() {
    let (listener, addr) = door();
    let mut device = connect(&addr, &["--id", "m"]);
    let mut server = Peer::serve(&listener);
    let mut stdin = device.stdin();
    stdin.write_all(b"twice").unwrap();
    assert_eq!(server.data(), (0, b"twice".to_vec()));
    drop(server);
    device.says("disconnected: the peer's stream ended without a word of why; ");
    let mut server = Peer::serve(&listener);
    assert_eq!(server.data(), (0, b"twice".to_vec()));
    device.says("the server does not remember this device");
    server.send(&frame(&Message::Ack { receive_next: 1 }));
    drop(stdin);
    let books = device.succeeds();
    let expected = "sent 1: acked 1, expired 0, refused 0, abandoned 0; received 0; connections 2, sent again 1,";
    assert!(books.starts_with(expected), "{books}");
}

#[test]
fn a_server_that_does_not_acknowledge_is_waited_for_and_told() {
    let (listener, addr) = door();
    let mut device = connect(&addr, &["--id", "m", "--drain", "1"]);
    let mut server = Peer::serve(&listener);
    device.stdin().write_all(b"x").unwrap();
    server.payload_of(kind::DATA);
    server.payload_of(kind::CLOSE);
    drop(server);
    let [books, error] = device.fails();
    assert!(books.starts_with("sent 1: acked 0, expired 0, refused 0, abandoned 1;"), "{books}");
    assert_eq!(error, "dtu: 1 of 1 DATA not acknowledged");
}

#[test]
fn what_has_expired_is_told_and_not_sent() {
    let (listener, addr) = door();
    let mut device = connect(&addr, &["--id", "m", "--expire", "1", "--drain", "60"]);
    let mut server = Peer::serve(&listener);
    device.stdin().write_all(b"x").unwrap();
    assert_eq!(server.data(), (0, b"x".to_vec()));
    // It ends long before the drain does: everything has its outcome.
    let [books, error] = device.fails();
    assert!(books.starts_with("sent 1: acked 0, expired 1, refused 0, abandoned 0;"), "{books}");
    assert_eq!(error, "dtu: 1 of 1 DATA not acknowledged");
}

/// The flags of a device that cuts its stdin into short pieces, and the length of one: the payload without the fields
/// that stand before the body.
const SHORT: [&str; 4] = ["--id", "m", "--max-payload", "512"];
const PIECE: usize = 512 - 14;

#[test]
fn a_full_outbox_refuses_by_its_policy_and_the_ledger_says_so() {
    let addr = nobody();
    for policy in ["refuse-new", "drop-oldest"] {
        let args = [&SHORT[..], &["--outbox-frames", "1", "--when-full", policy, "--drain", "0"]].concat();
        let mut device = connect(&addr, &args);
        device.stdin().write_all(&[7; 3 * PIECE]).unwrap();
        let [books, error] = device.fails();
        assert!(books.starts_with("sent 3: acked 0, expired 0, refused 2, abandoned 1;"), "{policy}: {books}");
        assert_eq!(error, "dtu: 3 of 3 DATA not acknowledged");
    }
}

#[test]
fn a_signal_ends_it_although_the_outbox_is_full_and_what_was_not_taken_is_told() {
    let (listener, addr) = door();
    let args = [&SHORT[..], &["--outbox-frames", "1", "--drain", "0"]].concat();
    let mut device = connect(&addr, &args);
    let mut stdin = device.stdin();
    // More than the pipe holds: the last of it is never read.
    let endless = std::thread::spawn(move || stdin.write_all(&[7; 1 << 20]));
    // What it has sent is not acknowledged, so the outbox is full.
    let mut server = Peer::serve(&listener);
    server.data();
    device.signal(Signal::SIGTERM);
    let [books, error] = device.fails();
    assert!(endless.join().unwrap().is_err(), "it was not read to its end");
    let number = |text: &str, after: &str, before: &str| -> u64 {
        let from = text.find(after).unwrap() + after.len();
        let rest = &text[from..];
        rest[..rest.find(before).unwrap()].parse().unwrap()
    };
    assert_eq!(number(&books, "sent ", ":"), 1, "{books}");
    let never = if error.contains("never") { number(&error, "acknowledged; ", " were read") } else { 0 };
    assert_eq!(number(&error, " of ", " DATA"), 1 + never, "{books} {error}");
}

#[test]
fn of_several_servers_the_next_is_used_when_one_is_away_and_the_first_again_when_it_is_back() {
    let first = nobody();
    let second = Serve::start(&[]);
    let both = format!("{first},{}", second.addr);
    let mut device = connect(&both, &["--id", "m", "--failback", "1"]);
    device.says(&format!("connecting to {first}"));
    device.says(&format!("failover: from {first} to {}", second.addr));
    device.says(&format!("connected to {}", second.addr));
    let mut stdin = device.stdin();
    stdin.write_all(b"one").unwrap();
    assert_eq!(second.event_of("data")["body"], "6f6e65");
    let first = Serve::start_at(&first, &[]);
    device.says(&format!("{} is back: leaving {} for it", first.addr, second.addr));
    device.says(&format!("failover: from {} to {}", second.addr, first.addr));
    device.says(&format!("connected to {}", first.addr));
    stdin.write_all(b"two").unwrap();
    let data = first.event_of("data");
    assert_eq!((&data["seq"], &data["body"]), (&1.into(), &"74776f".into()));
    drop(stdin);
    let books = device.succeeds();
    assert!(books.starts_with("sent 2: acked 2,") && books.contains("connections 2, sent again 0,"), "{books}");
}

#[test]
fn a_server_that_is_killed_leaves_its_unacknowledged_data_to_the_next() {
    let (listener, first) = door();
    let second = Serve::start(&[]);
    let mut device = connect(&format!("{first},{}", second.addr), &["--id", "m", "--failback", "never"]);
    let mut server = Peer::serve(&listener);
    let mut stdin = device.stdin();
    stdin.write_all(b"one").unwrap();
    server.data();
    drop((server, listener));
    assert_eq!(second.event_of("data")["body"], "6f6e65", "it was not acknowledged by the first");
    drop(stdin);
    assert!(device.succeeds().starts_with("sent 1: acked 1,"));
}

#[test]
fn with_once_each_server_has_one_try() {
    let (first, second) = (nobody(), nobody());
    let device = connect(&format!("{first},{second}"), &["--id", "m", "--once"]);
    device.says(&format!("failover: from {first} to {second}"));
    let [_, error] = device.fails();
    assert!(error.contains(&second) && error.contains("--once"), "{error}");
}

#[test]
fn a_server_that_refuses_for_good_is_told_loudly_and_is_not_asked_again_soon() {
    let (listener, addr) = door();
    let device = connect(&addr, &["--id", "m", "--drain", "0"]);
    let mut server = Peer::accept(&listener);
    server.payload_of(kind::REGISTER);
    let reason = dtu_proto::message::Reason::new("who are you?").unwrap();
    let refuse = Refuse { code: RefuseCode::UNAUTHORIZED, retry_after_ms: 60_000, reason };
    server.send(&frame(&Message::Refuse(refuse)));
    let (line, _) = device.says("NOT LET IN");
    assert!(
        line.contains("not authorized") && line.contains("(who are you?)") && line.contains("--key-file"),
        "{line}"
    );
    device.signal(Signal::SIGINT);
    // Nothing was to be sent, so nothing is missing.
    device.succeeds();
}

#[test]
fn nobody_there_and_wrong_flags_are_told() {
    let addr = nobody();
    let [_, error] = connect(&addr, &["--id", "m", "--once"]).fails();
    assert!(error.contains("connection refused"), "{error}");
    let at = |args: &[&str]| {
        let mut command = dtu(&["connect", &addr, "--id", "m"]);
        command.args(args);
        command
    };
    fails_with_one_line(&mut at(&["--serial", "/nowhere/tty"]), "/nowhere/tty");
    fails_with_one_line(&mut at(&["--serial", "/dev/null"]), "/dev/null");
    fails_with_one_line(&mut at(&["--key", "0011"]), "--key");
    fails_with_one_line(&mut at(&["--key-file", "/nowhere/key"]), "/nowhere/key");
    fails_with_one_line(&mut at(&["--outbox", "/nowhere/outbox"]), "/nowhere/outbox");
    fails_with_one_line(&mut at(&["--outbox", "/proc/self/exe"]), "/proc/self/exe");
    fails_with_one_line(&mut at(&["--tls", "--tls-ca", "/nowhere/ca"]), "/nowhere/ca");
    for args in [
        &["connect", &addr][..],
        &["connect", "no-port", "--id", "m"],
        &["connect", "", "--id", "m"],
        &["connect", "a:1,", "--id", "m"],
        &["connect", "a:1,b", "--id", "m"],
        &["connect", "a:1,b:1,A:1", "--id", "m"],
        &["connect", &addr, "--id", "m", "--failback", "0"],
        &["connect", &addr, "--id", "m", "--failback", "86401"],
        &["connect", "a:1,b:1", "--id", "m", "--udp", "--failback", "9"],
        &["connect", &addr, "--id", ""],
        &["connect", &addr, "--id", "m", "--baud", "9600"],
        &["connect", &addr, "--id", "m", "--serial", "/dev/null", "--parity", "mark"],
        &["connect", &addr, "--id", "m", "--max-payload", "10"],
        &["connect", &addr, "--id", "m", "--tls"],
        &["connect", &addr, "--id", "m", "--outbox-no-sync"],
        &["connect", &addr, "--id", "m", "--key", "00", "--key-file", "x"],
    ] {
        let status = dtu(args).stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
