//! CHALLENGE and PROOF.

use crate::pair::{
    FRESH, SECOND, Said, TICK, config, events, frame, handshake, hear, messages, pieces, refuse, register, registering,
    said, sent, start, states,
};
use dtu_net::auth::{self, Key};
use dtu_net::{Carrier, Cause, Handshake, HandshakeEvent, Limits, Link, State, Timer, Violation};
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, DeviceId, RefuseCode};
use std::sync::Arc;
use std::time::Instant;

const NONCE: [u8; 16] = [0x5A; 16];

fn key(fill: u8) -> Key {
    Key::new(&[fill; 32]).unwrap()
}

fn proof(key: &Key, id: &str) -> Message<'static> {
    Message::Proof { mac: auth::prove(key, &NONCE, DeviceId::new(id).unwrap()) }
}

fn answer(handshake: &mut Handshake) -> Vec<Said> {
    let mut bytes = Vec::new();
    let _any = handshake.poll_transmit(&mut bytes);
    messages(&bytes)
}

/// A handshake that has asked the device for a proof.
fn proving(now: Instant, known: Option<Key>) -> Handshake {
    let mut handshake = handshake(&Arc::new(Limits::default()), Carrier::Stream, FRESH, now);
    handshake.challenge(now, NONCE, known);
    assert_eq!(answer(&mut handshake), said(&[Message::Challenge { nonce: NONCE }]));
    handshake
}

/// A proof that is not taken: nothing is said before the penalty is over, and then not why.
fn assert_unauthorized(mut handshake: Handshake, now: Instant, cause: Cause) {
    assert_eq!((handshake.poll_event(), answer(&mut handshake)), (None, vec![]));
    assert_eq!(handshake.poll_timeout(), Some((now + SECOND, Timer::Identify)));
    handshake.handle_timeout(now + SECOND - TICK);
    assert_eq!((handshake.poll_event(), answer(&mut handshake)), (None, vec![]), "the penalty is not over");
    handshake.handle_timeout(now + SECOND);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(cause)));
    assert_eq!(answer(&mut handshake), said(&[refuse(RefuseCode::UNAUTHORIZED, 60_000, "")]));
}

#[test]
fn a_device_with_the_key_proves_it_and_is_let_in() {
    //= spec/session.md#S-20
    //= spec/session.md#S-21
    let now = start();
    let mut config = config();
    config.key = Some(key(1));
    let (mut device, epoch) = registering(config, Carrier::Stream, now);
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
    handshake.handle_bytes(now, &pieces(&mut device, epoch, now).concat());
    handshake.challenge(now, NONCE, Some(key(1)));
    let mut bytes = Vec::new();
    assert!(handshake.poll_transmit(&mut bytes));
    device.handle_bytes(epoch, now, &bytes);
    let mac = pieces(&mut device, epoch, now).concat();
    assert_eq!(messages(&mac), said(&[proof(&key(1), "meter-7")]));
    assert!(matches!(handshake.poll_event(), Some(HandshakeEvent::Register(_))));
    handshake.handle_bytes(now, &mac);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Proven));
    assert_eq!(handshake.poll_timeout(), None);
    let mut server = Link::server(Arc::new(Limits::default()), 1, now);
    let session = server.handle_registered(now, handshake).unwrap();
    device.handle_bytes(epoch, now, &pieces(&mut server, session, now).concat());
    assert_eq!(device.state(), State::Connected);
}

#[test]
fn who_hangs_up_before_the_verdict_is_told_is_counted_by_the_verdict() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    handshake.handle_bytes(now, &frame(&proof(&key(2), "meter-7")));
    handshake.handle_disconnected(Cause::Disconnected);
    let told: Vec<_> = core::iter::from_fn(|| handshake.poll_event()).collect();
    assert!(matches!(told.last(), Some(HandshakeEvent::Over(Cause::WrongProof))), "{told:?}");
}

#[test]
fn a_wrong_proof_is_refused_after_the_penalty_and_not_before() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    handshake.handle_bytes(now, &frame(&proof(&key(2), "meter-7")));
    assert_unauthorized(handshake, now, Cause::WrongProof);
}

#[test]
fn a_proof_for_another_device_is_a_wrong_one() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    handshake.handle_bytes(now, &frame(&proof(&key(1), "meter-8")));
    assert_unauthorized(handshake, now, Cause::WrongProof);
}

