//! `dtu chaos` as a process: what it carries, what it says at the end, and bad arguments.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use support::{PATIENCE, Process, dtu, fails_with_one_line, listening};

/// `dtu chaos` on a free port in front of `upstream`.
struct Chaos {
    process: Process,
    addr: String,
    stdout: std::io::PipeReader,
}

impl Chaos {
    fn start(upstream: &str, args: &[&str]) -> Self {
        let (stdout, writer) = std::io::pipe().unwrap();
        let mut command = dtu(&["chaos", "--listen", "127.0.0.1:0", "--upstream", upstream]);
        let process = Process::spawn(command.args(args).stdout(writer));
        // The command holds the writing end.
        drop(command);
        let addr = listening(&process);
        Self { process, addr, stdout }
    }

    /// Ends it by `signal`: what it printed, and what it said.
    fn end(mut self, signal: Signal) -> (String, String) {
        self.process.signal(signal);
        let (status, said) = self.process.end();
        assert!(status.success(), "{status} {said:?}");
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        (printed, said.join("\n"))
    }

    /// Ends it by SIGINT and takes its line of JSON.
    fn summary(self) -> Value {
        let (printed, said) = self.end(Signal::SIGINT);
        assert_eq!(printed.lines().count(), 1, "{printed:?} {said}");
        serde_json::from_str(&printed).unwrap()
    }
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

fn udp_socket() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

/// A question and its answer, each ended by its sender.
fn exchange(upstream: &TcpListener, addr: &str) {
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    server.write_all(b"the answer").unwrap();
    drop(server);
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "questionthe answer");
}

#[test]
fn signals_end_it_with_a_summary() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (upstream, addr) = listener();
        let chaos = Chaos::start(&addr, &["--seed", "7"]);
        exchange(&upstream, &chaos.addr);
        // One that is still open is closed.
        let mut open = TcpStream::connect(&chaos.addr).unwrap();
        open.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_server, _) = upstream.accept().unwrap();
        let (printed, said) = chaos.end(signal);
        assert_eq!(open.read(&mut [0]).unwrap(), 0);
        assert_eq!(printed, "", "without --json nothing is printed");
        for part in ["seed 7,", "TCP", "connections                          2", "read                               8"]
        {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("UDP"), "{said}");
    }
}

#[test]
fn the_line_of_json_has_all_figures() {
    let (upstream, addr) = listener();
    let chaos = Chaos::start(&addr, &["--seed", "7", "--json"]);
    exchange(&upstream, &chaos.addr);
    let summary = chaos.summary();
    assert_eq!(summary["seed"], 7);
    assert!(summary["seconds"].is_f64() && summary.get("udp").is_none(), "{summary}");
    let tcp = &summary["tcp"];
    for (figure, expected) in [
        ("connections", 1),
        ("turned_away", 0),
        ("accept_failed", 0),
        ("refused", 0),
        ("cuts", 0),
        ("half_open", 0),
        ("broken", 0),
        ("stalls", 0),
    ] {
        assert_eq!(tcp[figure], expected, "{figure}");
    }
    for (direction, count) in [("up", 8), ("down", 10)] {
        let bytes = &tcp["bytes"][direction];
        for (figure, expected) in [
            ("read", count),
            ("passed", count),
            ("dropped", 0),
            ("discarded", 0),
            ("duplicated", 0),
            ("flipped_bits", 0),
        ] {
            assert_eq!(bytes[figure], expected, "{direction} {figure}");
        }
    }
    assert!(tcp.get("datagrams").is_none(), "{summary}");
}

#[test]
fn a_seed_that_is_not_given_is_told() {
    let chaos = Chaos::start("127.0.0.1:9", &["--json"]);
    let line = chaos.process.stderr.recv_timeout(PATIENCE).unwrap();
    let seed: u64 = line.strip_prefix("seed ").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    assert_eq!(chaos.summary()["seed"], seed);
}

