//! What is repeated, and what a lost connection does.

use super::rtu::{registers, write};
use super::{Bench, asking, ms, reading};
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::line::{LineTimer, Outcome, Request, Unsolicited};
use dtu_net::retry::Policy;

/// Two repeats, `delay` after the failure.
fn repeated(request: Request, delay: u64) -> Request {
    request.policy(Policy::new(Backoff::fixed(ms(delay)).jitter(Jitter::None).max_attempts(2)).idempotent())
}

#[test]
fn what_may_be_repeated_is_by_its_policy_and_after_the_quarantine() {
    let mut bench = Bench::new();
    let id = bench.ask(repeated(reading(), 200));
    bench.pass(ms(1500));
    bench.pass(ms(1500));
    let times: Vec<_> = bench.sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [ms(0), ms(1500), ms(3000)]);
    bench.pass(ms(499));
    assert_eq!(bench.name(id), "pending");
    bench.pass(ms(1));
    assert_eq!(bench.outcome(id), Some(&Outcome::TimedOut { attempts: 3 }));

    let mut bench = Bench::new();
    bench.ask(repeated(reading(), 4000));
    bench.pass(ms(500));
    assert_eq!(bench.timer(), Some((ms(4000), LineTimer::Send)));
}

#[test]
fn what_may_not_be_repeated_is_sent_once() {
    let mut bench = Bench::new();
    let policy = Policy::new(Backoff::fixed(ms(1)).max_attempts(9));
    let id = bench.ask(asking(&write(1, 2, 3)).policy(policy));
    bench.pass(ms(10_000));
    assert_eq!(bench.outcome(id), Some(&Outcome::TimedOut { attempts: 1 }));
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn others_have_the_line_while_a_repeat_waits() {
    let mut bench = Bench::new();
    let first = bench.ask(repeated(reading(), 5000));
    bench.pass(ms(1500));
    let second = bench.ask(asking(&write(1, 2, 3)));
    bench.hear(&write(1, 2, 3));
    assert_eq!((bench.name(first), bench.name(second)), ("pending", "replied"));
}

#[test]
fn a_late_reply_to_a_request_that_waits_for_its_repeat_is_its_reply() {
    let mut bench = Bench::new();
    let id = bench.ask(repeated(reading(), 200));
    bench.pass(ms(800));
    bench.hear(&registers(1, &[7]));
    let Some(Outcome::Replied(reply)) = bench.outcome(id) else { unreachable!("it has a reply") };
    assert_eq!((reply.attempts, reply.round_trip, reply.is_late), (1, ms(800), true));
    bench.pass(ms(10_000));
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn the_reply_to_an_earlier_attempt_answers_the_request_and_the_other_one_is_late() {
    let mut bench = Bench::new();
    let first = bench.ask(repeated(reading(), 200));
    bench.pass(ms(1600));
    bench.hear(&registers(1, &[7]));
    assert_eq!(bench.reply(first), Some(&registers(1, &[7])[..]));
    // Of the two that were sent one has not been answered.
    let second = bench.read();
    bench.hear(&registers(1, &[7]));
    bench.hear(&registers(1, &[8]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[8])[..]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[7]), Unsolicited::Late { id: first })]);
}

#[test]
fn repeats_end_with_the_deadline() {
    let mut bench = Bench::new();
    let id = bench.ask(repeated(reading().deadline(ms(1600)), 200));
    bench.pass(ms(1599));
    assert_eq!((bench.name(id), bench.sent.len()), ("pending", 2));
    bench.pass(ms(1));
    assert_eq!(bench.outcome(id), Some(&Outcome::TimedOut { attempts: 2 }));
    // The line is still quiet for that one when the time of the next is up.
    let id = bench.ask(repeated(reading().deadline(ms(900)), 200));
    bench.pass(ms(900));
    assert_eq!(bench.outcome(id), Some(&Outcome::Expired));
}

