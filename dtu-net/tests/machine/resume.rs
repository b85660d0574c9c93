//! What goes on after a reconnect, and what takes the place of what.

use crate::pair::{
    DEVICE, FRESH, Pair, SECOND, SERVER, close, consume, data, delivered, events, frame, handshake, hear, numbered,
    outcomes, pieces, received, register, resumed, said, send, sent, serving, skip, start, states, welcome,
};
use dtu_net::{Carrier, Cause, CommitError, Limits, Link, Outcome, Outgoing, State, StateChange};
use dtu_proto::message::{CloseCode, Resume};
use std::sync::Arc;

#[test]
fn what_was_on_its_way_when_the_line_broke_comes_once_when_both_remember() {
    //= spec/session.md#S-12
    //= spec/session.md#S-14
    let mut pair = Pair::new();
    for body in ["a", "b", "c"] {
        send(&mut pair.device, body);
        send(&mut pair.server, body);
    }
    pair.carry_up();
    pair.carry_down();
    // "a" was committed and its ACK is lost with the line; "b" was taken and not committed; "c" still waits inside.
    for link in [&mut pair.server.poll_received(), &mut pair.device.poll_received()] {
        assert!(link.is_some());
    }
    pair.server.commit(dtu_net::Mark { stream: DEVICE, next: 1 }).unwrap();
    pair.device.commit(dtu_net::Mark { stream: SERVER, next: 1 }).unwrap();
    assert!(pair.server.poll_received().is_some() && pair.device.poll_received().is_some());
    pair.cut();
    send(&mut pair.device, "d");
    pair.connect();
    assert_eq!(resumed(&mut pair.device), [(false, false), (true, true)]);
    assert_eq!(resumed(&mut pair.server), [(false, false), (true, true)]);
    assert_eq!(outcomes(&mut pair.device), []);
    pair.carry_up();
    pair.carry_down();
    assert_eq!(delivered(&mut pair.server), numbered(&[(2, "c"), (3, "d")]), "each number once, over both connections");
    assert_eq!(delivered(&mut pair.device), numbered(&[(2, "c")]));
    assert_eq!((pair.server.counters().repeated, pair.device.counters().repeated), (2, 2), "what was not committed");
    let ledgers = (pair.device.counters().ledger, pair.server.counters().ledger);
    assert_eq!((ledgers.0.acked, ledgers.1.acked), (1, 1), "the resume fields acknowledge");
    assert_eq!((pair.device.counters().resent, pair.server.counters().resent), (2, 2));
}

/// Connects a server again to a device that says `resume`, and returns what it answers.
fn answer(server: &mut Link<dtu_net::Server>, resume: Resume) -> (Vec<crate::pair::Said>, (bool, bool)) {
    let now = start();
    let limits = Arc::new(Limits::default());
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, resume, now)).unwrap();
    (sent(server, epoch, now), resumed(server).pop().unwrap())
}

/// A server with a session: it has got and committed 0 and 1, and has sent 0 and 1 of which 0 was acknowledged.
fn midway() -> Link<dtu_net::Server> {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    hear(&mut server, epoch, now, &data(0, b"x"));
    hear(&mut server, epoch, now, &data(1, b"y"));
    assert_eq!(consume(&mut server).len(), 2);
    send(&mut server, "p");
    send(&mut server, "q");
    pieces(&mut server, epoch, now);
    hear(&mut server, epoch, now, &crate::pair::ack(1));
    server.handle_disconnected(epoch, now, Cause::Disconnected);
    events(&mut server);
    server
}

#[test]
fn both_remember_and_go_on_where_they_were() {
    //= spec/session.md#S-12
    let mut server = midway();
    let theirs = Resume { stream: DEVICE, send_base: 1, peer_stream: SERVER, receive_next: 1 };
    let ours = Resume { stream: SERVER, send_base: 1, peer_stream: DEVICE, receive_next: 2 };
    assert_eq!(answer(&mut server, theirs), (said(&[welcome(ours), data(1, b"q")]), (true, true)));
}

#[test]
fn a_resume_field_acknowledges_like_an_ack() {
    let mut server = midway();
    let theirs = Resume { stream: DEVICE, send_base: 2, peer_stream: SERVER, receive_next: 2 };
    let ours = Resume { stream: SERVER, send_base: 2, peer_stream: DEVICE, receive_next: 2 };
    assert_eq!(answer(&mut server, theirs), (said(&[welcome(ours)]), (true, true)));
    assert_eq!(server.counters().ledger.acked, 2);
}

