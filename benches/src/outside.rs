//! Programs that are measured as they are installed: the gateway `dtu serve` and the broker mosquitto.

use crate::process::{Memory, processor_time};
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);

/// Where Debian has a broker that is not on the path of ordinary users.
const SBIN: &str = "/usr/sbin/mosquitto";

/// A program with a directory of its own, which goes with it.
#[derive(Debug)]
pub struct Outside {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Outside {
    /// Starts the gateway, which keeps its lines in a file: each on the disk before it is acknowledged.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn gateway(dtu: &Path, directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let mut command = Command::new(dtu);
        command.args(["serve", "--listen", "127.0.0.1:0", "--file"]).arg(lines(&directory));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = loop {
            let line = said.next().unwrap_or_else(|| Err(io::Error::other("the gateway did not come up")))?;
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.parse().map_err(io::Error::other)?;
            }
        };
        // Whatever else it says is read, so that it is not held up.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| eprintln!("gateway: {line}")));
        Ok(Self { child, address, directory })
    }

    /// Starts the broker. It keeps what is to be kept (`persistence true`) as it does by default: in memory, and every half an hour in
    /// a file. Nobody is subscribed, so it only has to acknowledge.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn mosquitto(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let settings = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\nmax_inflight_messages \
             0\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type none\nuser {}\n",
            address.port(),
            directory.display(),
            // It would change to a user who may not write there.
            std::env::var("USER").unwrap_or_else(|_| "root".into()),
        );
        let path = directory.join("mosquitto.conf");
        fs::write(&path, settings)?;
        let mut command = Command::new(mosquitto_program().unwrap_or_else(|| SBIN.into()));
        let child = command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > START {
                return Err(io::Error::other("mosquitto did not come up"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(Self { child, address, directory })
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

    /// How many lines of DATA the gateway has in its file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn data_lines(&self) -> io::Result<u64> {
        let text = fs::read(lines(&self.directory))?;
        Ok(memchr::memmem::find_iter(&text, br#"{"event":"data","#).count() as u64)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // They fail only for what is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The broker's program, if it is installed.
#[must_use]
pub fn mosquitto_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|place| place.join("mosquitto"));
    places.chain([SBIN.into()]).find(|program| program.is_file())
}

fn lines(directory: &Path) -> PathBuf {
    directory.join("data.jsonl")
}