#[test]
fn damage_by_options_is_done_and_counted() {
    let (upstream, addr) = listener();
    let args = ["--corrupt", "1", "--drop-bytes", "0.01", "--delay", "1ms", "--jitter", "0.5ms", "--rate", "1000000"];
    let chaos = Chaos::start(&addr, &[&args[..], &["--stall", "1ms", "--stall-every", "1ms", "--json"]].concat());
    let mut client = TcpStream::connect(&chaos.addr).unwrap();
    client.write_all(&[0; 10_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut came = Vec::new();
    server.read_to_end(&mut came).unwrap();
    assert!(came.len() < 10_000 && came.iter().all(|byte| byte.count_ones() == 1), "each byte has one bit flipped");
    drop((server, client));
    let summary = chaos.summary();
    let up = &summary["tcp"]["bytes"]["up"];
    assert_eq!(
        (&up["read"], &up["passed"], &up["flipped_bits"]),
        (&10_000.into(), &came.len().into(), &came.len().into())
    );
    assert_eq!(up["dropped"], 10_000 - came.len());
}

#[test]
fn cuts_by_options_end_both_sides() {
    let (upstream, addr) = listener();
    let chaos = Chaos::start(&addr, &["--cut-every", "20ms", "--half-close=20ms", "--json"]);
    for _ in 0..8 {
        let mut client = TcpStream::connect(&chaos.addr).unwrap();
        let (mut server, _) = upstream.accept().unwrap();
        for socket in [&mut client, &mut server] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            match socket.read(&mut [0]) {
                Ok(0) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let summary = chaos.summary();
    assert_eq!((&summary["tcp"]["connections"], &summary["tcp"]["cuts"]), (&8.into(), &8.into()), "{summary}");
}

#[test]
fn udp_is_carried_both_ways_and_counted() {
    let (upstream, addr) = udp_socket();
    let chaos = Chaos::start(&addr, &["--udp", "--duplicate", "1", "--json"]);
    let (client, _) = udp_socket();
    client.send_to(b"question", &chaos.addr).unwrap();
    let mut buffer = [0; 100];
    let (count, from) = upstream.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    assert_eq!(upstream.recv_from(&mut buffer).unwrap(), (8, from), "once more");
    upstream.send_to(b"the answer", from).unwrap();
    for _ in 0..2 {
        let (count, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], from.to_string()), (&b"the answer"[..], chaos.addr.clone()));
    }
    TcpStream::connect(&chaos.addr).expect_err("no TCP without --tcp");
    let summary = chaos.summary();
    let udp = &summary["udp"];
    assert!(summary.get("tcp").is_none(), "{summary}");
    for direction in ["up", "down"] {
        let datagrams = &udp["datagrams"][direction];
        for (figure, expected) in [
            ("read", 1),
            ("duplicated", 1),
            ("passed", 2),
            ("lost", 0),
            ("reordered", 0),
            ("overflowed", 0),
            ("discarded", 0),
        ] {
            assert_eq!(datagrams[figure], expected, "{direction} {figure}");
        }
    }
    assert_eq!((&udp["bytes"]["up"]["passed"], &udp["bytes"]["down"]["passed"]), (&16.into(), &20.into()));
}

#[test]
fn tcp_and_udp_are_carried_on_one_port() {
    let (tcp, addr) = listener();
    // The port of the upstream may be taken for UDP by somebody else.
    let Ok(udp) = UdpSocket::bind(&addr) else {
        eprintln!("skipped: UDP {addr} is taken");
        return;
    };
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let chaos = Chaos::start(&addr, &["--tcp", "--udp", "--json"]);
    exchange(&tcp, &chaos.addr);
    let (client, _) = udp_socket();
    client.send_to(b"question", &chaos.addr).unwrap();
    assert_eq!(udp.recv(&mut [0; 100]).unwrap(), 8);
    let summary = chaos.summary();
    assert_eq!((&summary["tcp"]["connections"], &summary["udp"]["connections"]), (&1.into(), &1.into()));
}

#[test]
fn bad_arguments_are_told() {
    let (_upstream, addr) = listener();
    let with = |args: &[&str]| {
        let mut command = dtu(&["chaos", "--listen", "127.0.0.1:0", "--upstream", &addr]);
        command.args(args);
        command
    };
    fails_with_one_line(&mut dtu(&["chaos", "--listen", &addr, "--upstream", &addr]), "cannot listen on");
    fails_with_one_line(
        &mut dtu(&["chaos", "--listen", "127.0.0.1:0", "--upstream", "no port"]),
        "cannot find the upstream no port",
    );
    fails_with_one_line(&mut with(&["--udp", "--cut-every", "1s", "--half-close"]), "--half-close is for TCP");
    for args in [
        &["--delay", "5"][..],
        &["--delay", "-5ms"],
        &["--cut-every", "0s"],
        &["--corrupt", "1.5"],
        &["--drop-bytes", "NaN"],
        &["--rate", "0"],
        &["--half-close"],
        &["--stall-every", "3s"],
        &["--loss", "0.1"],
        &["--reorder", "0.1"],
        &["--unknown"],
    ] {
        let status = with(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