#[test]
fn a_device_that_forgot_this_side_is_told_where_to_begin() {
    //= spec/session.md#S-13
    let mut server = midway();
    // It remembers another server, with a number that means nothing here.
    let theirs = Resume { stream: DEVICE, send_base: 2, peer_stream: 99, receive_next: 77 };
    let ours = Resume { stream: SERVER, send_base: 1, peer_stream: DEVICE, receive_next: 2 };
    assert_eq!(answer(&mut server, theirs), (said(&[welcome(ours), data(1, b"q")]), (true, false)));
    assert_eq!(server.counters().ledger.pending, 1, "its outbox is kept");
}

#[test]
fn a_device_that_begins_a_new_stream_is_followed_there() {
    //= spec/session.md#S-12
    let mut server = midway();
    let theirs = Resume { stream: 5, send_base: 40, peer_stream: SERVER, receive_next: 1 };
    let ours = Resume { stream: SERVER, send_base: 1, peer_stream: 0, receive_next: 0 };
    assert_eq!(answer(&mut server, theirs), (said(&[welcome(ours), data(1, b"q")]), (false, true)));
    let (now, epoch) = (start(), server.epoch());
    hear(&mut server, epoch, now, &data(40, b"new"));
    assert_eq!(consume(&mut server), numbered(&[(40, "new")]));
    assert_eq!(sent(&mut server, epoch, now), said(&[crate::pair::ack(41)]));
}

#[test]
fn two_that_know_nothing_of_each_other_begin_where_the_other_says() {
    let mut server = midway();
    let theirs = Resume { stream: 5, send_base: 40, peer_stream: 0, receive_next: 0 };
    let ours = Resume { stream: SERVER, send_base: 1, peer_stream: 0, receive_next: 0 };
    assert_eq!(answer(&mut server, theirs), (said(&[welcome(ours), data(1, b"q")]), (false, false)));
}

#[test]
fn a_server_that_forgot_gets_again_what_it_did_not_acknowledge() {
    //= spec/session.md#S-14
    let mut pair = Pair::new();
    for body in ["a", "b"] {
        send(&mut pair.device, body);
    }
    pair.carry_up();
    let first = pair.server.poll_received().unwrap();
    pair.server.commit(first.mark()).unwrap();
    pair.carry_down();
    assert_eq!(delivered(&mut pair.server), numbered(&[(1, "b")]));
    pair.cut();
    pair.server = Link::server(Arc::new(Limits::default()), 11, pair.now);
    pair.connect();
    assert_eq!(resumed(&mut pair.device), [(false, false), (false, false)]);
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(1, "b")]), "at least once, under the same number");
    pair.carry_down();
    assert_eq!(pair.device.counters().ledger.acked, 2);
}

#[test]
fn what_waits_of_a_stream_that_ended_is_still_handed_out_and_can_not_be_committed() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    hear(&mut server, epoch, now, &data(0, b"old"));
    server.handle_disconnected(epoch, now, Cause::Disconnected);
    let limits = Arc::new(Limits::default());
    let fresh = Resume { stream: 5, ..FRESH };
    let epoch = server.handle_registered(now, handshake(&limits, Carrier::Stream, fresh, now)).unwrap();
    hear(&mut server, epoch, now, &data(0, b"new"));
    let both = received(&mut server);
    assert_eq!(both.iter().map(crate::pair::show).collect::<Vec<_>>(), numbered(&[(0, "old"), (0, "new")]));
    assert_eq!(server.commit(both[0].mark()), Err(CommitError::OtherStream { stream: DEVICE, now: 5 }));
    assert_eq!(server.commit(both[1].mark()), Ok(()));
}

#[test]
fn numbers_that_expired_while_away_are_a_hole_to_who_remembers() {
    let mut pair = Pair::new();
    pair.device.send(Outgoing::new(0, "a").with_deadline(pair.now + SECOND / 10)).unwrap();
    send(&mut pair.device, "b");
    pair.cut();
    pair.device.handle_timeout(pair.now + SECOND / 10);
    pair.now += SECOND / 10;
    assert_eq!(outcomes(&mut pair.device), [(0, 1, Outcome::Expired)]);
    pair.connect();
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "skip to 1"), (1, "b")]));
    assert_eq!(pair.server.counters().skipped, 1);
    pair.carry_down();
    assert_eq!(outcomes(&mut pair.device), [(1, 1, Outcome::Acked)]);
}

