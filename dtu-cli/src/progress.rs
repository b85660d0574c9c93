//! Figures that change while a command runs, and their line on a terminal.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::IsTerminal;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the line is drawn again.
const REDRAW: Duration = Duration::from_millis(200);

/// Puts the cursor at the start of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// A figure that only grows.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The line; on no terminal there is none.
pub(crate) struct Line(JoinHandle<()>);

impl Line {
    /// Draws what `figures` says, behind the seconds since now. Both have to fit 80 columns: a line that wraps cannot be drawn
    /// over.
    pub(crate) fn start(figures: impl Fn() -> String + Send + 'static) -> Self {
        Self(tokio::spawn(draw(figures)))
    }

    /// Takes the line away.
    pub(crate) async fn end(self) {
        self.0.abort();
        // Whether it was aborted or not, it draws no more.
        let _aborted = self.0.await;
        if std::io::stderr().is_terminal() {
            eprint!("{CLEAR_LINE}");
        }
    }
}

/// The same for work that keeps its thread: drawn by whoever does it.
pub(crate) struct OwnLine {
    begin: std::time::Instant,
    drawn: Option<std::time::Instant>,
    is_terminal: bool,
}

impl OwnLine {
    pub(crate) fn start() -> Self {
        Self { begin: std::time::Instant::now(), drawn: None, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Draws what `figures` says, when it is time to; see [`Line::start`].
    pub(crate) fn draw(&mut self, figures: impl FnOnce() -> String) {
        if self.is_terminal && self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            self.drawn = Some(std::time::Instant::now());
            show(self.begin.elapsed(), &figures());
        }
    }

    /// Takes the line away.
    pub(crate) fn end(self) {
        if self.drawn.is_some() {
            eprint!("{CLEAR_LINE}");
        }
    }
}

fn show(since: Duration, figures: &str) {
    eprint!("{CLEAR_LINE}{:4.1} s  {figures}", since.as_secs_f64());
}

async fn draw(figures: impl Fn() -> String) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let begin = Instant::now();
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        show(begin.elapsed(), &figures());
    }
}
