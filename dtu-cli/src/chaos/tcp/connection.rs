//! One TCP connection through the proxy: one task, two sockets, two pipes.

use super::pipe::{Output, Pipe};
use crate::chaos::counters::Flow;
use crate::chaos::draw::Direction;
use crate::chaos::proxy::Setup;
use crate::chaos::schedule::{Farewell, Moment, Schedule, Side, Told, until};
use core::time::Duration;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The most bytes that one read takes. The memory is given back when they are out.
pub(super) const CHUNK: usize = 16 * 1024;

/// A connection whose upstream answered.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) client: TcpStream,
    pub(super) upstream: TcpStream,
    pub(super) setup: Setup,
}

/// Why a connection no longer passes bytes.
enum End {
    /// Both directions came to their end.
    Finished,
    /// A socket failed.
    Broken,
    /// The plan says so.
    Cut,
    /// The proxy ends.
    Cancelled,
}

/// Where the writing of one direction stands.
enum Written {
    /// The socket takes no more.
    Blocked,
    /// There is more at this time.
    Until(Instant),
    /// All that there was went out.
    All,
}

impl Connection {
    /// Carries the connection to its end.
    pub(super) async fn run(self) {
        let Self { number, mut client, mut upstream, setup: Setup { plan, counters, cancel, .. } } = self;
        let now = Instant::now();
        let mut schedule = Schedule::new(&plan, number, now);
        let [mut up, mut down] =
            [Direction::Up, Direction::Down].map(|direction| Pipe::new(&plan, number, direction, now));
        let [up_flow, down_flow] = [Direction::Up, Direction::Down].map(|direction| counters.flow(direction));
        let end = loop {
            // A link that always has something to do shares its thread.
            tokio::task::coop::consume_budget().await;
            let now = Instant::now();
            match schedule.poll(now) {
                Moment::Cut => break End::Cut,
                Moment::Stalled { begins } => {
                    counters.links.stalls.add(usize::from(begins));
                    tokio::select! {
                        () = cancel.cancelled() => break End::Cancelled,
                        () = until(schedule.next()) => continue,
                    }
                }
                Moment::Passing => {}
            }
            let Ok(up_written) = write(&mut up, &mut upstream, up_flow, now).await else { break End::Broken };
            let Ok(down_written) = write(&mut down, &mut client, down_flow, now).await else { break End::Broken };
            if up.has_ended() && down.has_ended() {
                break End::Finished;
            }
            let next = [schedule.next(), up_written.until(), down_written.until()].into_iter().flatten().min();
            let outcome = tokio::select! {
                () = cancel.cancelled() => break End::Cancelled,
                () = until(next) => Ok(()),
                ready = client.readable(), if up.is_reading() => ready.and_then(|()| read(&mut up, &client, up_flow)),
                ready = upstream.readable(), if down.is_reading() => {
                    ready.and_then(|()| read(&mut down, &upstream, down_flow))
                }
                ready = upstream.writable(), if up_written.is_blocked() => ready,
                ready = client.writable(), if down_written.is_blocked() => ready,
            };
            if outcome.is_err() {
                break End::Broken;
            }
        };
        up_flow.bytes.discarded.add(up.clear());
        down_flow.bytes.discarded.add(down.clear());
        match end {
            End::Finished => {}
            End::Broken => {
                counters.links.broken.add(1);
                say(Farewell::Reset, client).await;
                say(Farewell::Reset, upstream).await;
            }
            End::Cancelled => {
                say(Farewell::Finish, client).await;
                say(Farewell::Finish, upstream).await;
            }
            End::Cut => {
                counters.links.cuts.add(1);
                let cut = schedule.draw_cut(number, plan.half_open);
                match cut.told {
                    Told::Both => {
                        say(cut.how, client).await;
                        say(cut.how, upstream).await;
                    }
                    Told::Only { side, length } => {
                        counters.links.half_open.add(1);
                        let (told, other, flow) = match side {
                            Side::Client => (client, upstream, down_flow),
                            Side::Upstream => (upstream, client, up_flow),
                        };
                        say(cut.how, told).await;
                        swallow(other, length, flow, &cancel).await;
                    }
                }
            }
        }
    }
}

impl Written {
    const fn until(&self) -> Option<Instant> {
        match self {
            Self::Until(time) => Some(*time),
            Self::Blocked | Self::All => None,
        }
    }

    const fn is_blocked(&self) -> bool {
        matches!(self, Self::Blocked)
    }
}

/// Reads a chunk into the pipe, if there is one.
fn read(pipe: &mut Pipe, from: &TcpStream, flow: &Flow) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    match from.try_read_buf(&mut chunk) {
        Ok(0) => pipe.push_end(Instant::now()),
        Ok(count) => {
            flow.bytes.read.add(count);
            flow.damaged(pipe.push(Instant::now(), chunk));
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Writes what the pipe has to give, until it has no more or the socket takes no more.
async fn write(pipe: &mut Pipe, to: &mut TcpStream, flow: &Flow, now: Instant) -> io::Result<Written> {
    loop {
        let written = match pipe.poll(now) {
            Output::Bytes(bytes) => to.try_write(bytes),
            Output::End => {
                to.shutdown().await?;
                continue;
            }
            Output::Wait(time) => return Ok(Written::Until(time)),
            Output::Nothing => return Ok(Written::All),
        };
        match written {
            Ok(count) => {
                flow.bytes.passed.add(count);
                pipe.passed(now, count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
            Err(error) => return Err(error),
        }
    }
}

/// Ends a connection. Its peer may be gone already, and then there is nobody to tell.
pub(super) async fn say(farewell: Farewell, mut socket: TcpStream) {
    let _untold = match farewell {
        Farewell::Reset => socket.set_zero_linger(),
        Farewell::Finish => socket.shutdown().await,
    };
}

/// Keeps a half-open link: reads and tells nothing, until the peer closes or `length` is over; then resets it.
async fn swallow(socket: TcpStream, length: Duration, flow: &Flow, cancel: &CancellationToken) {
    let end = sleep_until(Instant::now() + length);
    tokio::pin!(end);
    let mut chunk = Vec::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = &mut end => break,
            ready = socket.readable() => if ready.is_err() { break },
        }
        chunk.clear();
        chunk.reserve_exact(CHUNK);
        match socket.try_read_buf(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                flow.bytes.read.add(count);
                flow.bytes.discarded.add(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    say(Farewell::Reset, socket).await;
}