#[test]
fn data_that_expires_between_register_and_welcome_is_skipped() {
    let now = start();
    let (mut device, epoch) = crate::pair::registering(crate::pair::config(), Carrier::Stream, now);
    device.send(Outgoing::new(0, "a").with_deadline(now + SECOND)).unwrap();
    send(&mut device, "b");
    assert_eq!(sent(&mut device, epoch, now), said(&[register(FRESH)]));
    device.handle_timeout(now + SECOND);
    hear(&mut device, epoch, now + SECOND, &welcome(Resume { stream: SERVER, ..FRESH }));
    assert_eq!(sent(&mut device, epoch, now + SECOND), said(&[skip(1), data(1, b"b")]));
}

#[test]
fn a_newer_connection_takes_the_place_of_a_live_one() {
    //= spec/session.md#S-17
    let now = start();
    let limits = Arc::new(Limits::default());
    let (mut server, old) = serving(Limits::default(), Carrier::Stream, now);
    hear(&mut server, old, now, &data(0, b"a"));
    assert_eq!(consume(&mut server), numbered(&[(0, "a")]));
    // A question that is not answered yet: the answer belongs to the connection that asked.
    hear(&mut server, old, now, &dtu_proto::Message::Ping { nonce: 1 });
    server.handle_bytes(old, now, &frame(&data(1, b"cut"))[..9]);
    let again = Resume { stream: DEVICE, send_base: 0, peer_stream: SERVER, receive_next: 0 };
    let new = server.handle_registered(now, handshake(&limits, Carrier::Stream, again, now)).unwrap();
    assert!(new > old && server.is_live(new) && !server.is_live(old));
    let changes: Vec<_> = events(&mut server)
        .into_iter()
        .filter_map(|event| match event {
            dtu_net::Event::State(StateChange { state, cause, epoch, .. }) => Some((state, cause, epoch)),
            _ => None,
        })
        .collect();
    let replaced = (State::Disconnected, Some(Cause::Replaced), old);
    assert_eq!(changes, [replaced, (State::Connected, None, new)]);
    assert_eq!(sent(&mut server, old, now), said(&[crate::pair::ack(1), close(CloseCode::REPLACED, "")]));
    assert_eq!(sent(&mut server, old, now), [], "last words are said once");

    let ours = Resume { stream: SERVER, send_base: 0, peer_stream: DEVICE, receive_next: 1 };
    assert_eq!(sent(&mut server, new, now), said(&[welcome(ours)]));
    // The old connection, its end and its bytes, is of no matter.
    server.handle_bytes(old, now, &frame(&data(1, b"cut"))[9..]);
    hear(&mut server, old, now, &close(CloseCode::DONE, ""));
    hear(&mut server, old, now, &data(1, b"ghost"));
    server.handle_disconnected(old, now, Cause::Disconnected);
    assert_eq!((events(&mut server), delivered(&mut server)), (vec![], vec![]));
    hear(&mut server, new, now, &data(1, b"b"));
    assert_eq!(delivered(&mut server), numbered(&[(1, "b")]));
}

#[test]
fn bytes_of_an_old_connection_are_no_life_of_the_new_one() {
    let mut pair = Pair::new();
    let old = pair.at_server;
    pair.cut();
    pair.connect();
    let connected = pair.now;
    pair.server.handle_bytes(old, connected + 50 * SECOND, b".");
    assert_eq!(pair.server.poll_timeout().unwrap().0, connected + 60 * SECOND);
}

#[test]
fn half_a_frame_of_the_last_connection_is_no_part_of_the_next() {
    let mut pair = Pair::new();
    let bytes = frame(&data(0, b"whole"));
    pair.server.handle_bytes(pair.at_server, pair.now, &bytes[..9]);
    pair.cut();
    pair.connect();
    pair.server.handle_bytes(pair.at_server, pair.now, &bytes[9..]);
    assert_eq!(delivered(&mut pair.server), []);
    pair.server.handle_bytes(pair.at_server, pair.now, &bytes);
    assert_eq!(delivered(&mut pair.server), numbered(&[(0, "whole")]));
}

#[test]
fn a_session_of_a_device_that_stays_away_ends_after_the_retention() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    send(&mut server, "a");
    server.handle_disconnected(epoch, now, Cause::Disconnected);
    events(&mut server);
    let deadline = now + 3600 * SECOND;
    assert_eq!(server.poll_timeout(), Some((deadline, dtu_net::Timer::Retention)));
    server.handle_timeout(deadline);
    let away = Cause::Away { limit: 3600 * SECOND };
    let ledger = server.counters().ledger;
    assert_eq!((ledger.abandoned, ledger.pending), (1, 0));
    assert_eq!(states(&mut server), [(State::Closed, Some(away))]);
    let limits = Arc::new(Limits::default());
    assert_eq!(server.handle_registered(deadline, handshake(&limits, Carrier::Stream, FRESH, deadline)), None);
}
