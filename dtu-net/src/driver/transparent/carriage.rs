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
