//! The same over datagrams, which are lost, doubled and overtaken.

use crate::pair::{
    DEVICE, FRESH, SECOND, SERVER, Said, ack, config, consume, data, delivered, events, handshake, hear_datagram,
    numbered, outcomes, pass, pieces, refuse, register, registering, said, send, sent_datagrams, serving, skip, start,
    states, welcome, welcomed,
};
use dtu_net::auth::{self, Key};
use dtu_net::{
    Carrier, Cause, Event, Handshake, HandshakeEvent, Limits, Link, Outgoing, SkipCause, State, Timer, Violation,
};
use dtu_proto::message::{CloseCode, Datagram, DeviceId, RefuseCode, Resume};
use dtu_proto::{Message, Native};
use std::sync::Arc;
use std::time::Instant;

const NONCE: [u8; 16] = [0x5A; 16];

fn serving_now(now: Instant) -> (Link<dtu_net::Server>, dtu_net::Epoch) {
    serving(Limits::default(), Carrier::Datagrams, now)
}

fn answer(handshake: &mut Handshake) -> Vec<Said> {
    let mut bytes = Vec::new();
    if !handshake.poll_transmit(&mut bytes) {
        return Vec::new();
    }
    vec![Said::new(&Datagram::open(&Native::new(), &bytes).unwrap().message)]
}

#[test]
fn each_piece_is_one_datagram_with_the_devices_stream() {
    //= spec/session.md#S-22
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    for body in ["a", "b"] {
        send(&mut device, body);
    }
    assert_eq!(sent_datagrams(&mut device, epoch, now), said(&[data(0, b"a"), data(1, b"b")]));
}

#[test]
fn a_register_that_is_lost_is_said_again_until_the_time_is_over() {
    let now = start();
    let (mut device, epoch) = registering(config(), Carrier::Datagrams, now);
    let mut seconds = Vec::new();
    for (at, timer) in [(0, None), (1, Some(Timer::Repeat)), (3, Some(Timer::Repeat)), (7, Some(Timer::Repeat))] {
        let at = now + at * SECOND;
        if let Some(timer) = timer {
            assert_eq!(device.poll_timeout(), Some((at, timer)));
            device.handle_timeout(at);
        }
        assert_eq!(sent_datagrams(&mut device, epoch, at), said(&[register(FRESH)]));
        seconds.push((at - now).as_secs());
    }
    assert_eq!(device.poll_timeout(), Some((now + 10 * SECOND, Timer::Identify)));
    device.handle_timeout(now + 10 * SECOND);
    assert_eq!(states(&mut device).pop().unwrap().1, Some(Cause::NotIdentified { limit: 10 * SECOND }));
}

#[test]
fn a_device_on_a_stream_registers_once() {
    let now = start();
    let (device, _) = registering(config(), Carrier::Stream, now);
    assert_eq!(device.poll_timeout(), Some((now + 10 * SECOND, Timer::Identify)));
}

#[test]
fn a_lost_welcome_is_said_again_when_register_comes_again() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear_datagram(&mut server, epoch, now, &register(FRESH));
    let ours = Resume { stream: SERVER, send_base: 0, peer_stream: 0, receive_next: 0 };
    assert_eq!(sent_datagrams(&mut server, epoch, now)[..1], said(&[welcome(ours)]));
    assert_eq!((server.state(), server.counters().connected), (State::Connected, 1));
    assert_eq!(events(&mut server), []);
}

#[test]
fn a_doubled_welcome_changes_nothing() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    send(&mut device, "a");
    pieces(&mut device, epoch, now);
    hear_datagram(&mut device, epoch, now, &welcome(Resume { stream: SERVER, ..FRESH }));
    assert_eq!((events(&mut device), device.counters().connected), (vec![], 1));
    assert_eq!(sent_datagrams(&mut device, epoch, now), []);
}

