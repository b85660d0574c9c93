//! DATA, ACK, SKIP and the window on a stream of bytes.

use crate::pair::{
    Pair, SECOND, SERVER, ack, config, consume, data, delivered, events, frame, hear, numbered, outcomes, pass, pieces,
    received, said, send, sent, serving, skip, start, states, welcomed,
};
use dtu_net::{Carrier, CommitError, Event, Limits, Mark, Outcome, Received, SkipCause, State, Timer};

#[test]
fn data_is_acknowledged_when_the_application_commits_and_not_before() {
    //= spec/session.md#S-5
    //= spec/session.md#S-6
    let mut pair = Pair::new();
    for body in ["a", "b", "c"] {
        send(&mut pair.device, body);
    }
    pair.carry_up();
    let taken = received(&mut pair.server);
    assert_eq!(taken.iter().map(crate::pair::show).collect::<Vec<_>>(), numbered(&[(0, "a"), (1, "b"), (2, "c")]));
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), [], "arrival is not responsibility");
    assert!(!pair.server.is_ack_due());
    pair.server.commit(taken[1].mark()).unwrap();
    assert!(pair.server.is_ack_due());
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), said(&[ack(2)]));
    hear(&mut pair.device, pair.at_device, pair.now, &ack(2));
    assert_eq!(outcomes(&mut pair.device), [(0, 2, Outcome::Acked)]);
    let ledger = pair.device.counters().ledger;
    assert_eq!((ledger.taken, ledger.acked, ledger.pending), (3, 2, 1));
}

#[test]
fn the_server_sends_to_the_device_by_the_same_rules() {
    let mut pair = Pair::new();
    send(&mut pair.server, "read");
    pair.carry_down();
    assert_eq!(pair.device.counters().received, 1);
    assert_eq!(consume(&mut pair.device), numbered(&[(0, "read")]));
    pair.carry_up();
    assert_eq!(outcomes(&mut pair.server), [(0, 1, Outcome::Acked)]);
}

#[test]
fn an_earlier_mark_changes_nothing() {
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    send(&mut pair.device, "b");
    pair.carry_up();
    let taken = received(&mut pair.server);
    pair.server.commit(taken[1].mark()).unwrap();
    pair.carry_down();
    pair.server.commit(taken[0].mark()).unwrap();
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), []);
}

#[test]
fn what_was_not_handed_out_cannot_be_committed() {
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    send(&mut pair.device, "b");
    pair.carry_up();
    let first = pair.server.poll_received().unwrap().mark();
    let ahead = Mark { next: 2, ..first };
    assert_eq!(pair.server.commit(ahead), Err(CommitError::Ahead { next: 2, delivered_next: 1 }));
    let other = Mark { stream: 99, ..first };
    assert_eq!(pair.server.commit(other), Err(CommitError::OtherStream { stream: 99, now: 2 }));
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), []);
}

#[test]
fn an_ack_that_says_less_than_an_earlier_one_is_ignored() {
    //= spec/session.md#S-5
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    for body in ["a", "b", "c"] {
        send(&mut device, body);
    }
    pieces(&mut device, epoch, now);
    for receive_next in [2, 1, 0, 2] {
        hear(&mut device, epoch, now, &ack(receive_next));
    }
    assert_eq!(outcomes(&mut device), [(0, 2, Outcome::Acked)]);
    assert_eq!(device.state(), State::Connected);
}

#[test]
fn a_repeat_is_held_back_and_acknowledged_again() {
    //= spec/session.md#S-11
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    hear(&mut server, epoch, now, &data(0, b"a"));
    assert_eq!(consume(&mut server), numbered(&[(0, "a")]));
    assert_eq!(sent(&mut server, epoch, now), said(&[ack(1)]));
    let again = frame(&data(0, b"a"));
    server.handle_bytes(epoch, now, &again);
    assert_eq!(delivered(&mut server), []);
    let cause = SkipCause::Repeated { seq: 0 };
    assert_eq!(events(&mut server), [Event::Skipped { bytes: u64::try_from(again.len()).unwrap(), cause }]);
    assert_eq!((server.counters().repeated, server.counters().received), (1, 1));
    assert_eq!(sent(&mut server, epoch, now), said(&[ack(1)]));
}

