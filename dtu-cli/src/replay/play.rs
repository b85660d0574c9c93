//! One connection of the replay.

use super::Side;
use super::pace::Pace;
use super::recording::{Conversation, End};
use super::report::Outcome;
use core::time::Duration;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the other side may read nothing.
const STALLED: Duration = Duration::from_secs(30);

/// What all connections have in common.
pub(super) struct Scene {
    pub(super) addr: String,
    pub(super) side: Side,
    pub(super) pace: Pace,
    /// How long to wait for answers at the end.
    pub(super) wait: Duration,
}

/// What was done and what came back.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Done {
    pub(super) writes: usize,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Scene {
    /// Connects, at the time at which the device did.
    pub(super) async fn dial(&self, conversation: &Conversation, start: Instant) -> Result<TcpStream, Outcome> {
        sleep_until(start + self.pace.at(conversation.opened)).await;
        match timeout(CONNECT, TcpStream::connect(&self.addr)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Outcome::Unreachable(error.kind())),
            Err(_) => Err(Outcome::Unreachable(io::ErrorKind::TimedOut)),
        }
    }

    /// Plays a conversation on a stream. `start` is when the capture began, as the times of this connection have it.
    pub(super) async fn play(
        &self,
        mut stream: TcpStream,
        conversation: &Conversation,
        start: Instant,
        done: &mut Done,
    ) -> Outcome {
        // One write, one segment.
        if let Err(error) = stream.set_nodelay(true) {
            return Outcome::Left(error.kind());
        }
        let resets = matches!(conversation.end, Some((_, End::Reset)));
        let (mut read, mut write) = stream.split();
        let writing = async {
            self.write(&mut write, conversation, start, &mut done.writes, &mut done.sent).await?;
            if !resets {
                write.shutdown().await.map_err(|error| Outcome::Left(error.kind()))?;
                sleep(self.wait).await;
            }
            Ok(Outcome::Played)
        };
        let ended = tokio::select! {
            biased;
            outcome = writing => outcome.unwrap_or_else(|outcome| outcome),
            kind = receive(&mut read, &mut done.received) => Outcome::Left(kind),
        };
        if resets && ended == Outcome::Played {
            // It is thrown away as it was. A socket that is closed in order instead has played all the same.
            let _in_order = stream.set_zero_linger();
        }
        // Who goes after the last word has left nothing out.
        if done.writes == conversation.parts.len() { Outcome::Played } else { ended }
    }

    async fn write(
        &self,
        write: &mut WriteHalf<'_>,
        conversation: &Conversation,
        start: Instant,
        writes: &mut usize,
        sent: &mut u64,
    ) -> Result<(), Outcome> {
        let left = |error: io::Error| Outcome::Left(error.kind());
        for part in &conversation.parts {
            sleep_until(start + self.pace.at(part.at)).await;
            timeout(STALLED, write.write_all(&part.bytes)).await.map_err(|_| Outcome::Stalled)?.map_err(left)?;
            *writes += 1;
            *sent += u64::try_from(part.bytes.len()).expect("a length has at most 64 bits");
        }
        if let Some((at, _)) = conversation.end {
            sleep_until(start + self.pace.at(at)).await;
        }
        Ok(())
    }

    /// Plays datagrams.
    pub(super) async fn play_datagrams(&self, conversation: &Conversation, start: Instant, done: &mut Done) -> Outcome {
        sleep_until(start + self.pace.at(conversation.opened)).await;
        let socket = match self.datagrams().await {
            Ok(socket) => socket,
            Err(error) => return Outcome::Unreachable(error.kind()),
        };
        let received = &mut done.received;
        let answers = async {
            let mut bytes = vec![0; usize::from(u16::MAX)];
            loop {
                // What ICMP says is no end.
                if let Ok(length) = socket.recv(&mut bytes).await {
                    *received += u64::try_from(length).expect("a length has at most 64 bits");
                }
            }
        };
        let (writes, sent) = (&mut done.writes, &mut done.sent);
        let play = async {
            for part in &conversation.parts {
                sleep_until(start + self.pace.at(part.at)).await;
                if let Err(error) = socket.send(&part.bytes).await
                    && error.kind() != io::ErrorKind::ConnectionRefused
                {
                    return Outcome::Left(error.kind());
                }
                *writes += 1;
                *sent += u64::try_from(part.bytes.len()).expect("a length has at most 64 bits");
            }
            tokio::time::sleep(self.wait).await;
            Outcome::Played
        };
        tokio::select! {
            outcome = play => outcome,
            () = answers => unreachable!("answers are awaited without an end"),
        }
    }

    async fn datagrams(&self) -> io::Result<UdpSocket> {
        let mut last = io::ErrorKind::NotFound.into();
        for addr in tokio::net::lookup_host(&self.addr).await? {
            let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(addr).await {
                Ok(()) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Reads and counts until the end.
async fn receive(read: &mut ReadHalf<'_>, received: &mut u64) -> io::ErrorKind {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match read.read(&mut bytes).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof,
            Ok(length) => *received += u64::try_from(length).expect("a length has at most 64 bits"),
            Err(error) => return error.kind(),
        }
    }
}
