//! A device and a server, and what stands between them.

use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use dtu_net::link::Role;
use dtu_net::{
    Carrier, Cause, Device, DeviceConfig, Epoch, Event, Handshake, HandshakeEvent, Limits, Link, Outcome, Outgoing,
    Received, Resumption, Server, State, StateChange, Timer,
};
use dtu_proto::frame::{CHECKSUM_LEN, HEADER_LEN};
use dtu_proto::message::{
    Close, CloseCode, Data, Datagram, DeviceId, Reason, Refuse, RefuseCode, Register, Resume, Token, VERSION, Welcome,
};
use dtu_proto::{Deframer, Message, Native, Step};
use std::sync::Arc;
use std::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TICK: Duration = Duration::from_nanos(1);
/// The streams of both sides.
pub(crate) const DEVICE: u64 = 2;
pub(crate) const SERVER: u64 = 1;
/// What a device says that has nothing to resume.
pub(crate) const FRESH: Resume = Resume { stream: DEVICE, send_base: 0, peer_stream: 0, receive_next: 0 };

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// One message as it stands on the wire, comparable and readable.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Said(Vec<u8>);

impl Said {
    pub(crate) fn new(message: &Message<'_>) -> Self {
        let frame = frame(message);
        Self(frame[HEADER_LEN..frame.len() - CHECKSUM_LEN].to_vec())
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message::decode(&self.0).unwrap()
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

pub(crate) fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).unwrap();
    bytes
}

/// A frame around bytes that need not be a message.
pub(crate) fn frame_around(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(payload, &mut bytes).unwrap();
    bytes
}

pub(crate) fn register(resume: Resume) -> Message<'static> {
    let device_id = DeviceId::new("meter-7").unwrap();
    Message::Register(Register { version: VERSION, flags: 0, device_id, token: Token::EMPTY, resume })
}

pub(crate) fn welcome(resume: Resume) -> Message<'static> {
    Message::Welcome(Welcome { heartbeat_ms: 30_000, window: 64, resume })
}

pub(crate) fn refuse(code: RefuseCode, retry_after_ms: u32, reason: &str) -> Message<'_> {
    Message::Refuse(Refuse { code, retry_after_ms, reason: Reason::new(reason).unwrap() })
}

pub(crate) const fn data(seq: u32, body: &[u8]) -> Message<'_> {
    Message::Data(Data { seq, channel: 0, body })
}

pub(crate) const fn ack(receive_next: u32) -> Message<'static> {
    Message::Ack { receive_next }
}

pub(crate) const fn skip(next: u32) -> Message<'static> {
    Message::Skip { next }
}

pub(crate) fn close(code: CloseCode, reason: &str) -> Message<'_> {
    Message::Close(Close { code, reason: Reason::new(reason).unwrap() })
}

pub(crate) fn said(messages: &[Message<'_>]) -> Vec<Said> {
    messages.iter().map(Said::new).collect()
}

/// The messages of whole frames with nothing between them.
pub(crate) fn messages(bytes: &[u8]) -> Vec<Said> {
    let mut deframer = Deframer::new(Native::new());
    let (mut rest, mut all) = (bytes, Vec::new());
    loop {
        let count = deframer.push(rest);
        rest = &rest[count..];
        loop {
            match deframer.next_step() {
                Step::Frame(frame) => all.push(Said(frame.payload().to_vec())),
                Step::NeedMore { .. } => break,
                skipped => panic!("{skipped:?}"),
            }
        }
        if rest.is_empty() {
            assert_eq!(deframer.buffered(), 0, "what leaves is whole");
            return all;
        }
    }
}

/// Everything that waits to leave on a connection, in the pieces of `poll_transmit`.
pub(crate) fn pieces<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant) -> Vec<Vec<u8>> {
    let next = || {
        let mut piece = Vec::new();
        let any = link.poll_transmit(epoch, now, &mut piece);
        assert_eq!(any, !piece.is_empty(), "poll_transmit says whether there is something");
        any.then_some(piece)
    };
    core::iter::from_fn(next).collect()
}

/// The same as messages, on a stream.
pub(crate) fn sent<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant) -> Vec<Said> {
    messages(&pieces(link, epoch, now).concat())
}

