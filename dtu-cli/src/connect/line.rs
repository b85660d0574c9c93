//! The other side of `dtu connect`: where bytes come from and go to. Stdin and stdout are here.

use anyhow::Context;
use bytes::Bytes;
use dtu_net::Mark;
use std::io::{self, Read};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pieces that may wait on the way between a line and the session, in each direction.
pub(super) const QUEUE: usize = 4;

/// What a line gives. The end of the queue is the line's end in order.
pub(super) enum Input {
    /// Bytes, at least one and at most the longest body.
    Piece(Bytes),
    /// The line is lost; the last thing it gives.
    Failed(anyhow::Error),
}

/// Bytes to write, and what to commit then.
pub(super) struct Down {
    pub(super) mark: Mark,
    pub(super) body: Bytes,
}

/// A line with a reader and a writer of its own, so that neither holds up the other or the session.
pub(super) struct Line {
    pub(super) input: mpsc::Receiver<Input>,
    pub(super) output: mpsc::Sender<Down>,
    /// What is written, in order, or why nothing more will be.
    pub(super) written: mpsc::Receiver<anyhow::Result<Mark>>,
    /// Ends the reader: it gives what it has, then the end.
    pub(super) stop: CancellationToken,
}

/// Stdin in the pieces in which it comes, and stdout.
pub(super) fn stdio(max_body: usize) -> Line {
    let (sender, input) = mpsc::channel(QUEUE);
    let stop = CancellationToken::new();
    let (raw, mut pieces) = mpsc::channel(1);
    // A thread, because a read from a terminal cannot be called back; the process ends without it.
    std::thread::spawn(move || read_stdin(max_body, &raw));
    let stopped = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                piece = pieces.recv() => {
                    let Some(piece) = piece else { return };
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
                // What was read already is still given.
                () = stopped.cancelled(), if !pieces.is_closed() => pieces.close(),
            }
        }
    });
    let (output, written) = spawn_writer(tokio::io::stdout(), "stdout".into());
    Line { input, output, written, stop }
}

fn read_stdin(max_body: usize, pieces: &mpsc::Sender<Input>) {
    let mut buffer = vec![0; max_body];
    loop {
        let input = match io::stdin().read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Input::Piece(buffer.iter().take(count).copied().collect()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Input::Failed(anyhow::Error::new(error).context("cannot read stdin")),
        };
        let last = matches!(input, Input::Failed(_));
        if pieces.blocking_send(input).is_err() || last {
            return;
        }
    }
}

/// Starts the task that writes what comes down.
pub(super) fn spawn_writer(
    mut sink: impl AsyncWrite + Unpin + Send + 'static,
    name: String,
) -> (mpsc::Sender<Down>, mpsc::Receiver<anyhow::Result<Mark>>) {
    let (output, mut pieces) = mpsc::channel::<Down>(QUEUE);
    let (report, written) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(Down { mark, body }) = pieces.recv().await {
            let outcome = async {
                sink.write_all(&body).await?;
                sink.flush().await
            };
            let outcome = outcome.await.with_context(|| format!("cannot write to {name}")).map(|()| mark);
            let last = outcome.is_err();
            if report.send(outcome).await.is_err() || last {
                return;
            }
        }
    });
    (output, written)
}
