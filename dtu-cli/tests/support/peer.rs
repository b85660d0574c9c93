//! A side that speaks by hand, over TCP.

use super::PATIENCE;
use dtu_proto::message::{Data, DeviceId, Register, Resume, Token, Welcome, kind};
use dtu_proto::{Deframer, Message, Native, Step};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// A message as it stands on the line.
pub fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).expect("the message fits a frame");
    bytes
}

/// REGISTER in stream 0xABC.
pub fn register(id: &str) -> Vec<u8> {
    let resume = Resume { stream: 0xABC, send_base: 0, peer_stream: 0, receive_next: 0 };
    let device_id = DeviceId::new(id).unwrap();
    frame(&Message::Register(Register { version: 1, flags: 0, device_id, token: Token::EMPTY, resume }))
}

/// DATA on channel 1.
pub fn data(seq: u32, body: &[u8]) -> Vec<u8> {
    frame(&Message::Data(Data { seq, channel: 1, body }))
}

pub struct Peer {
    pub socket: TcpStream,
    deframer: Deframer<Native, Vec<u8>>,
}

impl Peer {
    pub fn dial(addr: &str) -> Self {
        Self::new(TcpStream::connect(addr).unwrap())
    }

    fn new(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, deframer: Deframer::new(Native::new()) }
    }

    /// A server on the next connection of a device.
    pub fn accept(listener: &TcpListener) -> Self {
        Self::new(listener.accept().unwrap().0)
    }

    /// A server that lets the next device in, with a window of 64 and without a memory of any stream.
    pub fn serve(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener);
        peer.payload_of(kind::REGISTER);
        let resume = Resume { stream: 5, send_base: 0, peer_stream: 0, receive_next: 0 };
        peer.send(&frame(&Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 64, resume })));
        peer
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next payload; `None` at the end of the stream.
    pub fn payload(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.deframer.next_step() {
                Step::Frame(frame) => return Some(frame.payload().to_vec()),
                Step::Skipped { bytes, cause } => panic!("{bytes} bytes: {cause}"),
                Step::NeedMore { .. } => match self.socket.read(self.deframer.spare_capacity_mut()) {
                    Ok(0) => return None,
                    Ok(count) => self.deframer.commit(count),
                    // It went before it had read everything.
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                    Err(error) => panic!("{error}"),
                },
            }
        }
    }

    /// The next payload of a kind; what comes before is passed over.
    pub fn payload_of(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let payload = self.payload().unwrap_or_else(|| panic!("the end came before a message of kind {kind:#04x}"));
            if payload.first() == Some(&kind) {
                return payload;
            }
        }
    }

    /// The next payload that is DATA: its number and its body.
    pub fn data(&mut self) -> (u32, Vec<u8>) {
        let payload = self.payload_of(kind::DATA);
        let Ok(Message::Data(data)) = Message::decode(&payload) else { panic!("{payload:?} is no DATA") };
        (data.seq, data.body.to_vec())
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.payload()).collect()
    }
}
