//! Peers that break the rules: each is named, answered and counted, and the session outlives the connection.

use crate::pair::{
    DEVICE, FRESH, Pair, SECOND, SERVER, ack, close, config, consume, data, delivered, events, frame, handshake, hear,
    messages, numbered, pass, pieces, refuse, register, registering, said, send, sent, serving, skip, start, states,
    welcomed,
};
use core::time::Duration;
use dtu_net::adaptive::{AdaptiveHeartbeat, FLOOR, Learned, MAXIMUM};
use dtu_net::limits::HEARTBEAT_MAX;
use dtu_net::link::Role;
use dtu_net::{Carrier, Cause, Epoch, Handshake, HandshakeEvent, Limits, Link, State, Timer, Violation};
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, RefuseCode, Resume, Welcome, kind};
use std::sync::Arc;
use std::time::Instant;

/// The connection is over by this breach, the peer is told which, and the link lives on.
fn assert_ended<R: Role>(link: &mut Link<R>, epoch: Epoch, now: Instant, violation: Violation) {
    assert_eq!(states(link), [(State::Disconnected, Some(Cause::Violation(violation)))]);
    assert_eq!(sent(link, epoch, now), said(&[close(CloseCode::PROTOCOL, violation.name())]));
    assert!(!link.is_live(epoch) && link.poll_timeout().is_some(), "it waits for the next connection");
}

fn serving_now(now: Instant) -> (Link<dtu_net::Server>, Epoch) {
    serving(Limits::default(), Carrier::Stream, now)
}

#[test]
fn a_device_that_registers_twice_is_closed_and_may_come_again() {
    //= spec/session.md#S-2
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear(&mut server, epoch, now, &register(FRESH));
    assert_ended(&mut server, epoch, now, Violation::RegisteredTwice);
    let limits = Arc::new(Limits::default());
    assert!(server.handle_registered(now, handshake(&limits, Carrier::Stream, FRESH, now)).is_some());
    assert_eq!(server.state(), State::Connected);
}

#[test]
fn messages_that_the_other_role_sends_are_unexpected() {
    let now = start();
    let resume = Resume { stream: SERVER, ..FRESH };
    let to_server = [
        (crate::pair::welcome(resume), kind::WELCOME),
        (refuse(RefuseCode::BUSY, 0, ""), kind::REFUSE),
        (Message::Challenge { nonce: [0; 16] }, kind::CHALLENGE),
        (Message::Proof { mac: [0; 32] }, kind::PROOF),
    ];
    for (message, kind) in to_server {
        let (mut server, epoch) = serving_now(now);
        hear(&mut server, epoch, now, &message);
        assert_ended(&mut server, epoch, now, Violation::Unexpected { kind });
    }
    let to_device = [
        (register(FRESH), kind::REGISTER),
        (crate::pair::welcome(resume), kind::WELCOME),
        (refuse(RefuseCode::BUSY, 0, ""), kind::REFUSE),
        (Message::Challenge { nonce: [0; 16] }, kind::CHALLENGE),
        (Message::Proof { mac: [0; 32] }, kind::PROOF),
    ];
    for (message, kind) in to_device {
        let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
        hear(&mut device, epoch, now, &message);
        assert_ended(&mut device, epoch, now, Violation::Unexpected { kind });
    }
}

#[test]
fn an_ack_for_what_was_never_sent_ends_the_connection_and_settles_nothing() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    send(&mut device, "a");
    send(&mut device, "b");
    let mut piece = Vec::new();
    assert!(device.poll_transmit(epoch, now, &mut piece));
    hear(&mut device, epoch, now, &ack(3));
    assert_ended(&mut device, epoch, now, Violation::AckAhead { receive_next: 3, next: 2 });
    assert_eq!(device.counters().ledger.pending, 2);

    // Handed to `send` is not sent.
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    send(&mut device, "a");
    hear(&mut device, epoch, now, &ack(1));
    assert_ended(&mut device, epoch, now, Violation::AckAhead { receive_next: 1, next: 0 });
}

