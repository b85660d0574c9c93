//! Both machines on a clock of the test's own, without a socket.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

use core::time::Duration;
use dtu_net::{Device, Ended, Event, Limits, Link, SendError, Server, SkipCause, Timer, Violation};
use dtu_proto::message::{
    Close, CloseCode, Data, DeviceId, Reason, Refuse, RefuseCode, Register, Resume, Token, Welcome, kind,
};
use dtu_proto::{Malformed, Message, Native};
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

const SECOND: Duration = Duration::from_secs(1);
const RESUME: Resume = Resume { stream: 9, send_base: 0, peer_stream: 0, receive_next: 0 };

fn server(now: Instant) -> Link<Server> {
    Link::server(Limits::default(), 1, now)
}

fn device(now: Instant) -> Link<Device> {
    Link::device(Limits::default(), DeviceId::new("meter-7").unwrap(), Token::new(b"key").unwrap(), 2, now)
}

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Native::new().encode_to(message, &mut bytes).unwrap();
    bytes
}

fn register(version: u8) -> Vec<u8> {
    let device_id = DeviceId::new("meter-7").unwrap();
    frame(&Message::Register(Register { version, flags: 0, device_id, token: Token::EMPTY, resume: RESUME }))
}

fn data(seq: u32, body: &[u8]) -> Vec<u8> {
    frame(&Message::Data(Data { seq, channel: 0, body }))
}

/// Everything that waits to leave.
fn sent<R: dtu_net::link::Role>(link: &mut Link<R>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(more) = link.poll_transmit() {
        bytes.extend_from_slice(&more);
    }
    bytes
}

fn events<R: dtu_net::link::Role>(link: &mut Link<R>) -> Vec<Event> {
    core::iter::from_fn(|| link.poll_event()).collect()
}

fn cause<R: dtu_net::link::Role>(link: &mut Link<R>) -> Option<Ended> {
    match events(link).pop() {
        Some(Event::Closed { cause, .. }) => Some(cause),
        _ => None,
    }
}

/// A server that has let a device in, with nothing left to take out.
fn serving(now: Instant) -> Link<Server> {
    let mut server = server(now);
    server.handle_bytes(now, &register(1));
    assert!(matches!(&events(&mut server)[..], [Event::Register(_)]));
    server.welcome(now);
    assert!(!sent(&mut server).is_empty());
    server
}

/// A pair that has shaken hands.
fn pair(now: Instant) -> (Link<Device>, Link<Server>) {
    let (mut device, mut server) = (device(now), server(now));
    server.handle_bytes(now, &sent(&mut device));
    let Some(Event::Register(registration)) = server.poll_event() else { panic!("no REGISTER") };
    assert_eq!((&*registration.device, &registration.token[..], registration.stream), ("meter-7", &b"key"[..], 2));
    server.welcome(now);
    device.handle_bytes(now, &sent(&mut server));
    let welcomed = Event::Welcomed { heartbeat: 30 * SECOND, window: 64 };
    assert_eq!(events(&mut device), [welcomed]);
    (device, server)
}

