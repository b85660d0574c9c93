//! Who goes when, and how many may wait.

use super::rtu::{read, registers, sealed};
use super::{Bench, asking, ms, reading};
use core::time::Duration;
use dtu_net::line::{Line, LineLimits, LineTimer, Matcher, Outcome, Priority, Request, RequestError, Unsolicited};
use dtu_proto::presets::{Direction, ModbusRtu};
use dtu_proto::tokens::TokenSet;
use std::sync::Arc;

#[test]
fn one_request_at_a_time_is_on_the_line() {
    let mut bench = Bench::new();
    let (first, second) = (bench.ask(asking(&read(1, 0, 1))), bench.ask(asking(&read(2, 0, 1))));
    assert_eq!(bench.sent.len(), 1);
    bench.pass(ms(100));
    bench.hear(&registers(1, &[7]));
    assert_eq!(bench.reply(first), Some(&registers(1, &[7])[..]));
    let Some(Outcome::Replied(reply)) = bench.outcome(first) else { unreachable!("it has a reply") };
    assert_eq!((reply.attempts, reply.round_trip, reply.is_late), (1, ms(100), false));
    assert_eq!(reply.frame.payload(), &[3, 2, 0, 7][..]);
    assert_eq!(bench.sent.len(), 2);
    bench.hear(&registers(2, &[8]));
    assert_eq!(bench.reply(second), Some(&registers(2, &[8])[..]));
    assert!(!bench.line.is_busy());
    assert_eq!(bench.timer(), None);
}

#[test]
fn a_higher_priority_goes_first_and_else_who_came_first() {
    let mut bench = Bench::new();
    let on_line = bench.read();
    let order = [Priority::Low, Priority::Normal, Priority::High, Priority::Normal, Priority::High];
    for (address, priority) in (2..).zip(order) {
        bench.ask(asking(&read(address, 0, 1)).priority(priority));
    }
    bench.hear(&registers(1, &[0]));
    assert_eq!(bench.name(on_line), "replied");
    for address in [4, 6, 3, 5, 2] {
        assert_eq!(bench.sent.last().unwrap().1, read(address, 0, 1));
        bench.hear(&registers(address, &[0]));
    }
}

#[test]
fn what_has_no_room_or_no_bytes_is_refused_and_counted() {
    let mut limits = LineLimits::default();
    (limits.queue, limits.max_request) = (2, 8);
    let mut bench = Bench::with(limits);
    bench.read();
    bench.read();
    assert_eq!(bench.try_ask(reading()), Err(RequestError::Full { limit: 2 }));
    let long = Request::new([0; 9], Matcher::AnyFrame);
    assert_eq!(bench.try_ask(long), Err(RequestError::Length { len: 9, limit: 8 }));
    assert_eq!(bench.try_ask(Request::new([], Matcher::AnyFrame)), Err(RequestError::Length { len: 0, limit: 8 }));
    bench.hear(&registers(1, &[0]));
    assert!(bench.try_ask(reading()).is_ok());
    bench.line.close(bench.now);
    bench.drain();
    assert_eq!(bench.try_ask(reading()), Err(RequestError::Closed));
    let ledger = bench.line.ledger();
    assert_eq!((ledger.asked, ledger.refused, ledger.replied, ledger.line_gone, ledger.pending), (7, 4, 1, 2, 0));
}

#[test]
fn nothing_is_sent_without_a_connection_and_all_that_waits_goes_on_with_it() {
    let mut bench = Bench::new();
    bench.line = Line::new(ModbusRtu::new(Direction::Up), LineLimits::default(), 7);
    let id = bench.read();
    assert_eq!((bench.sent.len(), bench.timer()), (0, Some((ms(30_000), LineTimer::Deadline))));
    bench.line.handle_connected(bench.now);
    bench.drain();
    bench.hear(&registers(1, &[3]));
    assert_eq!(bench.name(id), "replied");
}