#[test]
fn a_lost_challenge_and_a_lost_proof_are_said_again() {
    //= spec/session.md#S-20
    let now = start();
    let key = || Key::new(&[1; 16]).unwrap();
    let mut config = config();
    config.key = Some(key());
    let (mut device, epoch) = registering(config, Carrier::Datagrams, now);
    pieces(&mut device, epoch, now);
    let limits = Arc::new(Limits::default());
    let mut handshake = handshake(&limits, Carrier::Datagrams, FRESH, now);
    handshake.challenge(now, NONCE, Some(key()));
    let challenge = Message::Challenge { nonce: NONCE };
    assert_eq!(answer(&mut handshake), said(&[challenge]));
    // It is lost; the device repeats REGISTER, and the challenge is the same one.
    device.handle_timeout(now + SECOND);
    assert_eq!(sent_datagrams(&mut device, epoch, now), said(&[register(FRESH)]));
    handshake.handle_datagram(now + SECOND, &register(FRESH));
    assert_eq!((answer(&mut handshake), handshake.poll_event()), (said(&[challenge]), None));
    hear_datagram(&mut device, epoch, now + SECOND, &challenge);
    let proof = Message::Proof { mac: auth::prove(&key(), &NONCE, DeviceId::new("meter-7").unwrap()) };
    assert_eq!(sent_datagrams(&mut device, epoch, now + SECOND), said(&[proof]));
    // The proof is lost; it is the proof that is repeated now.
    device.handle_timeout(now + 3 * SECOND);
    assert_eq!(sent_datagrams(&mut device, epoch, now + 3 * SECOND), said(&[proof]));
    // A doubled challenge is answered once more.
    hear_datagram(&mut device, epoch, now + 3 * SECOND, &challenge);
    assert_eq!(sent_datagrams(&mut device, epoch, now + 3 * SECOND), said(&[proof]));
    handshake.handle_datagram(now + 3 * SECOND, &proof);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Proven));
    handshake.handle_datagram(now + 3 * SECOND, &proof);
    assert_eq!(handshake.poll_event(), None, "doubled");
    let mut server = Link::server(limits, SERVER, now);
    let session = server.handle_registered(now + 3 * SECOND, handshake).unwrap();
    let first = sent_datagrams(&mut server, session, now + 3 * SECOND);
    // The WELCOME is lost, and the proof comes again.
    hear_datagram(&mut server, session, now + 3 * SECOND, &proof);
    assert_eq!(sent_datagrams(&mut server, session, now + 3 * SECOND)[..1], first[..1]);
    assert_eq!(server.state(), State::Connected);
}

#[test]
fn a_stranger_that_does_not_register_gets_no_answer() {
    let now = start();
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Datagrams, DEVICE, now);
    for message in [data(0, b"x"), ack(1), Message::Ping { nonce: 1 }, Message::Proof { mac: [0; 32] }] {
        handshake.handle_datagram(now, &message);
        assert_eq!((answer(&mut handshake), handshake.poll_event()), (vec![], None));
    }
}

#[test]
fn a_doubled_register_before_the_decision_is_one() {
    let now = start();
    let mut handshake = handshake(&Arc::new(Limits::default()), Carrier::Datagrams, FRESH, now);
    handshake.handle_datagram(now, &register(FRESH));
    assert_eq!((handshake.poll_event(), handshake.is_over()), (None, false));
    handshake.refuse(now, RefuseCode::BUSY, SECOND);
    assert_eq!(answer(&mut handshake), said(&[refuse(RefuseCode::BUSY, 1000, "turned_away")]));
}

#[test]
fn what_is_late_from_an_older_connection_does_not_end_a_device_that_registers() {
    let now = start();
    let (mut device, epoch) = registering(config(), Carrier::Datagrams, now);
    pieces(&mut device, epoch, now);
    for message in [data(3, b"late"), ack(9), Message::Pong { nonce: 1 }] {
        hear_datagram(&mut device, epoch, now, &message);
    }
    assert_eq!(device.state(), State::Registering);
}

