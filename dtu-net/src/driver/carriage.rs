//! The future that carries a link over one stream of bytes.

use super::rota::Rota;
use super::shared::{Inner, Shared};
use super::turns::{Turn, Turns};
use crate::error::Cause;
use crate::event::Epoch;
use crate::link::Role;
use core::cell::RefCell;
use core::mem::{self, MaybeUninit};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    /// At a server: who sees to deadlines that are far away.
    rota: Option<Arc<Rota<R>>>,
    /// What the socket did not take yet.
    out: Vec<u8>,
    turns: Turns,
    /// The socket takes no more bytes, or gives none.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Role> Carriage<S, R> {
    pub(crate) fn new(stream: S, shared: Arc<Shared<R>>, epoch: Epoch, rota: Option<Arc<Rota<R>>>) -> Self {
        Self { stream, shared, epoch, rota, out: Vec::new(), turns: Turns::default(), broken: false }
    }

    /// The link, the stream, and whether its other end may still read.
    pub(crate) fn into_parts(self) -> (Arc<Shared<R>>, S, bool) {
        (self.shared, self.stream, !self.broken && self.out.is_empty())
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
        let (shared, epoch, mut turns) = (Arc::clone(&this.shared), this.epoch, mem::take(&mut this.turns));
        let rota = this.rota.take();
        let done = turns.poll(context, &shared, epoch, rota.as_deref(), |context, inner, now| {
            // What came while nobody looked comes before the verdict on silence. The second time there is mostly nothing, and
            // the socket is told to wake this task.
            let more = this.read(context, inner, now) && this.read(context, inner, now);
            if !more {
                inner.link.handle_timeout(now);
            }
            Turn { more, left: this.write(context, inner, now) }
        });
        (this.turns, this.rota) = (turns, rota);
        done
    }
}
