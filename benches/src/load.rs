//! A fleet of devices as the wire sees it, over real sockets: registers, sends DATA, counts what is acknowledged.
//!
//! It shares the machine with the server, so it must be cheap. All devices say the same, each in its own stream, so their
//! frames are encoded once for all (`Tape`); a device is one task, which writes what the window allows in one call
//! and reads whatever has come in one call.

use bytes::{Buf, BytesMut};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use dtu_proto::message::{Data, DeviceId, RefuseCode, Register, Resume, Token, VERSION};
use dtu_proto::{Framing, Message, Native, Step};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// How long a run may take; a server that has stopped to answer must not stop the benchmark.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Devices that share a source address. Far below the number of ephemeral ports.
const DEVICES_PER_ADDRESS: usize = 100;

/// The nonce of every PING.
const NONCE: u64 = 0x5A5A_5A5A;

/// Bytes that a device asks for in one read. An ACK has 15.
const READ: usize = 1024;

/// What the devices do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many devices.
    pub devices: usize,
    /// The length of a body in bytes.
    pub body: usize,
    /// How many DATA a device has unacknowledged at the most; the server may allow fewer.
    pub window: u16,
    /// How many DATA each device sends.
    pub frames: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// DATA that were acknowledged: all of them.
    pub frames: u64,
    /// From the first DATA to the last ACK.
    pub elapsed: Duration,
}

/// The DATA of a stream from number 0 on, encoded one behind the other, all of one length.
#[derive(Debug)]
struct Tape {
    bytes: Vec<u8>,
    frame_len: usize,
    frames: u32,
}

impl Tape {
    fn new(plan: &Plan) -> io::Result<Self> {
        let (native, body) = (Native::new(), vec![0x5A; plan.body]);
        let (mut bytes, mut frame_len) = (Vec::new(), 0);
        for seq in 0..plan.frames {
            let data = Message::Data(Data { seq, channel: 0, body: &body });
            frame_len = native.encode_to(&data, &mut bytes).map_err(io::Error::other)?;
        }
        Ok(Self { bytes, frame_len, frames: plan.frames })
    }

    /// The frames of the numbers from `from` to below `to`.
    fn frames(&self, from: u32, to: u32) -> &[u8] {
        &self.bytes[from as usize * self.frame_len..to as usize * self.frame_len]
    }
}

/// Devices that have registered and wait to send.
#[derive(Debug)]
pub struct Fleet {
    devices: Vec<Registered>,
    tape: Arc<Tape>,
    window: u16,
}

impl Fleet {
    /// Registers the devices of `plan` at `server`, one after the other.
    ///
    /// # Errors
    ///
    /// When a device is not let in.
    pub async fn register(server: SocketAddr, plan: &Plan) -> io::Result<Self> {
        let mut devices = Vec::with_capacity(plan.devices);
        for number in 0..plan.devices {
            devices.push(Registered::connect(server, number).await?);
        }
        Ok(Self { devices, tape: Arc::new(Tape::new(plan)?), window: plan.window })
    }

    /// Sends all DATA of all devices and waits for the last ACK.
    ///
    /// # Errors
    ///
    /// When a connection breaks, a server answers what it must not, or a minute has passed.
    pub async fn run(self) -> io::Result<Outcome> {
        let frames = u64::from(self.tape.frames) * self.devices.len() as u64;
        let start = Instant::now();
        let mut devices = JoinSet::new();
        for device in self.devices {
            devices.spawn(device.send_all(Arc::clone(&self.tape), self.window));
        }
        let all = async {
            while let Some(ended) = devices.join_next().await {
                ended??;
            }
            io::Result::Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await??;
        Ok(Outcome { frames, elapsed: start.elapsed() })
    }
}

/// The server has no room for a device at the moment. It comes inside an [`io::Error`].
#[derive(Debug, Clone)]
pub struct Busy {
    /// When the device shall come again.
    pub retry_after: Duration,
    /// The bound that it met, by its name.
    pub bound: Box<str>,
}

impl Busy {
    /// What the server said, when that is why a device was not let in.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server is busy for {:?}", self.retry_after)
    }
}

