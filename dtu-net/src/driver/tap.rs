//! What listens in on the connections of a server.
//!
//! A [`Tap`] sees what each read gave and each write took, as it was cut, inside TLS where there is TLS. Without one nothing is
//! called and nothing is asked: a connection with a tap is another type (`Tapped`), chosen when it is accepted.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Sees what comes and goes at a server. It is called on the tasks of the connections, in the middle of their work, and must not block.
pub trait Tap: Send + Sync {
    /// A connection of `peer` has come, and its TLS handshake is over, if it has one. Connections that are refused at the door for
    /// want of room are not seen.
    fn opened(&self, peer: SocketAddr, local: SocketAddr) -> Box<dyn Flow>;

    /// A datagram has come, or has been given to the system. `local` is what the server listens on, so its address may be the one that
    /// stands for all.
    fn datagram(&self, peer: SocketAddr, local: SocketAddr, way: Way, bytes: &[u8]);
}

/// Sees one connection. It is dropped when that is.
pub trait Flow: Send {
    /// A read gave these bytes, at least one, or a write took them.
    fn bytes(&mut self, way: Way, bytes: &[u8]);

    /// Nothing more will go this way.
    fn ended(&mut self, way: Way);

    /// The connection is broken.
    fn broken(&mut self);
}

/// Where to something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the device to the server.
    Up,
    /// From the server to the device.
    Down,
}

/// A stream with somebody who listens in.
pub(crate) struct Tapped<S> {
    stream: S,
    flow: Box<dyn Flow>,
    /// The end of what comes has been told.
    ended: bool,
}

impl<S> Tapped<S> {
    pub(crate) fn new(stream: S, flow: Box<dyn Flow>) -> Self {
        Self { stream, flow, ended: false }
    }

    fn judge<T>(&mut self, result: io::Result<T>) -> Poll<io::Result<T>> {
        if result.is_err() {
            self.flow.broken();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let result = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        match buffer.filled().get(before..).unwrap_or_default() {
            [] if room == 0 || this.ended => {}
            [] if result.is_ok() => {
                this.ended = true;
                this.flow.ended(Way::Up);
            }
            [] => {}
            bytes => this.flow.bytes(Way::Up, bytes),
        }
        this.judge(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        if let Ok(count @ 1..) = result {
            this.flow.bytes(Way::Down, bytes.get(..count).unwrap_or(bytes));
        }
        this.judge(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = ready!(Pin::new(&mut this.stream).poll_flush(context));
        this.judge(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = ready!(Pin::new(&mut this.stream).poll_shutdown(context));
        if result.is_ok() {
            this.flow.ended(Way::Down);
        }
        this.judge(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Bytes(Way, Vec<u8>),
        Ended(Way),
        Broken,
    }

    struct Log(Arc<Mutex<Vec<Seen>>>);

    impl Log {
        fn push(&self, seen: Seen) {
            self.0.lock().unwrap().push(seen);
        }
    }

    impl Flow for Log {
        fn bytes(&mut self, way: Way, bytes: &[u8]) {
            self.push(Seen::Bytes(way, bytes.to_vec()));
        }

        fn ended(&mut self, way: Way) {
            self.push(Seen::Ended(way));
        }

        fn broken(&mut self) {
            self.push(Seen::Broken);
        }
    }

    fn tapped<S>(stream: S) -> (Tapped<S>, Arc<Mutex<Vec<Seen>>>) {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        (Tapped::new(stream, Box::new(Log(Arc::clone(&seen)))), seen)
    }

    #[tokio::test]
    async fn each_read_and_each_write_is_seen_as_it_was_cut_and_each_end_once() {
        let (near, mut far) = tokio::io::duplex(4);
        let (mut near, seen) = tapped(near);
        far.write_all(b"abc").await.unwrap();
        let mut bytes = [0; 2];
        assert_eq!(near.read(&mut bytes).await.unwrap(), 2);
        assert_eq!(near.read(&mut bytes).await.unwrap(), 1);
        assert_eq!(near.write(b"0123456").await.unwrap(), 4, "the pipe is full");
        far.read_exact(&mut [0; 4]).await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut []).await.unwrap(), 0);
        for _ in 0..2 {
            assert_eq!(near.read(&mut bytes).await.unwrap(), 0);
        }
        near.shutdown().await.unwrap();
        let expected = [
            Seen::Bytes(Way::Up, b"ab".into()),
            Seen::Bytes(Way::Up, b"c".into()),
            Seen::Bytes(Way::Down, b"0123".into()),
            Seen::Ended(Way::Up),
            Seen::Ended(Way::Down),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn what_breaks_is_seen() {
        let (near, far) = tokio::io::duplex(4);
        drop(far);
        let (mut near, seen) = tapped(near);
        assert!(near.write(b"a").await.is_err());
        assert_eq!(*seen.lock().unwrap(), [Seen::Broken]);
    }
}
