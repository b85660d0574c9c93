//! A request through the control socket of a running `dtu serve`.

use super::ask::{ANSWER_MAX, Answer, Ask};
use anyhow::{Context, ensure};
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::line::DEADLINE;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much longer the server may take than the request itself.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn ask(server: SocketAddr, ask: &Ask) -> anyhow::Result<Answer> {
    let patience = DEADLINE + Duration::from_millis(ask.timeout_ms) + GRACE;
    let line = timeout(patience, exchange(server, ask))
        .await
        .with_context(|| format!("{server} does not answer within {} s", patience.as_secs()))??;
    ensure!(line.ends_with('\n'), "{server} hung up without an answer");
    serde_json::from_str(&line).with_context(|| format!("{server} does not answer as the control of a server"))
}

async fn exchange(server: SocketAddr, ask: &Ask) -> anyhow::Result<String> {
    let stream = TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
    let (reader, mut writer) = stream.into_split();
    let mut line = serde_json::to_string(ask)?;
    line.push('\n');
    let broken = || format!("the connection to {server} broke");
    writer.write_all(line.as_bytes()).await.with_context(broken)?;
    let mut answer = String::new();
    BufReader::new(reader.take(ANSWER_MAX)).read_line(&mut answer).await.with_context(broken)?;
    Ok(answer)
}
