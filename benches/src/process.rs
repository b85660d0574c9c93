//! A server in a process of its own, and what the kernel says that a process costs. Linux only.

use crate::servers::Server;
use core::fmt::Display;
use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use tokio::runtime::{Builder, Runtime};

/// What a program that starts servers calls itself with, followed by the server's name.
pub const SERVE: &str = "--serve";

/// The kernel's clock tick in /proc: 100 a second for every program, whatever it uses itself. Source: proc_pid_stat(5).
const TICK: Duration = Duration::from_millis(10);

/// A server in a child process. It ends when this is dropped, or when this process does.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    /// The child ends when this closes.
    _stdin: ChildStdin,
}

impl ServerProcess {
    /// Runs this very program again with [`SERVE`] and waits until the server listens.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start(server: Server) -> io::Result<Self> {
        Self::start_with(server, &[])
    }

    /// As [`start`](Self::start), with further arguments for this program.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start_with(server: Server, args: &[&str]) -> io::Result<Self> {
        let args: Vec<&str> = [SERVE, server.name()].iter().chain(args).copied().collect();
        Self::start_as(&args)
    }

    /// Runs this very program again with these arguments, with which it has to do as in [`serve_on`].
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start_as(args: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).expect("both are piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim_end().parse().map_err(|_| fail("server said where it listens", &line))?;
        Ok(Self { child, address, _stdin: stdin })
    }

    /// Runs `dtu serve` of the program at `path` with as many connections as descriptors allow, and with its events going nowhere.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start_gateway(path: &Path) -> io::Result<Self> {
        let mut command = Command::new(path);
        command.args(["serve", "--listen", "127.0.0.1:0", "--max-connections", "65536"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stderr) = child.stdin.take().zip(child.stderr.take()).expect("both are piped");
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next().transpose()? else {
                return Err(fail("the gateway said where it listens", &said));
            };
            if let Some(address) = line.split_once("listening on ").and_then(|(_, address)| address.parse().ok()) {
                break address;
            }
            said.push_str(&line);
        };
        // What it says from now on must not stop it.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, _stdin: stdin })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processor time up to now, to 10 ms.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn processor_time(&self) -> io::Result<Duration> {
        processor_time(self.child.id())
    }

    /// Its memory now.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn memory(&self) -> io::Result<Memory> {
        Memory::of(self.child.id())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child does: starts `server`, says where it listens, and serves until its standard input closes.
///
/// # Errors
///
/// When the server does not start.
pub fn serve(server: Server) -> io::Result<()> {
    serve_on(Builder::new_multi_thread().enable_all().build()?, server.start())
}

/// As [`serve`], on a runtime that was built for it, with a server that `start` starts there.
///
/// # Errors
///
/// When the server does not start.
pub fn serve_on(runtime: Runtime, start: impl Future<Output = io::Result<SocketAddr>>) -> io::Result<()> {
    let address = runtime.block_on(start)?;
    println!("{address}");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

/// The processor time of this process up to now, to 10 ms.
///
/// # Errors
///
/// Without /proc.
pub fn own_processor_time() -> io::Result<Duration> {
    processor_time("self")
}

/// Lets this process, and those it starts from then on, open as many files as the system allows it; returns how many.
///
/// # Errors
///
/// When the system does not tell or does not let.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Lets this process open no more than `files` files.
///
/// # Errors
///
/// When the system does not let.
pub fn limit_open_files(files: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, files, files)?)
}

pub(crate) fn processor_time(pid: impl Display) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses; user and system time are the 14th and the 15th.
    let (_, behind_name) = stat.rsplit_once(')').ok_or_else(|| fail("/proc/PID/stat has a name", &stat))?;
    let times = behind_name.split_ascii_whitespace().skip(11).take(2).map(u32::from_str);
    let ticks = times.sum::<Result<u32, _>>().map_err(|_| fail("/proc/PID/stat has times", &stat))?;
    Ok(TICK * ticks)
}

/// The memory of a process, in bytes. The kernel's own memory for its sockets is not in it.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident.
    pub peak: u64,
    /// Resident now and backed by no file, shares of shared pages counted in part: heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            resident: kilobytes(&status, "VmRSS:")?,
            peak: kilobytes(&status, "VmHWM:")?,
            anonymous: kilobytes(&rollup, "Pss_Anon:")?,
        })
    }
}

/// The value of the line `name  number kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(number.ok_or_else(|| fail(name, text))? * 1024)
}

fn fail(expected: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected: {expected}; found: {found:?}"))
}
