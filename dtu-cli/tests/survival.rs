//! Sessions survive: a server that is killed and comes back, and a device that is killed and comes back.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::Message;
use dtu_proto::message::kind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::process::{ChildStdin, Stdio};
use support::peer::{Peer, frame};
use support::{Process, Serve, connect, dtu, from_hex};

/// What the printed lines of all runs of a server give: by (device, stream, seq) the body, and how often it came.
#[derive(Default)]
struct Store {
    data: BTreeMap<(String, String, u64), (Vec<u8>, u64)>,
    /// The highest number of each stream so far in this run of the server.
    last: BTreeMap<String, u64>,
}

impl Store {
    fn restarted(&mut self) {
        self.last.clear();
    }

    fn take(&mut self, event: &Value) {
        if event["event"] != "data" {
            return;
        }
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let (stream, seq, body) = (text("stream"), event["seq"].as_u64().unwrap(), from_hex(&text("body")));
        let before = self.last.insert(stream.clone(), seq);
        assert!(before.is_none_or(|before| before + 1 == seq), "{stream}: {seq} came behind {before:?} in one run");
        let (known, count) = self.data.entry((text("device"), stream, seq)).or_insert_with(|| (body.clone(), 0));
        assert_eq!(*known, body, "one number stands for one body");
        *count += 1;
    }

    fn repeats(&self) -> u64 {
        self.data.values().map(|(_, count)| count - 1).sum()
    }

    /// Everything that one device sent, each number once, in the order of the numbers.
    fn joined(&self, device: &str) -> Vec<u8> {
        let of =
            |((id, ..), (body, _)): (&(String, String, u64), &(Vec<u8>, u64))| (id == device).then(|| body.clone());
        self.data.iter().filter_map(of).flatten().collect()
    }

    fn bytes(&self) -> usize {
        self.data.values().map(|(body, _)| body.len()).sum()
    }
}

fn write_lines(mut stdin: ChildStdin, lines: core::ops::Range<u32>) {
    for line in lines {
        stdin.write_all(readings(line..line + 1).as_bytes()).unwrap();
    }
}

fn readings(lines: core::ops::Range<u32>) -> String {
    lines.map(|line| format!("reading {line}\n")).collect()
}

#[test]
fn a_server_that_is_killed_under_load_and_comes_back_gets_everything_in_order() {
    const DEVICES: [&str; 3] = ["a", "b", "c"];
    const LINES: u32 = 3000;
    // A small window, so that the kills come in the midst of it.
    let serve_args = ["--window", "4"];
    let mut serve = Serve::start(&serve_args);
    let addr = serve.addr.clone();
    let expected = readings(0..LINES);
    let mut store = Store::default();
    let mut devices = Vec::new();
    for id in DEVICES {
        let mut device = connect(&addr, &["--id", id, "--max-payload", "512", "--drain", "60"]);
        let stdin = device.stdin();
        devices.push((device, std::thread::spawn(move || write_lines(stdin, 0..LINES))));
    }
    let all = expected.len() * DEVICES.len();
    for part in 1..=3 {
        while store.bytes() < all * part / 5 {
            store.take(&serve.event());
        }
        for event in serve.kill() {
            store.take(&event);
        }
        store.restarted();
        serve = Serve::start_at(&addr, &serve_args);
    }
    while store.bytes() < all {
        store.take(&serve.event());
    }
    for (device, writer) in devices {
        writer.join().unwrap();
        let books = device.succeeds();
        let count = |from: &str, to: &str| -> String {
            let rest = &books[books.find(from).unwrap() + from.len()..];
            rest[..rest.find(to).unwrap()].to_owned()
        };
        assert_eq!(count("sent ", ":"), count("acked ", ","), "{books}");
    }
    for id in DEVICES {
        assert!(store.joined(id) == expected.as_bytes(), "the bytes of {id} differ");
    }
    eprintln!("{} DATA came again, all told by their numbers", store.repeats());
}

#[test]
fn a_device_that_starts_again_goes_on_in_its_stream_and_repeats_nothing() {
    let serve = Serve::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let outbox = directory.path().join("outbox").to_str().unwrap().to_owned();
    let args = ["--id", "m", "--outbox", &outbox];
    let (mut store, mut remembered) = (Store::default(), Vec::new());
    for run in 0..3 {
        let mut device = connect(&serve.addr, &args);
        write_lines(device.stdin(), run * 10..run * 10 + 10);
        device.succeeds();
        let expected = readings(0..run * 10 + 10);
        while store.bytes() < expected.len() || remembered.len() == usize::try_from(run).unwrap() {
            let event = serve.event();
            store.take(&event);
            if event["event"] == "connected" {
                remembered.push(event["resumed"]["receiving"] == true);
            }
        }
        assert_eq!(String::from_utf8(store.joined("m")).unwrap(), expected);
    }
    assert_eq!(remembered, [false, true, true], "the end of a device is not the end of its stream");
    assert_eq!(store.repeats(), 0);
}