#[test]
fn data_is_acknowledged_when_the_application_commits_and_not_before() {
    let now = start();
    let (mut device, mut server) = pair(now);
    for body in [b"a", b"b", b"c"] {
        device.send(now, 3, body).unwrap();
    }
    server.handle_bytes(now, &sent(&mut device));
    let numbers: Vec<_> = events(&mut server)
        .into_iter()
        .map(|event| match event {
            Event::Data { seq, channel: 3, body, missing: 0 } => (seq, body),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    assert!(sent(&mut server).is_empty(), "arrival is not responsibility");
    server.commit(2).unwrap();
    assert_eq!(sent(&mut server), frame(&Message::Ack { receive_next: 2 }));
    device.handle_bytes(now, &frame(&Message::Ack { receive_next: 2 }));
    assert_eq!(events(&mut device), [Event::Acked { receive_next: 2, count: 2 }]);
    assert_eq!(device.counters().data_unacknowledged, 1);
    assert!(server.commit(4).is_err(), "three were delivered");
}

#[test]
fn the_server_sends_to_the_device_by_the_same_rules() {
    let now = start();
    let (mut device, mut server) = pair(now);
    server.send(now, 1, b"\x01\x03").unwrap();
    device.handle_bytes(now, &sent(&mut server));
    assert!(matches!(&events(&mut device)[..], [Event::Data { seq: 0, channel: 1, .. }]));
    device.commit(1).unwrap();
    server.handle_bytes(now, &sent(&mut device));
    assert_eq!(events(&mut server), [Event::Acked { receive_next: 1, count: 1 }]);
}

#[test]
fn any_split_of_the_bytes_gives_the_same_events() {
    let now = start();
    let stream = [&register(1)[..], b"noise", &data(0, b"one"), &[0xD7, 0x55, 0, 1, 2, 3], &data(1, b"two")].concat();
    let run = |chunk: usize| {
        let mut server = server(now);
        for piece in stream.chunks(chunk) {
            server.handle_bytes(now, piece);
            server.welcome(now);
        }
        events(&mut server)
    };
    let whole = run(stream.len());
    assert_eq!(whole.len(), 5, "{whole:?}");
    for chunk in 1..stream.len() {
        assert_eq!(run(chunk), whole, "chunks of {chunk}");
    }
}

#[test]
fn a_silent_client_is_turned_away_at_the_deadline_and_not_before() {
    let now = start();
    let mut server = server(now);
    let deadline = now + 10 * SECOND;
    assert_eq!(server.poll_timeout(), Some((deadline, Timer::Identify)));
    server.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(events(&mut server), []);
    server.handle_timeout(deadline);
    assert_eq!(cause(&mut server), Some(Ended::NotIdentified { limit: 10 * SECOND }));
    assert_eq!(sent(&mut server).get(6), Some(&kind::REFUSE));
    assert_eq!(server.poll_timeout(), None);
    server.handle_timeout(deadline + SECOND);
    assert_eq!(events(&mut server), [], "the end is told once");
}

#[test]
fn one_byte_a_second_does_not_move_the_deadline_to_identify() {
    let now = start();
    let mut server = server(now);
    for second in 1..10 {
        server.handle_bytes(now + second * SECOND, &[0xD7]);
    }
    assert_eq!(server.poll_timeout(), Some((now + 10 * SECOND, Timer::Identify)));
}

#[test]
fn garbage_before_register_is_bounded() {
    let now = start();
    let mut server = server(now);
    server.handle_bytes(now, &[0; 4000]);
    assert!(!server.is_ended());
    server.handle_bytes(now, &register(1));
    assert!(!server.is_ended(), "noise in front of REGISTER is no fault");
    let mut other = self::server(now);
    for _ in 0..5 {
        other.handle_bytes(now, &[0x55; 1000]);
    }
    assert!(matches!(cause(&mut other), Some(Ended::TooMuchBeforeRegister { received: 5000, limit: 4096 })));
}

#[test]
fn a_false_header_before_register_claims_no_more_than_the_limit() {
    let now = start();
    let mut server = server(now);
    server.handle_bytes(now, &[0xD7, 0x55, 0xFF, 0xFF, 0, 0]);
    for _ in 0..5 {
        server.handle_bytes(now, &[0xAA; 1000]);
    }
    assert!(matches!(cause(&mut server), Some(Ended::TooMuchBeforeRegister { .. })));
}

#[test]
fn what_is_not_register_comes_first_and_is_refused() {
    let now = start();
    let first = |bytes: &[u8]| {
        let mut server = server(now);
        server.handle_bytes(now, bytes);
        assert_eq!(sent(&mut server).get(6..8), Some(&[kind::REFUSE, RefuseCode::PROTOCOL.0][..]));
        cause(&mut server)
    };
    let violation = |violation| Some(Ended::Violation(violation));
    assert_eq!(first(&data(0, b"x")), violation(Violation::FirstMessage { kind: kind::DATA }));
    assert_eq!(first(&register(2)), violation(Violation::Version { version: 2 }));
    let mut cut = Vec::new();
    Native::new().encode_to(&[kind::REGISTER, 1][..], &mut cut).unwrap();
    assert!(matches!(first(&cut), Some(Ended::Violation(Violation::FirstMessageMalformed(_)))));
}

#[test]
fn a_second_register_ends_the_session() {
    let now = start();
    let mut server = serving(now);
    server.handle_bytes(now, &register(1));
    assert_eq!(cause(&mut server), Some(Ended::Violation(Violation::RegisteredTwice)));
    assert_eq!(sent(&mut server).get(6..8), Some(&[kind::CLOSE, CloseCode::PROTOCOL.0][..]));
}

#[test]
fn dirt_on_a_registered_link_is_reported_and_ends_nothing() {
    let now = start();
    let mut server = serving(now);
    let mut flipped = data(1, b"flipped");
    flipped[14] ^= 1;
    let mut malformed = Vec::new();
    Native::new().encode_to(&[kind::ACK][..], &mut malformed).unwrap();
    let mut unknown = Vec::new();
    Native::new().encode_to(&[0x7F, 1, 2][..], &mut unknown).unwrap();
    let stream = [data(0, b"a"), flipped, data(2, b"c"), malformed, unknown, data(2, b"c")].concat();
    server.handle_bytes(now, &stream);
    let told = events(&mut server);
    let names: Vec<_> = told
        .iter()
        .map(|event| match event {
            Event::Skipped { cause, .. } => cause.name().to_owned(),
            Event::Data { seq, missing, .. } => format!("data {seq} missing {missing}"),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = ["data 0 missing 0", "checksum", "data 2 missing 1", "message", "unknown_kind", "repeated"];
    assert_eq!(names, expected);
    server.commit(3).unwrap();
    assert_eq!(sent(&mut server), frame(&Message::Ack { receive_next: 1 }), "what is missing is not acknowledged");
    server.handle_bytes(now, &frame(&Message::Skip { next: 2 }));
    assert_eq!(events(&mut server), [Event::Skip { next: 2 }]);
}

#[test]
fn an_oversized_frame_is_skipped_before_it_comes() {
    let now = start();
    let mut limits = Limits::default();
    limits.max_payload = 512;
    let mut server = Link::server(limits, 1, now);
    server.handle_bytes(now, &register(1));
    server.welcome(now);
    let _register = events(&mut server);
    server.handle_bytes(now, &data(0, &[7; 600])[..6]);
    let over = SkipCause::Line(Malformed::OverLimit { length: 606, limit: 512 });
    assert_eq!(events(&mut server), [Event::Skipped { bytes: 6, cause: over }]);
}

#[test]
fn a_stalled_candidate_is_given_up_after_silence_and_what_it_hid_comes_out() {
    let now = start();
    let mut server = serving(now);
    server.handle_bytes(now, &[0xD7, 0x55, 0x10, 0x00, 0xEF, 0xFF]);
    server.handle_bytes(now, &data(0, b"hidden"));
    assert_eq!(events(&mut server), []);
    let deadline = now + 30 * SECOND;
    assert_eq!(server.poll_timeout(), Some((deadline, Timer::InterByte)));
    server.handle_timeout(deadline);
    assert!(matches!(&events(&mut server)[..], [Event::Skipped { bytes: 6, .. }, Event::Data { seq: 0, .. }]));
}

#[test]
fn the_end_of_the_stream_brings_out_what_a_false_header_hid() {
    let now = start();
    let mut server = serving(now);
    server.handle_bytes(now, &[0xD7, 0x55, 0x10, 0x00, 0xEF, 0xFF]);
    server.handle_bytes(now, &data(0, b"hidden"));
    server.handle_disconnected(now, None);
    let told = events(&mut server);
    let [Event::Skipped { .. }, Event::Data { .. }, Event::Closed { cause: Ended::Disconnected, counters, .. }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((counters.line.frames, counters.line.skipped_bytes(), counters.data_received), (2, 6, 1));
}

#[test]
fn a_server_gives_up_a_silent_device_after_twice_the_heartbeat() {
    let now = start();
    let mut server = serving(now);
    let byte = now + 59 * SECOND;
    server.handle_timeout(byte);
    assert!(!server.is_ended());
    server.handle_bytes(byte, &[0xD7]);
    server.handle_timeout(now + 60 * SECOND);
    assert!(!server.is_ended(), "a single byte is life");
    server.handle_timeout(byte + 60 * SECOND);
    assert_eq!(cause(&mut server), Some(Ended::Silent { limit: 60 * SECOND }));
}

#[test]
fn a_device_asks_three_times_and_gives_up_at_the_bound() {
    let now = start();
    let (mut device, _) = pair(now);
    let mut pings = Vec::new();
    while let Some((deadline, timer)) = device.poll_timeout() {
        assert_eq!(timer, Timer::Silence);
        device.handle_timeout(deadline);
        if !device.is_ended() {
            let micros = u64::try_from((deadline - now).as_micros()).unwrap();
            assert_eq!(sent(&mut device), frame(&Message::Ping { nonce: micros }));
        }
        pings.push((deadline - now).as_secs());
    }
    assert_eq!(pings, [30, 40, 50, 60]);
    assert_eq!(cause(&mut device), Some(Ended::Silent { limit: 60 * SECOND }));
}

#[test]
fn a_clock_that_jumps_causes_one_ping() {
    let now = start();
    let (mut device, mut server) = pair(now);
    let later = now + 3600 * SECOND;
    device.handle_timeout(later);
    let ping = sent(&mut device);
    assert_eq!(ping.len(), 19);
    server.handle_bytes(later, &ping);
    device.handle_bytes(later + SECOND / 4, &sent(&mut server));
    assert!(!device.is_ended());
    assert_eq!(device.counters().round_trip, Some(SECOND / 4));
    assert_eq!(device.poll_timeout(), Some((later + SECOND / 4 + 30 * SECOND, Timer::Silence)));
}

#[test]
fn the_window_holds_back_and_a_window_that_never_opens_ends_the_link() {
    let now = start();
    let (mut device, _) = pair(now);
    for _ in 0..64 {
        device.send(now, 0, b"x").unwrap();
    }
    assert_eq!(device.send(now, 0, b"x"), Err(SendError::Full));
    assert!(!device.can_send());
    device.handle_bytes(now, &frame(&Message::Ack { receive_next: 1 }));
    assert_eq!(device.send(now + SECOND, 0, b"x"), Ok(64));
    for second in [20, 40, 60] {
        device.handle_bytes(now + second * SECOND, &frame(&Message::Ping { nonce: 0 }));
    }
    device.handle_timeout(now + 61 * SECOND);
    let _ack = device.poll_event();
    assert_eq!(cause(&mut device), Some(Ended::Stalled { unacknowledged: 64, limit: 60 * SECOND }));
}

#[test]
fn a_peer_that_floods_and_does_not_read_is_cut_off() {
    let now = start();
    let mut server = serving(now);
    let ping = frame(&Message::Ping { nonce: 1 });
    let mut pings = 0;
    while !server.is_ended() {
        server.handle_bytes(now, &ping);
        pings += 1;
        assert!(pings < 100_000, "the bound holds");
    }
    assert_eq!(cause(&mut server), Some(Ended::NotRead { limit: 2 * 65_545 }));
}

#[test]
fn an_ack_for_what_was_never_sent_ends_the_session() {
    let now = start();
    let (mut device, _) = pair(now);
    device.handle_bytes(now, &frame(&Message::Ack { receive_next: 1 }));
    let violation = Violation::AckAhead { receive_next: 1, next: 0 };
    assert_eq!(cause(&mut device), Some(Ended::Violation(violation)));
}

#[test]
fn a_device_tells_why_it_was_not_let_in() {
    let now = start();
    let reason = Reason::new("no such meter").unwrap();
    let refuse = Refuse { code: RefuseCode::UNAUTHORIZED, retry_after_ms: 1500, reason };
    let mut device = device(now);
    assert_eq!(device.send(now, 0, b"early"), Err(SendError::NotConnected));
    device.handle_bytes(now, &frame(&Message::Refuse(refuse)));
    let told = events(&mut device);
    let [Event::Closed { cause, reason, .. }] = &told[..] else { panic!("{told:?}") };
    let retry_after = Duration::from_millis(1500);
    assert_eq!((cause, &**reason), (&Ended::Refused { code: RefuseCode::UNAUTHORIZED, retry_after }, "no such meter"));
}

#[test]
fn a_welcome_that_serves_for_nothing_is_a_violation() {
    let now = start();
    for (heartbeat_ms, window) in [(0, 1), (1, 0)] {
        let mut device = device(now);
        device.handle_bytes(now, &frame(&Message::Welcome(Welcome { heartbeat_ms, window, resume: RESUME })));
        assert_eq!(cause(&mut device), Some(Ended::Violation(Violation::Welcome { heartbeat_ms, window })));
    }
}

#[test]
fn close_ends_both_ends_and_says_why() {
    let now = start();
    let (mut device, mut server) = pair(now);
    device.close(CloseCode::DONE, Reason::new("bye").unwrap());
    let close = sent(&mut device);
    assert_eq!(close, frame(&Message::Close(Close { code: CloseCode::DONE, reason: Reason::new("bye").unwrap() })));
    server.handle_bytes(now, &close);
    let told = events(&mut server);
    let [Event::Closed { cause: Ended::PeerClosed(CloseCode::DONE), reason, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(&**reason, "bye");
    assert!(sent(&mut server).is_empty(), "nothing is said to a peer that has closed");
    assert_eq!(server.send(now, 0, b"x"), Err(SendError::NotConnected));
}

#[test]
fn a_body_that_is_too_long_is_the_callers() {
    let now = start();
    let (mut device, _) = pair(now);
    let limit = device.limits().max_body();
    assert_eq!(limit, 65_529);
    let body = vec![0; limit + 1];
    assert_eq!(device.send(now, 0, &body), Err(SendError::TooLong { length: limit + 1, limit }));
    assert_eq!(device.send(now, 0, &body[1..]), Ok(0));
}

#[test]
fn random_bytes_neither_stop_nor_deceive_a_server() {
    // A small generator of its own keeps the bytes the same for ever.
    for seed in 1..200_u64 {
        let now = start();
        let (mut server, mut state, mut bytes) = (serving(now), seed, Vec::new());
        for _ in 0..2000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of the bytes are what headers are made of.
            bytes.push(if state & 1 == 0 {
                [0xD7, 0x55, 0x00, 0xFF][usize::from(state as u8 >> 6)]
            } else {
                (state >> 8) as u8
            });
        }
        for piece in bytes.chunks(37) {
            server.handle_bytes(now, piece);
        }
        server.handle_disconnected(now, None);
        let skipped: u64 = events(&mut server)
            .iter()
            .map(|event| match event {
                Event::Skipped { bytes, .. } => *bytes,
                Event::Closed { .. } => 0,
                other => panic!("seed {seed}: {other:?}"),
            })
            .sum();
        assert_eq!(skipped, 2000, "seed {seed}: every byte is accounted for");
    }
}

#[test]
fn what_stands_behind_register_waits_for_the_decision() {
    let now = start();
    let opening = [register(1), data(0, b"x")].concat();

    let mut refused = server(now);
    refused.handle_bytes(now, &opening);
    assert!(matches!(refused.poll_event(), Some(Event::Register(_))));
    assert!(refused.poll_event().is_none(), "nothing comes from a device that is not let in yet");
    refused.refuse(RefuseCode::UNAUTHORIZED, SECOND, Reason::EMPTY);
    assert!(matches!(refused.poll_event(), Some(Event::Closed { cause: Ended::TurnedAway(_), .. })));
    assert!(refused.poll_event().is_none());

    let mut welcomed = server(now);
    welcomed.handle_bytes(now, &opening);
    assert!(matches!(welcomed.poll_event(), Some(Event::Register(_))));
    welcomed.welcome(now);
    assert!(matches!(welcomed.poll_event(), Some(Event::Data { seq: 0, .. })));
}

#[test]
fn bytes_behind_register_are_bounded() {
    let now = start();
    let mut server = server(now);
    server.handle_bytes(now, &register(1));
    server.handle_bytes(now, &vec![0; 1_000_000]);
    assert!(matches!(server.poll_event(), Some(Event::Register(_))));
    assert!(matches!(server.poll_event(), Some(Event::Closed { cause: Ended::TooMuchBeforeRegister { .. }, .. })));
}

#[test]
fn what_was_committed_is_acknowledged_before_the_close() {
    let now = start();
    let mut server = server(now);
    server.handle_bytes(now, &[register(1), data(0, b"x")].concat());
    assert!(matches!(server.poll_event(), Some(Event::Register(_))));
    server.welcome(now);
    let _welcome = server.poll_transmit();
    assert!(matches!(server.poll_event(), Some(Event::Data { .. })));
    server.commit(1).unwrap();
    server.close(CloseCode::DONE, Reason::EMPTY);
    let last = [
        frame(&Message::Ack { receive_next: 1 }),
        frame(&Message::Close(Close { code: CloseCode::DONE, reason: Reason::EMPTY })),
    ];
    assert_eq!(server.poll_transmit().unwrap(), last.concat());
}
