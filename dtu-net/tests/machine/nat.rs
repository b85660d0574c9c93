//! A device and a server with a NAT between them, and a network that can be away.

use crate::pair::{DEVICE, SECOND, SERVER, consume, events, messages, pieces, start};
use bytes::Bytes;
use core::time::Duration;
use dtu_net::adaptive::{AdaptiveHeartbeat, AdaptiveOptions, Learned};
use dtu_net::{
    Carrier, Cause, Device, DeviceConfig, Epoch, Event, Handshake, HandshakeEvent, Limits, Link, Outgoing, Server,
    State, StateChange,
};
use dtu_proto::Message;
use rand_core::Rng;
use rand_pcg::Pcg32;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

/// Who speaks besides the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    Device,
    Server,
}

/// What the application says: one DATA after each pause, which is drawn up to the longest.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) speaker: Speaker,
    pub(crate) longest: Duration,
    pub(crate) random: Pcg32,
    pub(crate) next: Instant,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) began: Instant,
    pub(crate) now: Instant,
    pub(crate) device: Link<Device>,
    server: Link<Server>,
    at_device: Epoch,
    at_server: Epoch,
    limits: Arc<Limits>,
    /// After how much silence the NAT forgets the connection.
    pub(crate) nat: Duration,
    /// It answers what it does not know with a reset.
    pub(crate) resets: bool,
    /// How long each way takes.
    pub(crate) latency: Duration,
    /// When nothing goes through, in order.
    pub(crate) outages: VecDeque<(Instant, Instant)>,
    pub(crate) traffic: Option<Traffic>,
    /// A dial that waits for the network.
    dialling: Option<Epoch>,
    forgotten: bool,
    /// When the last packet went through the NAT.
    passed: Instant,
    up: VecDeque<(Instant, Vec<u8>)>,
    down: VecDeque<(Instant, Vec<u8>)>,
    heard: Instant,
    pub(crate) pings: u32,
    /// The connections that broke, each with its cause.
    pub(crate) broken: Vec<(Instant, Cause)>,
    pub(crate) learned: Vec<Learned>,
}

/// Options with this longest interval.
pub(crate) fn up_to(maximum: Duration) -> AdaptiveOptions {
    let mut options = AdaptiveOptions::default();
    options.maximum = maximum;
    options
}

impl World {
    /// A server that announces `heartbeat`, and a device that searches with `options`, or does not.
    pub(crate) fn new(nat: Duration, heartbeat: Duration, options: Option<AdaptiveOptions>) -> Self {
        let now = start();
        let mut config = DeviceConfig::new("meter-7").unwrap();
        config.adaptive = options.map(|options| AdaptiveHeartbeat::new(options).unwrap());
        let mut limits = Limits::default();
        limits.heartbeat = heartbeat;
        let (device, server) = (Link::device(config, DEVICE, 7, now), Link::server(Arc::new(limits), SERVER, now));
        Self {
            began: now,
            now,
            at_device: device.epoch(),
            at_server: server.epoch(),
            device,
            server,
            limits: Arc::new(limits),
            nat,
            resets: false,
            latency: SECOND / 10,
            outages: VecDeque::new(),
            traffic: None,
            dialling: None,
            forgotten: false,
            passed: now,
            up: VecDeque::new(),
            down: VecDeque::new(),
            heard: now,
            pings: 0,
            broken: vec![],
            learned: vec![],
        }
    }

