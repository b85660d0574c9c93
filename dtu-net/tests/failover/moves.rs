//! Links that move between servers: what becomes of their session, and how often they try.

use crate::pair::{
    DEVICE, SECOND, consume, delivered, events, frame, hear, messages, numbered, outcomes, pieces, refuse, resumed,
    said, send, sent, states,
};
use crate::{back, plan, start};
use core::time::Duration;
use dtu_net::backoff::{Backoff, STABLE_AFTER};
use dtu_net::failover::{FailoverConfig, MOVE};
use dtu_net::{
    Carrier, Cause, Device, DeviceConfig, Epoch, Event, Handshake, HandshakeEvent, Limits, Link, Outcome, Server,
    State, Timer,
};
use dtu_proto::Message;
use dtu_proto::message::{Close, CloseCode, Reason, RefuseCode};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;
use std::sync::Arc;
use std::time::Instant;

/// A device, and two servers that know nothing of each other.
struct Sites {
    now: Instant,
    device: Link<Device>,
    servers: [Link<Server>; 2],
    /// The connection of now, at the device and at its server.
    epochs: (Epoch, Epoch),
}

impl Sites {
    fn new(config: FailoverConfig) -> Self {
        let now = start();
        let device = Link::device(DeviceConfig::new("meter-7").unwrap(), DEVICE, 7, now);
        let device = device.fail_over(&plan(&[(0, 1), (1, 1)], config), 7, now);
        let limits = Arc::new(Limits::default());
        let servers = [100, 200].map(|stream| Link::server(Arc::clone(&limits), stream, now));
        let epochs = (device.epoch(), servers[0].epoch());
        Self { now, device, servers, epochs }
    }

    /// Waits for the next try and lets the device dial; returns where.
    fn dial(&mut self) -> usize {
        self.now = self.now.max(self.device.next_try().unwrap());
        self.device.handle_timeout(self.now);
        self.epochs.0 = self.device.poll_connect().unwrap();
        self.device.endpoint()
    }

    /// Nobody is there.
    fn refuse(&mut self) -> usize {
        let endpoint = self.dial();
        let refused = Cause::Transport(std::io::ErrorKind::ConnectionRefused);
        self.device.handle_disconnected(self.epochs.0, self.now, refused);
        endpoint
    }