#[test]
fn early_data_is_kept_and_delivered_in_order() {
    //= spec/session.md#S-11
    let now = start();
    let (mut server, epoch) = serving_now(now);
    for (seq, body) in [(2, b"c"), (4, b"e"), (2, b"c"), (1, b"b")] {
        hear_datagram(&mut server, epoch, now, &data(seq, body));
    }
    assert_eq!(delivered(&mut server), []);
    assert_eq!(server.counters().received, 0);
    assert!(server.memory() > 0);
    assert_eq!(events(&mut server), [Event::Skipped { bytes: 64, cause: SkipCause::Repeated { seq: 2 } }]);
    hear_datagram(&mut server, epoch, now, &data(0, b"a"));
    assert_eq!(consume(&mut server), numbered(&[(0, "a"), (1, "b"), (2, "c")]));
    hear_datagram(&mut server, epoch, now, &data(3, b"d"));
    assert_eq!(consume(&mut server), numbered(&[(3, "d"), (4, "e")]));
    assert_eq!((server.counters().received, server.counters().repeated), (5, 1));
    assert_eq!((sent_datagrams(&mut server, epoch, now), server.memory()), (said(&[ack(5)]), 0));
}

#[test]
fn early_data_behind_a_skip_is_delivered_in_its_place_and_counted() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    for (seq, body) in [(1, b"b"), (3, b"d"), (4, b"e"), (6, b"g")] {
        hear_datagram(&mut server, epoch, now, &data(seq, body));
    }
    hear_datagram(&mut server, epoch, now, &skip(3));
    assert_eq!(consume(&mut server), numbered(&[(0, "skip to 3"), (3, "d"), (4, "e")]), "1 was given up by its sender");
    assert_eq!((server.counters().received, server.counters().skipped), (2, 3));
    hear_datagram(&mut server, epoch, now, &data(5, b"f"));
    assert_eq!(consume(&mut server), numbered(&[(5, "f"), (6, "g")]));
    assert_eq!(server.memory(), 0);
}

#[test]
fn a_skip_over_everything_that_came_early_leaves_nothing_behind() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    for seq in [2, 5, 9] {
        hear_datagram(&mut server, epoch, now, &data(seq, b"x"));
    }
    hear_datagram(&mut server, epoch, now, &skip(20));
    assert_eq!(consume(&mut server), numbered(&[(0, "skip to 20")]));
    assert_eq!(server.memory(), 0);
    hear_datagram(&mut server, epoch, now, &data(20, b"y"));
    assert_eq!(consume(&mut server), numbered(&[(20, "y")]));
}

#[test]
fn what_came_early_in_a_stream_is_no_part_of_the_next() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear_datagram(&mut server, epoch, now, &data(1, b"old"));
    let limits = Arc::new(Limits::default());
    let fresh = Resume { stream: 5, ..FRESH };
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Datagrams, fresh, now)).unwrap();
    hear_datagram(&mut server, epoch, now, &data(0, b"new"));
    assert_eq!(consume(&mut server), numbered(&[(0, "new")]));
}

#[test]
fn data_beyond_the_window_is_a_breach_on_datagrams_too() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear_datagram(&mut server, epoch, now, &data(63, b"x"));
    assert_eq!(server.state(), State::Connected);
    hear_datagram(&mut server, epoch, now, &data(64, b"x"));
    let violation = Violation::BeyondWindow { seq: 64, limit: 64 };
    assert_eq!(states(&mut server), [(State::Disconnected, Some(Cause::Violation(violation)))]);
    let closed = crate::pair::close(CloseCode::PROTOCOL, "beyond_window");
    assert_eq!(sent_datagrams(&mut server, epoch, now), said(&[closed]));
}

