//! A real broker: Eclipse Mosquitto.

use core::time::Duration;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// How long a broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the program is. `None`, with the reason printed, when there is none and it is not required.
pub(crate) fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|place| place.join("mosquitto"));
    let found = env::var_os("MOSQUITTO").map(PathBuf::from).or_else(|| places.into_iter().find(|path| path.is_file()));
    if found.is_none() {
        let reason = "mosquitto is not installed (looked at $MOSQUITTO, in $PATH and in /usr/sbin)";
        assert!(env::var_os("DTU_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    found
}

pub(crate) struct Mosquitto {
    program: PathBuf,
    dir: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one that keeps on disk what it has when it is asked to end. `more` are lines of its configuration.
    pub(crate) fn start(more: impl FnOnce(&Path) -> String) -> Option<Self> {
        let program = find()?;
        let dir = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (place, more) = (dir.path().display(), more(dir.path()));
        let config = format!(
            // Started by root it would become another user, who cannot write here.
            "user root\npersistence true\npersistence_location {place}/\nmax_queued_messages 0\nmax_inflight_messages 100\n\
             listener {port} 127.0.0.1\nallow_anonymous true\n{more}\n"
        );
        std::fs::write(dir.path().join("conf"), config).unwrap();
        let mut broker = Self { program, dir, port, child: None };
        broker.restart();
        Some(broker)
    }

    /// Starts it on the same port, with what it had.
    pub(crate) fn restart(&mut self) {
        self.end();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.dir.path().join("conf")).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, Signal::SIGTERM).unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}
