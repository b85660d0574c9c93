//! A serial line behind a native device while somebody awaits replies on it: what is asked goes down as DATA of its channel, and what
//! comes on that channel is looked through for the reply.
//!
//! The machine is [`dtu_net::line::Line`]. Whoever brings DATA hands it in; a task of its own keeps the times and sends, and ends when
//! nobody waits any more and no late reply could be mistaken.

use super::device::Device;
use super::time::Millis;
use crate::request::framing::{LineFraming, raw_length};
use bytes::Bytes;
use core::time::Duration;
use dtu_net::driver::Session;
use dtu_net::driver::transparent::Unanswered;
use dtu_net::line::{Line, LineEvent, LineLimits, Outcome, Reply, Request, RequestError, RequestId};
use dtu_net::transparent::SharedFraming;
use dtu_net::{Outgoing, State};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep_until;

/// How long a line without a deadline sleeps.
const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Serial {
    channel: u8,
    is_raw: bool,
    state: Mutex<Work>,
    /// There is something for the task to do.
    wake: Notify,
}

struct Work {
    line: Line<SharedFraming>,
    waiting: HashMap<RequestId, Asker>,
    limits: LineLimits,
    /// A late reply could be mistaken until then.
    doubtful_until: Option<Instant>,
    /// The task has ended: another line takes what is asked now.
    is_over: bool,
}

/// Who waits for a reply.
struct Asker {
    outcome: oneshot::Sender<Outcome>,
    timeout: Duration,
}

impl core::fmt::Debug for Serial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Serial").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// The line takes nothing any more.
#[derive(Debug)]
pub(super) struct Over;

impl Serial {
    pub(super) fn new(channel: u8, framing: &LineFraming, queue: usize, seed: u64, now: Instant) -> Self {
        let mut limits = LineLimits::default();
        limits.queue = queue;
        let mut line = Line::new(framing.framing.clone(), limits, seed);
        // A session goes on over its connections, and what it was given with it.
        line.handle_connected(now);
        let work = Work { line, waiting: HashMap::new(), limits, doubtful_until: None, is_over: false };
        Self { channel, is_raw: framing.is_raw, state: Mutex::new(work), wake: Notify::new() }
    }

    pub(super) const fn channel(&self) -> u8 {
        self.channel
    }

    /// What came on the channel.
    pub(super) fn handle_bytes(&self, bytes: &[u8]) {
        let now = Instant::now();
        let mut work = self.work();
        if self.is_raw {
            work.line.handle_bytes(now, &raw_length(bytes));
        }
        work.line.handle_bytes(now, bytes);
        work.settle(now);
        drop(work);
        self.wake.notify_one();
    }

    /// Asks the line, and waits for the reply. A future that is dropped before it is ready cancels the request.
    ///
    /// # Errors
    /// [`Over`] when the line has just ended: ask another one.
    pub(super) async fn ask(&self, request: Request, timeout: Duration) -> Result<Result<Reply, Unanswered>, Over> {
        let (id, outcome) = {
            let mut work = self.work();
            if work.is_over {
                return Err(Over);
            }
            match work.line.request(Instant::now(), request) {
                Ok(id) => {
                    let (sender, outcome) = oneshot::channel();
                    work.waiting.insert(id, Asker { outcome: sender, timeout });
                    (id, outcome)
                }
                Err(error) => {
                    // It has no number, so nothing settles it.
                    metrics::counter!("dtu_requests_total", "outcome" => error.name()).increment(1);
                    return Ok(Err(Unanswered::Refused(error)));
                }
            }
        };
        self.wake.notify_one();
        let cancelling = Cancelling { line: self, id };
        let outcome = outcome.await;
        drop(cancelling);
        Ok(Unanswered::or_reply(outcome.unwrap_or(Outcome::LineGone)))
    }

