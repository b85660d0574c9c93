//! From the first byte to WELCOME or REFUSE.

use crate::pair::{
    DEVICE, FRESH, Pair, SECOND, SERVER, Said, TICK, config, data, events, frame, frame_around, handshake, hear,
    messages, pieces, refuse, register, registering, said, sent, states, welcome,
};
use core::time::Duration;
use dtu_net::{Carrier, Cause, Event, Handshake, HandshakeEvent, Limits, Link, State, Timer, Violation};
use dtu_proto::message::{CloseCode, RefuseCode, Register, Resume, kind};
use dtu_proto::{Malformed, Message};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

fn opening(now: Instant) -> Handshake {
    Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now)
}

fn over(handshake: &mut Handshake) -> Option<Cause> {
    match handshake.poll_event() {
        Some(HandshakeEvent::Over(cause)) => Some(cause),
        Some(HandshakeEvent::Register(_)) => over(handshake),
        _ => None,
    }
}

fn answer(handshake: &mut Handshake) -> Vec<Said> {
    let mut bytes = Vec::new();
    let _any = handshake.poll_transmit(&mut bytes);
    messages(&bytes)
}

#[test]
fn a_device_registers_first_and_is_connected_by_welcome() {
    //= spec/session.md#S-1
    //= spec/session.md#S-2
    let now = crate::pair::start();
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    assert_eq!(sent(&mut device, epoch, now), said(&[register(FRESH)]));
    assert_eq!(states(&mut device), [(State::Connecting, None), (State::Registering, None)]);
    hear(&mut device, epoch, now, &welcome(Resume { stream: SERVER, ..FRESH }));
    assert_eq!(states(&mut device), [(State::Connected, None)]);
    assert_eq!((device.limits().heartbeat, device.limits().window), (30 * SECOND, 64));
    assert_eq!(device.counters().connected, 1);
}

#[test]
fn a_server_welcomes_with_its_heartbeat_window_and_stream() {
    let now = crate::pair::start();
    let limits = Arc::new(Limits::default());
    let mut server = Link::server(limits.clone(), SERVER, now);
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, FRESH, now)).unwrap();
    let theirs = Resume { stream: SERVER, send_base: 0, peer_stream: 0, receive_next: 0 };
    assert_eq!(sent(&mut server, epoch, now), said(&[welcome(theirs)]));
    assert_eq!(states(&mut server), [(State::Connected, None)]);
}

#[test]
fn the_registration_says_what_the_device_said() {
    let now = crate::pair::start();
    let mut device = Link::device(config().token(b"key").unwrap(), DEVICE, 7, now);
    let epoch = crate::pair::dial(&mut device, now);
    device.handle_connected(epoch, now, Carrier::Stream);
    let mut handshake = opening(now);
    handshake.handle_bytes(now, &pieces(&mut device, epoch, now).concat());
    let Some(HandshakeEvent::Register(registration)) = handshake.poll_event() else { panic!("REGISTER came") };
    assert_eq!((&*registration.device, &registration.token[..]), ("meter-7", &b"key"[..]));
    assert_eq!(registration.resume, FRESH);
    assert!(handshake.poll_event().is_none());
}

#[test]
fn any_split_of_the_bytes_gives_the_same_events() {
    let now = crate::pair::start();
    let false_header = [0xD7, 0x55, 0, 1, 2, 3];
    let stream = [
        b"dirt",
        &frame(&register(FRESH))[..],
        b"noise",
        &frame(&data(0, b"one")),
        &false_header,
        &frame(&data(1, b"two")),
        &frame(&data(0, b"one")),
    ]
    .concat();
    let run = |chunk: usize| {
        let limits = Arc::new(Limits::default());
        let mut server = Link::server(limits, SERVER, now);
        let (mut before, mut epoch) = (Some(opening(now)), server.epoch());
        for piece in stream.chunks(chunk) {
            if let Some(mut handshake) = before.take() {
                handshake.handle_bytes(now, piece);
                match handshake.poll_event() {
                    Some(HandshakeEvent::Register(_)) => epoch = server.handle_registered(now, handshake).unwrap(),
                    None => before = Some(handshake),
                    other => panic!("{other:?}"),
                }
            } else {
                server.handle_bytes(epoch, now, piece);
            }
        }
        let line = server.counters().line;
        let line = (line.frames, line.skipped_bytes());
        (events(&mut server), crate::pair::received(&mut server), line, sent(&mut server, epoch, now))
    };
    let whole = run(stream.len());
    assert_eq!((whole.0.len(), whole.1.len()), (5, 2), "{whole:?}");
    assert_eq!(whole.2, (4, 15), "what stood in front of REGISTER counts too");
    for chunk in 1..stream.len() {
        assert_eq!(run(chunk), whole, "chunks of {chunk}");
    }
}

