//! A driver of one's own, without tokio: a device on a blocking socket. It sends what comes on stdin, line by line, and
//! shows the whole loop around the machine. Run it beside the example `server`:
//!
//! ```sh
//! printf 'one\ntwo\n' | cargo run -p dtu-net --example own_driver
//! ```

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use dtu_net::{Carrier, Cause, Device, DeviceConfig, Epoch, Event, Link, Outcome, Outgoing, State};
use dtu_proto::message::CloseCode;
use std::hash::RandomState;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const SERVER: &str = "127.0.0.1:55125";

/// A socket read waits no longer, so that the clock is looked at.
const TICK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "a driver is what gives the machine its time")]
fn now() -> Instant {
    Instant::now()
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    // Random numbers, by what std has for its maps: two runs must never have the same stream.
    let [stream, seed] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
    let mut link: Link<Device> = Link::device(DeviceConfig::new("meter-8")?, stream.max(1), seed, now());
    for line in io::stdin().lock().lines() {
        link.send(Outgoing::new(0, line?))?;
    }
    link.close(now(), CloseCode::DONE, "", Duration::from_secs(30));

    let mut socket: Option<(TcpStream, Epoch)> = None;
    while link.state() != State::Closed {
        // Time first: it may want a connection.
        link.handle_timeout(now());
        if let Some(epoch) = link.poll_connect() {
            match TcpStream::connect(SERVER) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(TICK))?;
                    link.handle_connected(epoch, now(), Carrier::Stream);
                    socket = Some((stream, epoch));
                }
                Err(error) => link.handle_disconnected(epoch, now(), Cause::Transport(error.kind())),
            }
        }
        // The drain rule: bytes, events, and what was received, until there is nothing more.
        if let Some((stream, epoch)) = &mut socket {
            send(&mut link, stream, *epoch);
        }
        while let Some(event) = link.poll_event() {
            tell(&event);
        }
        while let Some(received) = link.poll_received() {
            println!("received {received:?}");
            link.commit(received.mark())?;
        }
        // Then wait for bytes, as long as the machine wants any and nothing else is due.
        match &mut socket {
            Some((stream, epoch)) if link.is_live(*epoch) => receive(&mut link, stream, *epoch),
            _ => {
                socket = None;
                let due = link.poll_timeout().map_or(TICK, |(at, _)| at.saturating_duration_since(now()));
                std::thread::sleep(due.min(TICK));
            }
        }
    }
    if let Some((stream, epoch)) = &mut socket {
        send(&mut link, stream, *epoch);
    }
    while let Some(event) = link.poll_event() {
        tell(&event);
    }
    println!("{:?}", link.counters().ledger);
    Ok(())
}

fn send(link: &mut Link<Device>, stream: &mut TcpStream, epoch: Epoch) {
    let mut out = Vec::new();
    while link.poll_transmit(epoch, now(), &mut out) {
        if let Err(error) = stream.write_all(&out) {
            link.handle_disconnected(epoch, now(), Cause::Transport(error.kind()));
        }
        out.clear();
    }
}

fn receive(link: &mut Link<Device>, stream: &mut TcpStream, epoch: Epoch) {
    let mut bytes = [0; 4096];
    if !link.wants_bytes() {
        return;
    }
    match stream.read(&mut bytes) {
        Ok(0) => link.handle_disconnected(epoch, now(), Cause::Disconnected),
        Ok(count) => link.handle_bytes(epoch, now(), bytes.get(..count).unwrap_or_default()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
        Err(error) => link.handle_disconnected(epoch, now(), Cause::Transport(error.kind())),
    }
}

fn tell(event: &Event) {
    match event {
        Event::State(change) => println!("{}", change.state.name()),
        Event::Settled { first, count, outcome: Outcome::Acked } => println!("{count} acknowledged from {first} on"),
        other @ (Event::Resumed(_) | Event::Settled { .. } | Event::Skipped { .. } | _) => println!("{other:?}"),
    }
}