#[test]
fn a_resume_field_for_what_was_never_sent_ends_the_connection() {
    let now = start();
    let limits = Arc::new(Limits::default());
    let mut server = Link::server(limits.clone(), SERVER, now);
    let lying = Resume { peer_stream: SERVER, receive_next: 1, ..FRESH };
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, lying, now)).unwrap();
    let violation = Violation::AckAhead { receive_next: 1, next: 0 };
    let told = states(&mut server);
    assert_eq!(told.last(), Some(&(State::Disconnected, Some(Cause::Violation(violation)))), "{told:?}");
    assert_eq!(sent(&mut server, epoch, now), said(&[close(CloseCode::PROTOCOL, "ack_ahead")]));

    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    let lying = Resume { stream: SERVER, send_base: 0, peer_stream: DEVICE, receive_next: 1 };
    hear(&mut device, epoch, now, &crate::pair::welcome(lying));
    assert_ended(&mut device, epoch, now, violation);
}

#[test]
fn data_from_the_future_ends_the_connection_and_what_was_missing_comes_on_the_next() {
    //= spec/session.md#S-11
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear(&mut server, epoch, now, &data(1, b"b"));
    assert_ended(&mut server, epoch, now, Violation::Gap { expected: 0, seq: 1 });
    let limits = Arc::new(Limits::default());
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, FRESH, now)).unwrap();
    hear(&mut server, epoch, now, &data(0, b"a"));
    hear(&mut server, epoch, now, &data(1, b"b"));
    assert_eq!(consume(&mut server), numbered(&[(0, "a"), (1, "b")]));
}

#[test]
fn data_beyond_the_window_ends_the_connection() {
    //= spec/session.md#S-10
    let now = start();
    let mut limits = Limits::default();
    limits.window = 2;
    let (mut server, epoch) = serving(limits, Carrier::Stream, now);
    for seq in 0..2 {
        hear(&mut server, epoch, now, &data(seq, b"x"));
    }
    assert_eq!(server.state(), State::Connected);
    hear(&mut server, epoch, now, &data(2, b"x"));
    assert_ended(&mut server, epoch, now, Violation::BeyondWindow { seq: 2, limit: 2 });
    assert_eq!(delivered(&mut server).len(), 2);

    let (mut server, epoch) = serving_now(now);
    hear(&mut server, epoch, now, &data(1 << 30, b"x"));
    assert_ended(&mut server, epoch, now, Violation::BeyondWindow { seq: 1 << 30, limit: 64 });
}

#[test]
fn a_flood_of_pings_is_ended_at_its_bound_and_honest_ones_are_not() {
    let now = start();
    let ping = Message::Ping { nonce: 1 };
    let (mut server, epoch) = serving_now(now);
    // An honest peer asks four times in a heartbeat, hour after hour.
    let mut at = now;
    for _ in 0..1000 {
        at += 7 * SECOND;
        hear(&mut server, epoch, at, &ping);
        pieces(&mut server, epoch, at);
    }
    assert_eq!(states(&mut server), []);
    let (mut server, epoch) = serving_now(now);
    for _ in 0..64 {
        hear(&mut server, epoch, now, &ping);
    }
    assert_eq!(sent(&mut server, epoch, now).len(), 8, "of more answers than anyone reads the newest are kept");
    hear(&mut server, epoch, now, &ping);
    assert_eq!(
        states(&mut server),
        [(State::Disconnected, Some(Cause::Violation(Violation::PingFlood { limit: 64 })))]
    );
    assert_eq!(sent(&mut server, epoch, now), said(&[close(CloseCode::PROTOCOL, "ping_flood")]));
}

#[test]
fn of_many_pings_the_newest_are_answered() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    for nonce in 0..20 {
        hear(&mut server, epoch, now, &Message::Ping { nonce });
    }
    let newest: Vec<_> = (12..20).map(|nonce| Message::Pong { nonce }).collect();
    assert_eq!(sent(&mut server, epoch, now), said(&newest));
}

#[test]
fn a_peer_that_sends_nothing_is_refused_at_the_deadline_and_not_before() {
    //= spec/session.md#S-3
    let now = start();
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
    let deadline = now + 10 * SECOND;
    assert_eq!(handshake.poll_timeout(), Some((deadline, Timer::Identify)));
    handshake.handle_timeout(deadline - crate::pair::TICK);
    assert_eq!(handshake.poll_event(), None);
    handshake.handle_timeout(deadline);
    let cause = Cause::NotIdentified { limit: 10 * SECOND };
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(cause)));
    let mut out = Vec::new();
    assert!(handshake.poll_transmit(&mut out));
    assert_eq!(messages(&out), said(&[refuse(RefuseCode::PROTOCOL, 0, "not_identified")]));
    assert_eq!(handshake.poll_timeout(), None);
    handshake.handle_timeout(deadline + SECOND);
    assert_eq!(handshake.poll_event(), None, "the end is told once");
}

