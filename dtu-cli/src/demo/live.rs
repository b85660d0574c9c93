//! Figures that change while the demo runs, and their line on a terminal.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::IsTerminal;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the line is drawn again.
const REDRAW: Duration = Duration::from_millis(200);

/// Puts the cursor at the start of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// A figure that only grows.
#[derive(Debug, Default)]
pub(super) struct Figure(AtomicU64);

impl Figure {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) sent: Figure,
    pub(super) acked: Figure,
    pub(super) delivered: Figure,
    pub(super) connects: Figure,
}

/// The line; on no terminal there is none.
pub(super) struct Line(JoinHandle<()>);

impl Line {
    pub(super) fn start(live: Arc<Live>) -> Self {
        Self(tokio::spawn(draw(live)))
    }

    /// Takes the line away.
    pub(super) async fn end(self) {
        self.0.abort();
        // Whether it was aborted or not, it draws no more.
        let _aborted = self.0.await;
        if std::io::stderr().is_terminal() {
            eprint!("{CLEAR_LINE}");
        }
    }
}

async fn draw(live: Arc<Live>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let begin = Instant::now();
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let [sent, acked, delivered, connects] =
            [&live.sent, &live.acked, &live.delivered, &live.connects].map(Figure::read);
        let seconds = begin.elapsed().as_secs_f64();
        // Fits 80 columns up to eight digits each: a line that wraps cannot be drawn over.
        eprint!("{CLEAR_LINE}{seconds:4.1} s  sent {sent}  delivered {delivered}  acked {acked}  connects {connects}");
    }
}