#[test]
fn a_lost_connection_ends_what_is_on_the_line_unless_it_may_be_repeated() {
    let mut bench = Bench::new();
    let (write_id, read_id) = (bench.ask(asking(&write(1, 2, 3))), bench.ask(repeated(reading(), 200)));
    bench.line.handle_disconnected(bench.now);
    bench.drain();
    assert_eq!((bench.name(write_id), bench.name(read_id)), ("line_gone", "pending"));
    // The unit may say on its next connection what its line said on this one.
    bench.line.handle_connected(bench.now);
    bench.pass(ms(1499));
    assert_eq!(bench.sent.len(), 1);
    bench.pass(ms(1));
    assert_eq!(bench.sent.len(), 2);
    bench.line.handle_disconnected(bench.now);
    bench.pass(ms(2000));
    assert_eq!((bench.name(read_id), bench.sent.len()), ("pending", 2));
    bench.line.handle_connected(bench.now);
    bench.drain();
    assert_eq!(bench.sent.len(), 3);
    bench.hear(&registers(1, &[5]));
    assert_eq!(bench.reply(read_id), Some(&registers(1, &[5])[..]));
}

#[test]
fn a_reply_that_comes_on_the_next_connection_is_late() {
    let mut bench = Bench::new();
    let (first, second) = (bench.read(), bench.read());
    bench.line.handle_disconnected(bench.now);
    bench.line.handle_connected(bench.now);
    bench.drain();
    bench.pass(ms(100));
    bench.hear(&registers(1, &[1]));
    assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    bench.hear(&registers(1, &[2]));
    assert_eq!(bench.reply(second), Some(&registers(1, &[2])[..]));
}

#[test]
fn half_a_frame_does_not_go_over_to_the_next_connection() {
    let mut bench = Bench::new();
    let frame = registers(1, &[1]);
    bench.hear(&frame[..5]);
    bench.line.handle_disconnected(bench.now);
    bench.line.handle_connected(bench.now);
    bench.hear(&frame[5..]);
    bench.pass(ms(1000));
    assert_eq!((bench.unsolicited().len(), bench.skipped()), (0, frame.len()));
}

#[test]
fn a_reply_in_doubt_is_told_when_its_request_ends_otherwise() {
    for cancelled in [true, false] {
        let mut bench = Bench::new();
        let (first, second) = (bench.read(), bench.read());
        bench.pass(ms(1600));
        bench.hear(&registers(1, &[1]));
        if cancelled {
            bench.line.cancel(bench.now, second);
        } else {
            bench.line.handle_disconnected(bench.now);
        }
        bench.drain();
        assert_eq!(bench.name(second), if cancelled { "cancelled" } else { "line_gone" });
        assert_eq!(bench.unsolicited(), [(registers(1, &[1]), Unsolicited::Late { id: first })]);
    }
}

#[test]
fn of_an_attempt_another_request_and_a_repeat_that_look_alike_the_last_reply_counts() {
    let mut bench = Bench::new();
    let first = bench.ask(repeated(reading(), 1700));
    bench.pass(ms(1500));
    let second = bench.read();
    bench.pass(ms(1500));
    assert_eq!((bench.sent.len(), bench.name(first), bench.name(second)), (3, "pending", "timed_out"));
    for value in 1..=3 {
        bench.hear(&registers(1, &[value]));
        bench.pass(ms(50));
    }
    assert_eq!(bench.reply(first), Some(&registers(1, &[3])[..]));
}

#[test]
fn an_echo_is_not_waited_for_on_the_next_connection() {
    let mut bench = Bench::new();
    let bytes = write(1, 2, 3);
    let id = bench.ask(asking(&bytes).echoed());
    bench.line.handle_disconnected(bench.now);
    bench.line.handle_connected(bench.now);
    bench.hear(&bytes);
    assert_eq!(bench.unsolicited(), [(bytes, Unsolicited::Late { id })]);
}
