//! `dtu serve` and `dtu connect` as processes, for the tests beside.
#![allow(dead_code, unreachable_pub, reason = "each test file includes it and uses a part of it")]

use core::time::Duration;
use dtu_proto::{Message, Native};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// How long a test waits for what must come. No test gets faster by it; it turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn dtu(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtu"));
    command.args(args);
    command
}

/// A message as it stands on the line.
pub fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).expect("the message fits a frame");
    bytes
}

/// Lines of a stream as they come.
pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A process that is killed with its test, and waited for with patience.
pub struct Process {
    child: Child,
    pub stderr: Receiver<String>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary is built");
        let stderr = lines(child.stderr.take().expect("it is piped"));
        Self { child, stderr }
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is piped")
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid is small"));
        nix::sys::signal::kill(pid, signal).expect("it runs");
    }

    /// Waits for the end: the status, and all of stderr that was not taken.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        // The stream of errors ends with the process.
        let mut said = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the process does not end; it said {said:?}"),
            }
        }
        (self.child.wait().expect("it is our child"), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// `dtu serve` on a free port.
pub struct Serve {
    pub process: Process,
    pub addr: String,
    pub stdout: Receiver<String>,
}

impl Serve {
    pub fn start(args: &[&str]) -> Self {
        let mut process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).args(args).stdout(Stdio::piped()));
        let stdout = lines(process.child.stdout.take().expect("it is piped"));
        let addr = listening(&process);
        Self { process, addr, stdout }
    }

    /// The next event.
    pub fn event(&self) -> Value {
        let line = self.stdout.recv_timeout(PATIENCE).expect("an event comes");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// The next event of a kind; what comes before is passed over.
    pub fn event_of(&self, kind: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"] == kind {
                return event;
            }
        }
    }
}

/// The address that a server says it listens on.
pub fn listening(process: &Process) -> String {
    let line = process.stderr.recv_timeout(PATIENCE).expect("the server says where it listens");
    line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// Asserts that a command fails with one line that contains `part`.
pub fn fails_with_one_line(command: &mut Command, part: &str) {
    let (status, said) = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null())).end();
    assert_eq!(status.code(), Some(1), "{said:?}");
    assert!(matches!(&said[..], [line] if line.starts_with("dtu: ") && line.contains(part)), "{said:?}");
}

pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "{text}");
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
