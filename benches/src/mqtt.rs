//! The load of [`load`](crate::load) as clients of MQTT 3.1.1: the same number, the same bodies, QoS 1, the same number of
//! publishes in flight.
//!
//! As cheap as the other: a client encodes its publishes once, writes what the window allows in one call, and reads whatever
//! acknowledgements have come in one call.

use crate::load::{Outcome, PATIENCE, Plan, dial};
use core::net::SocketAddr;
use std::io;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Packet identifiers that a client uses in turn. More than any window.
const IDENTIFIERS: u16 = 128;

/// PUBACK: its type, the length that follows, and the identifier.
const PUBACK: [u8; 2] = [0x40, 2];

/// Clients that have connected and wait to publish.
#[derive(Debug)]
pub struct Clients {
    clients: Vec<Client>,
    plan: Plan,
}

impl Clients {
    /// Connects the clients of `plan`, one after the other.
    ///
    /// # Errors
    ///
    /// When one is not accepted, or the window has no room in the identifiers.
    pub async fn connect(broker: SocketAddr, plan: &Plan) -> io::Result<Self> {
        if plan.window > IDENTIFIERS {
            return Err(io::Error::other(format!("the window is above {IDENTIFIERS}")));
        }
        let mut clients = Vec::with_capacity(plan.devices);
        for number in 0..plan.devices {
            clients.push(Client::connect(broker, number, plan.body).await?);
        }
        Ok(Self { clients, plan: *plan })
    }

    /// Publishes everything and waits for the last PUBACK.
    ///
    /// # Errors
    ///
    /// As [`Fleet::run`](crate::load::Fleet::run).
    pub async fn run(self) -> io::Result<Outcome> {
        let Plan { window, frames, .. } = self.plan;
        let total = u64::from(frames) * self.clients.len() as u64;
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for client in self.clients {
            clients.spawn(client.publish_all(frames, window.into()));
        }
        let all = async {
            while let Some(ended) = clients.join_next().await {
                ended??;
            }
            io::Result::Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await??;
        Ok(Outcome { frames: total, elapsed: start.elapsed() })
    }
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// The publishes of all identifiers, twice, so that any window of them lies in one piece.
    tape: Vec<u8>,
    publish_len: usize,
}

impl Client {
    async fn connect(broker: SocketAddr, number: usize, body: usize) -> io::Result<Self> {
        let mut stream = dial(broker, number).await?;
        let id = format!("load-{number:06}");
        // MQTT 3.1.1, a clean session, no time after which it must speak.
        let mut connect = vec![0x10, 12 + id.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        text(&mut connect, &id);
        stream.write_all(&connect).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if answer != [0x20, 2, 0, 0] {
            return Err(unexpected(&answer));
        }
        let (mut tape, body) = (Vec::new(), vec![0x5A; body]);
        for identifier in (1..=IDENTIFIERS).chain(1..=IDENTIFIERS) {
            publish(&mut tape, &format!("dtu/{id}/data"), identifier, &body);
        }
        let publish_len = tape.len() / (2 * usize::from(IDENTIFIERS));
        Ok(Self { stream, tape, publish_len })
    }

    async fn publish_all(mut self, frames: u32, window: u32) -> io::Result<()> {
        let (mut sent, mut acknowledged) = (0, 0);
        let (mut buffer, mut filled) = ([0; 1024], 0);
        while acknowledged < frames {
            let until = frames.min(acknowledged + window);
            let start = self.publish_len * (sent % u32::from(IDENTIFIERS)) as usize;
            let end = start + self.publish_len * (until - sent) as usize;
            self.stream.write_all(&self.tape[start..end]).await?;
            sent = until;
            let count = self.stream.read(&mut buffer[filled..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            let (whole, rest) = buffer[..filled].as_chunks::<4>();
            let rest = rest.len();
            for answer in whole {
                let expected = (acknowledged % u32::from(IDENTIFIERS) + 1) as u16;
                if acknowledged == sent || answer[..2] != PUBACK || answer[2..] != expected.to_be_bytes() {
                    return Err(unexpected(answer));
                }
                acknowledged += 1;
            }
            buffer.copy_within(filled - rest..filled, 0);
            filled = rest;
        }
        Ok(())
    }
}

/// Appends PUBLISH with QoS 1.
fn publish(out: &mut Vec<u8>, topic: &str, identifier: u16, body: &[u8]) {
    out.push(0x32);
    let mut length = 2 + topic.len() + 2 + body.len();
    loop {
        let more = if length < 0x80 { 0 } else { 0x80 };
        out.push((length & 0x7F) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    text(out, topic);
    out.extend_from_slice(&identifier.to_be_bytes());
    out.extend_from_slice(body);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn unexpected(answer: &[u8]) -> io::Error {
    io::Error::other(format!("the broker said {answer:02x?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PLAN: Plan = Plan { devices: 1, body: 200, window: 3, frames: 300 };

    /// A broker for one client, which acknowledges in order, from the identifier `first` on, each byte on its own.
    async fn broker(first: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut connect = vec![0; 2 + 10 + 2 + "load-000000".len()];
            stream.read_exact(&mut connect).await.unwrap();
            assert_eq!(connect[1] as usize, connect.len() - 2);
            stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
            let mut expected = Vec::new();
            publish(&mut expected, "dtu/load-000000/data", 0, &[0x5A; 200]);
            assert_eq!(expected[..3], [0x32, 0xE0, 0x01], "a length of two bytes");
            let mut found = vec![0; expected.len()];
            for number in 0.. {
                if stream.read_exact(&mut found).await.is_err() {
                    return;
                }
                let identifier = (first - 1 + number) % IDENTIFIERS + 1;
                for byte in [&PUBACK[..], &identifier.to_be_bytes()].concat() {
                    stream.write_all(&[byte]).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn every_publish_is_acknowledged_however_the_answers_are_cut() {
        let outcome = Clients::connect(broker(1).await, &PLAN).await.unwrap().run().await.unwrap();
        assert_eq!(outcome.frames, 300);
    }

    #[tokio::test]
    async fn an_acknowledgement_of_another_publish_is_an_error() {
        let error = Clients::connect(broker(2).await, &PLAN).await.unwrap().run().await.unwrap_err();
        assert_eq!(error.to_string(), "the broker said [40, 02, 00, 02]");
    }
}
