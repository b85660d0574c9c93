//! `dtu replay` over captures that were made by hand.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;
#[path = "decode/wire.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod wire;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::thread;
use support::{PATIENCE, Process, dtu, fails_with_one_line, lines, listening};
use tempfile::TempDir;
use wire::{CLIENT, Captured, Flag, LINKS, SERVER, pcap, pcapng, tcp, udp};

const ETHERNET: (u32, &[u8]) = LINKS[0];

/// A device that sends three pieces with a second between them, and gets two.
fn dialogue() -> Vec<Captured> {
    let mut up = 100;
    let mut packets = vec![Captured::whole(tcp(CLIENT, SERVER, up, Flag::Syn, b""), 1)];
    packets.push(Captured::whole(tcp(SERVER, CLIENT, 900, Flag::SynAck, b""), 1));
    up += 1;
    for (second, piece) in [(1, &b"first"[..]), (2, b"second"), (3, b"third piece")] {
        packets.push(Captured::whole(tcp(CLIENT, SERVER, up, Flag::None, piece), second));
        // The network repeats each.
        packets.push(Captured::whole(tcp(CLIENT, SERVER, up, Flag::None, piece), second));
        up += u32::try_from(piece.len()).unwrap();
    }
    packets.push(Captured::whole(tcp(SERVER, CLIENT, 901, Flag::None, b"answer"), 3));
    packets.push(Captured::whole(tcp(CLIENT, SERVER, up, Flag::Fin, b""), 4));
    packets
}

fn written(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("capture");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn replay(file: &Path, addr: &str, args: &[&str]) -> Output {
    dtu(&["replay", file.to_str().unwrap(), addr, "--json"]).args(args).output().unwrap()
}

fn reports(output: &[u8]) -> Vec<Value> {
    core::str::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Reads to the end, and returns what each read gave.
fn reads(stream: &mut TcpStream) -> Vec<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut reads, mut bytes) = (Vec::new(), [0; 1024]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return reads,
            Ok(length) => reads.push(String::from_utf8(bytes[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return reads,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_reads_what_the_devices_segments_carried_one_by_one() {
    let dir = TempDir::new().unwrap();
    for file in [pcap(ETHERNET, &dialogue(), false, false), pcapng(ETHERNET, &dialogue(), true)] {
        let file = written(&dir, &file);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(b"hi").unwrap();
            reads(&mut stream)
        });
        let output = replay(&file, &addr, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(server.join().unwrap(), ["first", "second", "third piece"]);
        let [report, summary] = &*reports(&output.stdout) else { panic!("{output:?}") };
        let expected = [
            ("connection", 1.into()),
            ("transport", "tcp".into()),
            ("device", "10.0.0.1:40000".into()),
            ("server", "10.0.0.2:9000".into()),
            ("outcome", "played".into()),
            ("writes", 3.into()),
            ("of", 3.into()),
            ("sent", 22.into()),
            ("received", 2.into()),
            ("answered", 6.into()),
            ("missing", Value::from(0)),
        ];
        for (field, value) in expected {
            assert_eq!(report[field], value, "{field}");
        }
        assert_eq!((&summary["played"], &summary["sent"]), (&1.into(), &22.into()));
    }
}

#[test]
fn the_servers_side_is_played_to_who_connects() {
    let dir = TempDir::new().unwrap();
    let file = written(&dir, &pcap(ETHERNET, &dialogue(), false, false));
    let args =
        ["replay", file.to_str().unwrap(), "127.0.0.1:0", "--side", "server", "--max-pause", "0.1", "--wait", "0"];
    let mut process = Process::spawn(dtu(&args).stdout(Stdio::piped()));
    let stdout = lines(process.stdout());
    let addr = listening(&process);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"question").unwrap();
    assert_eq!(reads(&mut stream), ["answer"]);
    let line = stdout.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("1 of 1 writes, 6 bytes sent") && line.ends_with("(22 in the capture)"), "{line}");
    let last = stdout.recv_timeout(PATIENCE).unwrap();
    assert!(last.starts_with("1 of 1 connections played in full"), "{last}");
    assert!(process.end().0.success());
}

#[test]
fn datagrams_keep_their_bounds() {
    let dir = TempDir::new().unwrap();
    let packets = [(CLIENT, SERVER, &b"one"[..]), (SERVER, CLIENT, b"answer"), (CLIENT, SERVER, b"two more")];
    let packets = (1..).zip(packets).map(|(second, (from, to, bytes))| Captured::whole(udp(from, to, bytes), second));
    let file = written(&dir, &pcap(ETHERNET, &packets.collect::<Vec<_>>(), false, true));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        [(); 2].map(|()| {
            let mut bytes = [0; 64];
            let (length, from) = socket.recv_from(&mut bytes).unwrap();
            socket.send_to(b"ok", from).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        })
    });
    let output = replay(&file, &addr, &["--speed", "20", "--wait", "1"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.join().unwrap(), ["one", "two more"]);
    let report = &reports(&output.stdout)[0];
    assert_eq!((&report["writes"], &report["received"], &report["answered"]), (&2.into(), &4.into(), &6.into()));
}

#[test]
fn who_leaves_early_or_is_not_there_is_told_and_fails_the_run() {
    let dir = TempDir::new().unwrap();
    let file = written(&dir, &pcap(ETHERNET, &dialogue(), false, false));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.read_exact(&mut [0; 5]).unwrap();
    });
    let output = replay(&file, &addr, &[]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = &reports(&output.stdout)[0];
    assert_eq!((&report["outcome"], &report["writes"]), (&"left".into(), &1.into()), "{report}");

    let output = replay(&file, &addr, &[]);
    assert_eq!(output.status.code(), Some(1));
    let report = &reports(&output.stdout)[0];
    assert_eq!((&report["outcome"], &report["writes"]), (&"unreachable".into(), &0.into()), "{report}");
}

