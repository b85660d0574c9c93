//! The tasks that feed the sinks: one for each session, and one for the events of the server.

use crate::fleet::{Fleet, Seat};
use crate::sink::{HAND_OVER, Item, Queue};
use core::time::Duration;
use dtu_net::driver::{LinkEvent, Session};
use dtu_proto::message::CloseCode;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

/// Hands over what the device of a session sends, until the session is closed. After `stopping` nothing more is taken;
/// what was taken is kept and acknowledged, and then the session is closed.
pub(crate) async fn carry(session: Session, queue: Queue, seat: Seat, stopping: CancellationToken) {
    loop {
        // Without room as long as nothing comes: most sessions are idle.
        let mut received = Vec::new();
        let count = tokio::select! {
            count = session.recv_many(&mut received, HAND_OVER) => count,
            () = stopping.cancelled() => {
                let (done, flushed) = oneshot::channel();
                if queue.send(Item::Flush(done)).await.is_err() || flushed.await.is_err() {
                    return;
                }
                session.close(CloseCode::GOING_DOWN, "", Duration::ZERO);
                break;
            }
        };
        if count == 0 {
            break;
        }
        seat.received(&received);
        // A keeper that is gone takes no responsibility: the session ends with this hand.
        if queue.send(Item::Received { session: session.clone(), received }).await.is_err() {
            return;
        }
    }
    let change = session.closed().await;
    let _gone = queue.send(Item::Closed { session, change }).await;
}

/// Hands over the events of a server until `ended`, and says how many of them were missed.
pub(crate) async fn tell(
    mut events: broadcast::Receiver<LinkEvent>,
    queue: Queue,
    fleet: Arc<Fleet>,
    ended: CancellationToken,
) -> u64 {
    let mut missed = 0;
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = ended.cancelled() => return missed,
        };
        let item = match event {
            Ok(event) => {
                fleet.handle_link(&event);
                Item::Told(event)
            }
            Err(RecvError::Lagged(count)) => {
                missed += count;
                Item::Missed(count)
            }
            Err(RecvError::Closed) => return missed,
        };
        if queue.send(item).await.is_err() {
            return missed;
        }
    }
}
