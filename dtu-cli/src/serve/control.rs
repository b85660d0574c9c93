//! The control socket: one line of JSON a request to the line of a device, and one line a reply.

use crate::fleet::Fleet;
use crate::request::ask::{Answer, Ask, LINE_MAX, Outcome};
use anyhow::Context;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Connections at a time; the next ones wait.
const CONNECTIONS: usize = 64;

/// How long nothing is accepted when the system cannot.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Control {
    listener: TcpListener,
    local_addr: SocketAddr,
    asked: Arc<Asked>,
}

struct Asked {
    fleet: Arc<Fleet>,
}

impl Control {
    pub(crate) async fn bind(addr: SocketAddr, fleet: Arc<Fleet>) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr} for the control socket"))?;
        let local_addr = listener.local_addr().context("the control socket has no address")?;
        Ok(Self { listener, local_addr, asked: Arc::new(Asked { fleet }) })
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until `ended`; what is asked then has no answer.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let _ended = ended.run_until_cancelled(self.serve(&ended)).await;
    }

    async fn serve(&self, ended: &CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (asked, ended) = (Arc::clone(&self.asked), ended.clone());
                    tokio::spawn(async move {
                        // Whoever hangs up wants no answer.
                        let _gone = ended.run_until_cancelled(asked.answer(stream)).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

impl Asked {
    /// Answers one line after the other.
    async fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let bound = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
        loop {
            let mut line = Vec::new();
            let count = (&mut reader).take(bound).read_until(b'\n', &mut line).await?;
            if count == 0 {
                return Ok(());
            }
            let is_whole = line.ends_with(b"\n");
            let ask = serde_json::from_slice::<Ask>(&line);
            // Behind a line that is no JSON nothing is read. A page in a browser on this machine can send any line here, but behind
            // those of HTTP.
            let is_last = !is_whole || ask.as_ref().is_err_and(|error| !error.is_data());
            let answer = match ask {
                Ok(ask) => self.fleet.ask(&ask).await,
                Err(_) if !is_whole && count == LINE_MAX => {
                    Answer::failed("", Outcome::BadRequest, format!("a line has at most {LINE_MAX} bytes"))
                }
                Err(error) => Answer::failed("", Outcome::BadRequest, error),
            };
            let mut said = serde_json::to_vec(&answer)?;
            said.push(b'\n');
            writer.write_all(&said).await?;
            if is_last {
                return Ok(());
            }
        }
    }
}
