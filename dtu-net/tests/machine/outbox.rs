//! What an outbox does when it is full, and with DATA whose time runs out.

use crate::pair::{
    FRESH, Pair, SECOND, SERVER, ack, config, consume, data, events, hear, numbered, outcomes, pass, pieces, said,
    send, sent, skip, start, welcome, welcomed,
};
use dtu_net::limits::{OutboxLimits, WhenFull};
use dtu_net::{Carrier, Device, DeviceConfig, Limits, Link, Outcome, Outgoing, SendError, State, Timer};
use dtu_proto::message::Resume;

fn bounded(frames: usize, bytes: usize, when_full: WhenFull) -> DeviceConfig {
    let mut config = config();
    config.limits.outbox = OutboxLimits { frames, bytes, when_full };
    config
}

fn device(config: DeviceConfig) -> Link<Device> {
    Link::device(config, crate::pair::DEVICE, 7, start())
}

#[test]
fn wait_leaves_one_too_many_with_the_caller() {
    //= spec/session.md#S-16
    let mut device = device(bounded(2, 100, WhenFull::Wait));
    send(&mut device, "a");
    assert!(device.has_room(99) && !device.has_room(100));
    send(&mut device, "b");
    assert!(!device.has_room(0));
    assert_eq!(device.send(Outgoing::new(0, "c")), Err(SendError::Full));
    let ledger = device.counters().ledger;
    assert_eq!((ledger.taken, ledger.pending, ledger.refused), (2, 2, 0), "it was never taken");
}

#[test]
fn refuse_new_books_one_too_many_as_refused() {
    let mut device = device(bounded(8, 10, WhenFull::RefuseNew));
    send(&mut device, "1234567");
    assert_eq!(device.send(Outgoing::new(0, "8901")), Err(SendError::Refused));
    send(&mut device, "890");
    let ledger = device.counters().ledger;
    assert_eq!((ledger.taken, ledger.pending, ledger.refused, ledger.balances()), (3, 2, 1, true));
}

#[test]
fn drop_oldest_lets_as_many_go_as_the_new_one_needs() {
    let now = start();
    let (mut device, epoch) = welcomed(bounded(8, 10, WhenFull::DropOldest), Carrier::Stream, now);
    for body in ["aaaa", "bbbb", "cc"] {
        send(&mut device, body);
    }
    assert_eq!(send(&mut device, "ddddd"), 3);
    assert_eq!(outcomes(&mut device), [(0, 2, Outcome::Refused)]);
    assert_eq!(sent(&mut device, epoch, now), said(&[skip(2), data(2, b"cc"), data(3, b"ddddd")]));
    assert!(device.counters().ledger.balances());
}

#[test]
fn an_outbox_that_can_hold_nothing_refuses_instead_of_looking_for_the_oldest() {
    let mut device = device(bounded(0, 10, WhenFull::DropOldest));
    assert_eq!(device.send(Outgoing::new(0, "a")), Err(SendError::Refused));
    let ledger = device.counters().ledger;
    assert_eq!((ledger.taken, ledger.refused, ledger.balances()), (1, 1, true));
}

#[test]
fn a_body_that_is_too_long_is_the_callers() {
    let now = start();
    let (mut device, _) = welcomed(config(), Carrier::Stream, now);
    let limit = device.limits().max_body();
    assert_eq!(limit, 65_521, "also in a datagram, where the stream stands in front");
    let body = vec![0; limit + 1];
    assert_eq!(device.send(Outgoing::new(0, body.clone())), Err(SendError::TooLong { length: limit + 1, limit }));
    assert_eq!(device.send(Outgoing::new(0, body[1..].to_vec())), Ok(0));
    let mut small = self::device(bounded(8, 10, WhenFull::DropOldest));
    assert_eq!(small.send(Outgoing::new(0, vec![0; 11])), Err(SendError::TooLong { length: 11, limit: 10 }));
    assert_eq!(small.counters().ledger.taken, 0);
}

#[test]
fn the_outbox_takes_data_before_there_is_a_connection() {
    let mut device = device(config());
    send(&mut device, "early");
    assert_eq!(device.state(), State::Disconnected);
    assert_eq!(device.counters().ledger.pending, 1);
}

#[test]
fn expired_data_in_front_is_skipped_on_the_wire_before_the_next_data() {
    //= spec/session.md#S-15
    //= spec/session.md#S-16
    let mut pair = Pair::new();
    let deadline = pair.now + SECOND;
    for body in ["a", "b"] {
        pair.device.send(Outgoing::new(0, body).with_deadline(deadline)).unwrap();
    }
    send(&mut pair.device, "c");
    assert_eq!(pair.device.poll_timeout(), Some((deadline, Timer::Expiry)));
    pair.device.handle_timeout(deadline - crate::pair::TICK);
    assert_eq!(outcomes(&mut pair.device), []);
    pair.device.handle_timeout(deadline);
    assert_eq!(outcomes(&mut pair.device), [(0, 2, Outcome::Expired)]);
    assert_eq!(sent(&mut pair.device, pair.at_device, deadline), said(&[skip(2), data(2, b"c")]));
}

#[test]
fn a_hole_between_data_is_skipped_when_all_in_front_of_it_is_settled() {
    //= spec/session.md#S-15
    let mut pair = Pair::new();
    let deadline = pair.now + SECOND;
    send(&mut pair.device, "a");
    for body in ["b", "c"] {
        pair.device.send(Outgoing::new(0, body).with_deadline(deadline)).unwrap();
    }
    send(&mut pair.device, "d");
    pair.device.handle_timeout(deadline);
    assert_eq!(outcomes(&mut pair.device), [(1, 2, Outcome::Expired)]);
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a")]));
    pair.carry_down();
    assert_eq!(outcomes(&mut pair.device), [(0, 1, Outcome::Acked)]);
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(1, "skip to 3"), (3, "d")]));
    pair.carry_down();
    assert_eq!(outcomes(&mut pair.device), [(3, 1, Outcome::Acked)]);
    assert!(pair.device.counters().ledger.balances());
    assert_eq!(pair.device.memory(), 0);
}

