//! The loop that carries one machine over one socket.

use super::now;
use super::session::{Inbox, Outgoing, Pending};
use crate::event::Event;
use crate::link::{Link, Role};
use bytes::{Buf, Bytes};
use core::future::{pending, poll_fn};
use core::pin::Pin;
use dtu_proto::message::{CloseCode, Reason};
use std::io;
use std::time::Instant;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// One connection while it lives.
pub(crate) struct Connection<R> {
    socket: TcpStream,
    link: Link<R>,
    inbox: Inbox,
    /// Bytes on their way out.
    outbound: Bytes,
    /// The peer will send no more, or the transport is broken.
    at_end: bool,
}

impl<R: Role> Connection<R> {
    pub(crate) fn new(socket: TcpStream, link: Link<R>, inbox: Inbox) -> Self {
        Self { socket, link, inbox, outbound: Bytes::new(), at_end: false }
    }

    /// Runs until the link has ended, every event is handed over and the last bytes have left, or had their time.
    ///
    /// `translate` sees each event before the application does, with the machine in hand; what it makes of it goes to
    /// `events`. When `events` is dropped the link is closed: nobody could take responsibility any more.
    pub(crate) async fn run<E>(
        mut self,
        events: mpsc::Sender<E>,
        cancel: CancellationToken,
        mut translate: impl FnMut(&mut Link<R>, Event) -> E,
    ) {
        let mut waiting = None;
        let mut abandoned = false;
        let mut alarm = Alarm::default();
        loop {
            while waiting.is_none()
                && let Some(event) = self.link.poll_event()
            {
                let event = translate(&mut self.link, event);
                waiting = (!abandoned).then_some(event);
            }
            self.write();
            if waiting.is_none() && self.link.is_ended() {
                break;
            }
            // While the application is behind, nothing is read, and silence is not the peer's fault.
            let reads = waiting.is_none() && !self.at_end;
            let deadline = self.link.poll_timeout().filter(|_| reads).map(|(deadline, _)| deadline);
            tokio::select! {
                ready = Self::ready(&self.socket, reads, !self.outbound.is_empty()) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => self.read(),
                    Ok(_) => {}
                    Err(error) => self.broken(&error),
                },
                () = alarm.ring(deadline) => {
                    // What came while nothing was read comes before the verdict on silence.
                    self.read();
                    self.link.handle_timeout(now());
                }
                wishes = self.inbox.wishes.granted() => self.grant(wishes),
                Some(Outgoing { channel, body }) = self.inbox.outbox.recv(), if self.link.can_send() => {
                    let sent = self.link.send(now(), channel, &body);
                    sent.expect("the length was checked by the sender, and the machine says that it can send");
                }
                Ok(permit) = events.reserve(), if waiting.is_some() => {
                    if let Some(event) = waiting.take() {
                        permit.send(event);
                    }
                }
                () = events.closed(), if !abandoned => {
                    abandoned = true;
                    waiting = None;
                    let wishes = self.inbox.wishes.take();
                    self.grant(wishes);
                    self.link.close(CloseCode::GOING_DOWN, Reason::EMPTY);
                }
                () = cancel.cancelled(), if !self.link.is_ended() => {
                    // What was committed before is still acknowledged.
                    let wishes = self.inbox.wishes.take();
                    self.grant(wishes);
                    self.link.close(CloseCode::GOING_DOWN, Reason::EMPTY);
                }
            }
        }
        self.linger().await;
    }

    /// Waits until the socket can be read or written, as far as that is wanted.
    async fn ready(socket: &TcpStream, reads: bool, writes: bool) -> io::Result<tokio::io::Ready> {
        match (reads, writes) {
            (true, true) => socket.ready(Interest::READABLE | Interest::WRITABLE).await,
            (true, false) => socket.ready(Interest::READABLE).await,
            (false, true) => socket.ready(Interest::WRITABLE).await,
            (false, false) => pending().await,
        }
    }

    /// Reads once, without waiting.
    fn read(&mut self) {
        if self.at_end || self.link.is_ended() {
            return;
        }
        match self.socket.try_read(self.link.spare_capacity_mut()) {
            Ok(0) => {
                self.at_end = true;
                self.link.handle_disconnected(now(), None);
            }
            Ok(count) => self.link.handle_received(now(), count),
            Err(error) if is_transient(&error) => self.link.handle_received(now(), 0),
            Err(error) => self.broken(&error),
        }
    }

    /// Writes what can be written without waiting.
    fn write(&mut self) {
        loop {
            if self.outbound.is_empty() {
                let Some(bytes) = self.link.poll_transmit() else { return };
                self.outbound = bytes;
            }
            match self.socket.try_write(&self.outbound) {
                Ok(count) => self.outbound.advance(count),
                Err(error) if is_transient(&error) => return,
                Err(error) => {
                    self.outbound = Bytes::new();
                    return self.broken(&error);
                }
            }
        }
    }

    fn broken(&mut self, error: &io::Error) {
        self.at_end = true;
        self.link.handle_disconnected(now(), Some(error.kind()));
    }

    fn grant(&mut self, wishes: Pending) {
        if let Some(next) = wishes.commit {
            // A number that was never delivered is the application's mistake. It costs the acknowledgement, so it is seen.
            let taken = self.link.commit(next);
            debug_assert_eq!(taken, Ok(()));
        }
        if let Some((code, reason)) = wishes.close {
            self.link.close(code, Reason::new(&reason).unwrap_or(Reason::EMPTY));
        }
    }

    /// Sends the last bytes and waits for the peer to close, within the limit: a socket closed over unread bytes resets
    /// the connection, and with it what the peer has not read yet.
    async fn linger(mut self) {
        let limit = self.link.limits().linger;
        let farewell = async {
            self.write();
            while !self.outbound.is_empty() && !self.at_end {
                if self.socket.writable().await.is_err() {
                    return;
                }
                self.write();
            }
            let shutdown = poll_fn(|context| Pin::new(&mut self.socket).poll_shutdown(context));
            if self.at_end || shutdown.await.is_err() {
                return;
            }
            while self.socket.readable().await.is_ok() && discard(&self.socket) {}
        };
        // Out of time means that the peer neither reads nor closes; the socket is dropped all the same.
        let _out_of_time = tokio::time::timeout(limit, farewell).await;
    }
}

/// Reads and drops what is there. Returns whether more may come.
fn discard(socket: &TcpStream) -> bool {
    let mut bytes = [0; 1024];
    match socket.try_read(&mut bytes) {
        Ok(count) => count > 0,
        Err(error) => is_transient(&error),
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The one timer of a connection. It is set again only when it has to ring earlier, or has rung.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Waits until `deadline`; for ever without one.
    async fn ring(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return pending().await };
        let deadline = deadline.into();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            sleep.as_mut().await;
            if sleep.deadline() >= deadline {
                return;
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
