//! The session machines without sockets, against the codec alone on the same frames.

use crate::contest::{Entry, Job, Tally};
use crate::stream::Size;
use bytes::Bytes;
use dtu_net::{Carrier, Device, DeviceConfig, Epoch, Handshake, Limits, Link, Outgoing, Received, Server};
use dtu_proto::framing::next_step;
use dtu_proto::message::Data;
use dtu_proto::{Message, Native, Step};
use std::sync::Arc;
use std::time::Instant;

/// The groups of this module.
pub const GROUPS: [&str; 2] = ["ping_pong", "data_ack"];

/// PINGs in one run, each answered before the next.
const PINGS: usize = 1000;

/// DATA in one window, acknowledged by one ACK, and windows in a run.
const WINDOW: u16 = 32;
const WINDOWS: usize = 32;

/// The length of a body in bytes.
const BODY: usize = 64;

/// The job of that name.
///
/// # Panics
///
/// When there is none, or two machines do not come together.
#[must_use]
pub fn job(group: &str) -> Job {
    if group == "ping_pong" { ping_pong() } else { data_ack() }
}

fn ping_pong() -> Job {
    let ping = frame(&Message::Ping { nonce: 7 });
    let expected = Tally { frames: PINGS, bytes: PINGS * ping.len(), mark: 0 };
    let Pair { now, mut server, session, .. } = Pair::new();
    let (mut out, bytes) = (Vec::with_capacity(4096), ping.clone());
    let ours = move || {
        let mut tally = Tally::default();
        for _ in 0..PINGS {
            server.handle_bytes(session, now, &bytes);
            out.clear();
            while server.poll_transmit(session, now, &mut out) {}
            tally.frames += 1;
            tally.bytes += out.len();
        }
        tally
    };
    let mut out = Vec::with_capacity(4096);
    let codec = move || {
        let (native, mut tally) = (Native::new(), Tally::default());
        for _ in 0..PINGS {
            let Step::Frame(frame) = next_step(&native, &ping) else { return tally };
            let Ok(Message::Ping { nonce }) = Message::decode(frame.payload()) else { return tally };
            out.clear();
            native.encode_to(&Message::Pong { nonce }, &mut out).expect("a PONG fits a frame");
            tally.frames += 1;
            tally.bytes += out.len();
        }
        tally
    };
    let entries = vec![Entry::ours("link", expected, ours), Entry::peer("codec", expected, codec)];
    Job { group: "ping_pong", size: Size::Bytes(8), frames: PINGS, bytes: 0, entries }
}

fn data_ack() -> Job {
    let frames = WINDOWS * usize::from(WINDOW);
    let expected = Tally { frames, bytes: frames * BODY, mark: u32::try_from(frames).unwrap_or(0) * 0x55 };
    let body = Bytes::from_static(&[0x55; BODY]);
    let entries = vec![
        Entry::ours("link", expected, both_machines(body.clone())),
        Entry::peer("codec", expected, codec_alone(body)),
    ];
    Job { group: "data_ack", size: Size::Bytes(BODY), frames, bytes: 0, entries }
}

fn both_machines(body: Bytes) -> impl FnMut() -> Tally {
    let Pair { now, mut device, epoch, mut server, session } = Pair::new();
    let mut out = Vec::with_capacity(32 * 1024);
    move || {
        let mut tally = Tally::default();
        for _ in 0..WINDOWS {
            for _ in 0..WINDOW {
                device.send(Outgoing::new(0, body.clone())).expect("the outbox holds a window");
            }
            out.clear();
            while device.poll_transmit(epoch, now, &mut out) {}
            server.handle_bytes(session, now, &out);
            let mut mark = None;
            while let Some(received) = server.poll_received() {
                if let Received::Data { body, .. } = &received {
                    tally.frame(body);
                }
                mark = Some(received.mark());
            }
            server.commit(mark.expect("a window came")).expect("it was delivered");
            out.clear();
            while server.poll_transmit(session, now, &mut out) {}
            device.handle_bytes(epoch, now, &out);
            while device.poll_event().is_some() {}
        }
        assert_eq!(device.counters().ledger.pending, 0, "everything is acknowledged");
        tally
    }
}

fn codec_alone(body: Bytes) -> impl FnMut() -> Tally {
    let native = Native::new();
    let mut out = Vec::with_capacity(32 * 1024);
    let mut number = 0_u32;
    move || {
        let mut tally = Tally::default();
        for _ in 0..WINDOWS {
            out.clear();
            for _ in 0..WINDOW {
                let data = Message::Data(Data { seq: number, channel: 0, body: &body });
                native.encode_to(&data, &mut out).expect("it fits a frame");
                number = number.wrapping_add(1);
            }
            let mut rest = out.as_slice();
            let mut receive_next = 0;
            while let Step::Frame(frame) = next_step(&native, rest) {
                if let Ok(Message::Data(data)) = Message::decode(frame.payload()) {
                    tally.frame(data.body);
                    receive_next = data.seq.wrapping_add(1);
                }
                rest = rest.get(frame.encoded_len()..).unwrap_or_default();
            }
            out.clear();
            native.encode_to(&Message::Ack { receive_next }, &mut out).expect("it fits a frame");
            let Step::Frame(frame) = next_step(&native, &out) else { return tally };
            assert_eq!(Message::decode(frame.payload()), Ok(Message::Ack { receive_next: number }));
        }
        tally
    }
}

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).expect("it fits a frame");
    bytes
}

/// Two machines that are connected.
struct Pair {
    now: Instant,
    device: Link<Device>,
    epoch: Epoch,
    server: Link<Server>,
    session: Epoch,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut limits = Limits::default();
        (limits.window, limits.pings) = (WINDOW, u32::MAX);
        let mut config = DeviceConfig::new("bench").expect("it has an allowed length");
        config.limits = limits;
        let mut device = Link::device(config, 2, 0, now);
        device.handle_timeout(now);
        let epoch = device.poll_connect().expect("a device dials at once");
        device.handle_connected(epoch, now, Carrier::Stream);
        let (limits, mut bytes) = (Arc::new(limits), Vec::new());
        let mut handshake = Handshake::new(Arc::clone(&limits), Carrier::Stream, 0, now);
        while device.poll_transmit(epoch, now, &mut bytes) {}
        handshake.handle_bytes(now, &bytes);
        let mut server = Link::server(limits, 1, now);
        let session = server.handle_registered(now, handshake).expect("it is open");
        bytes.clear();
        while server.poll_transmit(session, now, &mut bytes) {}
        device.handle_bytes(epoch, now, &bytes);
        assert!(device.state().is_up() && server.state().is_up());
        while device.poll_event().is_some() {}
        while server.poll_event().is_some() {}
        Self { now, device, epoch, server, session }
    }
}