#[test]
fn a_device_that_is_killed_goes_on_with_all_that_was_taken() {
    const LINES: u32 = 50;
    let directory = tempfile::tempdir().unwrap();
    let outbox = directory.path().join("outbox").to_str().unwrap().to_owned();
    let args = ["--id", "m", "--outbox", &outbox];

    // This server reads and acknowledges the first five only. What it sees was taken.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut device = connect(&listener.local_addr().unwrap().to_string(), &args);
    let mut server = Peer::serve(&listener);
    let mut stdin = device.stdin();
    let mut taken = Vec::new();
    for line in 0..LINES {
        // One write, so one piece.
        stdin.write_all(readings(line..line + 1).as_bytes()).unwrap();
        let (seq, body) = server.data();
        assert_eq!(seq, line);
        taken.push(body);
        if line == 4 {
            server.send(&frame(&Message::Ack { receive_next: 5 }));
        }
    }
    assert_eq!(taken.concat(), readings(0..LINES).as_bytes());
    device.kill();
    drop(server);

    let serve = Serve::start(&[]);
    let device = Process::spawn(dtu(&["connect", &serve.addr]).args(args).stdin(Stdio::null()));
    let mut store = Store::default();
    let expected = readings(5..LINES);
    while !String::from_utf8(store.joined("m")).unwrap().ends_with(&expected) {
        store.take(&serve.event());
    }
    let (status, said) = device.end();
    assert!(status.success(), "{said:?}");
    assert!(said[0].contains("DATA of an earlier run are in"), "{said:?}");
    assert_eq!(store.repeats(), 0, "at a server that has seen none of it before");
}

#[test]
fn what_is_not_acknowledged_at_the_end_is_kept_and_goes_out_with_the_next_run() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = directory.path().join("outbox").to_str().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut device = connect(&nobody, &["--id", "m", "--outbox", &outbox, "--outbox-no-sync", "--drain", "0"]);
    device.stdin().write_all(b"kept").unwrap();
    let [books, error] = device.fails();
    assert!(books.starts_with("sent 1: acked 0, expired 0, refused 0, abandoned 1;"), "{books}");
    assert_eq!(error, format!("dtu: 1 of 1 DATA not acknowledged; 1 are kept in {outbox} for the next run"));

    let serve = Serve::start(&[]);
    let mut device = connect(&serve.addr, &["--id", "m", "--outbox", &outbox]);
    device.stdin().write_all(b"fresh").unwrap();
    let books = device.succeeds();
    assert!(books.starts_with("sent 2: acked 2,"), "{books}");
    let bodies = [serve.event_of("data"), serve.event_of("data")].map(|event| event["body"].clone());
    assert_eq!(bodies, ["6b657074", "6672657368"]);
}

#[test]
fn an_outbox_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = directory.path().join("outbox").to_str().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut first = connect(&addr, &["--id", "m", "--outbox", &outbox]);
    let _stdin = first.stdin();
    let mut server = Peer::accept(&listener);
    server.payload_of(kind::REGISTER);
    let (status, said) = connect(&addr, &["--id", "m", "--outbox", &outbox]).end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("in use by another process")), "{said:?}");
}

#[test]
fn over_datagrams_a_device_gets_in_and_all_of_its_lines_arrive_in_order() {
    const LINES: u32 = 500;
    let serve = Serve::start(&["--udp", "127.0.0.1:0"]);
    let udp = serve.warnings.iter().find_map(|line| line.strip_prefix("datagrams on ")).unwrap();
    let mut device = connect(udp, &["--id", "m", "--udp", "--drain", "60"]);
    write_lines(device.stdin(), 0..LINES);
    device.succeeds();
    let (mut store, expected) = (Store::default(), readings(0..LINES));
    while store.bytes() < expected.len() {
        store.take(&serve.event());
    }
    assert!(store.joined("m") == expected.as_bytes(), "the bytes differ");
    assert_eq!(store.repeats(), 0);
}