#[test]
fn a_signal_ends_it_with_what_was_done() {
    let dir = TempDir::new().unwrap();
    let file = written(&dir, &pcap(ETHERNET, &dialogue(), false, false));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let args = ["replay", file.to_str().unwrap(), &addr, "--json", "--speed", "0.001"];
    let mut process = Process::spawn(dtu(&args).stdout(Stdio::piped()));
    let stdout = lines(process.stdout());
    let mut stream = listener.accept().unwrap().0;
    stream.read_exact(&mut [0; 5]).unwrap();
    process.signal(Signal::SIGINT);
    let report: Value = serde_json::from_str(&stdout.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!((&report["outcome"], &report["writes"], &report["of"]), (&"stopped".into(), &1.into(), &3.into()));
    assert_eq!(process.end().0.code(), Some(1));
}

#[test]
fn a_file_that_is_cut_off_is_played_as_far_as_it_goes() {
    let dir = TempDir::new().unwrap();
    let whole = pcap(ETHERNET, &dialogue(), false, false);
    let file = written(&dir, &whole[..whole.len() - 10]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || reads(&mut listener.accept().unwrap().0).concat());
    let output = replay(&file, &addr, &["--max-pause", "0"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.join().unwrap(), "firstsecondthird piece");
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken capture"), "{output:?}");
}

#[test]
fn a_device_that_reset_resets_again() {
    let dir = TempDir::new().unwrap();
    let mut packets = dialogue();
    packets.pop();
    packets.push(Captured::whole(tcp(CLIENT, SERVER, 123, Flag::Rst, b""), 4));
    let file = written(&dir, &pcap(ETHERNET, &packets, false, false));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
    });
    assert!(replay(&file, &addr, &["--max-pause", "0.2"]).status.success());
    assert_eq!(server.join().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn what_cannot_be_played_is_told_in_one_line() {
    let dir = TempDir::new().unwrap();
    let none = written(&dir, b"neither pcap nor pcapng");
    let none = none.to_str().unwrap();
    fails_with_one_line(&mut dtu(&["replay", none, "127.0.0.1:1"]), "is no pcap or pcapng file");
    fails_with_one_line(&mut dtu(&["replay", "no/such/file", "127.0.0.1:1"]), "cannot open no/such/file");
    fails_with_one_line(&mut dtu(&["replay", none, "127.0.0.1"]), "has to be HOST:PORT");
    let empty = written(&dir, &pcap(ETHERNET, &[], false, false));
    fails_with_one_line(&mut dtu(&["replay", empty.to_str().unwrap(), "127.0.0.1:1"]), "there is nothing to play");
    let file = written(&dir, &pcap(ETHERNET, &dialogue(), false, false));
    let args = ["replay", file.to_str().unwrap(), "127.0.0.1:1", "--port", "1"];
    fails_with_one_line(&mut dtu(&args), "there is nothing to play");
    for args in [["--speed", "0"], ["--max-pause", "-1"], ["--wait", "x"], ["--side", "both"]] {
        let output = dtu(&["replay", "a", "b:1"]).arg(format!("{}={}", args[0], args[1])).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