#[test]
fn a_deadline_ends_what_was_never_sent_as_expired_and_what_was_as_timed_out() {
    let mut bench = Bench::new();
    let sent = bench.ask(reading().timeout(ms(5000)).deadline(ms(1000)));
    let waits = bench.ask(reading().deadline(ms(900)));
    assert_eq!(bench.timer(), Some((ms(900), LineTimer::Deadline)));
    bench.pass(ms(899));
    assert_eq!((bench.name(sent), bench.name(waits)), ("pending", "pending"));
    bench.pass(ms(1));
    assert_eq!((bench.name(sent), bench.name(waits)), ("pending", "expired"));
    bench.pass(ms(100));
    assert_eq!(bench.outcome(sent), Some(&Outcome::TimedOut { attempts: 1 }));
}

#[test]
fn a_request_without_a_reply_leaves_the_line_alone_for_its_time() {
    let mut bench = Bench::new();
    let broadcast = sealed(&[0, 6, 0, 1, 0, 1]);
    let id = bench.ask(asking(&broadcast).timeout(ms(100)));
    let next = bench.read();
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Mismatched)]);
    bench.pass(ms(99));
    assert_eq!((bench.name(id), bench.sent.len()), ("pending", 1));
    bench.pass(ms(1));
    assert_eq!((bench.name(id), bench.name(next), bench.sent.len()), ("sent", "pending", 2));
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.name(next), "replied");
}

#[test]
fn frames_that_nobody_asked_for_are_told_with_what_is_known_of_them() {
    let mut bench = Bench::new();
    bench.hear(&registers(9, &[1]));
    let id = bench.read();
    bench.hear(&[registers(9, &[2]), registers(1, &[3]), registers(1, &[4])].concat());
    assert_eq!(bench.reply(id), Some(&registers(1, &[3])[..]));
    let told = [
        (registers(9, &[1]), Unsolicited::Idle),
        (registers(9, &[2]), Unsolicited::Mismatched),
        (registers(1, &[4]), Unsolicited::Idle),
    ];
    assert_eq!(bench.unsolicited(), told);
    let counters = bench.line.counters();
    assert_eq!((counters.idle, counters.mismatched, counters.late, counters.attempts), (2, 1, 0, 1));
}

#[test]
fn a_reply_behind_a_false_beginning_is_found_when_the_line_falls_silent_and_at_the_latest_in_time() {
    // The beginning of a reply of 255 bytes, which never comes.
    let dirt = [9, 3, 250, 0];
    for (stall, timeout, wait) in [(100, 500, 100), (1000, 500, 500)] {
        let mut limits = LineLimits::default();
        limits.stall = ms(stall);
        let mut bench = Bench::with(limits);
        let id = bench.ask(reading().timeout(ms(timeout)));
        bench.hear(&[&dirt[..], &registers(1, &[7])].concat());
        bench.pass(ms(wait - 1));
        assert_eq!(bench.name(id), "pending");
        bench.pass(ms(1));
        assert_eq!(bench.reply(id), Some(&registers(1, &[7])[..]));
        assert_eq!((bench.skipped(), bench.line.counters().skipped_bytes), (4, 4));
    }
}

#[test]
fn a_frame_that_has_begun_holds_the_next_request_back_as_long_as_it_may_stall() {
    let mut bench = Bench::new();
    let stranger = registers(9, &[1]);
    bench.hear(&stranger[..3]);
    bench.pass(ms(900));
    bench.read();
    assert_eq!((bench.sent.len(), bench.timer()), (0, Some((ms(100), LineTimer::Stall))));
    bench.hear(&stranger[3..]);
    assert_eq!((bench.sent.len(), bench.unsolicited().len()), (1, 1));

    // One that trickles in does not hold it back any longer.
    let mut bench = Bench::new();
    bench.hear(&[9, 3, 250]);
    let id = bench.read();
    for _ in 0..9 {
        bench.pass(ms(100));
        bench.hear(&[0]);
    }
    assert_eq!(bench.sent.len(), 0);
    bench.pass(ms(100));
    assert_eq!(bench.sent.len(), 1);
    bench.hear(&registers(1, &[5]));
    assert_eq!(bench.name(id), "replied");
}

