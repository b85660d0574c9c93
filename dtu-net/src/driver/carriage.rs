//! The future that carries a link over one stream of bytes.

use super::now;
use super::shared::{Inner, Shared};
use crate::error::Cause;
use crate::event::Epoch;
use crate::link::Role;
use core::cell::RefCell;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

/// Bytes that are read at once. The buffer is the stack's, so that an idle connection holds none.
const READ: usize = 16 * 1024;

thread_local! {
    /// What leaves is put together here; only what the socket does not take is kept with the connection.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Ready when the connection is over and its last words are with the socket, or the socket is broken.
pub(crate) struct Carriage<S, R> {
    stream: S,
    shared: Arc<Shared<R>>,
    epoch: Epoch,
    /// What the socket did not take yet.
    out: Vec<u8>,
    alarm: Alarm,
    /// The socket takes no more bytes, or gives none.
    broken: bool,
    /// When the connection is over: until when its last words may leave.
    leave_by: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Role> Carriage<S, R> {
    pub(crate) fn new(stream: S, shared: Arc<Shared<R>>, epoch: Epoch) -> Self {
        Self { stream, shared, epoch, out: Vec::new(), alarm: Alarm::default(), broken: false, leave_by: None }
    }

    /// The stream, and whether its other end may still read.
    pub(crate) fn into_stream(self) -> (S, bool) {
        (self.stream, !self.broken)
    }

    /// Reads once. Returns whether there was something.
    fn read(&mut self, context: &mut Context<'_>, inner: &mut Inner<R>, now: Instant) -> bool {
        if self.broken || !inner.link.is_live(self.epoch) || !inner.link.wants_bytes() {
            return false;
        }
        let mut bytes = [MaybeUninit::uninit(); READ];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut bytes) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if bytes.filled().is_empty() => {
                inner.link.handle_disconnected(self.epoch, now, Cause::Disconnected);
                true
            }
            Poll::Ready(Ok(())) => {
                inner.link.handle_bytes(self.epoch, now, bytes.filled());
                true
            }
            Poll::Ready(Err(error)) => self.break_off(inner, now, &error),
        }
    }

    fn break_off(&mut self, inner: &mut Inner<R>, now: Instant, error: &io::Error) -> bool {
        self.broken = true;
        self.out = Vec::new();
        inner.link.handle_disconnected(self.epoch, now, Cause::Transport(error.kind()));
        true
    }

    /// Writes what the socket takes. Returns whether everything has left.
    fn write(&mut self, context: &mut Context<'_>, inner: &mut Inner<R>, now: Instant) -> bool {
        while !self.broken {
            let written = if self.out.is_empty() {
                OUT.with_borrow_mut(|out| {
                    out.clear();
                    if !inner.link.poll_transmit(self.epoch, now, out) {
                        return None;
                    }
                    let written = Pin::new(&mut self.stream).poll_write(context, out);
                    let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
                    self.out.extend_from_slice(out.get(count..).unwrap_or_default());
                    Some(written)
                })
            } else {
                let written = Pin::new(&mut self.stream).poll_write(context, &self.out);
                if let Poll::Ready(Ok(count)) = written {
                    self.out.drain(..count);
                }
                Some(written)
            };
            match written {
                None => return self.flush(context, inner, now),
                Some(Poll::Pending) => return false,
                Some(Poll::Ready(Ok(0))) => {
                    self.break_off(inner, now, &io::ErrorKind::WriteZero.into());
                }
                Some(Poll::Ready(Ok(_))) if self.out.is_empty() => self.out = Vec::new(),
                Some(Poll::Ready(Ok(_))) => {}
                Some(Poll::Ready(Err(error))) => {
                    self.break_off(inner, now, &error);
                }
            }
        }
        true
    }

    fn flush(&mut self, context: &mut Context<'_>, inner: &mut Inner<R>, now: Instant) -> bool {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => self.break_off(inner, now, &error),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Role> Future for Carriage<S, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shared = Arc::clone(&this.shared);
        loop {
            // What came while nobody looked comes before the verdict on silence.
            let (more, over, deadline) = shared.task(|inner, now| {
                // The second time there is mostly nothing, and the socket is told to wake this task.
                let more = this.read(context, inner, now) && this.read(context, inner, now);
                if !more {
                    inner.link.handle_timeout(now);
                }
                let written = this.write(context, inner, now);
                let live = inner.link.is_live(this.epoch);
                if live {
                    inner.sleep(context.waker());
                    return (more, false, inner.link.poll_timeout().map(|(deadline, _)| deadline));
                }
                // A peer that takes nothing does not hold the connection for ever.
                let leave_by = *this.leave_by.get_or_insert(now + inner.link.limits().linger);
                this.broken |= leave_by <= now;
                (more, written || this.broken, Some(leave_by))
            });
            if over {
                return Poll::Ready(());
            }
            let rang = this.alarm.poll(context, deadline);
            if !more && !rang {
                return Poll::Pending;
            }
        }
    }
}

/// The one timer of a connection. It is set again only when it has to ring earlier, or has rung.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Returns whether `deadline` has come; otherwise the task is woken then.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline || deadline.into_std() <= now() {
                // It has rung: it is set anew for the next deadline.
                self.sleep = None;
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}
