//! The future that carries the session of a unit over one connection.

use super::super::turns::Alarm;
use super::shared::{Inner, Shared};
use crate::error::Cause;
use crate::event::Epoch;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once. The buffer is the stack's, so that an idle connection holds none.
const READ: usize = 4 * 1024;

/// Ready when the connection is over.
pub(super) struct Carriage<S> {
    stream: S,
    shared: Arc<Shared>,
    epoch: Epoch,
    /// What the socket did not take yet. Nothing more is taken from the session before it has.
    out: Vec<u8>,
    alarm: Alarm,
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carriage<S> {
    pub(super) fn new(stream: S, shared: Arc<Shared>, epoch: Epoch) -> Self {
        Self { stream, shared, epoch, out: Vec::new(), alarm: Alarm::default(), broken: false }
    }

    /// The stream, unless it is broken.
    pub(super) fn into_stream(self) -> Option<S> {
        (!self.broken).then_some(self.stream)
    }

    /// Reads once. Returns whether there was something.
    fn read(&mut self, context: &mut Context<'_>, inner: &mut Inner, now: Instant) -> bool {
        if self.broken || !inner.session.is_live(self.epoch) {
            return false;
        }
        let mut bytes = [MaybeUninit::uninit(); READ];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut bytes) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if bytes.filled().is_empty() => {
                inner.session.handle_disconnected(self.epoch, now, Cause::Disconnected);
                true
            }
            Poll::Ready(Ok(())) => {
                inner.session.handle_bytes(self.epoch, now, bytes.filled());
                true
            }
            Poll::Ready(Err(error)) => self.break_off(inner, now, &error),
        }
    }

    fn break_off(&mut self, inner: &mut Inner, now: Instant, error: &io::Error) -> bool {
        (self.broken, self.out) = (true, Vec::new());
        inner.session.handle_disconnected(self.epoch, now, Cause::Transport(error.kind()));
        true
    }

    /// Writes what the socket takes.
    fn write(&mut self, context: &mut Context<'_>, inner: &mut Inner, now: Instant) {
        while !self.broken {
            if self.out.is_empty() && !inner.session.poll_transmit(self.epoch, now, &mut self.out) {
                self.out = Vec::new();
                return;
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.out) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) if !self.out.is_empty() => {
                    self.break_off(inner, now, &io::ErrorKind::WriteZero.into());
                }
                Poll::Ready(Ok(count)) => {
                    self.out.drain(..count);
                }
                Poll::Ready(Err(error)) => {
                    self.break_off(inner, now, &error);
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Carriage<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shared = Arc::clone(&this.shared);
        loop {
            let (more, is_live, deadline) = shared.task(|inner, now| {
                // What came while nobody looked comes before the verdict on silence. The second time there is mostly
                // nothing, and the socket is told to wake this task.
                let more = this.read(context, inner, now) && this.read(context, inner, now);
                if !more {
                    inner.session.handle_timeout(now);
                }
                this.write(context, inner, now);
                let is_live = inner.session.is_live(this.epoch);
                if is_live {
                    inner.sleep(context.waker());
                }
                (more, is_live, inner.session.poll_timeout())
            });
            if !is_live {
                return Poll::Ready(());
            }
            let rang = this.alarm.poll(context, deadline);
            if !more && !rang {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hub::Hub;
    use super::{Arc, Carriage, Cause, Context, Epoch, Pin, Shared};
    use crate::driver::now;
    use crate::line::{Matcher, Outcome, Request, TIMEOUT};
    use crate::transparent::{ProfileSpec, Reception, ReceptionEvent, Transparent};
    use core::future::poll_fn;
    use core::task::Waker;
    use core::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::oneshot;

    const READ: [u8; 8] = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
    const REPLY: [u8; 9] = [0x01, 0x03, 0x04, 0x00, 0x0A, 0x00, 0x0B, 0x9B, 0xF6];

    /// A session that is connected, and the outcome of the first of two requests to it.
    fn asked() -> (Arc<Shared>, Epoch, oneshot::Receiver<Outcome>) {
        let profile = Arc::new(ProfileSpec::new("modbus_rtu", "REG{id:digit*4};").build().expect("it is one"));
        let mut reception = Reception::new(Arc::clone(&profile), now());
        reception.handle_bytes(now(), b"REG0001;");
        let Some(ReceptionEvent::Identified(identified)) = reception.poll_event() else { panic!("it registers") };
        let shared = Shared::new(Transparent::new(profile, "0001".into(), 7, now()), Hub::new(1), now());
        let (epoch, outcome) = shared.task(|inner, at| {
            let epoch = inner.session.handle_identified(at, identified).expect("it is open");
            let matcher = Matcher::modbus_rtu(&READ).expect("it is a request");
            let ask = || Request::new(READ, matcher.clone()).deadline(Duration::from_secs(600));
            let first = inner.session.request(at, ask()).expect("there is room");
            inner.session.request(at, ask()).map(drop).expect("there is room");
            (epoch, inner.expect(first))
        });
        (shared, epoch, outcome)
    }

    /// Something is to leave, its turn has come, and the peer takes nothing: nothing rings until the next deadline.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_does_not_make_the_task_spin() {
        let (shared, epoch, outcome) = asked();
        let (near, _far) = tokio::io::duplex(3);
        let mut carriage = Carriage::new(near, Arc::clone(&shared), epoch);
        let mut turns = 0;
        poll_fn(|context| {
            turns += 1;
            assert!(turns < 20, "it spins");
            Pin::new(&mut carriage).poll(context)
        })
        .await;
        let last = shared.application(|inner| (inner.last.cause, false));
        assert!(matches!(last, Some(Cause::Silent { .. })), "{last:?}");
        assert_eq!(outcome.await, Ok(Outcome::TimedOut { attempts: 1 }));
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_came_while_nobody_looked_counts_before_the_timeout() {
        let (shared, epoch, outcome) = asked();
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let mut carriage = Carriage::new(near, shared, epoch);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut carriage).poll(&mut context).is_pending());
        far.write_all(&[&[0xFF; 5 * super::READ][..], &REPLY].concat()).await.expect("there is room");
        tokio::time::advance(TIMEOUT * 2).await;
        assert!(Pin::new(&mut carriage).poll(&mut context).is_pending());
        let outcome = outcome.await;
        assert!(matches!(outcome, Ok(Outcome::Replied(_))), "{outcome:?}");
    }
}