#[test]
fn the_window_holds_a_sender_back_until_an_ack_opens_it() {
    //= spec/session.md#S-10
    let mut limits = Limits::default();
    limits.window = 2;
    let mut pair = Pair::with(limits);
    for body in ["a", "b", "c"] {
        send(&mut pair.device, body);
        send(&mut pair.server, body);
    }
    pair.carry_up();
    pair.carry_down();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a"), (1, "b")]));
    assert_eq!(consume(&mut pair.device), numbered(&[(0, "a"), (1, "b")]));
    // The ACKs that open the window pass each other.
    pair.carry_up();
    pair.carry_down();
    pair.carry_up();
    assert_eq!(delivered(&mut pair.server), numbered(&[(2, "c")]));
    assert_eq!(delivered(&mut pair.device), numbered(&[(2, "c")]));
}

#[test]
fn a_skip_is_told_as_a_hole_and_acknowledged_like_data() {
    //= spec/session.md#S-15
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    for message in [data(0, b"a"), skip(3), skip(3), skip(1), skip(5), data(5, b"f")] {
        hear(&mut server, epoch, now, &message);
    }
    assert_eq!(consume(&mut server), numbered(&[(0, "a"), (1, "skip to 5"), (5, "f")]));
    assert_eq!((server.counters().skipped, server.counters().received), (4, 2));
    assert_eq!(sent(&mut server, epoch, now), said(&[ack(6)]));
    assert_eq!(server.state(), State::Connected);
}

#[test]
fn what_is_not_acknowledged_on_a_stream_is_sent_again_after_a_time_that_doubles() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    send(&mut server, "a");
    send(&mut server, "b");
    assert_eq!(sent(&mut server, epoch, now), said(&[data(0, b"a"), data(1, b"b")]));
    let mut at = now;
    for wait in [10, 20, 40, 60, 60] {
        // A byte of the peer keeps the heartbeat out of the way.
        let before = at + wait * SECOND - crate::pair::TICK;
        for second in (10..wait).step_by(10) {
            server.handle_bytes(epoch, at + second * SECOND, b".");
            pass(&mut server, at + second * SECOND);
        }
        assert_eq!(pass(&mut server, before), []);
        assert_eq!(sent(&mut server, epoch, before), []);
        at += wait * SECOND;
        server.handle_bytes(epoch, at, b".");
        assert_eq!(server.poll_timeout(), Some((at, Timer::Resend)));
        server.handle_timeout(at);
        assert_eq!(sent(&mut server, epoch, at), said(&[data(0, b"a")]), "the first decides");
    }
    assert_eq!(server.counters().resent, 5);
    hear(&mut server, epoch, at, &ack(1));
    assert_eq!(server.poll_timeout(), Some((at + 10 * SECOND, Timer::Resend)), "an answer ends the doubling");
    hear(&mut server, epoch, at, &ack(2));
    assert_eq!(server.poll_timeout().unwrap().1, Timer::Silence, "nothing is owed");
}

#[test]
fn an_ack_between_the_time_to_repeat_and_the_repeat_leaves_the_rest_waiting() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    send(&mut server, "a");
    send(&mut server, "b");
    assert_eq!(sent(&mut server, epoch, now).len(), 2);
    let at = now + 10 * SECOND;
    server.handle_timeout(at);
    hear(&mut server, epoch, at, &ack(1));
    assert_eq!(sent(&mut server, epoch, at), [], "the second left on this connection already");
    assert_eq!(server.poll_timeout(), Some((at + 10 * SECOND, Timer::Resend)), "and is still owed");
}

#[test]
fn a_damaged_last_data_comes_by_the_repeat() {
    let mut pair = Pair::new();
    send(&mut pair.device, "a");
    let mut bytes = pieces(&mut pair.device, pair.at_device, pair.now).concat();
    *bytes.last_mut().unwrap() ^= 1;
    pair.server.handle_bytes(pair.at_server, pair.now, &bytes);
    assert_eq!(delivered(&mut pair.server), []);
    pair.now += 10 * SECOND;
    pair.device.handle_timeout(pair.now);
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a")]));
}

