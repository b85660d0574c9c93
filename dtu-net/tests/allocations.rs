//! What a link allocates, counted by an allocator that counts: nothing for signs of life, and nothing that stays when the
//! link is idle.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use allocation_counter::measure;
use core::time::Duration;
use dtu_net::breaker::{Breaker, BreakerConfig, FailureRate};
use dtu_net::{Carrier, Device, DeviceConfig, Epoch, Handshake, Limits, Link, Outgoing, Server};
use dtu_proto::{Message, Native};
use std::sync::Arc;
use std::time::Instant;

/// The bytes of a server's link, of which a server has one for each device.
const LINK: usize = 376;

/// The bytes that a side of a link keeps besides from its first DATA on.
const BOOKS: i64 = 208;

const ROUNDS: u32 = 500;

/// Two machines that are connected, and the buffer that carries what they say.
struct Pair {
    now: Instant,
    device: (Link<Device>, Epoch),
    server: (Link<Server>, Epoch),
    out: Vec<u8>,
}

impl Pair {
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to make an `Instant`; only differences matter"
    )]
    fn new() -> Self {
        let now = Instant::now();
        let mut device = Link::device(DeviceConfig::new("m").unwrap(), 2, 0, now);
        device.handle_timeout(now);
        let epoch = device.poll_connect().expect("a device dials at once");
        device.handle_connected(epoch, now, Carrier::Stream);
        let (limits, mut out) = (Arc::new(Limits::default()), Vec::with_capacity(64 * 1024));
        let mut handshake = Handshake::new(Arc::clone(&limits), Carrier::Stream, 0, now);
        while device.poll_transmit(epoch, now, &mut out) {}
        handshake.handle_bytes(now, &out);
        let mut server = Link::server(limits, 1, now);
        let session = server.handle_registered(now, handshake).expect("it is open");
        let mut pair = Self { now, device: (device, epoch), server: (server, session), out };
        pair.down();
        assert!(pair.device.0.state().is_up() && pair.server.0.state().is_up());
        pair
    }

    /// What the device says reaches the server.
    fn up(&mut self) {
        self.out.clear();
        let ((device, from), (server, to)) = (&mut self.device, &mut self.server);
        while device.poll_transmit(*from, self.now, &mut self.out) {}
        server.handle_bytes(*to, self.now, &self.out);
        drain(device, server);
    }

    /// What the server says reaches the device.
    fn down(&mut self) {
        self.out.clear();
        let ((device, to), (server, from)) = (&mut self.device, &mut self.server);
        while server.poll_transmit(*from, self.now, &mut self.out) {}
        device.handle_bytes(*to, self.now, &self.out);
        drain(device, server);
    }

    /// Both sides send DATA and have it acknowledged.
    fn exchange(&mut self, count: u8) {
        for number in 0..count {
            self.device.0.send(Outgoing::new(0, vec![number; 64])).unwrap();
            self.server.0.send(Outgoing::new(0, vec![number; 64])).unwrap();
        }
        self.up();
        self.down();
        while let Some(received) = self.server.0.poll_received() {
            self.server.0.commit(received.mark()).unwrap();
        }
        while let Some(received) = self.device.0.poll_received() {
            self.device.0.commit(received.mark()).unwrap();
        }
        self.up();
        self.down();
    }
}

fn drain(device: &mut Link<Device>, server: &mut Link<Server>) {
    while device.poll_event().is_some() {}
    while server.poll_event().is_some() {}
}

#[test]
fn a_ping_is_answered_without_an_allocation() {
    let mut pair = Pair::new();
    let mut ping = Vec::new();
    Native::new().encode_to(&Message::Ping { nonce: 7 }, &mut ping).unwrap();
    let pings = pair.server.0.limits().pings;
    let (server, epoch) = &mut pair.server;
    let (mut out, mut now, mut answered) = (Vec::with_capacity(256), pair.now, 0);
    let mut round = |answered: &mut u32| {
        // So that they do not count as a flood.
        now += server.limits().heartbeat / pings * 2;
        server.handle_bytes(*epoch, now, &ping);
        out.clear();
        *answered += u32::from(server.poll_transmit(*epoch, now, &mut out) && !out.is_empty());
        server.handle_timeout(now);
        assert!(server.poll_event().is_none());
    };
    round(&mut answered);
    let info = measure(|| (0..ROUNDS).for_each(|_| round(&mut answered)));
    assert_eq!(answered, ROUNDS + 1);
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}