#[test]
fn what_follows_register_waits_for_the_decision() {
    //= spec/session.md#S-3
    let now = crate::pair::start();
    let both = [frame(&register(FRESH)), frame(&data(0, b"early"))].concat();
    let taken = || {
        let mut handshake = opening(now);
        handshake.handle_bytes(now, &both);
        assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
        assert!(handshake.poll_event().is_none());
        handshake
    };
    let mut refused = taken();
    refused.refuse(now, RefuseCode::BUSY, SECOND);
    assert_eq!(answer(&mut refused), said(&[refuse(RefuseCode::BUSY, 1000, "turned_away")]));
    assert_eq!(over(&mut refused), Some(Cause::TurnedAway(RefuseCode::BUSY)));

    let mut server = Link::server(Arc::new(Limits::default()), SERVER, now);
    server.handle_registered(now, taken()).unwrap();
    assert_eq!(crate::pair::delivered(&mut server), [(0, "early".to_owned())]);
}

#[test]
fn what_is_not_register_is_refused_as_a_breach() {
    //= spec/session.md#S-1
    let now = crate::pair::start();
    let first = |bytes: &[u8]| {
        let mut handshake = opening(now);
        handshake.handle_bytes(now, bytes);
        let cause = over(&mut handshake).expect("it is over");
        assert_eq!(answer(&mut handshake), said(&[refuse(RefuseCode::PROTOCOL, 0, cause.name())]));
        assert!(handshake.is_over() && handshake.poll_timeout().is_none());
        cause
    };
    assert_eq!(first(&frame(&data(0, b"x"))), Cause::Violation(Violation::FirstMessage { kind: kind::DATA }));
    let Message::Register(register) = register(FRESH) else { unreachable!() };
    let other = frame(&Message::Register(Register { version: 2, ..register }));
    assert_eq!(first(&other), Cause::Violation(Violation::Version { version: 2 }));
    let nameless = frame(&crate::pair::register(Resume { stream: 0, ..FRESH }));
    assert_eq!(first(&nameless), Cause::Violation(Violation::NoStream));
    let cut = frame_around(&[kind::REGISTER, 1]);
    assert!(matches!(first(&cut), Cause::Violation(Violation::FirstMessageMalformed(_))));
    let unknown = frame_around(&[0x7F]);
    assert_eq!(first(&unknown), Cause::Violation(Violation::FirstMessage { kind: 0x7F }));
}

#[test]
fn a_close_instead_of_register_is_not_answered() {
    let now = crate::pair::start();
    let mut handshake = opening(now);
    handshake.handle_bytes(now, &frame(&crate::pair::close(CloseCode::DONE, "")));
    assert_eq!(over(&mut handshake), Some(Cause::PeerClosed(CloseCode::DONE)));
    assert_eq!(answer(&mut handshake), []);
}

#[test]
fn dirt_in_front_of_register_is_no_fault() {
    let now = crate::pair::start();
    let mut handshake = opening(now);
    handshake.handle_bytes(now, &[0x55; 3000]);
    handshake.handle_bytes(now, &frame(&register(FRESH)));
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
}

#[test]
fn a_transport_that_ends_before_register_is_told_once() {
    let now = crate::pair::start();
    let mut handshake = opening(now);
    handshake.handle_bytes(now, &[0xd7]);
    handshake.handle_disconnected(Cause::Disconnected);
    handshake.handle_disconnected(Cause::Disconnected);
    handshake.handle_bytes(now, &frame(&register(FRESH)));
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(Cause::Disconnected)));
    assert_eq!(handshake.poll_event(), None);
    assert_eq!(answer(&mut handshake), []);
}

#[test]
fn who_leaves_without_a_byte_is_told_apart_from_who_broke() {
    for (cause, told) in [
        (Cause::Disconnected, Cause::SaidNothing),
        (Cause::Transport(ErrorKind::ConnectionReset), Cause::Transport(ErrorKind::ConnectionReset)),
    ] {
        let mut handshake = opening(crate::pair::start());
        handshake.handle_disconnected(cause);
        assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(told)));
    }
    // It had said all: the server was slow to answer.
    let now = crate::pair::start();
    let mut handshake = opening(now);
    handshake.handle_bytes(now, &frame(&register(FRESH)));
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
    handshake.handle_disconnected(Cause::Disconnected);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(Cause::Disconnected)));
}