/// The same on datagrams.
pub(crate) fn sent_datagrams<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant) -> Vec<Said> {
    let open = |piece: Vec<u8>| {
        let datagram = Datagram::open(&Native::new(), &piece).unwrap();
        assert_eq!(datagram.stream, DEVICE);
        Said::new(&datagram.message)
    };
    pieces(link, epoch, now).into_iter().map(open).collect()
}

pub(crate) fn hear<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant, message: &Message<'_>) {
    link.handle_bytes(epoch, now, &frame(message));
}

pub(crate) fn hear_datagram<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant, message: &Message<'_>) {
    link.handle_datagram(epoch, now, &Datagram { stream: DEVICE, message: *message }, 64);
}

pub(crate) fn events<R: Role>(link: &mut Link<R>) -> Vec<Event> {
    core::iter::from_fn(|| link.poll_event()).collect()
}

/// The states that the link went through, each with its cause.
pub(crate) fn states<R: Role>(link: &mut Link<R>) -> Vec<(State, Option<Cause>)> {
    let state = |event| match event {
        Event::State(StateChange { state, cause, .. }) => Some((state, cause)),
        _ => None,
    };
    events(link).into_iter().filter_map(state).collect()
}

/// What became of what was sent, run by run.
pub(crate) fn outcomes<R: Role>(link: &mut Link<R>) -> Vec<(u32, u32, Outcome)> {
    let outcome = |event| match event {
        Event::Settled { first, count, outcome } => Some((first, count, outcome)),
        _ => None,
    };
    events(link).into_iter().filter_map(outcome).collect()
}

/// How the streams went on at each connect: receiving, sending.
pub(crate) fn resumed<R: Role>(link: &mut Link<R>) -> Vec<(bool, bool)> {
    let resumption = |event| match event {
        Event::Resumed(Resumption { receiving, sending, .. }) => Some((receiving, sending)),
        _ => None,
    };
    events(link).into_iter().filter_map(resumption).collect()
}

pub(crate) fn received<R: Role>(link: &mut Link<R>) -> Vec<Received> {
    core::iter::from_fn(|| link.poll_received()).collect()
}

/// Number and body of what was delivered; a hole is shown by its first number.
pub(crate) fn show(received: &Received) -> (u32, String) {
    match received {
        Received::Data { seq, body, .. } => (*seq, String::from_utf8(body.to_vec()).unwrap()),
        Received::Skip { from, next, .. } => (*from, format!("skip to {next}")),
    }
}

/// Takes everything and commits none of it.
pub(crate) fn delivered<R: Role>(link: &mut Link<R>) -> Vec<(u32, String)> {
    received(link).iter().map(show).collect()
}

/// Takes everything and commits it.
pub(crate) fn consume<R: Role>(link: &mut Link<R>) -> Vec<(u32, String)> {
    let taken = received(link);
    if let Some(last) = taken.last() {
        link.commit(last.mark()).unwrap();
    }
    taken.iter().map(show).collect()
}

pub(crate) fn numbered(pairs: &[(u32, &str)]) -> Vec<(u32, String)> {
    pairs.iter().map(|(seq, body)| (*seq, (*body).to_owned())).collect()
}

pub(crate) fn send<R: Role>(link: &mut Link<R>, body: &'static str) -> u32 {
    link.send(Outgoing::new(0, Bytes::from_static(body.as_bytes()))).unwrap()
}

/// Takes the time at each deadline up to `until`, and returns which they were.
pub(crate) fn pass<R: Role>(link: &mut Link<R>, until: Instant) -> Vec<(Instant, Timer)> {
    let mut passed = Vec::new();
    while let Some((deadline, timer)) = link.poll_timeout().filter(|(deadline, _)| *deadline <= until) {
        link.handle_timeout(deadline);
        assert!(link.poll_timeout().is_none_or(|(next, _)| next > deadline), "handle_timeout acts upon {timer:?}");
        passed.push((deadline, timer));
    }
    passed
}

pub(crate) fn config() -> DeviceConfig {
    DeviceConfig::new("meter-7").unwrap()
}

/// A device whose connection has just been made: its REGISTER waits to leave.
pub(crate) fn registering(config: DeviceConfig, carrier: Carrier, now: Instant) -> (Link<Device>, Epoch) {
    let mut device = Link::device(config, DEVICE, 7, now);
    let epoch = dial(&mut device, now);
    device.handle_connected(epoch, now, carrier);
    (device, epoch)
}

