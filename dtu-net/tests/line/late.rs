//! Replies that come too late.

use super::rtu::{read, registers, write};
use super::{Bench, asking, ms, reading};
use core::time::Duration;
use dtu_net::line::limits::QUIET_MAX;
use dtu_net::line::{DOUBTS_MAX, LineLimits, LineTimer, Matcher, Request, Unsolicited};

#[test]
fn a_late_reply_is_not_given_to_the_next_request_and_ends_the_quarantine() {
    let mut bench = Bench::new();
    let (first, second) = (bench.read(), bench.read());
    bench.pass(ms(500));
    assert_eq!((bench.name(first), bench.sent.len()), ("timed_out", 1));
    assert_eq!(bench.timer(), Some((ms(1000), LineTimer::Send)));
    bench.pass(ms(700));
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    assert_eq!((bench.sent.len(), bench.name(second)), (2, "pending"));
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));
    assert_eq!(bench.timer(), None);
}

#[test]
fn without_a_late_reply_the_line_is_quiet_for_the_quarantine() {
    let mut bench = Bench::new();
    bench.read();
    bench.ask(asking(&read(2, 0, 1)));
    bench.pass(ms(1499));
    assert_eq!(bench.sent.len(), 1);
    bench.pass(ms(1));
    assert_eq!(bench.sent.len(), 2);
    // It is only the time that counts: the stranger is no reply to anything.
    assert_eq!(bench.sent[1].0, ms(1500));
}

#[test]
fn a_reply_later_than_the_quarantine_is_told_apart_by_the_one_behind_it() {
    let mut bench = Bench::new();
    let (first, second) = (bench.read(), bench.read());
    bench.pass(ms(1600));
    assert_eq!(bench.sent.len(), 2);
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.name(second), "pending");
    bench.pass(ms(200));
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    // There is nothing left to doubt.
    let third = bench.read();
    bench.hear(&registers(1, &[3]));
    assert_eq!(bench.reply(third), Some(&registers(1, &[3])[..]));
}

#[test]
fn a_reply_that_stays_the_only_one_is_taken_once_the_wait_is_over() {
    for (timeout, wait) in [(2000, 500), (300, 200)] {
        let mut bench = Bench::new();
        bench.read();
        let second = bench.ask(reading().timeout(ms(timeout)));
        bench.pass(ms(1600));
        bench.hear(&registers(1, &[2]));
        assert_eq!(bench.timer().unwrap().0, ms(wait));
        bench.pass(ms(wait));
        assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));
        // A device answers in turn: what was late would have come before.
        let third = bench.read();
        bench.hear(&registers(1, &[3]));
        assert_eq!(bench.reply(third), Some(&registers(1, &[3])[..]));
    }
}

#[test]
fn of_two_late_replies_and_the_reply_the_last_is_the_reply() {
    let mut bench = Bench::new();
    let (first, second, third) = (bench.read(), bench.read(), bench.read());
    bench.pass(ms(3100));
    assert_eq!(bench.sent.len(), 3);
    for value in 1..=3 {
        bench.hear(&registers(1, &[value]));
        bench.pass(ms(50));
    }
    assert_eq!(bench.reply(third), Some(&registers(1, &[3])[..]));
    let told =
        [(registers(1, &[1]), Unsolicited::Late { id: first }), (registers(1, &[2]), Unsolicited::Late { id: second })];
    assert_eq!(bench.unsolicited(), told);
}

#[test]
fn what_the_next_request_would_not_take_is_late_at_once() {
    let mut bench = Bench::new();
    let first = bench.read();
    let second = bench.ask(asking(&read(1, 0, 2)));
    bench.pass(ms(1600));
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    bench.hear(&registers(1, &[2, 3]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2, 3])[..]));
}

#[test]
fn after_the_suspicion_a_reply_is_taken_as_it_comes() {
    let mut bench = Bench::new();
    bench.read();
    bench.pass(ms(500 + 1000 + 30_000));
    let id = bench.read();
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.name(id), "replied");

    let mut limits = LineLimits::default();
    limits.suspicion = ms(0);
    let mut bench = Bench::with(limits);
    bench.read();
    bench.pass(ms(1500));
    let id = bench.read();
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.name(id), "replied");
}