#[test]
fn a_handshake_that_was_refused_lets_nobody_in() {
    let now = crate::pair::start();
    let limits = Arc::new(Limits::default());
    let mut refused = handshake(&limits, Carrier::Stream, FRESH, now);
    refused.refuse(now, RefuseCode::UNAUTHORIZED, SECOND);
    let mut server = Link::server(limits, SERVER, now);
    assert_eq!(server.handle_registered(now, refused), None);
    assert_eq!(server.state(), State::Disconnected);
}

#[test]
fn a_device_gives_up_a_server_that_does_not_welcome_in_time() {
    let now = crate::pair::start();
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    let deadline = now + 10 * SECOND;
    assert_eq!(device.poll_timeout(), Some((deadline, Timer::Identify)));
    device.handle_timeout(deadline - TICK);
    assert_eq!(device.state(), State::Registering);
    device.handle_timeout(deadline);
    assert_eq!(states(&mut device), [(State::Disconnected, Some(Cause::NotIdentified { limit: 10 * SECOND }))]);
    assert_eq!(sent(&mut device, epoch, now), said(&[crate::pair::close(CloseCode::TIMED_OUT, "")]));
}

#[test]
fn a_dial_that_takes_too_long_is_given_up() {
    let now = crate::pair::start();
    let mut device = Link::device(config(), DEVICE, 7, now);
    let first = crate::pair::dial(&mut device, now);
    assert_eq!(device.poll_timeout(), Some((now + 10 * SECOND, Timer::Connect)));
    device.handle_timeout(now + 10 * SECOND);
    assert_eq!(
        states(&mut device).pop(),
        Some((State::Disconnected, Some(Cause::NotConnected { limit: 10 * SECOND })))
    );
    device.handle_connected(first, now + 10 * SECOND, Carrier::Stream);
    assert_eq!(device.state(), State::Disconnected, "it comes too late");
}

#[test]
fn a_device_that_gets_something_else_than_welcome_ends_the_connection() {
    let now = crate::pair::start();
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    hear(&mut device, epoch, now, &data(0, b"x"));
    let violation = Violation::FirstMessage { kind: kind::DATA };
    assert_eq!(states(&mut device), [(State::Disconnected, Some(Cause::Violation(violation)))]);
    let closed = crate::pair::close(CloseCode::PROTOCOL, "first_message");
    assert_eq!(sent(&mut device, epoch, now), said(&[closed]));
}

#[test]
fn a_refused_device_says_why_and_in_the_servers_words() {
    let now = crate::pair::start();
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    hear(&mut device, epoch, now, &refuse(RefuseCode::BUSY, 1500, "full"));
    let told = events(&mut device);
    let [Event::State(change)] = &told[..] else { panic!("{told:?}") };
    let cause = Cause::Refused { code: RefuseCode::BUSY, retry_after: Duration::from_millis(1500) };
    assert_eq!((change.state, change.cause, &*change.reason), (State::Disconnected, Some(cause), "full"));
    assert_eq!(sent(&mut device, epoch, now), [], "a refusal is not answered");
}

#[test]
fn a_first_connect_resumes_nothing_on_either_side() {
    let mut pair = Pair::new();
    assert_eq!(crate::pair::resumed(&mut pair.device), [(false, false)]);
    assert_eq!(crate::pair::resumed(&mut pair.server), [(false, false)]);
}

#[test]
fn an_oversized_frame_is_seen_at_its_header_and_its_sender_is_told_why() {
    //= spec/session.md#S-34
    let now = crate::pair::start();
    let mut limits = Limits::default();
    limits.max_payload = 512;
    let (mut server, epoch) = crate::pair::serving(limits, Carrier::Stream, now);
    server.handle_bytes(epoch, now, &frame(&data(0, &[7; 600]))[..6]);
    let over = dtu_net::SkipCause::Line(Malformed::OverLimit { length: 606, limit: 512 });
    let told = events(&mut server);
    assert_eq!(told[0], Event::Skipped { bytes: 6, cause: over });
    let violation = Violation::OverLimit { length: 606, limit: 512 };
    assert!(
        matches!(&told[1..], [Event::State(change)] if change.cause == Some(Cause::Violation(violation))),
        "{told:?}"
    );
    assert_eq!(server.memory(), 0);
    assert_eq!(sent(&mut server, epoch, now), said(&[crate::pair::close(CloseCode::PROTOCOL, "over_limit")]));
}
