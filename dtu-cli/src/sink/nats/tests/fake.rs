//! A server that speaks NATS, and says what no server should.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use serde_json::json;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the stream is looked at by.
const INFO: &str = "$JS.API.STREAM.INFO.";

/// What it says to what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// That it is in the stream.
    Yes,
    /// Nothing on the first connection, and then that it is in the stream.
    NothingAtFirst,
    WrongStream,
    Nonsense,
    Nothing,
}

pub(super) struct Fake {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// How often the stream was looked at.
    looks: Arc<AtomicUsize>,
    hang_up: Arc<Notify>,
}

impl Fake {
    pub(super) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let fake = Self { addr, connections: Arc::default(), looks: Arc::default(), hang_up: Arc::default() };
        let (connections, looks) = (Arc::clone(&fake.connections), Arc::clone(&fake.looks));
        let hang_up = Arc::clone(&fake.hang_up);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let says = match (connections.fetch_add(1, Ordering::Relaxed), says) {
                    (0, Says::NothingAtFirst) => Says::Nothing,
                    (_, Says::NothingAtFirst) => Says::Yes,
                    (_, says) => says,
                };
                let (looks, hang_up) = (Arc::clone(&looks), Arc::clone(&hang_up));
                tokio::spawn(async move {
                    tokio::select! {
                        _ended = serve(stream, says, &looks) => {}
                        () = hang_up.notified() => {}
                    }
                });
            }
        });
        fake
    }

    pub(super) fn addr(&self) -> String {
        self.addr.to_string()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    /// Closes the connections that there are.
    pub(super) fn hang_up(&self) {
        self.hang_up.notify_waiters();
    }
}

async fn serve(stream: TcpStream, says: Says, looks: &AtomicUsize) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let info = json!({
        "server_id": "F", "server_name": "fake", "host": "127.0.0.1", "port": 1, "version": "2.15.1", "go": "", "proto": 1,
        "max_payload": 1_048_576, "client_id": 1, "headers": true, "jetstream": true,
    });
    writer.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
    // The one subscription is that for replies.
    let mut subscription = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => writer.write_all(b"PONG\r\n").await?,
            ["SUB", _, number] => number.clone_into(&mut subscription),
            ["PUB" | "HPUB", subject, reply, .., length] => {
                let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut body).await?;
                looks.fetch_add(usize::from(subject.starts_with(INFO)), Ordering::Relaxed);
                if let Some(answer) = answer(subject, says) {
                    let head = format!("MSG {reply} {subscription} {}\r\n", answer.len());
                    writer.write_all(format!("{head}{answer}\r\n").as_bytes()).await?;
                }
            }
            _ => {}
        }
    }
}

fn answer(subject: &str, says: Says) -> Option<String> {
    if subject.starts_with(INFO) {
        let config = json!({
            "name": "DTU", "subjects": ["dtu.*.*"], "retention": "limits", "discard": "new", "storage": "file",
            "num_replicas": 1, "max_bytes": -1, "max_msgs": -1, "duplicate_window": 600_000_000_000_u64,
        });
        let state = json!({
            "messages": 0, "bytes": 0, "first_seq": 1, "first_ts": "2026-01-01T00:00:00Z", "last_seq": 0,
            "last_ts": "2026-01-01T00:00:00Z", "consumer_count": 0,
        });
        return Some(json!({ "config": config, "created": "2026-01-01T00:00:00Z", "state": state }).to_string());
    }
    match says {
        Says::Yes => Some(json!({ "stream": "DTU", "seq": 1 }).to_string()),
        Says::WrongStream => Some(json!({ "stream": "OTHER", "seq": 1 }).to_string()),
        Says::Nonsense => Some("+OK".to_owned()),
        Says::Nothing | Says::NothingAtFirst => None,
    }
}