impl core::error::Error for Busy {}

/// A device that the server has let in.
#[derive(Debug)]
pub struct Registered {
    stream: TcpStream,
    /// How many DATA the server lets it have unacknowledged.
    window: u16,
}

impl Registered {
    /// Dials `server` as the device `number`, from an address that few others have, and registers.
    ///
    /// # Errors
    ///
    /// When there is no connection, or anything but WELCOME comes; [`Busy`] when the server says that.
    pub async fn connect(server: SocketAddr, number: usize) -> io::Result<Self> {
        let mut stream = dial(server, number).await?;
        let device_id = format!("load-{number:06}");
        let register = Message::Register(Register {
            version: VERSION,
            flags: 0,
            device_id: DeviceId::new(&device_id).expect("the id is short"),
            token: Token::EMPTY,
            resume: Resume { stream: number as u64 + 1, send_base: 0, peer_stream: 0, receive_next: 0 },
        });
        let mut frame = Vec::new();
        Native::new().encode_to(&register, &mut frame).map_err(io::Error::other)?;
        stream.write_all(&frame).await?;

        let mut window = None;
        let mut buffer = BytesMut::with_capacity(128);
        while window.is_none() {
            receive(&mut stream, &mut buffer, |message| {
                if let Message::Refuse(refuse) = &message
                    && refuse.code == RefuseCode::BUSY
                {
                    let retry_after = Duration::from_millis(refuse.retry_after_ms.into());
                    return Err(io::Error::other(Busy { retry_after, bound: refuse.reason.as_str().into() }));
                }
                let Message::Welcome(welcome) = message else { return Err(unexpected(&message)) };
                window = Some(welcome.window);
                Ok(())
            })
            .await?;
        }
        Ok(Self { stream, window: window.unwrap_or_default() })
    }