#[test]
fn a_byte_a_second_does_not_move_the_deadline_to_identify() {
    let now = start();
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
    for (second, byte) in (1..10).zip(frame(&register(FRESH))) {
        handshake.handle_bytes(now + second * SECOND, &[byte]);
    }
    assert_eq!(handshake.poll_timeout(), Some((now + 10 * SECOND, Timer::Identify)));
    handshake.handle_timeout(now + 10 * SECOND);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(Cause::NotIdentified { limit: 10 * SECOND })));
}

#[test]
fn the_bytes_before_register_are_bounded_whatever_they_claim() {
    //= spec/session.md#S-3
    let now = start();
    let flood = |front: &[u8]| {
        let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
        handshake.handle_bytes(now, front);
        while !handshake.is_over() {
            handshake.handle_bytes(now, &[0xAA; 1000]);
        }
        let Some(HandshakeEvent::Over(cause)) = handshake.poll_event() else { panic!("it is over") };
        let mut out = Vec::new();
        assert!(handshake.poll_transmit(&mut out));
        assert_eq!(messages(&out), said(&[refuse(RefuseCode::PROTOCOL, 0, "too_much_before_register")]));
        cause
    };
    assert_eq!(flood(b""), Cause::TooMuchBeforeRegister { received: 5000, limit: 4096 });
    assert_eq!(flood(&[0xD7, 0x55, 0xFF, 0xFF, 0, 0]), Cause::TooMuchBeforeRegister { received: 5006, limit: 4096 });
}

#[test]
fn the_bytes_behind_register_are_bounded_until_it_is_decided() {
    let now = start();
    let mut handshake = handshake(&Arc::new(Limits::default()), Carrier::Stream, FRESH, now);
    handshake.handle_bytes(now, &vec![0; 1_000_000]);
    let Some(HandshakeEvent::Over(Cause::TooMuchBeforeRegister { received, limit: 4096 })) = handshake.poll_event()
    else {
        panic!("it is over")
    };
    assert!(received > 1_000_000);
}

#[test]
fn a_welcome_with_which_no_link_can_be_kept_is_a_breach() {
    let now = start();
    let day = 24 * 60 * 60 * 1000;
    for (heartbeat_ms, window) in [(0, 1), (99, 1), (day + 1, 1), (u32::MAX, 1), (30_000, 0)] {
        let (mut device, epoch) = registering(config(), Carrier::Stream, now);
        pieces(&mut device, epoch, now);
        events(&mut device);
        let resume = Resume { stream: SERVER, ..FRESH };
        hear(&mut device, epoch, now, &Message::Welcome(Welcome { heartbeat_ms, window, resume }));
        assert_ended(&mut device, epoch, now, Violation::Welcome { heartbeat_ms, window });
        assert_eq!(device.limits().heartbeat, 30 * SECOND);
    }
    for (heartbeat_ms, window) in [(100, 1), (day, u16::MAX)] {
        let (mut device, epoch) = registering(config(), Carrier::Stream, now);
        let resume = Resume { stream: SERVER, ..FRESH };
        hear(&mut device, epoch, now, &Message::Welcome(Welcome { heartbeat_ms, window, resume }));
        assert_eq!(device.state(), State::Connected, "{heartbeat_ms} ms, window {window}");
    }
}

#[test]
fn a_stream_without_a_number_is_a_breach_on_both_sides() {
    //= spec/session.md#S-9
    let now = start();
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
    handshake.handle_bytes(now, &frame(&register(Resume { stream: 0, ..FRESH })));
    let violation = Cause::Violation(Violation::NoStream);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(violation)));
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    hear(&mut device, epoch, now, &crate::pair::welcome(Resume { stream: 0, ..FRESH }));
    assert_ended(&mut device, epoch, now, Violation::NoStream);
}

#[test]
fn a_stranger_with_the_devices_id_can_claim_its_session_and_gets_only_what_the_device_would() {
    // Without keys the id is all there is (S-17). With a key see `proof`: the stranger is refused.
    let now = start();
    let (mut server, _) = serving_now(now);
    send(&mut server, "for the device");
    let limits = Arc::new(Limits::default());
    // It does not know the server's stream, so it acknowledges nothing by guessing.
    let guess = Resume { stream: 77, send_base: 0, peer_stream: 99, receive_next: 1000 };
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, guess, now)).unwrap();
    assert_eq!(server.counters().ledger.pending, 1);
    assert!(server.is_live(epoch));
}