#[test]
fn a_hole_is_skipped_only_when_all_in_front_of_it_is_settled() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    send(&mut device, "a");
    device.send(Outgoing::new(0, "b").with_deadline(now + SECOND / 2)).unwrap();
    send(&mut device, "c");
    device.handle_timeout(now + SECOND / 2);
    let at = now + SECOND / 2;
    assert_eq!(sent_datagrams(&mut device, epoch, at), said(&[data(0, b"a")]), "a SKIP that overtook it would lose it");
    hear_datagram(&mut device, epoch, at, &ack(1));
    assert_eq!(sent_datagrams(&mut device, epoch, at), said(&[skip(2), data(2, b"c")]));
    hear_datagram(&mut device, epoch, at, &ack(3));
    let outcomes = outcomes(&mut device);
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert_eq!(device.memory(), 0);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_the_measured_round_trip() {
    //= spec/session.md#S-25
    let now = start();
    let (mut device, epoch) = registering(config(), Carrier::Datagrams, now);
    pieces(&mut device, epoch, now);
    hear_datagram(&mut device, epoch, now, &welcome(Resume { stream: SERVER, ..FRESH }));
    assert_eq!(sent_datagrams(&mut device, epoch, now), said(&[Message::Ping { nonce: 0 }]), "the way is measured");
    hear_datagram(&mut device, epoch, now + 2 * SECOND, &Message::Pong { nonce: 0 });
    // RFC 6298: 2 s + 4 × 1 s.
    let now = now + 2 * SECOND;
    for body in ["a", "b", "c"] {
        send(&mut device, body);
    }
    assert_eq!(sent_datagrams(&mut device, epoch, now).len(), 3);
    hear_datagram(&mut device, epoch, now, &ack(1));
    let mut at = now;
    for wait in [6, 12, 24] {
        at += wait * SECOND;
        device.handle_datagram(epoch, at - SECOND, &Datagram { stream: DEVICE, message: ack(1) }, 23);
        assert_eq!(device.poll_timeout(), Some((at, Timer::Resend)));
        device.handle_timeout(at);
        assert_eq!(sent_datagrams(&mut device, epoch, at), said(&[data(1, b"b"), data(2, b"c")]));
    }
    assert_eq!(device.counters().resent, 6);
}

#[test]
fn only_what_is_overdue_is_sent_again() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    send(&mut device, "a");
    pieces(&mut device, epoch, now);
    let at = now + SECOND / 2;
    send(&mut device, "b");
    assert_eq!(sent_datagrams(&mut device, epoch, at), said(&[data(1, b"b")]));
    assert_eq!(device.poll_timeout(), Some((now + SECOND, Timer::Resend)));
    device.handle_timeout(now + SECOND);
    assert_eq!(sent_datagrams(&mut device, epoch, now + SECOND), said(&[data(0, b"a")]));
}

#[test]
fn data_for_which_there_is_no_room_is_dropped_counted_and_comes_again() {
    let now = start();
    let mut limits = Limits::default();
    limits.receive = 100;
    let (mut server, epoch) = serving(limits, Carrier::Datagrams, now);
    hear_datagram(&mut server, epoch, now, &data(0, &[b'x'; 100]));
    hear_datagram(&mut server, epoch, now, &data(1, b"y"));
    assert_eq!(events(&mut server), [Event::Skipped { bytes: 64, cause: SkipCause::NoRoom { seq: 1 } }]);
    assert_eq!(consume(&mut server).len(), 1);
    hear_datagram(&mut server, epoch, now, &data(1, b"y"));
    assert_eq!(consume(&mut server), numbered(&[(1, "y")]));
}

#[test]
fn bytes_are_no_datagrams_and_datagrams_are_no_bytes() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    crate::pair::hear(&mut server, epoch, now, &data(0, b"x"));
    let (mut stream, stream_epoch) = serving(Limits::default(), Carrier::Stream, now);
    hear_datagram(&mut stream, stream_epoch, now, &data(0, b"x"));
    assert_eq!((delivered(&mut server), delivered(&mut stream)), (vec![], vec![]));
}

