//! A server that speaks NATS, and says what no server should.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use serde_json::json;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it says to what is published.
#[derive(Debug, Clone, Copy)]
pub(super) enum Says {
    WrongStream,
    Nonsense,
    Nothing,
}

pub(super) struct Fake {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    pub(super) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { addr: listener.local_addr().unwrap(), connections: Arc::default() };
        let connections = Arc::clone(&fake.connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, says));
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
}

async fn serve(stream: TcpStream, says: Says) -> io::Result<()> {
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
    if subject.starts_with("$JS.API.STREAM.INFO.") {
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
        Says::WrongStream => Some(json!({ "stream": "OTHER", "seq": 1 }).to_string()),
        Says::Nonsense => Some("+OK".to_owned()),
        Says::Nothing => None,
    }
}
