//! `dtu sim --profile`: transparent DTUs against a server of the test.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::checksum::{Algorithm, catalogue};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use support::{PATIENCE, Process, dtu, fails_with_one_line, lines};

/// A server that takes one connection after the other.
struct Server {
    addr: String,
    accepted: Receiver<TcpStream>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (sender, accepted) = channel();
        std::thread::spawn(move || {
            listener.incoming().map_while(Result::ok).try_for_each(|socket| sender.send(socket))
        });
        Self { addr, accepted }
    }

    fn sim(&self, args: &[&str]) -> Sim {
        let mut process = Process::spawn(
            dtu(&["sim", &self.addr, "--json", "--seed", "7", "--late", "0"]).args(args).stdout(Stdio::piped()),
        );
        let stdout = lines(process.stdout());
        Sim { process, stdout }
    }

    fn accept(&self) -> Unit {
        let socket = self.accepted.recv_timeout(PATIENCE).expect("a device comes");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Unit(socket)
    }
}

struct Sim {
    process: Process,
    stdout: Receiver<String>,
}

impl Sim {
    /// Interrupts it: the exit code and the summary, which is the last line.
    fn end(self) -> (Option<i32>, Value) {
        self.process.signal(Signal::SIGINT);
        let (status, said) = self.process.end();
        let last = self.stdout.iter().last().unwrap_or_else(|| panic!("no summary: {said:?}"));
        (status.code(), serde_json::from_str(&last).unwrap())
    }
}

/// A connection of a device.
struct Unit(TcpStream);

