//! `dtu serve --capture`: what comes and goes on each connection, as packets in pcapng files.
//!
//! ```text
//!   connection ── Flow ──┐
//!   connection ── Flow ──┼── queue, bounded in bytes ──> thread ──> files, bounded in bytes
//!   UDP socket ── Tap ───┘        full: dropped, counted, told
//! ```
//!
//! There are no packets where a server reads: a connection's are made up around its reads and writes, one TCP segment each, with a
//! handshake in front and sequence numbers that fit. What they carry is what is inside TLS. They are written by a thread of its own, so
//! that a slow disk costs packets of the capture and nothing else; a disk that takes no more ends the capture, and the gateway goes on.

mod files;
mod flow;
mod packet;
mod pcapng;
mod queue;
mod settings;

pub(crate) use settings::CaptureSettings;

use anyhow::{Context, bail};
use core::time::Duration;
use dtu_net::driver::tap::Tap;
use files::Files;
use queue::{Queue, Waiting};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long the thread rests after it has written what there was: a packet that comes meanwhile wakes nobody.
const REST: Duration = Duration::from_millis(20);

/// How often it is told that packets were dropped.
const TELL: Duration = Duration::from_secs(10);

/// A capture that is being written.
pub(crate) struct Capture {
    queue: Arc<Queue>,
    done: oneshot::Receiver<()>,
}

impl Capture {
    /// Makes the directory, if there is none, opens the first file, and starts the thread that writes.
    ///
    /// # Errors
    ///
    /// The field of the settings that cannot be, or the directory.
    pub(crate) fn start(settings: &CaptureSettings) -> anyhow::Result<Self> {
        if let Some((key, text)) = settings.mistake() {
            bail!("{key}: {text}");
        }
        let dir = settings.dir.display();
        let files = Files::open(settings).with_context(|| format!("cannot capture in {dir}"))?;
        let (queue, waiting) = Queue::new(settings.queue.0);
        let (ended, done) = oneshot::channel();
        let shared = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || {
                if let Err(error) = write(&shared, &waiting, files) {
                    shared.stop();
                    tracing::error!(%error, "the capture has stopped: its files cannot be written; the gateway goes on");
                }
                drop(waiting);
                // Nobody waits for it before the end.
                let _unheard = ended.send(());
            })
            .context("cannot start the thread of the capture")?;
        Ok(Self { queue, done })
    }

    /// What the servers show their connections to.
    pub(crate) fn tap(&self) -> Arc<dyn Tap> {
        Arc::new(flow::Listener::new(Arc::clone(&self.queue)))
    }

    /// Writes what waits, for at most `limit`, and ends.
    pub(crate) async fn finish(self, limit: Duration) {
        self.queue.end();
        if timeout(limit, self.done).await.is_err() {
            tracing::warn!("the last packets are not in the capture: the disk is slow");
        }
        let dropped = self.queue.dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "packets are missing in the capture");
        }
    }
}

/// Writes until the end.
fn write(queue: &Queue, waiting: &Waiting, mut files: Files) -> io::Result<()> {
    let (mut told, mut told_at) = (0, None);
    loop {
        let more = waiting.take(|taken, missing| files.put(taken, missing))?;
        let written = files.flush()?;
        metrics::counter!("dtu_capture_packets_total").increment(written);
        let dropped = queue.dropped();
        if dropped > told && told_at.is_none_or(|at: Instant| at.elapsed() >= TELL) {
            tracing::warn!(
                dropped = dropped - told,
                "the disk is slower than the connections: packets are missing in the capture"
            );
            (told, told_at) = (dropped, Some(Instant::now()));
        }
        if !more {
            return Ok(());
        }
        std::thread::sleep(REST);
    }
}

#[cfg(test)]
mod tests;
