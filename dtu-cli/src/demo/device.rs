//! A device of the demo: registers properly, then sends DATA through the damager.

use super::balance::{Live, Numbers};
use super::damage::{Damaged, Draw, Rate, damage};
use anyhow::{Context, bail};
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::{Device, Event, Limits, Link};
use dtu_proto::message::{Data, DeviceId, Token};
use dtu_proto::{Message, Native};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long the server has to close after a device's last byte. A loopback socket takes no time; a busy machine does.
const FAREWELL: Duration = Duration::from_secs(60);

/// Bytes that are collected for one write.
const WRITE: usize = 16 * 1024;

/// Frames of each device that the damage digest covers.
pub(super) const DIGESTED: u32 = 256;

/// What a device shall do.
pub(super) struct Plan {
    pub(super) number: u32,
    pub(super) seed: u64,
    pub(super) rate: Rate,
    /// How many frames; without it, until told to stop.
    pub(super) frames: Option<u32>,
    pub(super) stop: CancellationToken,
    pub(super) live: Arc<Live>,
}

/// What a device did.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) sent: u32,
    pub(super) intact: Numbers,
    pub(super) digest: Digest,
}

/// FNV-1a, 64 bits: enough to see that two runs did the same, and the same on every machine.
#[derive(Debug)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

impl Plan {
    /// The id under which the device registers.
    pub(super) fn id(number: u32) -> String {
        format!("demo-{number}")
    }

    /// The number in such an id.
    pub(super) fn number_of(id: &str) -> Option<u32> {
        id.strip_prefix("demo-")?.parse().ok()
    }

    /// Runs the device against the server at `addr`.
    pub(super) async fn run(self, addr: SocketAddr) -> anyhow::Result<Report> {
        let socket = TcpSocket::new_v4().context("cannot make a socket")?;
        socket.set_send_buffer_size(super::SOCKET_BUFFER).context("cannot bound a socket's buffer")?;
        let mut socket = socket.connect(addr).await.context("cannot connect to the demo's server")?;
        register(&mut socket, self.number).await?;
        let (mut acknowledgements, mut line) = socket.into_split();
        // The server's answers are read and passed over: the demo counts frames on the server's side.
        let answers = tokio::spawn(async move {
            let mut bytes = [0; 1024];
            while matches!(acknowledgements.read(&mut bytes).await, Ok(1..)) {}
        });
        let report = self.send(&mut line).await.context("a device cannot send")?;
        line.shutdown().await.context("a device cannot end its stream")?;
        timeout(FAREWELL, answers).await.context("the server does not close")?.context("a reader is gone")?;
        Ok(report)
    }

    async fn send(&self, line: &mut (impl tokio::io::AsyncWrite + Unpin)) -> anyhow::Result<Report> {
        let native = Native::new();
        let (mut report, mut bytes, mut body, mut frame) = (Report::default(), Vec::new(), Vec::new(), Vec::new());
        // Of the plan, not of what there was time to send: the same seed shows the same digest.
        for number in 0..DIGESTED {
            append(&native, self, number, &mut body, &mut frame, &mut bytes)?;
        }
        report.digest.add(&bytes);
        bytes.clear();
        while self.frames.map_or_else(|| !self.stop.is_cancelled(), |frames| report.sent < frames) {
            let Damaged { intact, bytes: length } =
                append(&native, self, report.sent, &mut body, &mut frame, &mut bytes)?;
            if intact {
                report.intact.insert(report.sent);
                Live::add(&self.live.intact, 1);
            }
            report.sent = report.sent.checked_add(1).context("2^32 frames are the most")?;
            Live::add(&self.live.sent, 1);
            Live::add(&self.live.line_bytes, u64::try_from(length)?);
            if bytes.len() >= WRITE {
                line.write_all(&bytes).await?;
                bytes.clear();
            }
        }
        line.write_all(&bytes).await?;
        Ok(report)
    }
}

/// Appends frame `number` of the plan, damaged or not, to `line`.
fn append(
    native: &Native,
    plan: &Plan,
    number: u32,
    body: &mut Vec<u8>,
    frame: &mut Vec<u8>,
    line: &mut Vec<u8>,
) -> anyhow::Result<Damaged> {
    let mut draw = Draw::new(plan.seed, plan.number, number);
    draw.body(body);
    frame.clear();
    native.encode_to(&Message::Data(Data { seq: number, channel: 0, body }), frame)?;
    Ok(damage(&mut draw, plan.rate, frame, line))
}

/// Carries the opening of a link over `socket`, by hand: the bytes of the machine out, bytes into the machine.
async fn register(socket: &mut TcpStream, number: u32) -> anyhow::Result<()> {
    let id = Plan::id(number);
    let now = || Instant::now().into_std();
    let mut link: Link<Device> =
        Link::device(Limits::default(), DeviceId::new(&id)?, Token::EMPTY, u64::from(number) + 1, now());
    loop {
        while let Some(bytes) = link.poll_transmit() {
            socket.write_all(&bytes).await.context("a device cannot register")?;
        }
        match link.poll_event() {
            Some(Event::Welcomed { .. }) => return Ok(()),
            Some(event) => bail!("a device was not let in: {event:?}"),
            None => {}
        }
        let mut bytes = [0; 1024];
        let limit = link.limits().identify;
        let count = timeout(limit, socket.read(&mut bytes)).await.context("no WELCOME in time")??;
        match bytes.get(..count) {
            None | Some([]) => link.handle_disconnected(now(), None),
            Some(bytes) => link.handle_bytes(now(), bytes),
        }
    }
}
