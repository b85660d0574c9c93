//! The tasks that feed the sinks: one for each session, and one for the events of the server.

use crate::fleet::{Fleet, NativeSeat};
use crate::gateway::Feed;
use crate::sink::{HAND_OVER, Item, Queue};
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use dtu_net::driver::{LinkEvent, Session};
use dtu_proto::message::CloseCode;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

/// Hands over what the device of a session sends, until the session is closed. After `stopping` nothing more is taken;
/// what was taken is kept and acknowledged, and then the session is closed.
///
/// There is one for each session, and most of them wait, so what is long and happens seldom is on the heap.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep its arguments twice")]
pub(crate) fn carry(seat: NativeSeat, feed: Arc<Feed>) -> impl Future<Output = ()> + Send {
    async move {
        loop {
            let is_there = {
                let (ready, stopped) = (pin!(seat.session().ready()), pin!(feed.stopping.cancelled()));
                first(ready, stopped).await
            };
            match is_there {
                Some(true) => {}
                Some(false) => break,
                None if Box::pin(flush(seat.session(), &feed.queue)).await => break,
                None => return,
            }
            let mut received = Vec::new();
            if seat.session().try_recv_many(&mut received, HAND_OVER) > 0 {
                seat.received(&received);
                let item = Item::Received { session: seat.session().clone(), received };
                // A keeper that is gone takes no responsibility: the session ends with this hand.
                if Box::pin(feed.queue.send(item)).await.is_err() {
                    return;
                }
            }
        }
        Box::pin(async {
            let session = seat.session();
            let change = session.closed().await;
            let _gone = feed.queue.send(Item::Closed { session: session.clone(), change }).await;
        })
        .await;
    }
}

/// What `ready` gives; `None` once `stopped` is over: a device that never pauses must not keep its session from ending.
fn first<T>(
    mut ready: Pin<&mut impl Future<Output = T>>,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = Option<T>> {
    poll_fn(move |context| match stopped.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => ready.as_mut().poll(context).map(Some),
    })
}

/// Has kept what was handed over, and closes the session. Returns whether there was somebody to keep it.
async fn flush(session: &Session, queue: &Queue) -> bool {
    let (done, flushed) = oneshot::channel();
    if queue.send(Item::Flush(done)).await.is_err() || flushed.await.is_err() {
        return false;
    }
    session.close(CloseCode::GOING_DOWN, "", Duration::ZERO);
    true
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

#[cfg(test)]
mod tests {
    use super::{Arc, Feed, NativeSeat, carry};

    /// With it and the 112 bytes of the runtime, the task takes two blocks of 128 bytes.
    const CARRY: usize = 144;

    #[test]
    fn the_task_of_an_idle_session_takes_few_bytes() {
        let size = size_of_future(carry);
        println!("carry: {size} bytes, at most {CARRY}");
        assert!(size <= CARRY, "{size} bytes");
    }

    fn size_of_future<F>(_: impl FnOnce(NativeSeat, Arc<Feed>) -> F) -> usize {
        size_of::<F>()
    }
}