#[test]
fn numbers_go_on_past_the_end_of_the_circle() {
    //= spec/session.md#S-9
    let now = start();
    let resume = dtu_proto::message::Resume { send_base: u32::MAX - 1, ..crate::pair::FRESH };
    let limits = std::sync::Arc::new(Limits::default());
    let mut server = dtu_net::Link::server(limits.clone(), SERVER, now);
    let epoch = server.handle_registered(now, crate::pair::handshake(&limits, Carrier::Stream, resume, now)).unwrap();
    pieces(&mut server, epoch, now);
    for seq in [u32::MAX - 1, u32::MAX, 0, u32::MAX, 1] {
        hear(&mut server, epoch, now, &data(seq, b"x"));
    }
    let taken = received(&mut server);
    let numbers: Vec<u32> = taken.iter().map(|received| crate::pair::show(received).0).collect();
    assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 0, 1]);
    assert_eq!((server.counters().repeated, server.state()), (1, State::Connected));
    server.commit(taken[1].mark()).unwrap();
    assert_eq!(sent(&mut server, epoch, now), said(&[ack(0)]));
    server.commit(taken[3].mark()).unwrap();
    assert_eq!(sent(&mut server, epoch, now), said(&[ack(2)]));
    assert_eq!(server.commit(Mark { stream: 2, next: u32::MAX }), Ok(()), "an earlier mark");
}

#[test]
fn a_side_that_does_not_read_lets_its_peer_hear_that_it_lives() {
    //= spec/session.md#S-19
    let mut limits = Limits::default();
    limits.receive = 1;
    let mut pair = Pair::with(limits);
    send(&mut pair.device, "more than the application takes");
    pair.carry_up();
    assert!(!pair.server.wants_bytes());
    let end = pair.now + 600 * SECOND;
    while pair.now < end {
        // What the device sends stays in the transport; what the server sends arrives.
        pair.server.handle_timeout(pair.now);
        let bytes = pieces(&mut pair.server, pair.at_server, pair.now).concat();
        pair.device.handle_bytes(pair.at_device, pair.now, &bytes);
        pair.device.handle_timeout(pair.now);
        pieces(&mut pair.device, pair.at_device, pair.now);
        pair.now += SECOND;
    }
    assert_eq!((pair.device.state(), pair.server.state()), (State::Connected, State::Connected));
}

#[test]
fn an_application_that_is_behind_stops_the_reading_and_is_not_taken_for_a_dead_peer() {
    let mut limits = Limits::default();
    limits.receive = 1000;
    let now = start();
    let (mut server, epoch) = serving(limits, Carrier::Stream, now);
    assert!(server.wants_bytes() && !server.has_received());
    hear(&mut server, epoch, now, &data(0, &[b'x'; 1000]));
    assert!(!server.wants_bytes() && server.has_received());
    pass(&mut server, now + 600 * SECOND);
    assert_eq!(states(&mut server), [], "the silence is this side's");
    assert_eq!(received(&mut server).len(), 1);
    assert!(server.wants_bytes());
    pass(&mut server, now + 1200 * SECOND);
    assert_eq!(server.state(), State::Disconnected, "now it is the peer's");
}

#[test]
fn a_piece_to_send_is_about_as_long_as_it_is_said() {
    let mut pair = Pair::new();
    for _ in 0..60 {
        pair.device.send(dtu_net::Outgoing::new(0, vec![7; 1000])).unwrap();
    }
    let pieces = pieces(&mut pair.device, pair.at_device, pair.now);
    assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() < 16 * 1024 + 1100));
    assert_eq!(crate::pair::messages(&pieces.concat()).len(), 60);
}

#[test]
fn memory_is_given_back_when_all_is_settled() {
    let mut pair = Pair::new();
    assert_eq!((pair.device.memory(), pair.server.memory()), (0, 0));
    for _ in 0..10 {
        pair.device.send(dtu_net::Outgoing::new(0, vec![7; 1000])).unwrap();
    }
    assert!(pair.device.memory() >= 10_000);
    pair.carry_up();
    assert!(pair.server.memory() >= 10_000);
    assert!(received(&mut pair.server).iter().all(|received| matches!(received, Received::Data { .. })));
    assert_eq!(pair.server.memory(), 0);
    pair.server.commit(Mark { stream: 2, next: 10 }).unwrap();
    pair.carry_down();
    assert_eq!(pair.device.memory(), 0);
}
