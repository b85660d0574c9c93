//! A server that has no sessions: what sockets, frames and messages cost by themselves.
//!
//! It does what the wire asks for and nothing more: one task a connection, WELCOME for REGISTER, PONG for PING, and one
//! cumulative ACK for all the DATA of a read. It has no timers, no bounds on who may come, no events, and forgets a device
//! with its connection. A connection without bytes in flight holds no buffer, so its memory is the floor as well.

use bytes::{Buf, BytesMut};
use core::time::Duration;
use dtu_proto::message::{Message, Reason, Refuse, RefuseCode, Resume, Welcome};
use dtu_proto::{Framing, Native, Step};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bytes asked for in one read.
const READ: usize = 8 * 1024;

/// How many DATA a device may have unacknowledged.
const WINDOW: u16 = 64;

/// How long a device may be silent, in milliseconds.
const HEARTBEAT_MS: u32 = 30_000;

/// How long accepting pauses when it fails, which it does for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves everyone who comes, for ever.
pub async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(talk(stream))),
            Err(error) => {
                eprintln!("plain server: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Talks to one device until either side has ended the connection.
async fn talk(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let native = Native::new();
    let mut device = Device::default();
    let mut buffer = BytesMut::new();
    while !device.over {
        // The buffer is only there from when bytes have come until they are decoded.
        stream.readable().await?;
        buffer.reserve(READ);
        if stream.read_buf(&mut buffer).await? == 0 {
            break;
        }
        let mut answers = Vec::new();
        let covered = native.walk(&buffer, |step| match step {
            Step::Frame(frame) => device.hear(&native, frame.payload(), &mut answers),
            Step::Skipped { .. } | Step::NeedMore { .. } => {}
        });
        device.acknowledge(&native, &mut answers);
        stream.write_all(&answers).await?;
        buffer.advance(covered);
        if buffer.is_empty() {
            buffer = BytesMut::new();
        }
    }
    Ok(())
}

/// What the server knows of a device.
#[derive(Debug, Default)]
struct Device {
    registered: bool,
    /// The number awaited next, and the last one acknowledged.
    receive_next: u32,
    acknowledged: u32,
    over: bool,
}

impl Device {
    /// Takes the payload of a frame and appends the answer, if there is one.
    fn hear(&mut self, native: &Native, payload: &[u8], answers: &mut Vec<u8>) {
        match Message::decode(payload) {
            Ok(Message::Data(data)) if self.registered => {
                // Numbers behind a gap are never confirmed.
                if data.seq == self.receive_next {
                    self.receive_next = self.receive_next.wrapping_add(1);
                }
            }
            Ok(Message::Ping { nonce }) if self.registered => say(native, &Message::Pong { nonce }, answers),
            Ok(Message::Register(register)) if !self.registered => {
                self.registered = true;
                self.receive_next = register.resume.send_base;
                self.acknowledged = self.receive_next;
                let Resume { stream: peer_stream, .. } = register.resume;
                let resume = Resume { stream: 1, send_base: 0, peer_stream, receive_next: self.receive_next };
                let welcome = Welcome { heartbeat_ms: HEARTBEAT_MS, window: WINDOW, resume };
                say(native, &Message::Welcome(welcome), answers);
            }
            Ok(Message::Close(_)) => self.over = true,
            Ok(_) if self.registered => {} // nothing that this server answers
            Ok(_) | Err(_) => {
                self.over = true;
                let refuse = Refuse { code: RefuseCode::PROTOCOL, retry_after_ms: 0, reason: Reason::EMPTY };
                say(native, &Message::Refuse(refuse), answers);
            }
        }
    }

    /// Appends one ACK for all that came since the last.
    fn acknowledge(&mut self, native: &Native, answers: &mut Vec<u8>) {
        if self.acknowledged != self.receive_next {
            self.acknowledged = self.receive_next;
            say(native, &Message::Ack { receive_next: self.receive_next }, answers);
        }
    }
}

fn say(native: &Native, message: &Message<'_>, answers: &mut Vec<u8>) {
    native.encode_to(message, answers).expect("an answer is short");
}

#[cfg(test)]
mod tests {
    use super::{Device, Message, Native, say};
    use dtu_proto::message::{Data, DeviceId, Register, Resume, Token, VERSION};
    use dtu_proto::{Framing, Step};

    /// What the server answers to `messages` that came in one read.
    fn answers(device: &mut Device, messages: &[Message<'_>]) -> Vec<String> {
        let (native, mut line, mut answers, mut heard) = (Native::new(), Vec::new(), Vec::new(), Vec::new());
        messages.iter().for_each(|message| say(&native, message, &mut line));
        native.walk(&line, |step| {
            if let Step::Frame(frame) = step {
                device.hear(&native, frame.payload(), &mut answers);
            }
        });
        device.acknowledge(&native, &mut answers);
        native.walk(&answers, |step| {
            if let Step::Frame(frame) = step {
                heard.push(format!("{:?}", Message::decode(frame.payload()).unwrap()));
            }
        });
        heard
    }

    fn data(seq: u32) -> Message<'static> {
        Message::Data(Data { seq, channel: 0, body: b"21.5" })
    }

    fn register() -> Message<'static> {
        let resume = Resume { stream: 7, send_base: 5, peer_stream: 0, receive_next: 0 };
        let device_id = DeviceId::new("d").unwrap();
        Message::Register(Register { version: VERSION, flags: 0, device_id, token: Token::EMPTY, resume })
    }

    #[test]
    fn the_data_of_a_read_has_one_ack_and_none_passes_a_gap() {
        let mut device = Device::default();
        let [welcome] = &answers(&mut device, &[register()])[..] else { panic!("one answer") };
        assert!(welcome.starts_with("Welcome"), "{welcome}");
        assert_eq!(answers(&mut device, &[data(5), data(6), data(7)]), ["Ack { receive_next: 8 }"]);
        assert_eq!(answers(&mut device, &[data(9), data(10)]), [""; 0]);
        let ping = Message::Ping { nonce: 3 };
        assert_eq!(answers(&mut device, &[data(8), ping]), ["Pong { nonce: 3 }", "Ack { receive_next: 9 }"]);
    }

    #[test]
    fn data_before_register_is_refused_and_ends_the_connection() {
        let mut device = Device::default();
        let [refuse] = &answers(&mut device, &[data(0)])[..] else { panic!("one answer") };
        assert!(refuse.starts_with("Refuse(Refuse { code: RefuseCode(1)"), "{refuse}");
        assert!(device.over);
    }
}