/// Lets the device dial; its time to do so has come.
pub(crate) fn dial(device: &mut Link<Device>, now: Instant) -> Epoch {
    device.handle_timeout(now);
    device.poll_connect().expect("its time to dial has come")
}

/// A handshake that has taken this REGISTER.
pub(crate) fn handshake(limits: &Arc<Limits>, carrier: Carrier, resume: Resume, now: Instant) -> Handshake {
    let mut handshake = Handshake::new(limits.clone(), carrier, DEVICE, now);
    match carrier {
        Carrier::Stream => handshake.handle_bytes(now, &frame(&register(resume))),
        Carrier::Datagrams => handshake.handle_datagram(now, &register(resume)),
    }
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
    handshake
}

/// A server that has let a device in, with nothing left to take out.
pub(crate) fn serving(limits: Limits, carrier: Carrier, now: Instant) -> (Link<Server>, Epoch) {
    let limits = Arc::new(limits);
    let mut server = Link::server(limits.clone(), SERVER, now);
    let epoch = server.handle_registered(now, handshake(&limits, carrier, FRESH, now)).unwrap();
    assert!(!pieces(&mut server, epoch, now).is_empty());
    events(&mut server);
    (server, epoch)
}

/// A device that was let in, with nothing left to take out.
pub(crate) fn welcomed(config: DeviceConfig, carrier: Carrier, now: Instant) -> (Link<Device>, Epoch) {
    let (mut device, epoch) = registering(config, carrier, now);
    assert_eq!(pieces(&mut device, epoch, now).len(), 1);
    let welcome = welcome(Resume { stream: SERVER, send_base: 0, peer_stream: 0, receive_next: 0 });
    match carrier {
        Carrier::Stream => hear(&mut device, epoch, now, &welcome),
        Carrier::Datagrams => hear_datagram(&mut device, epoch, now, &welcome),
    }
    assert_eq!(device.state(), State::Connected);
    pieces(&mut device, epoch, now);
    events(&mut device);
    (device, epoch)
}

/// Both ends, and the way between them as long as it holds.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) device: Link<Device>,
    pub(crate) server: Link<Server>,
    pub(crate) at_device: Epoch,
    pub(crate) at_server: Epoch,
    limits: Arc<Limits>,
}

impl Pair {
    /// Two ends that have shaken hands on a stream.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let now = start();
        let mut config = config();
        config.limits = limits;
        let device = Link::device(config, DEVICE, 7, now);
        let server = Link::server(Arc::new(limits), SERVER, now);
        let (at_device, at_server) = (device.epoch(), server.epoch());
        let mut pair = Self { now, device, server, at_device, at_server, limits: Arc::new(limits) };
        pair.connect();
        pair
    }

    /// Dials, registers and is welcomed; waits for the device's next try where it has to.
    pub(crate) fn connect(&mut self) {
        if self.device.state() == State::Disconnected {
            let (deadline, timer) = self.device.poll_timeout().unwrap();
            assert_eq!(timer, Timer::Reconnect);
            self.now = self.now.max(deadline);
        }
        self.at_device = dial(&mut self.device, self.now);
        self.device.handle_connected(self.at_device, self.now, Carrier::Stream);
        let mut handshake = Handshake::new(self.limits.clone(), Carrier::Stream, 0, self.now);
        handshake.handle_bytes(self.now, &pieces(&mut self.device, self.at_device, self.now).concat());
        assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
        self.at_server = self.server.handle_registered(self.now, handshake).unwrap();
        self.carry_down();
        assert!(self.device.state().is_up());
    }

    /// Carries what the device has to say.
    pub(crate) fn carry_up(&mut self) {
        let bytes = pieces(&mut self.device, self.at_device, self.now).concat();
        self.server.handle_bytes(self.at_server, self.now, &bytes);
    }

    /// Carries what the server has to say.
    pub(crate) fn carry_down(&mut self) {
        let bytes = pieces(&mut self.server, self.at_server, self.now).concat();
        self.device.handle_bytes(self.at_device, self.now, &bytes);
    }

    /// The line breaks, with everything that was on it.
    pub(crate) fn cut(&mut self) {
        self.device.handle_disconnected(self.at_device, self.now, Cause::Disconnected);
        self.server.handle_disconnected(self.at_server, self.now, Cause::Disconnected);
    }
}