#[test]
fn a_cancelled_request_is_over_at_once_and_its_reply_is_nobodys() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.read(), bench.read(), bench.read());
    assert!(bench.line.cancel(bench.now, second));
    assert!(bench.line.cancel(bench.now, first));
    assert!(!bench.line.cancel(bench.now, first));
    bench.drain();
    assert_eq!([first, second, third].map(|id| bench.name(id)), ["cancelled", "cancelled", "pending"]);
    // The line is kept quiet until the reply has come, or its time and the quarantine are over.
    assert_eq!((bench.sent.len(), bench.timer()), (1, Some((ms(1500), LineTimer::Send))));
    bench.pass(ms(200));
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    assert_eq!(bench.sent.len(), 2);
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(third), Some(&registers(1, &[2])[..]));
}

#[test]
fn what_a_half_frame_holds_back_and_is_not_wanted_any_more_leaves_no_timer_behind() {
    let mut bench = Bench::new();
    bench.hear(&registers(9, &[1])[..3]);
    let id = bench.read();
    assert_eq!(bench.sent.len(), 0);
    assert!(bench.line.cancel(bench.now, id));
    bench.drain();
    bench.pass(ms(2000));
    assert_eq!(bench.timer(), None);
    // Nor does it cut short what holds the next one back.
    let stranger = registers(9, &[1]);
    bench.hear(&stranger[..3]);
    bench.read();
    assert_eq!(bench.sent.len(), 0);
    bench.hear(&stranger[3..]);
    assert_eq!((bench.sent.len(), bench.unsolicited().len()), (1, 1));
}

#[test]
fn a_turn_that_cannot_be_taken_because_nothing_leaves_is_told_once() {
    let mut bench = Bench::new();
    let first = bench.read();
    let second = bench.ask(reading().deadline(ms(20_000)));
    bench.now += ms(500);
    bench.line.handle_timeout(bench.now);
    assert_eq!(bench.timer(), Some((ms(1000), LineTimer::Send)));
    bench.now += ms(1000);
    bench.line.handle_timeout(bench.now);
    // The deadline of the second is left.
    assert_eq!(bench.timer(), Some((ms(18_500), LineTimer::Deadline)));
    bench.drain();
    assert_eq!((bench.name(first), bench.sent.len()), ("timed_out", 2));
    bench.hear(&registers(1, &[1]));
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));
}

#[test]
fn times_of_any_length_do_not_lead_out_of_the_clock() {
    let mut limits = LineLimits::default();
    (limits.stall, limits.quarantine) = (Duration::MAX, Duration::MAX);
    (limits.suspicion, limits.confirm) = (Duration::MAX, Duration::MAX);
    let mut bench = Bench::with(limits);
    let endless = || reading().timeout(Duration::MAX).deadline(Duration::MAX);
    let first = bench.ask(endless());
    bench.hear(&registers(1, &[1])[..3]);
    bench.hear(&registers(1, &[1])[3..]);
    assert_eq!(bench.name(first), "replied");
    let second = bench.ask(endless());
    assert!(bench.line.cancel(bench.now, second));
    bench.drain();
    bench.pass(ms(1000));
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[2]), Unsolicited::Late { id: second })]);
}

#[test]
fn heartbeats_keep_no_false_beginning_alive() {
    let mut limits = LineLimits::default();
    limits.stall = ms(1000);
    let mut bench = Bench::with(limits);
    bench.line.set_tokens(bench.now, Arc::new(TokenSet::of(&[b"PING"]).unwrap()));
    // A reply of 255 bytes, it says.
    bench.hear(&[1, 3, 0xFA]);
    for _ in 0..3 {
        bench.pass(ms(300));
        bench.hear(b"PING");
    }
    bench.pass(ms(99));
    assert_eq!(bench.skipped(), 0);
    bench.pass(ms(1));
    assert!(bench.skipped() >= 3, "{}", bench.skipped());
}
