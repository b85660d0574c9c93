//! What waits for the sinks: bounded in records and in bytes, from the hand-over to the commit.

use crate::serve::UnitItem;
use core::sync::atomic::{AtomicU64, Ordering};
use dtu_net::driver::{LinkEvent, Session};
use dtu_net::{Received, StateChange};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Records that may be handed over and not yet committed. An event counts as one, with or without a line.
pub(crate) const QUEUE_RECORDS: u32 = 32 * 1024;

/// Bytes of bodies, and of frames of transparent DTUs, that may be handed over and not yet committed.
pub(crate) const QUEUE_BYTES: u32 = 16 * 1024 * 1024;

/// DATA of one session that are handed over together, and committed with one mark. Far below [`QUEUE_RECORDS`].
pub(crate) const HAND_OVER: usize = 64;

/// Something to keep.
pub(crate) enum Item {
    /// What a session's device has sent: at least one, and at most [`HAND_OVER`].
    Received {
        session: Session,
        received: Vec<Received>,
    },
    Told(LinkEvent),
    /// Of a transparent DTU.
    Unit(UnitItem),
    Closed {
        session: Session,
        change: StateChange,
    },
    /// So many events have no line, because the sinks were behind.
    Missed(u64),
    /// Answered when everything in front of it is kept and committed.
    Flush(oneshot::Sender<()>),
}

/// What an item takes of the bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) records: u32,
    pub(super) bytes: u32,
}

impl Weight {
    fn of(item: &Item) -> Self {
        match item {
            Item::Received { received, .. } => {
                let bytes = received.iter().map(|one| match one {
                    Received::Data { body, .. } => body.len(),
                    Received::Skip { .. } => 0,
                });
                let bytes = u32::try_from(bytes.sum::<usize>()).unwrap_or(QUEUE_BYTES);
                let records = u32::try_from(received.len()).unwrap_or(QUEUE_RECORDS);
                // What is more than all there is would wait for ever.
                Self { records: records.clamp(1, QUEUE_RECORDS), bytes: bytes.min(QUEUE_BYTES) }
            }
            Item::Unit(UnitItem::Heard { heard, .. }) => {
                let bytes = u32::try_from(heard.frame.as_bytes().len()).unwrap_or(QUEUE_BYTES);
                Self { records: 1, bytes: bytes.min(QUEUE_BYTES) }
            }
            Item::Unit(UnitItem::Told(_)) | Item::Told(_) | Item::Closed { .. } | Item::Missed(_) | Item::Flush(_) => {
                Self { records: 1, bytes: 0 }
            }
        }
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// The bounds, and how much of them is taken.
#[derive(Debug)]
struct Room {
    records: Semaphore,
    bytes: Semaphore,
    /// Records that are handed over and not committed, and those that wait for room.
    pending: AtomicU64,
}

/// The end where things are handed over. When the last one is dropped, the keeper finishes.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    items: mpsc::UnboundedSender<Queued>,
    room: Arc<Room>,
}

/// The end of the keeper.
#[derive(Debug)]
pub(super) struct Intake {
    items: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Room>,
}

/// An item, what it takes, and when it was handed over.
pub(super) struct Queued {
    pub(super) item: Item,
    pub(super) weight: Weight,
    pub(super) at: SystemTime,
}

/// The keeper is gone: nothing will be kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeeperGone;

pub(super) fn new() -> (Queue, Intake) {
    let room = Arc::new(Room {
        records: Semaphore::new(to_usize(QUEUE_RECORDS)),
        bytes: Semaphore::new(to_usize(QUEUE_BYTES)),
        pending: AtomicU64::new(0),
    });
    // Unbounded in itself: every item holds at least one record's room.
    let (sender, items) = mpsc::unbounded_channel();
    (Queue { items: sender, room: Arc::clone(&room) }, Intake { items, room })
}

impl Queue {
    /// Hands over an item, once there is room for it.
    ///
    /// # Errors
    ///
    /// [`KeeperGone`]. The item will not be kept.
    pub(crate) async fn send(&self, item: Item) -> Result<(), KeeperGone> {
        let (weight, at) = (Weight::of(&item), SystemTime::now());
        self.room.pending.fetch_add(weight.records.into(), Ordering::Relaxed);
        let records = self.room.records.acquire_many(weight.records).await.map_err(|_| KeeperGone)?;
        let bytes = self.room.bytes.acquire_many(weight.bytes).await.map_err(|_| KeeperGone)?;
        self.items.send(Queued { item, weight, at }).map_err(|_| KeeperGone)?;
        // They are given back with the commit.
        records.forget();
        bytes.forget();
        Ok(())
    }