    fn connect(&mut self) -> usize {
        let endpoint = self.dial();
        self.device.handle_connected(self.epochs.0, self.now, Carrier::Stream);
        let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, self.now);
        handshake.handle_bytes(self.now, &pieces(&mut self.device, self.epochs.0, self.now).concat());
        assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
        self.epochs.1 = self.servers[endpoint].handle_registered(self.now, handshake).unwrap();
        self.carry(endpoint);
        assert_eq!(self.device.state(), State::Connected);
        endpoint
    }

    /// Carries what both have to say, until they say nothing.
    fn carry(&mut self, endpoint: usize) {
        let server = &mut self.servers[endpoint];
        loop {
            let up = pieces(&mut self.device, self.epochs.0, self.now).concat();
            server.handle_bytes(self.epochs.1, self.now, &up);
            let down = pieces(server, self.epochs.1, self.now).concat();
            self.device.handle_bytes(self.epochs.0, self.now, &down);
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// The server is gone, and says nothing.
    fn cut(&mut self, endpoint: usize) {
        self.device.handle_disconnected(self.epochs.0, self.now, Cause::Disconnected);
        self.servers[endpoint].handle_disconnected(self.epochs.1, self.now, Cause::Disconnected);
    }

    /// Answers the probes of the first endpoint until the device goes back to it.
    fn answer_probes(&mut self) {
        while self.device.poll_timeout().is_some_and(|(_, timer)| timer == Timer::Probe) {
            self.now = self.device.poll_timeout().unwrap().0;
            self.device.handle_timeout(self.now);
            let probe = self.device.poll_probe().unwrap();
            assert_eq!(probe.endpoint, 0);
            self.device.handle_probe(self.now, probe, true);
        }
    }
}

/// Goes back soon: the hold is shorter than a heartbeat.
fn soon() -> FailoverConfig {
    back(5 * SECOND, Duration::ZERO, 2 * SECOND)
}

#[test]
fn the_session_goes_from_server_to_server_and_loses_nothing() {
    let mut sites = Sites::new(soon());
    assert_eq!(sites.connect(), 0);
    for body in ["a", "b", "c"] {
        send(&mut sites.device, body);
        send(&mut sites.servers[0], body);
    }
    sites.carry(0);
    // "a" is acknowledged; "b" and "c" came, and the server dies with them.
    assert!(sites.servers[0].poll_received().is_some());
    sites.servers[0].commit(dtu_net::Mark { stream: DEVICE, next: 1 }).unwrap();
    sites.carry(0);
    assert_eq!(outcomes(&mut sites.device), [(0, 1, Outcome::Acked)]);
    assert!(sites.device.poll_received().is_some());
    sites.now += STABLE_AFTER;
    sites.cut(0);
    assert_eq!(sites.refuse(), 0, "the connection had held, so the same server is tried once more");
    send(&mut sites.device, "d");

    assert_eq!(sites.connect(), 1);
    // Neither knows the other: what was not acknowledged comes whole, in order, from the device's `send_base` on.
    assert_eq!(resumed(&mut sites.device), [(false, false)]);
    assert_eq!(resumed(&mut sites.servers[1]), [(false, false)]);
    assert_eq!(consume(&mut sites.servers[1]), numbered(&[(1, "b"), (2, "c"), (3, "d")]));
    sites.carry(1);
    assert_eq!(outcomes(&mut sites.device), [(1, 3, Outcome::Acked)]);
    send(&mut sites.servers[1], "z");
    sites.carry(1);
    // Of the first server "b" and "c" wait here still.
    assert_eq!(consume_all(&mut sites.device), ["b", "c", "z"]);

    sites.answer_probes();
    assert_eq!(sites.device.state(), State::Disconnected);
    sites.carry(1);
    assert_eq!(sites.servers[1].state(), State::Disconnected, "its session is kept");
    send(&mut sites.device, "e");
    assert_eq!(sites.connect(), 0);
    // The first server goes on in the device's stream, and is told that "b" to "d" do not come here any more. Its own "a"
    // to "c" were not acknowledged to it, and come once more.
    assert_eq!(resumed(&mut sites.servers[0]).pop(), Some((true, false)));
    assert_eq!(delivered(&mut sites.servers[0]).last().unwrap(), &(4, "e".to_owned()));
    assert_eq!(delivered(&mut sites.device), numbered(&[(0, "a"), (1, "b"), (2, "c")]));
    assert!(sites.device.counters().ledger.balances());
}

/// The bodies; commits the last one, which is of the server of now.
fn consume_all(device: &mut Link<Device>) -> Vec<String> {
    consume(device).into_iter().map(|(_, body)| body).collect()
}

#[test]
fn a_device_goes_back_when_all_it_sent_is_acknowledged_and_says_that_it_goes() {
    let mut sites = Sites::new(soon());
    assert_eq!((sites.refuse(), sites.connect()), (0, 1));
    events(&mut sites.device);
    send(&mut sites.device, "a");
    sites.carry(1);
    sites.answer_probes();
    assert_eq!(sites.device.state(), State::Connected, "one is not acknowledged");
    send(&mut sites.device, "b");
    assert_eq!(sent(&mut sites.device, sites.epochs.0, sites.now), [], "and nothing new leaves");
    assert_eq!(consume(&mut sites.servers[1]), numbered(&[(0, "a")]));
    sites.carry(1);
    let moved = (State::Disconnected, Some(Cause::MovedBack { endpoint: 0 }));
    assert_eq!(states(&mut sites.device), [moved]);
    let left = Cause::PeerClosed(CloseCode::GOING_DOWN);
    assert_eq!(states(&mut sites.servers[1]).pop(), Some((State::Disconnected, Some(left))));
    assert_eq!(sites.connect(), 0);
    assert_eq!(delivered(&mut sites.servers[0]), numbered(&[(1, "b")]), "nothing comes twice");
    assert_eq!(sites.device.counters().resent, 0);
}

#[test]
fn a_server_that_acknowledges_nothing_does_not_keep_the_device() {
    let mut sites = Sites::new(soon());
    assert_eq!((sites.refuse(), sites.connect()), (0, 1));
    send(&mut sites.device, "a");
    sites.carry(1);
    sites.answer_probes();
    let latest = sites.now + MOVE;
    sites.device.handle_timeout(latest - crate::TICK);
    assert_eq!(sites.device.state(), State::Connected);
    sites.device.handle_timeout(latest);
    assert_eq!(sites.device.state(), State::Disconnected);
    let close = Message::Close(Close { code: CloseCode::GOING_DOWN, reason: Reason::EMPTY });
    assert_eq!(sent(&mut sites.device, sites.epochs.0, latest), said(&[close]));
    sites.now = latest;
    assert_eq!(sites.connect(), 0);
    assert_eq!(delivered(&mut sites.servers[0]), numbered(&[(0, "a")]), "it comes again, and is not lost");
}

#[test]
fn the_endpoint_is_told_before_the_state_when_it_is_another_one() {
    let mut sites = Sites::new(soon());
    let endpoint = |device: &mut Link<Device>| match events(device).as_slice() {
        [Event::Endpoint { index, before }, Event::State(change), ..] if change.state == State::Connecting => {
            Some((*index, *before))
        }
        _ => None,
    };
    sites.refuse();
    assert_eq!(endpoint(&mut sites.device), Some((0, None)));
    sites.connect();
    assert_eq!(endpoint(&mut sites.device), Some((1, Some(0))));
    sites.now += STABLE_AFTER;
    sites.cut(1);
    events(&mut sites.device);
    sites.dial();
    assert_eq!(endpoint(&mut sites.device), None, "it is the same as before");
}

#[test]
fn what_one_server_asks_for_does_not_hold_the_device_up() {
    for code in [RefuseCode::BUSY, RefuseCode::UNAUTHORIZED] {
        let mut sites = Sites::new(soon());
        let turned_away = |sites: &mut Sites| {
            let endpoint = sites.dial();
            sites.device.handle_connected(sites.epochs.0, sites.now, Carrier::Stream);
            hear(&mut sites.device, sites.epochs.0, sites.now, &refuse(code, 300_000, ""));
            assert_eq!(sites.device.state(), State::Disconnected);
            endpoint
        };
        assert_eq!(turned_away(&mut sites), 0);
        assert!(sites.device.next_try().unwrap() <= sites.now + SECOND, "the link's own delay, {code:?}");
        let first = sites.now;
        assert_eq!(turned_away(&mut sites), 1);
        let next = sites.device.next_try().unwrap();
        assert!(next >= first + 300 * SECOND && next <= sites.now + 600 * SECOND, "now all are in a pause");
    }
}

#[test]
fn a_device_of_which_there_are_two_stays_away_from_all_servers() {
    let mut sites = Sites::new(soon());
    for _ in 0..2 {
        assert_eq!(sites.connect(), 0);
        let close = Message::Close(Close { code: CloseCode::REPLACED, reason: Reason::EMPTY });
        hear(&mut sites.device, sites.epochs.0, sites.now, &close);
    }
    assert!(sites.device.next_try().unwrap() >= sites.now + 60 * SECOND);
}

#[test]
fn the_backoff_of_the_link_bounds_its_tries_over_all_endpoints() {
    const BACKOFF: Backoff = Backoff::RECONNECT;
    for seed in 0..60 {
        let mut random = Pcg32::new(seed, 1);
        let mut now = start();
        let mut config = DeviceConfig::new("meter-7").unwrap();
        config.backoff = BACKOFF;
        let ranks = [(0, 1), (1, 3), (1, 1), (2, 1)];
        let device = Link::device(config, DEVICE, seed, now);
        let mut device = device.fail_over(&plan(&ranks, soon()), seed, now);
        let (mut tries, mut at) = (Vec::new(), [0_u32; 4]);
        while tries.len() < 400 {
            now = now.max(device.next_try().unwrap());
            device.handle_timeout(now);
            let epoch = device.poll_connect().unwrap();
            tries.push(now);
            at[device.endpoint()] += 1;
            device.handle_connected(epoch, now, Carrier::Stream);
            match random.next_u32() % 6 {
                0 => hear(&mut device, epoch, now, &refuse(RefuseCode::BUSY, random.next_u32() % 3_000, "")),
                1 | 2 => {
                    let fresh = dtu_proto::message::Resume { stream: 1, send_base: 0, peer_stream: 0, receive_next: 0 };
                    hear(&mut device, epoch, now, &crate::pair::welcome(fresh));
                    now += STABLE_AFTER.mul_f32(f32::from(random.next_u32() as u8) / 128.0);
                    device.handle_disconnected(epoch, now, Cause::Disconnected);
                }
                _ => device.handle_disconnected(epoch, now, Cause::Disconnected),
            }
        }
        assert!(at.iter().all(|tries| *tries > 0), "seed {seed}: {at:?}");
        for window in [1, 5, 30, 60, 600].map(|seconds| seconds * SECOND) {
            let most = BACKOFF.max_attempts_within(window);
            for (index, first) in tries.iter().enumerate() {
                let within = tries[index..].iter().take_while(|at| **at <= *first + window).count();
                assert!(within as u64 <= most, "seed {seed}: {within} tries in {window:?}, {most} are allowed");
            }
        }
    }
}

#[test]
fn without_failover_nothing_has_changed() {
    let now = start();
    let mut device = Link::device(DeviceConfig::new("meter-7").unwrap(), DEVICE, 7, now);
    device.handle_timeout(now);
    let epoch = device.poll_connect().unwrap();
    assert_eq!(device.endpoint(), 0);
    device.handle_connected(epoch, now, Carrier::Stream);
    let register = pieces(&mut device, epoch, now).concat();
    assert_eq!(messages(&register).len(), 1);
    device.handle_bytes(epoch, now, &frame(&refuse(RefuseCode::BUSY, 300_000, "")));
    assert!(device.next_try().unwrap() >= now + 300 * SECOND);
    assert!(!events(&mut device).iter().any(|event| matches!(event, Event::Endpoint { .. })));
}
