//! `dtu serve` and `dtu connect` as processes, for the tests beside.
#![allow(dead_code, unreachable_pub, reason = "each test file includes it and uses a part of it")]

pub mod peer;

use core::time::Duration;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

/// How long a test waits for what must come. No test gets faster by it; it turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn dtu(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtu"));
    command.args(args);
    command
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

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it is piped")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid is small"));
        nix::sys::signal::kill(pid, signal).expect("it runs");
    }

    /// Waits until it says a line that contains `part`, and returns that line and what came before.
    pub fn says(&self, part: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return (line, before),
                Ok(line) => before.push(line),
                Err(error) => panic!("{part:?} is not said: {error}; before: {before:?}"),
            }
        }
    }

    /// Waits for the end: the status, and all of stderr that was not taken.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        // The stream of errors ends with the process.
        let mut said = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the process does not end; it said {said:?}"),
            }
        }
        (self.child.wait().expect("it is our child"), said)
    }

    /// Waits for the end, which has to be a success, and returns the books: what stands behind `sent` first.
    pub fn succeeds(self) -> String {
        let (status, said) = self.end();
        assert!(status.success(), "{status} {said:?}");
        said.last().expect("the books are the last line").clone()
    }

    /// Waits for the end, which has to be a failure, and returns its last two lines: the books and the error.
    pub fn fails(self) -> [String; 2] {
        let (status, mut said) = self.end();
        assert_eq!(status.code(), Some(1), "{said:?}");
        let error = said.pop().unwrap_or_default();
        [said.pop().unwrap_or_default(), error]
    }

    /// Ends it without a word, and waits.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.end();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// `dtu connect` with a pipe for its stdin.
pub fn connect(addr: &str, args: &[&str]) -> Process {
    Process::spawn(dtu(&["connect", addr]).args(args).stdin(Stdio::piped()))
}

/// `dtu serve` on a free port.
pub struct Serve {
    pub process: Process,
    pub addr: String,
    /// What it said before it listened.
    pub warnings: Vec<String>,
    pub stdout: Receiver<String>,
}

impl Serve {
    pub fn start(args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", args)
    }

    pub fn start_at(addr: &str, args: &[&str]) -> Self {
        let mut process = Process::spawn(dtu(&["serve", "--listen", addr]).args(args).stdout(Stdio::piped()));
        let stdout = lines(process.child.stdout.take().expect("it is piped"));
        let (line, warnings) = process.says(LISTENING);
        let addr = address(&line);
        Self { process, addr, warnings, stdout }
    }

    /// The next event.
    pub fn event(&self) -> Value {
        parsed(&self.stdout.recv_timeout(PATIENCE).expect("an event comes"))
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

    /// Kills it, and returns the rest of its whole lines.
    pub fn kill(self) -> Vec<Value> {
        self.process.kill();
        self.stdout.iter().filter_map(|line| serde_json::from_str(&line).ok()).collect()
    }
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

const LISTENING: &str = "listening on ";

/// The address that a server says it listens on.
pub fn listening(process: &Process) -> String {
    address(&process.says(LISTENING).0)
}

fn address(line: &str) -> String {
    line.strip_prefix(LISTENING).unwrap_or_else(|| panic!("{line}")).to_owned()
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

/// Writes a file that only its owner may read, and returns its path.
pub fn write_private(directory: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}