#[test]
fn a_datagram_of_an_old_connection_does_nothing() {
    let now = start();
    let (mut server, old) = serving_now(now);
    let limits = Arc::new(Limits::default());
    let new = server.handle_registered(now, handshake(&limits, Carrier::Datagrams, FRESH, now)).unwrap();
    hear_datagram(&mut server, old, now, &data(0, b"x"));
    assert_eq!(delivered(&mut server), []);
    hear_datagram(&mut server, new, now, &data(0, b"x"));
    assert_eq!(delivered(&mut server), numbered(&[(0, "x")]));
}

#[test]
fn any_datagram_is_life() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    pass(&mut device, now + 45 * SECOND);
    assert_eq!(device.state(), State::Suspect);
    hear_datagram(&mut device, epoch, now + 45 * SECOND, &Message::Pong { nonce: u64::MAX });
    assert_eq!(device.state(), State::Connected);
    pieces(&mut device, epoch, now + 45 * SECOND);
    assert_eq!(device.poll_timeout(), Some((now + 75 * SECOND, Timer::Silence)));
}

#[test]
fn a_welcome_of_another_stream_ends_the_connection_of_now() {
    //= spec/session.md#S-36
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Datagrams, now);
    hear_datagram(&mut device, epoch, now, &welcome(Resume { stream: SERVER, ..FRESH }));
    assert_eq!(device.state(), State::Connected, "the same again is an answer to a repeat");
    events(&mut device);
    hear_datagram(&mut device, epoch, now, &welcome(Resume { stream: SERVER + 9, ..FRESH }));
    assert_eq!(states(&mut device), [(State::Disconnected, Some(Cause::Restarted))]);
}

#[test]
fn a_late_close_does_not_end_a_device_that_registers() {
    let now = start();
    let (mut device, epoch) = registering(config(), Carrier::Datagrams, now);
    hear_datagram(&mut device, epoch, now, &crate::pair::close(CloseCode::TIMED_OUT, ""));
    assert_eq!(device.state(), State::Registering, "it is of an older connection");
    hear_datagram(&mut device, epoch, now, &crate::pair::close(CloseCode::PROTOCOL, ""));
    assert_eq!(device.state(), State::Disconnected, "this one may be the answer to its resume fields");
}

#[test]
fn early_data_has_a_bound_in_bytes_whatever_the_window() {
    let mut limits = Limits::default();
    (limits.receive, limits.window) = (1000, u16::MAX);
    let now = start();
    let (mut server, epoch) = serving(limits, Carrier::Datagrams, now);
    for seq in 1..100 {
        hear_datagram(&mut server, epoch, now, &data(seq, &[b'x'; 100]));
    }
    assert!(server.memory() < 1000 + 100 + 100 * 64, "{}", server.memory());
    hear_datagram(&mut server, epoch, now, &data(0, b"the one that all wait for"));
    assert_eq!(delivered(&mut server).len(), 11, "it is taken, and the ten that were kept behind it");
    hear_datagram(&mut server, epoch, now, &data(12, &[b'x'; 1000]));
    let bytes = sent_datagrams(&mut server, epoch, now);
    assert!(!bytes.contains(&said(&[ack(11)])[0]), "nothing is committed");
    hear_datagram(&mut server, epoch, now, &data(3, b"x"));
    assert_eq!(sent_datagrams(&mut server, epoch, now), said(&[ack(0)]), "a repeat needs no room, and is answered");
}

#[test]
fn the_last_ack_goes_before_close_in_a_datagram_of_its_own() {
    let now = start();
    let (mut server, epoch) = serving_now(now);
    hear_datagram(&mut server, epoch, now, &data(0, b"x"));
    sent_datagrams(&mut server, epoch, now);
    assert_eq!(consume(&mut server).len(), 1);
    server.close(now, CloseCode::DONE, "", SECOND);
    let close = crate::pair::close(CloseCode::DONE, "");
    assert_eq!(sent_datagrams(&mut server, epoch, now), said(&[ack(1), close]));
    assert_eq!(sent_datagrams(&mut server, epoch, now), []);
}