#[test]
fn requests_with_numbers_of_their_own_need_no_quarantine() {
    let mut bench = Bench::new();
    let tcp = |transaction| [0, transaction, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    let ask = |transaction| {
        let bytes = tcp(transaction);
        Request::new(bytes, Matcher::modbus_tcp(&bytes).unwrap()).timeout(ms(500))
    };
    bench.ask(ask(1));
    bench.ask(ask(2));
    bench.pass(ms(500));
    assert_eq!(bench.sent.len(), 2);
    // The same number again is doubted all the same.
    bench.pass(ms(500));
    bench.ask(ask(1));
    assert_eq!(bench.sent.len(), 3);
}

#[test]
fn what_is_remembered_of_the_past_is_bounded() {
    let mut limits = LineLimits::default();
    limits.suspicion = ms(3_600_000);
    let mut bench = Bench::with(limits);
    let mut asked = Vec::new();
    for _ in 0..=DOUBTS_MAX {
        asked.push(bench.read());
        bench.pass(ms(1500));
    }
    for value in 0..=u16::try_from(DOUBTS_MAX).unwrap() {
        bench.hear(&registers(1, &[value]));
    }
    let told = bench.unsolicited();
    // The oldest is forgotten, so the last one is nobody's.
    assert_eq!(told[0].1, Unsolicited::Late { id: asked[1] });
    assert_eq!(told[DOUBTS_MAX].1, Unsolicited::Idle);
}

#[test]
fn a_deadline_that_cuts_the_timeout_short_does_not_cut_the_quarantine_short() {
    let mut bench = Bench::new();
    let first = bench.ask(reading().timeout(ms(3000)).deadline(ms(100)));
    let second = bench.ask(reading().timeout(ms(3000)));
    bench.pass(ms(2000));
    assert_eq!((bench.name(first), bench.sent.len()), ("timed_out", 1));
    // Two seconds are nothing that would be late by the timeout.
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));

    // Nor when it is cancelled, or its connection ends.
    for is_lost in [false, true] {
        let mut bench = Bench::new();
        let first = bench.ask(reading().timeout(ms(3000)).deadline(ms(100)));
        bench.read();
        if is_lost {
            bench.line.handle_disconnected(bench.now);
            bench.line.handle_connected(bench.now);
        } else {
            assert!(bench.line.cancel(bench.now, first));
        }
        bench.drain();
        assert_eq!(bench.sent.len(), 1);
        bench.pass(ms(3999));
        assert_eq!(bench.sent.len(), 1, "{is_lost}");
        bench.pass(ms(1));
        assert_eq!(bench.sent.len(), 2, "{is_lost}");
    }
}

#[test]
fn a_timeout_of_any_length_does_not_keep_the_line_quiet_for_ever() {
    let mut bench = Bench::new();
    let first = bench.ask(reading().timeout(Duration::MAX).deadline(ms(100)));
    let broadcast = bench.ask(Request::new(write(0, 1, 1), Matcher::None).timeout(Duration::MAX).deadline(ms(400_000)));
    let third = bench.ask(reading().deadline(ms(900_000)).timeout(ms(2000)));
    bench.pass(ms(100) + QUIET_MAX + ms(999));
    assert_eq!((bench.name(first), bench.sent.len()), ("timed_out", 1));
    bench.pass(ms(1));
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.line.cancel(bench.now, broadcast));
    bench.drain();
    bench.pass(QUIET_MAX - ms(1));
    assert_eq!(bench.sent.len(), 2);
    bench.pass(ms(1));
    assert_eq!(bench.sent.len(), 3);
    // It is reckoned with all the same.
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.name(third), "pending");
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(third), Some(&registers(1, &[2])[..]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
}

#[test]
fn a_deadline_does_not_cut_short_how_long_a_broadcast_leaves_the_line_alone() {
    let mut bench = Bench::new();
    let id = bench.ask(Request::new(write(0, 1, 1), Matcher::None).timeout(ms(800)).deadline(ms(100)));
    bench.read();
    bench.pass(ms(799));
    assert_eq!((bench.name(id), bench.sent.len()), ("sent", 1));
    bench.pass(ms(1));
    assert_eq!(bench.sent.len(), 2);
}
