//! Lines that give back what is sent on them.

use super::rtu::{read, registers, write};
use super::{Bench, asking, ms, reading};
use dtu_net::line::{Matcher, Request, Unsolicited};

#[test]
fn the_echo_of_a_write_is_not_taken_for_its_reply() {
    let mut bench = Bench::new();
    let bytes = write(1, 2, 3);
    let id = bench.ask(asking(&bytes).echoed());
    bench.hear(&bytes);
    assert_eq!(bench.name(id), "pending");
    bench.hear(&bytes);
    assert_eq!(bench.name(id), "replied");
    assert_eq!(bench.line.counters().echo_bytes, 8);
}

#[test]
fn an_echo_alone_is_no_reply() {
    let mut bench = Bench::new();
    let bytes = write(1, 2, 3);
    let id = bench.ask(asking(&bytes).echoed());
    bench.hear(&bytes[..3]);
    bench.hear(&bytes[3..]);
    bench.pass(ms(500));
    assert_eq!((bench.name(id), bench.skipped()), ("timed_out", 0));
}

#[test]
fn a_reply_is_found_behind_whatever_part_of_the_echo_came() {
    let bytes = read(1, 0, 1);
    for kept in 0..=bytes.len() {
        for part in [&bytes[..kept], &bytes[bytes.len() - kept..]] {
            let mut bench = Bench::new();
            let id = bench.ask(reading().echoed());
            bench.hear(part);
            bench.pass(ms(20));
            bench.hear(&registers(1, &[7]));
            bench.pass(ms(500));
            assert_eq!(bench.reply(id), Some(&registers(1, &[7])[..]), "{part:02X?}");
        }
    }
}

#[test]
fn what_is_held_back_as_the_beginning_of_an_echo_comes_out_when_the_line_falls_silent() {
    let mut bench = Bench::new();
    bench.ask(reading().timeout(ms(5000)).echoed());
    bench.hear(&registers(1, &[7])[..2]);
    bench.pass(ms(999));
    assert_eq!(bench.skipped(), 0);
    bench.pass(ms(1));
    assert_eq!(bench.skipped(), 2);
}

#[test]
fn the_echo_of_what_left_before_is_not_taken_for_the_reply() {
    let bytes = write(1, 2, 3);
    let unanswered = || Request::new(&bytes, Matcher::None).timeout(ms(0)).echoed();
    let mut bench = Bench::new();
    let (first, second) = (bench.ask(unanswered()), bench.ask(unanswered()));
    let third = bench.ask(asking(&bytes).echoed());
    assert_eq!([first, second].map(|id| bench.name(id)), ["sent", "sent"]);
    assert_eq!(bench.sent.len(), 3);
    for _ in 0..3 {
        bench.hear(&bytes);
        assert_eq!(bench.name(third), "pending");
    }
    bench.hear(&bytes);
    assert_eq!((bench.name(third), bench.line.counters().echo_bytes), ("replied", 24));
}

#[test]
fn a_reply_that_repeats_its_request_is_taken_for_the_echo_that_was_damaged() {
    let bytes = write(1, 2, 3);
    let mut damaged = bytes.clone();
    damaged[4] ^= 1;
    let mut bench = Bench::new();
    let id = bench.ask(asking(&bytes).echoed());
    bench.hear(&damaged);
    bench.hear(&bytes);
    bench.pass(ms(500));
    assert_eq!((bench.name(id), bench.skipped()), ("timed_out", 8));
}

#[test]
fn an_echo_that_did_not_come_is_not_waited_for_behind_the_next_request() {
    let bytes = write(1, 2, 3);
    let mut bench = Bench::new();
    bench.ask(asking(&bytes).echoed());
    bench.pass(ms(1500));
    let second = bench.ask(asking(&bytes).echoed());
    bench.hear(&bytes);
    bench.hear(&bytes);
    bench.pass(ms(500));
    assert_eq!((bench.name(second), bench.line.counters().echo_bytes), ("replied", 8));
}

#[test]
fn of_more_echoes_than_are_waited_for_the_oldest_is_forgotten() {
    let mut bench = Bench::new();
    let sent: Vec<_> = (0..17).map(|value| write(1, 2, value)).collect();
    for bytes in &sent {
        bench.ask(Request::new(bytes, Matcher::None).timeout(ms(0)).echoed());
    }
    for bytes in &sent {
        bench.hear(bytes);
    }
    assert_eq!(bench.line.counters().echo_bytes, 16 * 8);
    assert_eq!(bench.unsolicited(), [(sent[0].clone(), Unsolicited::Idle)]);
}

#[test]
fn an_echo_that_is_waited_for_takes_memory_until_it_has_come() {
    let mut bench = Bench::new();
    let bytes = write(1, 2, 3);
    bench.ask(Request::new(&bytes, Matcher::None).timeout(ms(0)).echoed());
    assert!(bench.line.memory() >= bytes.len());
    bench.hear(&bytes);
    assert_eq!(bench.line.memory(), 0);
}