    /// Records that were taken from their sessions and are not committed.
    pub(crate) fn pending(&self) -> u64 {
        self.room.pending.load(Ordering::Relaxed)
    }

    /// To look how much waits, without a hand that could hand over.
    pub(crate) fn gauge(&self) -> QueueGauge {
        QueueGauge(Arc::clone(&self.room))
    }
}

/// How much waits.
#[derive(Debug, Clone)]
pub(crate) struct QueueGauge(Arc<Room>);

impl QueueGauge {
    /// As [`Queue::pending`].
    pub(crate) fn pending(&self) -> u64 {
        self.0.pending.load(Ordering::Relaxed)
    }
}

impl Intake {
    /// The next item; `None` when nobody can hand over any more. A future that is dropped has taken nothing.
    pub(super) async fn next(&mut self) -> Option<Queued> {
        self.items.recv().await
    }

    /// The next item that is there already.
    pub(super) fn next_ready(&mut self) -> Option<Queued> {
        self.items.try_recv().ok()
    }

    /// Gives back the room of what is committed.
    pub(super) fn release(&self, weight: Weight) {
        self.room.records.add_permits(to_usize(weight.records));
        self.room.bytes.add_permits(to_usize(weight.bytes));
        self.room.pending.fetch_sub(weight.records.into(), Ordering::Relaxed);
    }

    /// Records that hold room.
    pub(super) fn records(&self) -> usize {
        to_usize(QUEUE_RECORDS).saturating_sub(self.room.records.available_permits())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // Whoever waits for room need not wait.
        self.room.records.close();
        self.room.bytes.close();
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::profile;
    use dtu_net::driver::transparent::{TransparentConfig, TransparentServer};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn room_is_held_until_it_is_released_and_who_waits_is_counted() {
        let (queue, mut intake) = new();
        for _ in 0..QUEUE_RECORDS {
            queue.send(Item::Missed(1)).await.unwrap();
        }
        let more = tokio::spawn({
            let queue = queue.clone();
            async move { queue.send(Item::Missed(2)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!((intake.records(), queue.pending()), (to_usize(QUEUE_RECORDS), u64::from(QUEUE_RECORDS) + 1));
        assert!(!more.is_finished());

        let first = intake.next().await.unwrap();
        tokio::task::yield_now().await;
        assert!(!more.is_finished(), "taken out is not committed");
        intake.release(first.weight);
        more.await.unwrap().unwrap();
        assert_eq!(queue.pending(), u64::from(QUEUE_RECORDS));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_when_the_keeper_is_gone() {
        let (queue, intake) = new();
        for _ in 0..QUEUE_RECORDS {
            queue.send(Item::Missed(1)).await.unwrap();
        }
        let more = tokio::spawn(async move { queue.send(Item::Missed(2)).await });
        tokio::task::yield_now().await;
        drop(intake);
        assert_eq!(more.await.unwrap(), Err(KeeperGone));
    }

    #[tokio::test]
    async fn a_frame_of_a_transparent_dtu_takes_room_by_its_bytes() {
        let frame = [0x01, 0x03, 0x02, 0x00, 0x01, 0x79, 0x84];
        let config = TransparentConfig::new(profile::load("plain").unwrap().profile);
        let loopback = "127.0.0.1:0".parse().unwrap();
        let mut server = TransparentServer::bind(loopback, config, CancellationToken::new()).unwrap();
        let mut unit = TcpStream::connect(server.local_addr()).await.unwrap();
        unit.write_all(b"REG:13800138000\r\n").await.unwrap();
        let session = server.accept().await.unwrap();
        unit.write_all(&frame).await.unwrap();
        let heard = session.recv().await.unwrap();
        assert_eq!(heard.frame.as_bytes()[..], frame);
        let item = Item::Unit(UnitItem::Heard { device: Arc::clone(session.device()), heard });
        assert_eq!(Weight::of(&item), Weight { records: 1, bytes: 7 });
    }
}
