//! The task that has everything kept, and only then acknowledged.
//!
//! ```text
//!            ┌── fills ──> batch n+1
//!   queue ───┤
//!            └─ filled ──> batch n ──┬─> sink 1 ─┐
//!                                    └─> sink 2 ─┴─> commits ─> ACK
//! ```
//!
//! One batch is with the sinks, and the next one is filled meanwhile; so the slower a sink, the more records share one of its
//! writes. When both are full, the queue fills up to its bounds; then sessions are not read any more, and what devices send
//! stays with them.

use super::books::Books;
use super::queue::{self, Intake, Item, QUEUE_RECORDS, Queue, Queued, Weight};
use super::steady::{Patience, Steady};
use super::{Batch, Sink, SinkError, say};
use crate::serve::{Renderer, UnitItem};
use dtu_net::Mark;
use dtu_net::driver::transparent::UnitEvent;
use dtu_net::driver::{LinkEvent, Session};
use futures_util::future::try_join_all;
use metrics::gauge;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle, yield_now};

/// Records from which on a batch takes no further item.
const BATCH_RECORDS: usize = 8 * 1024;

/// Bytes of lines from which on a batch takes no further item. One item, which is up to
/// [`HAND_OVER`](super::queue::HAND_OVER) DATA, may go beyond.
pub(super) const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Turns that all other tasks have before a batch goes out, as long as each brings something.
const GATHER_TURNS: u32 = 4;

/// The keeper as it runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    task: JoinHandle<Result<(), SinkError>>,
    books: Arc<Books>,
}

impl Keeper {
    /// Waits until everything is kept and nobody can hand over any more, or until a sink is gone for good: then nothing can be
    /// acknowledged any more. A future that is dropped changes nothing; after one that was ready it must not be called again.
    ///
    /// # Errors
    ///
    /// [`SinkError::Gone`]; or the keeper has panicked.
    pub(crate) async fn ended(&mut self) -> Result<Result<(), SinkError>, JoinError> {
        (&mut self.task).await
    }

    /// How the sinks are.
    pub(crate) fn books(&self) -> &Arc<Books> {
        &self.books
    }
}

/// Starts the keeper of these sinks. It ends when the last [`Queue`] is dropped and everything is kept.
///
/// # Panics
///
/// Outside a tokio runtime.
pub(crate) fn start(sinks: Vec<Box<dyn Sink>>) -> (Queue, Keeper) {
    start_with(sinks, Patience::DEFAULT)
}

fn start_with(sinks: Vec<Box<dyn Sink>>, patience: Patience) -> (Queue, Keeper) {
    let books = Arc::new(Books::new(sinks.iter().map(|sink| sink.name())));
    let (queue, intake) = queue::new();
    gauge!("dtu_sink_queue_capacity").set(f64::from(QUEUE_RECORDS));
    // Gateways that wait for the same broker need not come at the same moment; a system without random numbers has them do so.
    let seed = getrandom::u32().unwrap_or_default().into();
    let steady = |(place, seed, sink)| Steady::new(sink, &books, place, patience, seed);
    let places = (0..).zip(seed..).zip(sinks).map(|((place, seed), sink)| (place, seed, sink));
    let sinks: Vec<Steady> = places.map(steady).collect();
    let task = tokio::spawn(keep(intake, sinks));
    (queue, Keeper { task, books })
}

async fn keep(mut intake: Intake, mut sinks: Vec<Steady>) -> Result<(), SinkError> {
    let (mut filling, mut stored, mut renderer) = (Load::default(), Load::default(), Renderer::default());
    loop {
        if filling.is_empty() {
            let Some(first) = intake.next().await else { return Ok(()) };
            filling.take(first, &mut renderer);
        }
        filling.gather(&mut intake, &mut renderer).await;
        core::mem::swap(&mut filling, &mut stored);
        gauge!("dtu_sink_queue_records").set(intake.records() as f64);
        store_and_fill(&mut sinks, &stored.batch, &mut filling, &mut intake, &mut renderer).await?;
        intake.release(stored.weight);
        stored.commit();
        gauge!("dtu_sink_queue_records").set(intake.records() as f64);
    }
}

