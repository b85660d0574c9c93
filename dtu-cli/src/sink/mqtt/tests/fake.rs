//! A broker of a few lines, which does what a test wants it to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// CONNACK: taken.
pub(super) const TAKEN: &[u8] = &[0x20, 3, 0, 0, 0];

/// A PUBLISH that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) id: u16,
    pub(super) topic: String,
    pub(super) body: String,
}

impl Published {
    /// The number at the end of its body.
    pub(super) fn seq(&self) -> u32 {
        let (_, seq) = self.body.rsplit_once(':').unwrap();
        seq.trim_end_matches('}').parse().unwrap()
    }
}

pub(super) struct Fake {
    listener: TcpListener,
    pub(super) port: u16,
}

pub(super) struct Guest(TcpStream);

impl Fake {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// Takes a connection and its CONNECT, and answers that.
    pub(super) async fn accept(&self, answer: &[u8]) -> Guest {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut guest = Guest(stream);
        let (kind, _) = guest.packet().await.expect("a CONNECT");
        assert_eq!(kind, 0x10);
        guest.say(answer).await;
        guest
    }
}

impl Guest {
    pub(super) async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// PUBACK with a reason.
    pub(super) async fn acknowledge(&mut self, id: u16, reason: u8) {
        let [high, low] = id.to_be_bytes();
        self.say(&[0x40, 4, high, low, reason, 0]).await;
    }

    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut rest = vec![0; length];
        self.0.read_exact(&mut rest).await.ok()?;
        Some((kind, rest))
    }

    /// The next PUBLISH; `None` when the connection is over.
    pub(super) async fn publish(&mut self) -> Option<Published> {
        let (kind, rest) = self.packet().await?;
        assert_eq!(kind & 0xf6, 0x32, "a PUBLISH with QoS 1");
        let (topic, rest) = rest[2..].split_at(usize::from(u16::from_be_bytes([rest[0], rest[1]])));
        assert_eq!(rest[2], 0, "no properties");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some(Published { id: u16::from_be_bytes([rest[0], rest[1]]), topic: text(topic), body: text(&rest[3..]) })
    }

    /// Whether something has come that was not read.
    pub(super) fn has_more(&self) -> bool {
        self.0.try_read(&mut [0]).is_ok()
    }
}
