//! A serial line from end to end: bytes into a pseudo-terminal, `dtu connect --serial` on its other end, out of
//! `dtu serve`.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use core::time::Duration;
use dtu_proto::Message;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::thread::sleep;
use support::peer::{Peer, frame};
use support::{Process, Serve, dtu, from_hex};

/// Frames as they stand on real lines: name and bytes.
///
/// Modbus RTU: pymodbus `test/framer/test_framer.py` and `test_extras.py` (BSD-3), a poll seen behind a DTU, and a
/// computed reply. DL/T 645-2007 and -1997: rs-dlt645 `src/rs485.rs` and `src/frame.rs`, and public code. Lengths,
/// checksums and end markers of all of them were checked.
const LINE: &[(&str, &str)] = &[
    ("Modbus RTU, read request to 17", "1103007C00020743"),
    ("Modbus RTU, its reply", "110304008D008EFBBD"),
    ("Modbus RTU, read five registers", "01030000000585C9"),
    ("Modbus RTU, poll through a DTU", "010300000002C40B"),
    ("Modbus RTU, its reply", "010304000A000B9BF6"),
    ("DL/T 645, read address, wildcard", "FEFEFEFE68AAAAAAAAAAAA681300DF16"),
    ("DL/T 645, reply", "680100000000006893063433333333339D16"),
    ("DL/T 645, read total active energy", "6801000000000068110433333433B316"),
    ("DL/T 645, 0.04 kWh", "683703009281396891083333343337333333 8C16"),
    ("DL/T 645, read with preamble", "FEFEFEFE680200310822206811043255B335D116"),
    ("DL/T 645-1997, reply", "6814040000000068810643C348B3C8336B16"),
    ("what a terminal that is not raw eats or changes", "0A0D03041113171A1C7F00FF8A0D0A"),
];

/// The pause of the line between two bytes of a frame, and between two frames. The gap lies between them; a machine that
/// is busy may still cut a frame in two or join two, so only the bytes are compared, not the cuts.
const BETWEEN_BYTES: Duration = Duration::from_millis(1);
const BETWEEN_FRAMES: Duration = Duration::from_millis(60);
const GAP_MS: &str = "20";

/// The end that the test writes to, the end that a device opens, and its name. No child inherits either: it would keep
/// the line alive.
fn pty() -> (File, File, String) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("there are pseudo-terminals");
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let slave = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&name).unwrap();
    (File::from(OwnedFd::from(master)), slave, name)
}

fn device(serve: &Serve, name: &str) -> Process {
    let args = ["connect", &serve.addr, "--id", "meter", "--serial", name, "--baud", "9600", "--gap", GAP_MS];
    let process = Process::spawn(dtu(&args).stdin(Stdio::null()).stdout(Stdio::null()));
    // The port is opened, and raw, before the device registers.
    assert_eq!(serve.event()["event"], "connected");
    process
}

#[test]
fn meter_frames_written_byte_by_byte_come_out_of_the_server_byte_for_byte() {
    let serve = Serve::start(&[]);
    let (mut master, _slave, name) = pty();
    let device = device(&serve, &name);
    let mut written = Vec::new();
    for (_, hex) in LINE {
        let frame = from_hex(hex);
        for byte in &frame {
            master.write_all(core::slice::from_ref(byte)).unwrap();
            sleep(BETWEEN_BYTES);
        }
        written.extend(frame);
        sleep(BETWEEN_FRAMES);
    }
    let (mut came, mut pieces) = (Vec::new(), 0);
    while came.len() < written.len() {
        let event = serve.event();
        assert_eq!((&event["event"], &event["seq"]), (&"data".into(), &pieces.into()), "{event}");
        came.extend(from_hex(event["body"].as_str().unwrap()));
        pieces += 1;
    }
    assert_eq!(came, written);
    assert!(pieces > 1, "the line was cut somewhere");
    device.signal(Signal::SIGTERM);
    let books = device.succeeds();
    assert!(books.starts_with(&format!("sent {pieces}: acked {pieces}, ")), "{books}");
    let closed = serve.event();
    assert_eq!((&closed["event"], &closed["cause"]), (&"closed".into(), &"peer_closed".into()), "{closed}");
}

#[test]
fn more_than_a_payload_without_a_pause_is_cut_and_not_dropped() {
    let serve = Serve::start(&[]);
    let (mut master, _slave, name) = pty();
    let device = device(&serve, &name);
    let written: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let input = written.clone();
    let writer = std::thread::spawn(move || master.write_all(&input).map(|()| master));
    let mut came = Vec::new();
    while came.len() < written.len() {
        let body = from_hex(serve.event_of("data")["body"].as_str().unwrap());
        assert!(body.len() <= 1018, "{} bytes", body.len());
        came.extend(body);
    }
    assert!(came == written, "the bytes differ");
    let _master = writer.join().unwrap().unwrap();
    device.signal(Signal::SIGINT);
    device.succeeds();
}

#[test]
fn a_port_that_vanishes_ends_it_with_one_line_and_what_was_read_still_goes() {
    let serve = Serve::start(&[]);
    let (mut master, slave, name) = pty();
    let device = device(&serve, &name);
    master.write_all(b"last words").unwrap();
    assert_eq!(serve.event_of("data")["body"], "6c61737420776f726473");
    drop((master, slave));
    let [books, error] = device.fails();
    assert!(books.starts_with("sent 1: acked 1, "), "{books}");
    assert!(error.contains(&name) && error.contains("vanished"), "{error}");
    assert_eq!(serve.event_of("closed")["data"], 1);
}

/// Takes DATA from the number `seq` on until their bodies are `expected`, and returns the number behind them.
fn take(server: &mut Peer, mut seq: u32, expected: &[u8]) -> u32 {
    let mut came = Vec::new();
    while came.len() < expected.len() {
        let (number, body) = server.data();
        assert_eq!(number, seq);
        came.extend(body);
        seq += 1;
    }
    assert_eq!(came, expected);
    server.send(&frame(&Message::Ack { receive_next: seq }));
    seq
}

#[test]
fn what_is_read_while_the_link_is_down_waits_and_is_sent_on_the_next_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (mut master, _slave, name) = pty();
    let args = ["connect", &addr, "--id", "meter", "--serial", &name, "--gap", GAP_MS];
    let device = Process::spawn(dtu(&args).stdin(Stdio::null()).stdout(Stdio::null()));
    let mut server = Peer::serve(&listener);
    master.write_all(b"before").unwrap();
    let next = take(&mut server, 0, b"before");
    drop(server);
    device.says("disconnected: ");
    master.write_all(b"between").unwrap();
    let mut server = Peer::serve(&listener);
    let next = take(&mut server, next, b"between");
    device.signal(Signal::SIGTERM);
    let books = device.succeeds();
    assert!(books.starts_with(&format!("sent {next}: acked {next}, ")), "{books}");
}
