//! `dtu serve` with a file as its sink: what is acknowledged is in it, also when it is torn, full, or somebody else's.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::message::kind;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::peer::{Peer, data, register};
use support::{Process, fails_with_one_line, listening};

fn serve(path: &Path) -> Command {
    let mut command = support::dtu(&["serve", "--listen", "127.0.0.1:0", "--file"]);
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The numbers of the DATA in a file, in its order. Every line has to be whole.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "data").map(|line| line["seq"].as_u64().unwrap()).collect()
}

/// Reads until everything below `next` is acknowledged.
fn await_ack(peer: &mut Peer, next: u32) {
    let expected = [&[kind::ACK][..], &next.to_be_bytes()].concat();
    while peer.payload_of(kind::ACK) != expected {}
}

#[test]
fn what_is_acknowledged_is_in_the_file_and_the_next_run_appends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    for run in 0..2 {
        let process = Process::spawn(&mut serve(&path));
        let mut peer = Peer::dial(&listening(&process));
        peer.send(&register("meter-7"));
        peer.payload_of(kind::WELCOME);
        peer.send(&[data(0, b"x"), data(1, b"y"), data(2, b"z")].concat());
        await_ack(&mut peer, 3);
        assert_eq!(numbers(&path), [0, 1, 2].repeat(run + 1));
        if run == 0 {
            process.kill();
            // It was killed in the middle of a write.
            let torn = fs::read_to_string(&path).unwrap() + "{\"event\":\"data\",\"time\":\"20";
            fs::write(&path, torn).unwrap();
            continue;
        }
        process.signal(Signal::SIGTERM);
        let (status, said) = process.end();
        assert!(status.success() && said.is_empty(), "{status} {said:?}");
    }
}

#[test]
fn a_torn_line_that_is_cut_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    fs::write(&path, "{\"event\":\"missed\",\"events\":1}\n{\"eve").unwrap();
    let process = Process::spawn(&mut serve(&path));
    process.says("data.jsonl: 5 bytes of what was being written when the last run ended are cut off");
    listening(&process);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"event\":\"missed\",\"events\":1}\n");
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_path() {
    fails_with_one_line(&mut serve(Path::new("/nowhere/data.jsonl")), "there is no directory /nowhere");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.jsonl");
    let first = Process::spawn(&mut serve(&path));
    listening(&first);
    fails_with_one_line(&mut serve(&path), "another process writes it");
    fs::write(directory.path().join("picture"), "PNG").unwrap();
    fails_with_one_line(&mut serve(&directory.path().join("picture")), "no file of JSON lines");
}

/// A disk of its own with room for some 30 lines of those below, and a gateway that writes to it.
struct SmallDisk {
    process: Process,
    addr: String,
    /// The disk as it is seen from here.
    root: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with the reason, where this user may not mount.
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        let may_mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", at]).output();
        if !may_mount.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no disk of its own for the test: {may_mount:?}");
            return None;
        }
        let script = "mount -t tmpfs -o size=256k none \"$1\" && head -c 196608 /dev/zero > \"$1/ballast\" && \
                      exec \"$2\" serve --listen 127.0.0.1:0 --file \"$1/data.jsonl\"";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh", at, env!("CARGO_BIN_EXE_dtu")]);
        let process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let addr = listening(&process);
        let root = PathBuf::from(format!("/proc/{}/root{at}", process.id()));
        Some(Self { process, addr, root, _directory: directory })
    }

    /// Fills the disk, and waits until the gateway says so.
    fn fill(&self) -> Peer {
        let mut peer = Peer::dial(&self.addr);
        peer.send(&register("meter-7"));
        peer.payload_of(kind::WELCOME);
        let body = [0xAB; 1000];
        peer.send(&(0..64).flat_map(|seq| data(seq, &body)).collect::<Vec<u8>>());
        let (line, _) = self.process.says("sink file is down");
        assert!(line.contains("cannot write") && line.contains("No space left"), "{line}");
        peer
    }
}

#[test]
fn a_full_disk_presses_back_and_nothing_is_lost_or_doubled() {
    let Some(disk) = SmallDisk::start() else { return };
    let mut peer = disk.fill();
    // Whole lines and nothing else, as far as they were kept.
    let kept = numbers(&disk.root.join("data.jsonl"));
    assert!(kept.len() < 64 && kept.iter().copied().eq(0..u64::try_from(kept.len()).unwrap()), "{kept:?}");
    fs::remove_file(disk.root.join("ballast")).unwrap();
    disk.process.says("sink file is up again");
    await_ack(&mut peer, 64);
    assert!(numbers(&disk.root.join("data.jsonl")).iter().copied().eq(0..64));
    disk.process.signal(Signal::SIGTERM);
    assert!(disk.process.end().0.success());
}

#[test]
fn a_stop_while_the_disk_is_full_says_what_is_not_kept() {
    let Some(disk) = SmallDisk::start() else { return };
    let mut peer = disk.fill();
    let kept = numbers(&disk.root.join("data.jsonl")).len();
    disk.process.signal(Signal::SIGTERM);
    let acknowledged = peer.rest().iter().filter(|payload| payload[0] == kind::ACK).map(|ack| ack[4]).max();
    assert!(usize::from(acknowledged.unwrap_or(0)) <= kept, "{acknowledged:?} of {kept}");
    let (status, said) = disk.process.end();
    assert_eq!(status.code(), Some(1));
    let last = said.last().unwrap();
    assert!(last.contains("records that are not kept and not acknowledged; down: file: cannot write"), "{said:?}");
    let count: usize = last.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!((1..=64 + 2).contains(&count), "{last}");
}