#[test]
fn an_unknown_device_is_challenged_and_refused_like_a_known_one() {
    let now = start();
    let mut handshake = proving(now, None);
    handshake.handle_bytes(now, &frame(&proof(&key(1), "meter-7")));
    assert_unauthorized(handshake, now, Cause::UnknownDevice);
    // Not even the key that stands in for none opens.
    let mut handshake = proving(now, None);
    let mac = auth::prove(&Key::new(&[0; 64]).unwrap(), &NONCE, DeviceId::new("meter-7").unwrap());
    handshake.handle_bytes(now, &frame(&Message::Proof { mac }));
    assert_unauthorized(handshake, now, Cause::UnknownDevice);
}

#[test]
fn a_proof_that_is_replayed_to_another_challenge_is_wrong() {
    let now = start();
    let mut handshake = handshake(&Arc::new(Limits::default()), Carrier::Stream, FRESH, now);
    handshake.challenge(now, [0x5B; 16], Some(key(1)));
    assert_eq!(answer(&mut handshake).len(), 1);
    handshake.handle_bytes(now, &frame(&proof(&key(1), "meter-7")));
    assert_unauthorized(handshake, now, Cause::WrongProof);
}

#[test]
fn after_a_wrong_proof_the_right_one_comes_too_late() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    handshake.handle_bytes(now, &frame(&proof(&key(2), "meter-7")));
    handshake.handle_bytes(now, &frame(&proof(&key(1), "meter-7")));
    assert_unauthorized(handshake, now, Cause::WrongProof);
}

#[test]
fn a_proof_without_a_challenge_lets_nobody_in() {
    let now = start();
    let mut handshake = Handshake::new(Arc::new(Limits::default()), Carrier::Stream, 0, now);
    handshake.handle_bytes(now, &frame(&proof(&key(1), "meter-7")));
    let violation = Violation::FirstMessage { kind: dtu_proto::message::kind::PROOF };
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(Cause::Violation(violation))));
}

#[test]
fn a_link_takes_no_device_that_still_owes_its_proof() {
    let now = start();
    let mut server = Link::server(Arc::new(Limits::default()), 1, now);
    assert_eq!(server.handle_registered(now, proving(now, Some(key(1)))), None);
    let mut wrong = proving(now, Some(key(1)));
    wrong.handle_bytes(now, &frame(&proof(&key(2), "meter-7")));
    assert_eq!(server.handle_registered(now, wrong), None);
    assert_eq!((server.state(), events(&mut server)), (State::Disconnected, vec![]));
}

#[test]
fn who_does_not_prove_in_time_is_refused() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    assert_eq!(handshake.poll_timeout(), Some((now + 10 * SECOND, Timer::Identify)));
    handshake.handle_timeout(now + 10 * SECOND);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(Cause::NotIdentified { limit: 10 * SECOND })));
    assert_eq!(answer(&mut handshake), said(&[refuse(RefuseCode::PROTOCOL, 0, "not_identified")]));
}

#[test]
fn a_second_register_instead_of_the_proof_is_a_breach() {
    let now = start();
    let mut handshake = proving(now, Some(key(1)));
    handshake.handle_bytes(now, &frame(&register(FRESH)));
    let cause = Cause::Violation(Violation::RegisteredTwice);
    assert_eq!(handshake.poll_event(), Some(HandshakeEvent::Over(cause)));
    assert_eq!(answer(&mut handshake), said(&[refuse(RefuseCode::PROTOCOL, 0, "registered_twice")]));
}

#[test]
fn a_device_without_a_key_says_so_and_stays_away_for_long() {
    let now = start();
    let (mut device, epoch) = registering(config(), Carrier::Stream, now);
    pieces(&mut device, epoch, now);
    events(&mut device);
    hear(&mut device, epoch, now, &Message::Challenge { nonce: NONCE });
    assert_eq!(states(&mut device), [(State::Disconnected, Some(Cause::NoKey))]);
    assert_eq!(sent(&mut device, epoch, now), said(&[crate::pair::close(CloseCode::DONE, "")]));
    assert!(device.poll_timeout().unwrap().0 >= now + 60 * SECOND, "nothing that it does by itself mends that");
}

#[test]
fn a_refusal_by_the_owner_for_want_of_a_right_is_held_back_too() {
    let now = start();
    let mut handshake = handshake(&Arc::new(Limits::default()), Carrier::Stream, FRESH, now);
    handshake.refuse(now, RefuseCode::UNAUTHORIZED, 60 * SECOND);
    assert_unauthorized(handshake, now, Cause::TurnedAway(RefuseCode::UNAUTHORIZED));
}