    /// Keeps the times of the line and sends, until nobody needs it. Then it is no line of the device any more.
    pub(super) async fn run(self: Arc<Self>, session: Session, device: Arc<Device>) {
        let (mut watch, mut state) = (session.watch(), session.state().state);
        loop {
            let now = Instant::now();
            let Some((request, deadline)) = self.turn(now, state, &device) else { break };
            if let Some((body, expiry)) = request {
                let outgoing = Outgoing { deadline: expiry, ..Outgoing::new(self.channel, body.clone()) };
                let sent = session.try_send(outgoing);
                match sent {
                    Ok(_receipt) => device.sent(Millis::now(), self.channel, &body),
                    Err(_closed_or_full) => self.failed(now),
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                change = watch.changed() => state = change.state,
                () = sleep_until(deadline.unwrap_or(now + IDLE).into()) => {}
            }
        }
    }

    /// Does what is due. Returns what leaves now, with the time until which it is of use, and when to look again; `None` at the end.
    #[expect(clippy::type_complexity, reason = "it is taken apart where it is returned")]
    fn turn(
        self: &Arc<Self>,
        now: Instant,
        state: State,
        device: &Device,
    ) -> Option<(Option<(Bytes, Option<Instant>)>, Option<Instant>)> {
        let mut work = self.work();
        if state == State::Closed {
            work.line.close(now);
        }
        work.line.handle_timeout(now);
        let mut out = Vec::new();
        let is_sent = state.is_up() && work.line.poll_transmit(now, &mut out);
        work.settle(now);
        let deadline = work.line.poll_timeout().map(|(at, _)| at);
        let doubtful_until = work.doubtful_until.filter(|until| *until > now);
        if state == State::Closed || !work.line.is_busy() && doubtful_until.is_none() && !is_sent {
            work.is_over = true;
            drop(work);
            device.close_line(self);
            return None;
        }
        // It is of no use to anybody when its time is up, and might do harm then.
        let expiry = work.line.reply_until();
        Some((is_sent.then(|| (out.into(), expiry)), deadline.into_iter().chain(doubtful_until).min()))
    }

    /// What was to leave did not.
    fn failed(&self, now: Instant) {
        let mut work = self.work();
        work.line.handle_disconnected(now);
        work.line.handle_connected(now);
        work.settle(now);
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Tells what has become of requests.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.line.poll_event() {
            // The rest goes into the sinks as what it is: DATA.
            let LineEvent::Settled { id, outcome } = event else { continue };
            let Some(Asker { outcome: sender, timeout }) = self.waiting.remove(&id) else { continue };
            if !matches!(outcome, Outcome::Replied(_) | Outcome::Expired) {
                let until = now + timeout + self.limits.quarantine + self.limits.suspicion;
                self.doubtful_until = self.doubtful_until.max(Some(until));
            }
            metrics::counter!("dtu_requests_total", "outcome" => outcome.name()).increment(1);
            // Whoever asked may be gone.
            let _unheard = sender.send(outcome);
        }
    }
}

struct Cancelling<'a> {
    line: &'a Serial,
    id: RequestId,
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut work = self.line.work();
        if work.line.cancel(now, self.id) {
            work.settle(now);
            drop(work);
            self.line.wake.notify_one();
        }
    }
}

/// A request that no line has taken, as its error.
pub(super) const fn too_long(len: usize, limit: usize) -> Unanswered {
    Unanswered::Refused(RequestError::Length { len, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::framing;
    use core::pin::pin;
    use core::task::{Context, Waker};
    use dtu_net::line::Matcher;

    #[test]
    fn what_is_sent_is_of_use_no_longer_than_its_own_reply_is_awaited() {
        let now = Instant::now();
        let line = Arc::new(Serial::new(0, &framing::load("modbus_rtu").unwrap(), 8, 7, now));
        let (device, mut context) = (Device::played("a"), Context::from_waker(Waker::noop()));
        let [short, long] = [1, 600].map(Duration::from_secs);
        let ask = |timeout| line.ask(Request::new(b"a", Matcher::by(|_| true)).timeout(timeout), timeout);
        let (mut first, mut second) = (pin!(ask(short)), pin!(ask(long)));
        assert!(first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
        let (request, _) = line.turn(now, State::Connected, &device).unwrap();
        assert_eq!(request, Some((Bytes::from_static(b"a"), Some(now + short))));
    }
}
