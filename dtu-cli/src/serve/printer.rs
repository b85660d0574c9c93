//! The thread that prints.

use super::line;
use super::unit_line::UnitItem;
use dtu_net::driver::transparent::UnitEvent;
use dtu_net::driver::{LinkEvent, Session};
use dtu_net::{Mark, Received, StateChange};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What may wait for the printer. A device's DATA has up to 64 KiB.
const QUEUE: usize = 256;

/// Items that are printed with one write, when as many wait.
const BATCH: usize = 256;

/// Something to print.
pub(crate) enum Item {
    Received {
        session: Session,
        received: Received,
    },
    Told(LinkEvent),
    /// Of a transparent DTU.
    Unit(UnitItem),
    Closed {
        session: Session,
        change: StateChange,
    },
    /// So many events have no line, because the printer was behind.
    Missed(u64),
    /// Answered when everything in front of it is written and committed.
    Flush(oneshot::Sender<()>),
}

/// Starts the printer. It ends when nobody can send any more, or at the first line that cannot be written: nothing can be
/// acknowledged from there on.
pub(crate) fn start(
    mut out: impl Write + Send + 'static,
) -> io::Result<(mpsc::Sender<Item>, oneshot::Receiver<io::Result<()>>)> {
    let (queue, mut items) = mpsc::channel(QUEUE);
    let (done, printed) = oneshot::channel();
    std::thread::Builder::new().name("printer".into()).spawn(move || {
        let outcome = print(&mut items, &mut out);
        // Whoever waits for the word may have given up waiting.
        let _unheard = done.send(outcome);
    })?;
    Ok((queue, printed))
}

fn print(items: &mut mpsc::Receiver<Item>, out: &mut impl Write) -> io::Result<()> {
    let mut batch = Batch::default();
    while let Some(first) = items.blocking_recv() {
        let more = core::iter::from_fn(|| items.try_recv().ok());
        for item in core::iter::once(first).chain(more).take(BATCH) {
            batch.take(item)?;
        }
        batch.write(out)?;
    }
    Ok(())
}

#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    /// What is to be acknowledged once the lines are written.
    commits: Vec<(Session, Mark)>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, item: Item) -> io::Result<()> {
        line::append(&item, &mut self.lines)?;
        match item {
            Item::Received { session, received } => self.commit(session, received.mark()),
            Item::Flush(flushed) => self.flushed.push(flushed),
            Item::Told(LinkEvent::AcceptFailed(kind)) | Item::Unit(UnitItem::Told(UnitEvent::AcceptFailed(kind))) => {
                eprintln!("dtu: cannot accept a connection: {kind}")
            }
            Item::Told(_) | Item::Unit(_) | Item::Closed { .. } | Item::Missed(_) => {}
        }
        Ok(())
    }

    /// Neighbours of one session need one commit.
    fn commit(&mut self, session: Session, mark: Mark) {
        match self.commits.last_mut() {
            Some((before, last)) if Arc::ptr_eq(before.device(), session.device()) => *last = mark,
            _ => self.commits.push((session, mark)),
        }
    }

    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.lines)?;
        out.flush()?;
        self.lines.clear();
        for (session, mark) in self.commits.drain(..) {
            // Only a device that has forgotten its stream makes this an error, and what it has forgotten it cannot drop.
            let _forgotten = session.commit(mark);
        }
        for flushed in self.flushed.drain(..) {
            let _gone = flushed.send(());
        }
        Ok(())
    }
}