#[test]
fn a_skip_as_far_as_numbers_go_costs_one_entry() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    for next in [(1 << 31) - 1, u32::MAX - 1, (1 << 31) - 3] {
        hear(&mut server, epoch, now, &skip(next));
    }
    assert_eq!(server.state(), State::Connected);
    assert!(server.memory() < 1000);
    assert_eq!(delivered(&mut server).len(), 1);
}

#[test]
fn the_session_outlives_every_breach() {
    let now = start();
    let limits = Arc::new(Limits::default());
    let (mut server, mut epoch) = serving_now(now);
    send(&mut server, "kept");
    let breaches = [register(FRESH), ack(9), data(9, b"x"), data(1 << 20, b"x"), Message::Proof { mac: [0; 32] }];
    for breach in breaches {
        pieces(&mut server, epoch, now);
        hear(&mut server, epoch, now, &breach);
        assert_eq!(server.state(), State::Disconnected);
        epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, FRESH, now)).unwrap();
    }
    assert_eq!((server.state(), server.counters().connected), (State::Connected, 6));
    assert_eq!(sent(&mut server, epoch, now).last(), said(&[data(0, b"kept")]).last());
}

/// Every time as long as can be, as for "never".
fn endless(heartbeat: Duration) -> Limits {
    let mut limits = Limits::default();
    for time in [
        &mut limits.connect,
        &mut limits.identify,
        &mut limits.penalty,
        &mut limits.unwanted,
        &mut limits.inter_byte,
        &mut limits.frame,
        &mut limits.probe_timeout,
        &mut limits.resend,
        &mut limits.resend_max,
        &mut limits.retention,
        &mut limits.linger,
    ] {
        *time = Duration::MAX;
    }
    limits.heartbeat = heartbeat;
    limits
}

#[test]
fn times_without_end_lead_no_link_out_of_the_clock() {
    let now = start();
    // More than the longest heartbeat is one that no device takes.
    let mut pair = Pair::with(endless(HEARTBEAT_MAX));
    for link in ["up", "down"] {
        send(&mut pair.device, link);
        send(&mut pair.server, link);
    }
    pair.carry_up();
    pair.carry_down();
    let mut config = config();
    config.limits = endless(Duration::MAX);
    let (mut device, epoch) = registering(config, Carrier::Stream, now);
    // A frame that is not whole, and then nothing.
    device.handle_bytes(epoch, now, &frame(&refuse(RefuseCode::BUSY, u32::MAX, ""))[..9]);
    let (mut server, epoch) = serving(endless(Duration::MAX), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &frame(&ack(0))[..9]);
    let mut stranger = Handshake::new(Arc::new(endless(Duration::MAX)), Carrier::Stream, 0, now);
    assert!(stranger.poll_timeout().is_some_and(|(at, _)| at > now));
    stranger.refuse(now, RefuseCode::UNAUTHORIZED, Duration::MAX);
    let hour = now + 3_600 * SECOND;
    stranger.handle_timeout(hour);
    assert!(!stranger.is_over(), "its penalty has no end");
    for link in [&mut pair.device, &mut device] {
        pass(link, hour);
        assert!(link.poll_timeout().is_some_and(|(at, _)| at > hour));
    }
    for link in [&mut pair.server, &mut server] {
        pass(link, hour);
        assert!(link.poll_timeout().is_some_and(|(at, _)| at > hour));
    }
}

#[test]
fn a_file_of_what_was_learned_may_hold_any_time() {
    let now = start();
    let longest = Duration::MAX;
    for (good, bad) in [(Some(longest), None), (None, Some(longest)), (Some(longest - SECOND), Some(longest))] {
        let mut config = config();
        config.adaptive = Some(AdaptiveHeartbeat::default());
        let (mut device, epoch) = welcomed(config, Carrier::Stream, now);
        device.remember(now, Learned { good, bad, ..Learned::default() });
        let (at, _) = device.poll_timeout().unwrap();
        device.handle_timeout(at);
        pieces(&mut device, epoch, at);
        hear(&mut device, epoch, at, &ack(0));
        assert!((FLOOR..=MAXIMUM).contains(&device.heartbeat_interval()), "{good:?} {bad:?}");
    }
}
