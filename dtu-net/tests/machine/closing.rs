//! The end of a link in order.

use crate::pair::{
    DEVICE, FRESH, Pair, SECOND, close, config, consume, data, events, frame, handshake, hear, numbered, outcomes,
    pass, pieces, said, send, sent, serving, start, states, welcomed,
};
use core::time::Duration;
use dtu_net::{Carrier, Cause, Event, Limits, Link, Outcome, Outgoing, SendError, State, Timer};
use dtu_proto::message::CloseCode;
use std::sync::Arc;

const DONE: (State, Option<Cause>) = (State::Closed, Some(Cause::Closed(CloseCode::DONE)));

#[test]
fn a_link_with_nothing_to_settle_closes_at_once_and_the_peer_is_told_why() {
    //= spec/session.md#S-7
    let mut pair = Pair::new();
    events(&mut pair.device);
    events(&mut pair.server);
    pair.device.close(pair.now, CloseCode::DONE, "bye", SECOND);
    assert_eq!(states(&mut pair.device), [DONE]);
    assert_eq!(pair.device.poll_timeout(), None);
    assert!(!pair.device.is_live(pair.at_device));
    pair.carry_up();
    let told = events(&mut pair.server);
    let [Event::State(change)] = &told[..] else { panic!("{told:?}") };
    let closed = Some(Cause::PeerClosed(CloseCode::DONE));
    assert_eq!((change.state, change.cause, &*change.reason), (State::Closed, closed, "bye"));
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), [], "nothing is said to a peer that has closed");
    assert_eq!(pair.server.send(Outgoing::new(0, "x")), Err(SendError::Closed));
}

#[test]
fn close_waits_until_all_that_was_sent_has_its_outcome() {
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    pair.device.close(pair.now, CloseCode::DONE, "", 5 * SECOND);
    assert_eq!(pair.device.send(Outgoing::new(0, "b")), Err(SendError::Closed));
    assert_eq!(pair.device.state(), State::Connected);
    assert_eq!(pair.device.poll_timeout(), Some((pair.now + 5 * SECOND, Timer::Drain)));
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a")]));
    events(&mut pair.device);
    pair.carry_down();
    let told = events(&mut pair.device);
    let [Event::Settled { outcome: Outcome::Acked, .. }, Event::State(change)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((change.state, change.cause), DONE);
    assert_eq!(sent(&mut pair.device, pair.at_device, pair.now), said(&[close(CloseCode::DONE, "")]));
}

#[test]
fn what_is_left_at_the_deadline_of_the_drain_is_abandoned() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    send(&mut device, "a");
    send(&mut device, "b");
    pieces(&mut device, epoch, now);
    device.close(now, CloseCode::GOING_DOWN, "", 5 * SECOND);
    device.handle_timeout(now + 5 * SECOND);
    assert_eq!(device.counters().ledger.abandoned, 2);
    let told = events(&mut device);
    let [Event::State(change), Event::Settled { first: 0, count: 2, outcome: Outcome::Abandoned }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((change.state, change.cause), (State::Closed, Some(Cause::Closed(CloseCode::GOING_DOWN))));
    assert_eq!(sent(&mut device, epoch, now), said(&[close(CloseCode::GOING_DOWN, "")]));
    assert_eq!(device.memory(), 0);
}

#[test]
fn a_second_close_can_only_shorten_the_time() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    send(&mut device, "a");
    pieces(&mut device, epoch, now);
    device.close(now, CloseCode::GOING_DOWN, "first", 5 * SECOND);
    device.close(now, CloseCode::DONE, "second", 9 * SECOND);
    assert_eq!(device.poll_timeout(), Some((now + 5 * SECOND, Timer::Drain)));
    device.close(now, CloseCode::DONE, "third", 2 * SECOND);
    assert_eq!(device.poll_timeout(), Some((now + 2 * SECOND, Timer::Drain)));
    device.handle_timeout(now + 2 * SECOND);
    assert_eq!(sent(&mut device, epoch, now), said(&[close(CloseCode::GOING_DOWN, "first")]));
}

#[test]
fn a_link_that_is_not_connected_closes_too() {
    let now = start();
    let mut idle = Link::device(config(), DEVICE, 7, now);
    idle.close(now, CloseCode::DONE, "", SECOND);
    assert_eq!(states(&mut idle), [DONE]);

    // One that still has something tries to bring it away as long as the drain lasts.
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    pair.cut();
    pair.device.close(pair.now, CloseCode::DONE, "", 30 * SECOND);
    assert_eq!(pair.device.state(), State::Disconnected);
    pair.connect();
    pair.carry_up();
    consume(&mut pair.server);
    pair.carry_down();
    assert_eq!(pair.device.state(), State::Closed);
    assert_eq!(pair.device.counters().ledger.acked, 1);

    let mut away = Link::device(config(), DEVICE, 7, now);
    send(&mut away, "a");
    away.close(now, CloseCode::DONE, "", Duration::ZERO);
    away.handle_timeout(now);
    assert_eq!((away.state(), away.counters().ledger.abandoned), (State::Closed, 1));
}