#[test]
fn a_device_that_asks_for_a_sign_of_life_allocates_nothing() {
    let mut pair = Pair::new();
    let round = |pair: &mut Pair| {
        pair.now += pair.device.0.limits().heartbeat;
        pair.device.0.handle_timeout(pair.now);
        pair.up();
        assert!(!pair.out.is_empty(), "a PING is due");
        pair.down();
        assert!(!pair.out.is_empty(), "and its answer");
    };
    round(&mut pair);
    let info = measure(|| (0..ROUNDS).for_each(|_| round(&mut pair)));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert!(pair.device.0.counters().round_trip.is_some_and(|time| time < Duration::from_secs(1)));
}

#[test]
fn a_link_that_is_idle_again_holds_no_byte_more_than_after_the_connect_but_the_books_of_what_it_sent() {
    let mut pair = Pair::new();
    let info = measure(|| pair.exchange(1));
    assert!(info.count_current == 2 && info.bytes_current <= 2 * BOOKS, "{info:?}");
    let info = measure(|| {
        for count in 1..=64 {
            pair.exchange(count);
        }
    });
    let ledger = pair.server.0.counters().ledger;
    assert_eq!((ledger.acked, ledger.pending), (1 + 64 * 65 / 2, 0));
    assert!(info.count_total > 0, "DATA was held while it was under way");
    assert_eq!((info.count_current, info.bytes_current), (0, 0));
}

#[test]
fn a_frame_in_two_pieces_leaves_no_buffer_behind() {
    let mut pair = Pair::new();
    pair.exchange(1);
    let info = measure(|| {
        for _ in 0..ROUNDS {
            pair.device.0.send(Outgoing::new(0, vec![0; 200])).unwrap();
            pair.out.clear();
            while pair.device.0.poll_transmit(pair.device.1, pair.now, &mut pair.out) {}
            let (head, tail) = pair.out.split_at(50);
            pair.server.0.handle_bytes(pair.server.1, pair.now, head);
            assert_eq!(pair.server.0.memory(), 50);
            pair.server.0.handle_bytes(pair.server.1, pair.now, tail);
            let received = pair.server.0.poll_received().unwrap();
            pair.server.0.commit(received.mark()).unwrap();
            drop(received);
            pair.down();
        }
    });
    assert_eq!((info.count_current, info.bytes_current), (0, 0));
}

#[test]
fn a_breaker_admits_and_refuses_without_an_allocation() {
    let pair = Pair::new();
    let now = pair.now;
    let rate = FailureRate { window: Duration::from_secs(10), permille: 900, min_calls: 20 };
    for config in [BreakerConfig::DEFAULT, BreakerConfig::DEFAULT.rate(rate).unwrap()] {
        let breaker = Arc::new(Breaker::new(config, now));
        let calls = || {
            for _ in 0..ROUNDS {
                breaker.acquire(now).unwrap().succeed(now);
                breaker.acquire_owned(now).unwrap().succeed(now);
                breaker.acquire(now).unwrap().fail(now);
                drop(breaker.acquire(now).unwrap());
                breaker.acquire(now).unwrap().succeed(now);
            }
        };
        let info = measure(calls);
        assert_eq!((info.count_total, info.bytes_total), (0, 0));
        breaker.force_open(now);
        let info = measure(|| (0..ROUNDS).for_each(|_| assert!(breaker.acquire(now).is_err())));
        assert_eq!((info.count_total, info.bytes_total), (0, 0));
    }
}

#[test]
fn a_link_has_the_size_that_is_planned_for() {
    let size = size_of::<Link<Server>>();
    println!("Link<Server>: {size} bytes, at most {LINK}");
    assert!(size <= LINK, "{size} bytes");
}
