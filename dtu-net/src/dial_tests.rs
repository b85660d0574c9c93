//! The planner on a clock of the test's own.

use super::*;

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`; only differences matter")]
fn start() -> Instant {
    Instant::now()
}

fn four(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 1))
}

fn six(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 1))
}

/// The attempts that begin when no attempt ever fails or connects, with their times in milliseconds.
fn alone(addresses: &[SocketAddr]) -> Vec<(u128, SocketAddr)> {
    let began = start();
    let mut race = Race::new(addresses.iter().copied(), began);
    let mut tried = Vec::new();
    while let Some(at) = race.poll_timeout() {
        assert_eq!(race.poll_attempt(at - Duration::from_nanos(1)), None, "not before its time");
        let (_, address) = race.poll_attempt(at).unwrap();
        assert_eq!(race.poll_attempt(at), None, "one at a time");
        tried.push(((at - began).as_millis(), address));
    }
    assert!(!race.is_lost(), "they are all still being tried");
    tried
}

#[test]
fn families_take_turns_and_attempts_begin_a_quarter_of_a_second_apart() {
    let tried = alone(&[six(1), six(2), six(3), four(1), four(2)]);
    assert_eq!(tried, [(0, six(1)), (250, four(1)), (500, six(2)), (750, four(2)), (1000, six(3))]);
    let tried = alone(&[four(1), four(2), six(1)]);
    assert_eq!(tried, [(0, four(1)), (250, six(1)), (500, four(2))]);
}

#[test]
fn an_address_is_tried_once_and_only_so_many_are() {
    assert_eq!(alone(&[four(1), four(1), four(2), four(1)]), [(0, four(1)), (250, four(2))]);
    let many: Vec<_> = (1..=20).map(four).chain((1..=20).map(six)).collect();
    let tried = alone(&many);
    assert_eq!(tried.len(), ADDRESSES_MAX);
    assert_eq!(tried.last(), Some(&(3_750, six(8))), "both families are among them");
    assert!(Duration::from_millis(3_750) * 2 < crate::limits::CONNECT);
}

#[test]
fn the_next_begins_at_once_when_the_newest_fails_and_not_when_an_older_one_does() {
    let mut now = start();
    let mut race = Race::new([four(1), four(2), four(3), four(4)], now);
    let (first, _) = race.poll_attempt(now).unwrap();
    now += ATTEMPT_DELAY;
    let (second, _) = race.poll_attempt(now).unwrap();
    now += Duration::from_millis(10);
    race.handle_failed(first, now);
    assert_eq!(race.poll_attempt(now), None, "the second has its time");
    now += Duration::from_millis(10);
    race.handle_failed(second, now);
    assert_eq!(race.poll_timeout(), Some(now));
    let (third, address) = race.poll_attempt(now).unwrap();
    assert_eq!(address, four(3));
    race.handle_failed(third, now);
    let (fourth, _) = race.poll_attempt(now).unwrap();
    assert!(!race.is_lost());
    race.handle_failed(fourth, now);
    assert!(race.is_lost());
}

#[test]
fn nobody_waits_when_nothing_runs_any_more() {
    let mut now = start();
    let mut race = Race::new([four(1), four(2), four(3)], now);
    let (first, _) = race.poll_attempt(now).unwrap();
    now += ATTEMPT_DELAY;
    let (second, _) = race.poll_attempt(now).unwrap();
    race.handle_failed(second, now);
    let (third, _) = race.poll_attempt(now).unwrap();
    race.handle_failed(third, now);
    race.handle_failed(first, now);
    assert!(race.is_lost());
    assert_eq!((race.poll_timeout(), race.poll_attempt(now)), (None, None));
}

#[test]
fn a_race_without_addresses_is_lost() {
    let now = start();
    let mut race = Race::new([], now);
    assert_eq!((race.poll_attempt(now), race.poll_timeout(), race.is_lost()), (None, None, true));
}