    pub(crate) fn run(&mut self, for_so_long: Duration) {
        let until = self.now + for_so_long;
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    fn next(&self) -> Option<Instant> {
        let queued = |queue: &VecDeque<(Instant, Vec<u8>)>| queue.front().map(|(at, _)| *at);
        let timers = [self.device.poll_timeout(), self.server.poll_timeout()];
        let timers = timers.into_iter().flatten().map(|(at, _)| at);
        let traffic = self.traffic.as_ref().map(|traffic| traffic.next);
        let dialled = self.dialling.map(|_| self.outage(self.now).unwrap_or(self.now));
        timers.chain([queued(&self.up), queued(&self.down), traffic, dialled].into_iter().flatten()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        self.speak();
        while let Some((_, bytes)) = self.up.pop_front_if(|(at, _)| *at <= now) {
            self.server.handle_bytes(self.at_server, now, &bytes);
        }
        while let Some((_, bytes)) = self.down.pop_front_if(|(at, _)| *at <= now) {
            self.heard = now;
            self.device.handle_bytes(self.at_device, now, &bytes);
        }
        self.device.handle_timeout(now);
        self.server.handle_timeout(now);
        self.dialling = self.device.poll_connect().or(self.dialling);
        self.dialling.take_if(|_| self.device.state() != State::Connecting);
        if self.outage(now).is_none()
            && let Some(epoch) = self.dialling.take()
        {
            self.connect(epoch);
        }
        consume(&mut self.device);
        consume(&mut self.server);
        self.carry();
        self.take_events();
        assert!(self.device.heartbeat_interval() <= self.limits.heartbeat, "the announced heartbeat is the ceiling");
    }

    fn speak(&mut self) {
        let Some(traffic) = self.traffic.as_mut().filter(|traffic| traffic.next <= self.now) else { return };
        let most = u64::try_from(traffic.longest.as_millis()).unwrap();
        traffic.next = self.now + Duration::from_millis(1 + traffic.random.next_u64() % most);
        // What waits already is enough.
        let _full = match traffic.speaker {
            Speaker::Device => self.device.send(Outgoing::new(0, Bytes::from_static(b"reading"))),
            Speaker::Server => self.server.send(Outgoing::new(0, Bytes::from_static(b"question"))),
        };
    }

    fn connect(&mut self, epoch: Epoch) {
        let now = self.now;
        self.at_device = epoch;
        self.device.handle_connected(epoch, now, Carrier::Stream);
        let mut handshake = Handshake::new(self.limits.clone(), Carrier::Stream, 0, now);
        handshake.handle_bytes(now, &pieces(&mut self.device, epoch, now).concat());
        assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
        self.at_server = self.server.handle_registered(now, handshake).unwrap();
        (self.forgotten, self.passed, self.heard) = (false, now, now);
        self.up.clear();
        self.down.clear();
        let welcome = pieces(&mut self.server, self.at_server, now).concat();
        self.device.handle_bytes(epoch, now, &welcome);
        assert!(self.device.state().is_up());
    }

    fn carry(&mut self) {
        let now = self.now;
        let up = pieces(&mut self.device, self.at_device, now).concat();
        if !up.is_empty() {
            let pings = messages(&up).iter().filter(|said| matches!(said.message(), Message::Ping { .. })).count();
            self.pings += u32::try_from(pings).unwrap();
            if let Some(at) = self.pass() {
                self.up.push_back((at, up));
            } else if self.resets && self.device.state().is_up() {
                let reset = Cause::Transport(ErrorKind::ConnectionReset);
                self.device.handle_disconnected(self.at_device, now, reset);
            }
        }
        let down = pieces(&mut self.server, self.at_server, now).concat();
        if !down.is_empty()
            && let Some(at) = self.pass()
        {
            self.down.push_back((at, down));
        }
    }

    /// When something that leaves now arrives, if ever. What meets an outage is repeated by TCP when it is over.
    fn pass(&mut self) -> Option<Instant> {
        let at = self.outage(self.now).unwrap_or(self.now);
        self.forgotten |= at > self.passed + self.nat;
        if !self.forgotten {
            self.passed = at;
        }
        (!self.forgotten).then_some(at + self.latency)
    }

    /// The end of the outage that there is at `now`.
    fn outage(&self, now: Instant) -> Option<Instant> {
        let out = |outage: &&(Instant, Instant)| (outage.0..outage.1).contains(&now);
        self.outages.iter().find(out).map(|(_, end)| *end)
    }

    fn take_events(&mut self) {
        events(&mut self.server);
        for event in events(&mut self.device) {
            match event {
                Event::State(StateChange { state: State::Disconnected, cause: Some(cause), .. }) => {
                    if let Cause::Silent { .. } = cause {
                        let bound = self.heard + self.device.limits().device_silence();
                        assert!(self.now <= bound, "dead no later than without a search");
                    }
                    if !matches!(cause, Cause::NotConnected { .. }) {
                        self.broken.push((self.now, cause));
                    }
                }
                Event::HeartbeatLearned(learned) => self.learned.push(learned),
                _ => {}
            }
        }
    }
}