/// Ready when every sink has the batch; the next one is filled meanwhile.
async fn store_and_fill(
    sinks: &mut [Steady],
    batch: &Batch,
    filling: &mut Load,
    intake: &mut Intake,
    renderer: &mut Renderer,
) -> Result<(), SinkError> {
    let mut storing = core::pin::pin!(store(sinks, batch));
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            kept = &mut storing => return kept,
            next = intake.next(), if is_open && filling.has_room() => match next {
                Some(item) => {
                    filling.take(item, renderer);
                    filling.take_ready(intake, renderer);
                    gauge!("dtu_sink_queue_records").set(intake.records() as f64);
                }
                None => is_open = false,
            }
        }
    }
}

/// Ready when every sink has the batch.
async fn store(sinks: &mut [Steady], batch: &Batch) -> Result<(), SinkError> {
    match sinks {
        _ if batch.is_empty() => Ok(()),
        [sink] => sink.store(batch).await,
        sinks => try_join_all(sinks.iter_mut().map(|sink| sink.store(batch))).await.map(drop),
    }
}

/// A batch, and what is due when it is kept.
#[derive(Default)]
struct Load {
    batch: Batch,
    weight: Weight,
    commits: Vec<(Session, Mark)>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Load {
    fn is_empty(&self) -> bool {
        self.weight == Weight::default()
    }

    fn has_room(&self) -> bool {
        self.batch.len() < BATCH_RECORDS && self.batch.lines().len() < BATCH_BYTES
    }

    /// Takes what is there, and what those who are about to hand over bring in their next turns: where many devices await each ACK, a
    /// write for a few of them would cost more than it takes to let the others speak.
    async fn gather(&mut self, intake: &mut Intake, renderer: &mut Renderer) {
        self.take_ready(intake, renderer);
        for _ in 0..GATHER_TURNS {
            let before = self.weight;
            yield_now().await;
            self.take_ready(intake, renderer);
            if self.weight == before {
                return;
            }
        }
    }

    /// Takes what is there already, as far as there is room.
    fn take_ready(&mut self, intake: &mut Intake, renderer: &mut Renderer) {
        while self.has_room()
            && let Some(item) = intake.next_ready()
        {
            self.take(item, renderer);
        }
    }

    fn take(&mut self, queued: Queued, renderer: &mut Renderer) {
        self.weight.add(queued.weight);
        renderer.append(queued.at, &queued.item, &mut self.batch);
        match queued.item {
            Item::Received { session, received } => {
                if let Some(last) = received.last() {
                    self.commit_later(session, last.mark());
                }
            }
            Item::Flush(flushed) => self.flushes.push(flushed),
            Item::Told(LinkEvent::AcceptFailed(kind)) | Item::Unit(UnitItem::Told(UnitEvent::AcceptFailed(kind))) => {
                say(format_args!("cannot accept a connection: {kind}"));
            }
            Item::Told(_) | Item::Unit(_) | Item::Closed { .. } | Item::Missed(_) => {}
        }
    }

    /// Neighbours of one session need one commit.
    fn commit_later(&mut self, session: Session, mark: Mark) {
        match self.commits.last_mut() {
            Some((before, last)) if Arc::ptr_eq(before.device(), session.device()) => *last = mark,
            _ => self.commits.push((session, mark)),
        }
    }

    /// Everything in it is kept. Afterwards it is empty.
    fn commit(&mut self) {
        for (session, mark) in self.commits.drain(..) {
            // Only a device that has forgotten its stream makes this an error, and what it has forgotten it cannot drop.
            let _forgotten = session.commit(mark);
        }
        for flushed in self.flushes.drain(..) {
            let _gone = flushed.send(());
        }
        self.batch.clear();
        self.weight = Weight::default();
    }
}

#[cfg(test)]
mod tests;