impl Unit {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// As many bytes as are expected, which have to be these.
    fn gives(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let crc = Algorithm::Crc(catalogue::CRC_16_MODBUS).checksum(bytes) as u16;
    [bytes, &crc.to_le_bytes()].concat()
}

#[test]
fn a_plain_unit_registers_answers_and_comes_back() {
    let server = Server::new();
    let sim = server.sim(&["--profile", "plain", "--devices", "1", "--heartbeat", "3600"]);
    let (line, _) = sim.process.says("playing");
    assert_eq!(line, "playing 13900000000 as `plain`, its meter at address 1");
    let mut unit = server.accept();
    unit.gives(b"REG:13900000000\r\n");
    unit.send(&frame(&[1, 3, 0, 5, 0, 2]));
    unit.gives(&frame(&[1, 3, 4, 0, 5, 0, 6]));
    unit.send(&frame(&[1, 3, 0xFF, 0, 0, 2]));
    unit.gives(&frame(&[1, 0x83, 2]));
    drop(unit);
    let mut unit = server.accept();
    unit.gives(b"REG:13900000000\r\n");
    // In two pieces.
    let request = frame(&[1, 4, 0, 5, 0, 1]);
    unit.send(&request[..3]);
    unit.send(&request[3..]);
    unit.gives(&frame(&[1, 4, 2, 0xFF, 0xFA]));
    let (code, summary) = sim.end();
    assert_eq!(code, Some(0), "{summary}");
    for (name, value) in [
        ("devices", 1),
        ("up", 1),
        ("connections", 2),
        ("registrations", 2),
        ("requests", 3),
        ("answered", 3),
        ("exceptions", 1),
        ("heartbeats", 0),
        ("late", 0),
        ("noise_bytes", 0),
        ("strange_bytes", 0),
        ("lost_bytes", 0),
    ] {
        assert_eq!(summary[name], value, "{name} in {summary}");
    }
    assert_eq!((&summary["profile"], &summary["seed"]), (&"plain".into(), &7.into()));
}

#[test]
fn long_replies_come_cut_with_heartbeats_among_them_and_no_byte_is_lost() {
    let server = Server::new();
    let sim = server.sim(&["--profile", "plain", "--devices", "4", "--heartbeat", "0.2"]);
    let registers: Vec<u8> = (0..120_u16).flat_map(u16::to_be_bytes).collect();
    for _ in 0..4 {
        let mut unit = server.accept();
        let mut came = Vec::new();
        let mut bytes = [0; 2048];
        // Who it is decides what it is asked.
        while came.iter().filter(|byte| **byte == b'\n').count() < 1 || !came.starts_with(b"REG:") {
            let count = unit.0.read(&mut bytes).unwrap();
            came.extend_from_slice(&bytes[..count]);
        }
        let number = came[14] - b'0';
        let first = u16::from(number) * 1000;
        let expected = registers
            .chunks(2)
            .flat_map(|register| (first + u16::from_be_bytes([register[0], register[1]])).to_be_bytes());
        let reply = frame(&[number + 1, 3, 240].into_iter().chain(expected).collect::<Vec<_>>());
        for _ in 0..3 {
            unit.send(&frame(&[number + 1, 3, 0, 0, 0, 120]));
        }
        let text = b"PING\r\n";
        let whole = loop {
            let mut rest = came.get(17..).unwrap_or_default().to_vec();
            while let Some(at) = rest.windows(text.len()).position(|window| window == text) {
                rest.drain(at..at + text.len());
            }
            if rest.len() >= 3 * reply.len() {
                break rest;
            }
            let count = unit.0.read(&mut bytes).unwrap();
            assert!(count > 0, "it went away");
            came.extend_from_slice(&bytes[..count]);
        };
        assert!(whole.starts_with(&reply.repeat(3)), "{}", whole.escape_ascii());
        // The others have come meanwhile, and those that have been asked stay.
        core::mem::forget(unit);
    }
    let (code, summary) = sim.end();
    assert_eq!((code, &summary["answered"], &summary["up"]), (Some(0), &12.into(), &4.into()), "{summary}");
    assert!(summary["cut"].as_u64().unwrap() > 0 && summary["glued"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["heartbeats"].as_u64().unwrap() > 4, "{summary}");
}

#[test]
fn a_ddp_unit_is_up_when_it_is_acknowledged() {
    let registration = b"\x7B\x01\x00\x1613900000000\x0A\x00\x00\x00\x13\x89\x7B";
    let server = Server::new();
    let sim = server.sim(&["--profile", "ddp", "--devices", "1", "--heartbeat", "3600"]);
    let mut unit = server.accept();
    unit.gives(registration);
    // It is told to go, and comes again.
    unit.send(b"\x7B\x82\x00\x1013900000000\x7B");
    let mut unit = server.accept();
    unit.gives(registration);
    unit.send(b"\x7B\x81\x00\x1013900000000\x7B");
    unit.send(&[b"\x7B\x89\x00\x1813900000000", &frame(&[1, 6, 0, 1, 0x7B, 0x7B])[..], b"\x7B"].concat());
    let (mut carried, mut header) = (Vec::new(), [0; 15]);
    while carried.len() < 8 {
        unit.0.read_exact(&mut header).unwrap();
        assert!(header.starts_with(b"\x7B\x09") && header.ends_with(b"13900000000"), "{}", header.escape_ascii());
        let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - header.len()];
        unit.0.read_exact(&mut rest).unwrap();
        assert_eq!(rest.pop(), Some(0x7B));
        carried.extend(rest);
    }
    assert_eq!(carried, frame(&[1, 6, 0, 1, 0x7B, 0x7B]));
    let (code, summary) = sim.end();
    assert_eq!((code, &summary["acknowledged"], &summary["connections"]), (Some(0), &1.into(), &2.into()), "{summary}");
}

#[test]
fn devices_that_nobody_acknowledges_are_not_up() {
    let server = Server::new();
    let sim = server.sim(&["--profile", "ddp", "--devices", "2"]);
    let _silent = [server.accept(), server.accept()];
    let (code, summary) = sim.end();
    assert_eq!((code, &summary["up"]), (Some(1), &0.into()), "{summary}");
}

#[test]
fn the_time_ends_it_and_the_text_says_what_was() {
    let server = Server::new();
    let output =
        dtu(&["sim", &server.addr, "--profile", "fourfaith", "--devices", "2", "--seconds", "2", "--seed", "1"])
            .output()
            .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("2 devices as `fourfaith` for 2."), "{text}");
    assert!(text.ends_with("every device is registered\n"), "{text}");
}

#[test]
fn bad_arguments_are_told() {
    for args in [
        &["--profile", "Plain"][..],
        &["--profile", "plain", "--virtual"],
        &["--profile", "plain", "--rate", "2"],
        &["--profile", "plain", "--noise", "1.5"],
        &["--profile", "plain", "--late", "-1"],
        &["--profile", "plain", "--heartbeat", "0"],
        &["--noise", "0.5"],
        &["--late", "0.5"],
        &["--heartbeat", "5"],
    ] {
        let output = dtu(&["sim", "127.0.0.1:1"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = dtu(&["sim", "127.0.0.1:1", "--profile", "Plain"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there are plain, prefix, ddp, fourfaith"), "{said}");
    let sim = |args: &[&str]| {
        let mut command = dtu(&["sim"]);
        command.args(args);
        command
    };
    fails_with_one_line(
        &mut sim(&["127.0.0.1:1", "--profile", "plain", "--outage", "5"]),
        "--outage begins after a third of --seconds, which are missing",
    );
    fails_with_one_line(&mut sim(&["nowhere.invalid:1", "--profile", "plain"]), "cannot look up nowhere.invalid:1");
}
