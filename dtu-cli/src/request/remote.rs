//! A request through the control socket of a running `dtu serve`.

use super::ask::{ANSWER_MAX, Answer, Ask, Outcome};
use anyhow::Context;
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::line::DEADLINE;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long connecting may take, and how much longer the server than the request itself.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn ask(server: SocketAddr, ask: &Ask) -> anyhow::Result<Answer> {
    let refused = || format!("cannot connect to {server}");
    let stream = timeout(GRACE, TcpStream::connect(server)).await.with_context(refused)?.with_context(refused)?;
    let patience = DEADLINE + Duration::from_millis(ask.timeout_ms) + GRACE;
    // From here on the device may have been told.
    let unanswered = |text| Ok(Answer::failed(&ask.device, Outcome::LineGone, text));
    let line = match timeout(patience, exchange(stream, ask)).await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return unanswered(format!("the connection to {server} broke: {error}")),
        Err(_) => return unanswered(format!("{server} does not answer within {} s", patience.as_secs())),
    };
    if !line.ends_with(b"\n") {
        return unanswered(format!("{server} hung up without an answer"));
    }
    serde_json::from_slice(&line).with_context(|| format!("{server} does not answer as the control of a server"))
}

/// The line that comes back, as far as it does.
async fn exchange(stream: TcpStream, ask: &Ask) -> io::Result<Vec<u8>> {
    let (reader, mut writer) = stream.into_split();
    let mut line = serde_json::to_string(ask)?;
    line.push('\n');
    writer.write_all(line.as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new(reader.take(ANSWER_MAX)).read_until(b'\n', &mut answer).await?;
    Ok(answer)
}