    /// Whether the connection is still open and silent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a PING.
    ///
    /// # Errors
    ///
    /// When the system does not take all of it at once, or the connection is over.
    pub fn ping(&self) -> io::Result<()> {
        let mut frame = Vec::with_capacity(32);
        Native::new().encode_to(&Message::Ping { nonce: NONCE }, &mut frame).map_err(io::Error::other)?;
        let taken = self.stream.try_write(&frame)?;
        if taken == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits for the PONG, and takes it and nothing else with it.
    ///
    /// # Errors
    ///
    /// When something else came, or nothing for a minute.
    pub async fn take_pong(&self) -> io::Result<()> {
        tokio::time::timeout(PATIENCE, self.stream.readable()).await??;
        let (mut heard, mut pongs) = ([0; 128], 0);
        let count = self.stream.try_read(&mut heard)?;
        let came = heard.get(..count).unwrap_or_default();
        let covered = Native::new().walk(came, |step| {
            if let Step::Frame(frame) = step
                && let Ok(Message::Pong { nonce: NONCE }) = Message::decode(frame.payload())
            {
                pongs += 1;
            }
        });
        if (pongs, covered) == (1, count) { Ok(()) } else { Err(io::Error::other(format!("no PONG: {came:?}"))) }
    }

    /// Sends the tape, at most a window ahead of the acknowledgements.
    async fn send_all(mut self, tape: Arc<Tape>, window: u16) -> io::Result<()> {
        let window = u32::from(window.min(self.window));
        let (mut sent, mut acknowledged) = (0, 0);
        let mut buffer = BytesMut::with_capacity(READ);
        let mut pong = Vec::new();
        while acknowledged < tape.frames {
            let until = tape.frames.min(acknowledged + window);
            self.stream.write_all(tape.frames(sent, until)).await?;
            sent = until;
            receive(&mut self.stream, &mut buffer, |message| {
                if let Message::Ack { receive_next } = message
                    && receive_next <= sent
                {
                    acknowledged = acknowledged.max(receive_next);
                } else if let Message::Ping { nonce } = message {
                    Native::new().encode_to(&Message::Pong { nonce }, &mut pong).expect("a PONG is short");
                } else {
                    return Err(unexpected(&message));
                }
                Ok(())
            })
            .await?;
            if !pong.is_empty() {
                self.stream.write_all(&pong).await?;
                pong.clear();
            }
        }
        Ok(())
    }
}

/// Reads once, and hands each message that is there to `hear`.
async fn receive(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    mut hear: impl FnMut(Message<'_>) -> io::Result<()>,
) -> io::Result<()> {
    buffer.reserve(READ);
    if stream.read_buf(buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut heard = Ok(());
    let covered = Native::new().walk(buffer, |step| {
        if heard.is_ok() {
            heard = match step {
                Step::Frame(frame) => Message::decode(frame.payload()).map_err(io::Error::other).and_then(&mut hear),
                Step::Skipped { cause, .. } => Err(io::Error::other(cause)),
                Step::NeedMore { .. } => Ok(()),
            }
        }
    });
    buffer.advance(covered);
    heard
}

fn unexpected(message: &Message<'_>) -> io::Error {
    io::Error::other(format!("the server said {message:?}"))
}

/// Connects to `server` as the device `number`.
pub(crate) async fn dial(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source(number)?, 0))?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The source address of device `number`, in 127.1.0.0/16.
fn source(number: usize) -> io::Result<IpAddr> {
    let host = u16::try_from(number / DEVICES_PER_ADDRESS + 1).map_err(io::Error::other)?;
    let [high, low] = host.to_be_bytes();
    Ok(Ipv4Addr::new(127, 1, high, low).into())
}

#[cfg(test)]
mod tests {
    use super::{Fleet, Plan, Registered};
    use crate::servers::Server;
    use core::net::SocketAddr;
    use dtu_proto::message::{Resume, Welcome};
    use dtu_proto::{Message, Native};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const PLAN: Plan = Plan { devices: 3, body: 64, window: 8, frames: 500 };

    #[tokio::test]
    async fn the_plain_server_acknowledges_every_frame() {
        let server = Server::Plain.start().await.unwrap();
        let outcome = Fleet::register(server, &PLAN).await.unwrap().run().await.unwrap();
        assert_eq!(outcome.frames, 1500);
    }

    /// A server that lets one device in and acknowledges `receive_next`, whatever comes.
    async fn answering(receive_next: u32) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_buf(&mut Vec::with_capacity(1024)).await.unwrap();
            let resume = Resume { stream: 1, send_base: 0, peer_stream: 0, receive_next: 0 };
            let welcome = Message::Welcome(Welcome { heartbeat_ms: 1000, window: 4, resume });
            let mut frames = Vec::new();
            Native::new().encode_to(&welcome, &mut frames).unwrap();
            stream.write_all(&frames).await.unwrap();
            frames.clear();
            Native::new().encode_to(&Message::Ack { receive_next }, &mut frames).unwrap();
            stream.readable().await.unwrap();
            stream.write_all(&frames).await.unwrap();
            // Closing with bytes unread would reset the connection, and the ACK could be lost.
            stream.read_to_end(&mut Vec::new()).await
        });
        address
    }

    #[tokio::test]
    async fn an_ack_of_what_was_not_sent_is_an_error() {
        // The server's window, 4, is narrower than the plan's.
        let server = answering(5).await;
        let fleet = Fleet::register(server, &Plan { devices: 1, ..PLAN }).await.unwrap();
        let error = fleet.run().await.unwrap_err().to_string();
        assert_eq!(error, "the server said Ack { receive_next: 5 }");
    }

    #[tokio::test]
    async fn a_connection_on_which_something_came_is_not_idle() {
        let server = Server::Plain.start().await.unwrap();
        let mut device = Registered::connect(server, 0).await.unwrap();
        assert!(device.is_idle());
        let mut ping = Vec::new();
        Native::new().encode_to(&Message::Ping { nonce: 1 }, &mut ping).unwrap();
        device.stream.write_all(&ping).await.unwrap();
        device.stream.readable().await.unwrap();
        assert!(!device.is_idle());
    }
}