#[test]
fn a_skip_behind_damaged_data_does_not_settle_it() {
    let mut pair = Pair::new();
    let deadline = pair.now + SECOND;
    send(&mut pair.device, "a");
    pair.device.send(Outgoing::new(0, "b").with_deadline(deadline)).unwrap();
    pair.device.handle_timeout(deadline);
    let mut bytes = pieces(&mut pair.device, pair.at_device, deadline).concat();
    // A bit of the body of "a" flips on the way.
    bytes[12] ^= 1;
    pair.server.handle_bytes(pair.at_server, deadline, &bytes);
    assert_eq!(consume(&mut pair.server), []);
    pair.carry_down();
    pair.now = deadline + 10 * SECOND;
    pair.device.handle_timeout(pair.now);
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a")]), "acked means that it was taken");
}

#[test]
fn data_that_expires_after_it_left_is_settled_once() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    let deadline = now + SECOND;
    device.send(Outgoing::new(0, "a").with_deadline(deadline)).unwrap();
    assert_eq!(sent(&mut device, epoch, now), said(&[data(0, b"a")]));
    device.handle_timeout(deadline);
    assert_eq!(outcomes(&mut device), [(0, 1, Outcome::Expired)]);
    assert_eq!(sent(&mut device, epoch, deadline), said(&[skip(1)]));
    hear(&mut device, epoch, deadline, &ack(1));
    assert_eq!(events(&mut device), [], "it arrived all the same, and stays expired");
    let ledger = device.counters().ledger;
    assert_eq!((ledger.expired, ledger.acked, ledger.balances()), (1, 0, true));
    assert_eq!(device.poll_timeout().unwrap().1, Timer::Silence);
}

#[test]
fn a_skip_that_is_not_acknowledged_is_said_again() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    let deadline = now + SECOND;
    device.send(Outgoing::new(0, "a").with_deadline(deadline)).unwrap();
    device.handle_timeout(deadline);
    assert_eq!(sent(&mut device, epoch, deadline), said(&[skip(1)]));
    let again = deadline + 10 * SECOND;
    assert_eq!(device.poll_timeout(), Some((again, Timer::Resend)));
    device.handle_timeout(again);
    assert_eq!(sent(&mut device, epoch, again), said(&[skip(1)]));
}

#[test]
fn deadlines_run_without_a_connection_too() {
    let now = start();
    let mut device = device(config());
    device.send(Outgoing::new(0, "a").with_deadline(now + SECOND)).unwrap();
    device.handle_timeout(now + 2 * SECOND);
    assert_eq!(outcomes(&mut device), [(0, 1, Outcome::Expired)]);
}

#[test]
fn a_server_that_was_told_to_begin_above_expired_data_may_say_so_at_the_next_connect() {
    //= spec/session.md#S-12
    let now = start();
    let mut device = device(config());
    device.send(Outgoing::new(0, "a").with_deadline(now + SECOND)).unwrap();
    device.handle_timeout(now + 2 * SECOND);
    let now = now + 2 * SECOND;
    let epoch = device.poll_connect().unwrap();
    device.handle_connected(epoch, now, Carrier::Stream);
    assert_eq!(sent(&mut device, epoch, now), said(&[crate::pair::register(Resume { send_base: 1, ..FRESH })]));
    hear(&mut device, epoch, now, &welcome(Resume { stream: SERVER, ..FRESH }));
    device.handle_disconnected(epoch, now, dtu_net::Cause::Disconnected);

    let (now, _) = device.poll_timeout().unwrap();
    let epoch = crate::pair::dial(&mut device, now);
    device.handle_connected(epoch, now, Carrier::Stream);
    pieces(&mut device, epoch, now);
    let resume = Resume { stream: SERVER, send_base: 0, peer_stream: crate::pair::DEVICE, receive_next: 1 };
    hear(&mut device, epoch, now, &welcome(resume));
    assert_eq!(device.state(), State::Connected, "number 1 is awaited because this side said so");
}

#[test]
fn every_outcome_is_booked_and_the_books_balance() {
    let mut limits = Limits::default();
    limits.outbox = OutboxLimits { frames: 3, bytes: 100, when_full: WhenFull::RefuseNew };
    let mut pair = Pair::with(limits);
    send(&mut pair.device, "acked");
    pair.device.send(Outgoing::new(0, "expired").with_deadline(pair.now + SECOND)).unwrap();
    send(&mut pair.device, "abandoned");
    assert_eq!(pair.device.send(Outgoing::new(0, "refused")), Err(SendError::Refused));
    pass(&mut pair.device, pair.now + SECOND);
    pair.carry_up();
    let first = pair.server.poll_received().unwrap();
    pair.server.commit(first.mark()).unwrap();
    pair.carry_down();
    pair.device.close(pair.now, dtu_proto::message::CloseCode::DONE, "", core::time::Duration::ZERO);
    pass(&mut pair.device, pair.now + SECOND);
    let ledger = pair.device.counters().ledger;
    assert_eq!((ledger.taken, ledger.acked, ledger.expired, ledger.refused, ledger.abandoned), (4, 1, 1, 1, 1));
    assert_eq!((ledger.pending, ledger.balances()), (0, true));
}