#[test]
fn a_closed_device_dials_no_more() {
    let now = start();
    let mut device = Link::device(config(), DEVICE, 7, now);
    device.handle_timeout(now);
    assert_eq!(device.state(), State::Connecting);
    device.close(now, CloseCode::DONE, "", SECOND);
    assert_eq!((device.state(), device.poll_connect(), device.poll_timeout()), (State::Closed, None, None));
    device.reconnect_now(now);
    device.handle_timeout(now + 3600 * SECOND);
    assert_eq!((device.state(), device.poll_connect()), (State::Closed, None));
}

#[test]
fn what_was_committed_is_acknowledged_before_the_close() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    hear(&mut server, epoch, now, &data(0, b"x"));
    consume(&mut server);
    server.close(now, CloseCode::DONE, "", Duration::ZERO);
    assert_eq!(sent(&mut server, epoch, now), said(&[crate::pair::ack(1), close(CloseCode::DONE, "")]));
}

#[test]
fn only_done_ends_the_link_every_other_close_ends_the_connection() {
    //= spec/session.md#S-7
    let now = start();
    for code in [CloseCode::PROTOCOL, CloseCode::GOING_DOWN, CloseCode::TIMED_OUT, CloseCode::REPLACED, CloseCode(77)] {
        let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
        send(&mut device, "a");
        hear(&mut device, epoch, now, &close(code, ""));
        assert_eq!(states(&mut device), [(State::Disconnected, Some(Cause::PeerClosed(code)))]);
        assert_eq!(device.counters().ledger.pending, 1, "it is sent on the next connection");
        let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
        hear(&mut server, epoch, now, &close(code, ""));
        assert_eq!(states(&mut server), [(State::Disconnected, Some(Cause::PeerClosed(code)))]);
    }
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    send(&mut device, "a");
    hear(&mut device, epoch, now, &close(CloseCode::DONE, ""));
    let told = events(&mut device);
    let [Event::State(change), Event::Settled { outcome: Outcome::Abandoned, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((change.state, change.cause), (State::Closed, Some(Cause::PeerClosed(CloseCode::DONE))));
}

#[test]
fn a_transport_that_ends_without_close_is_a_broken_link_and_no_end_of_the_session() {
    //= spec/session.md#S-7
    let mut pair = Pair::new();
    events(&mut pair.server);
    pair.server.handle_disconnected(pair.at_server, pair.now, Cause::Disconnected);
    assert_eq!(states(&mut pair.server), [(State::Disconnected, Some(Cause::Disconnected))]);
    pair.server.handle_disconnected(pair.at_server, pair.now, Cause::Disconnected);
    assert_eq!(states(&mut pair.server), [], "the end is told once");
}

#[test]
fn what_comes_behind_a_close_does_nothing() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &[frame(&close(CloseCode::GOING_DOWN, "")), frame(&data(0, b"x"))].concat());
    assert_eq!(crate::pair::delivered(&mut server), []);
}

#[test]
fn a_closed_server_lets_nobody_in() {
    let now = start();
    let limits = Arc::new(Limits::default());
    let (mut server, _) = serving(*limits, Carrier::Stream, now);
    server.close(now, CloseCode::DONE, "", SECOND);
    assert_eq!(server.handle_registered(now, handshake(&limits, Carrier::Stream, FRESH, now)), None);
    assert_eq!(pass(&mut server, now + 3600 * SECOND), []);
}

#[test]
fn an_acknowledgement_lost_with_the_line_still_ends_a_link_that_drains() {
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    pair.device.close(pair.now, CloseCode::DONE, "", 100 * SECOND);
    pair.carry_up();
    consume(&mut pair.server);
    pair.cut();
    events(&mut pair.device);
    let (at, _) = pair.device.poll_timeout().unwrap();
    let epoch = crate::pair::dial(&mut pair.device, at);
    pair.device.handle_connected(epoch, at, Carrier::Stream);
    pieces(&mut pair.device, epoch, at);
    let limits = Arc::new(Limits::default());
    let again = dtu_proto::message::Resume { peer_stream: 1, ..FRESH };
    let session = pair.server.handle_registered(at, handshake(&limits, Carrier::Stream, again, at)).unwrap();
    let welcome = pieces(&mut pair.server, session, at).concat();
    pair.device.handle_bytes(epoch, at, &welcome);
    assert_eq!(outcomes(&mut pair.device), [(0, 1, Outcome::Acked)]);
    assert_eq!(pair.device.state(), State::Closed, "the resume field was the last word it waited for");
    assert_eq!(sent(&mut pair.device, epoch, at), said(&[close(CloseCode::DONE, "")]));
}
