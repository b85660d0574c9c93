//! Signs of life: who asks, who is dead, and how long the way is.

use crate::pair::{
    Pair, SECOND, TICK, close, config, data, events, frame, hear, pass, pieces, said, send, sent, serving, start,
    states, welcomed,
};
use core::time::Duration;
use dtu_net::{Carrier, Cause, Limits, State, Timer};
use dtu_proto::Message;
use dtu_proto::message::CloseCode;
use proptest::prelude::*;

fn ping(micros: u64) -> Message<'static> {
    Message::Ping { nonce: micros }
}

#[test]
fn a_device_asks_three_times_and_declares_death_at_the_bound() {
    //= spec/session.md#S-18
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    for (second, micros) in [(30, 30_000_000), (40, 40_000_000), (50, 50_000_000)] {
        let at = now + second * SECOND;
        assert_eq!(device.poll_timeout(), Some((at, Timer::Silence)));
        device.handle_timeout(at - TICK);
        assert_eq!(sent(&mut device, epoch, at), []);
        device.handle_timeout(at);
        assert_eq!(sent(&mut device, epoch, at), said(&[ping(micros)]));
    }
    assert_eq!(states(&mut device), [(State::Suspect, None)], "one question without an answer is no reason to doubt");
    device.handle_timeout(now + 60 * SECOND - TICK);
    assert_eq!(device.state(), State::Suspect);
    device.handle_timeout(now + 60 * SECOND);
    let silent = Cause::Silent { limit: 60 * SECOND };
    assert_eq!(states(&mut device), [(State::Disconnected, Some(silent))]);
    assert_eq!(sent(&mut device, epoch, now + 60 * SECOND), said(&[close(CloseCode::TIMED_OUT, "")]));
    assert_eq!(device.limits().device_silence(), 60 * SECOND);
}

#[test]
fn a_server_asks_nothing_and_waits_twice_the_heartbeat_it_announced() {
    //= spec/session.md#S-19
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    assert_eq!(server.poll_timeout(), Some((now + 60 * SECOND, Timer::Silence)));
    server.handle_timeout(now + 60 * SECOND - TICK);
    assert_eq!((sent(&mut server, epoch, now), server.state()), (vec![], State::Connected));
    server.handle_timeout(now + 60 * SECOND);
    let silent = Cause::Silent { limit: 60 * SECOND };
    assert_eq!(states(&mut server), [(State::Disconnected, Some(silent))]);
    assert_eq!(sent(&mut server, epoch, now + 60 * SECOND), said(&[close(CloseCode::TIMED_OUT, "")]));
}

#[test]
fn a_server_that_is_to_measure_asks_once_in_a_connection() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    let (asked, answered) = (now + SECOND, now + SECOND + SECOND / 50);
    assert!(server.measure());
    assert_eq!(sent(&mut server, epoch, asked), said(&[ping(1_000_000)]));
    assert!(!server.measure(), "the answer is under way");
    server.handle_bytes(epoch, answered, &frame(&Message::Pong { nonce: 1_000_000 }));
    assert_eq!(server.counters().round_trip, Some(SECOND / 50));
    assert!(!server.measure(), "it is known");
    server.handle_disconnected(epoch, answered, Cause::Disconnected);
    assert!(!server.measure(), "there is nobody to ask");
    assert_eq!(sent(&mut server, epoch, answered), []);
}

#[test]
fn a_byte_of_a_frame_that_is_not_whole_is_life() {
    //= spec/session.md#S-18
    let now = start();
    let (mut server, server_epoch) = serving(Limits::default(), Carrier::Stream, now);
    let (mut device, device_epoch) = welcomed(config(), Carrier::Stream, now);
    let at = now + 29 * SECOND;
    server.handle_bytes(server_epoch, at, &[0xD7]);
    device.handle_bytes(device_epoch, at, &[0xD7]);
    pass(&mut server, at + 60 * SECOND - TICK);
    assert_eq!(server.state(), State::Connected);
    pass(&mut server, at + 60 * SECOND);
    assert_eq!(server.state(), State::Disconnected);
    pass(&mut device, at + 60 * SECOND - TICK);
    assert_ne!(device.state(), State::Disconnected);
    pass(&mut device, at + 60 * SECOND);
    assert_eq!(device.state(), State::Disconnected);
}

#[test]
fn own_writes_are_no_life() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    let (mut server, session) = serving(Limits::default(), Carrier::Stream, now);
    for second in 1..60 {
        let at = now + second * SECOND;
        send(&mut device, "x");
        send(&mut server, "x");
        assert!(!pieces(&mut device, epoch, at).is_empty() && !pieces(&mut server, session, at).is_empty());
        pass(&mut device, at);
        pass(&mut server, at);
    }
    assert_eq!((device.state(), server.state()), (State::Suspect, State::Connected));
    pass(&mut device, now + 60 * SECOND);
    pass(&mut server, now + 60 * SECOND);
    assert_eq!((device.state(), server.state()), (State::Disconnected, State::Disconnected));
}

#[test]
fn any_byte_ends_a_doubt() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    pass(&mut device, now + 55 * SECOND);
    assert_eq!(states(&mut device), [(State::Suspect, None)]);
    pieces(&mut device, epoch, now + 55 * SECOND);
    device.handle_bytes(epoch, now + 59 * SECOND, b"\xD7");
    assert_eq!(states(&mut device), [(State::Connected, None)]);
    pass(&mut device, now + 99 * SECOND - TICK);
    assert_eq!(states(&mut device), [], "the questions begin anew");
    pass(&mut device, now + (59 + 60) * SECOND - TICK);
    assert_eq!(device.state(), State::Suspect);
    pass(&mut device, now + (59 + 60) * SECOND);
    assert_eq!(device.state(), State::Disconnected);
}

#[test]
fn data_flows_while_in_doubt() {
    let mut pair = Pair::new();
    pass(&mut pair.device, pair.now + 41 * SECOND);
    assert_eq!(pair.device.state(), State::Suspect);
    send(&mut pair.device, "a");
    pair.carry_up();
    assert_eq!(crate::pair::consume(&mut pair.server), crate::pair::numbered(&[(0, "a")]));
    pair.carry_down();
    assert_eq!(pair.device.state(), State::Connected);
}

#[test]
fn a_machine_that_slept_asks_once_and_gives_the_usual_time_for_the_answer() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    let later = now + 3600 * SECOND;
    device.handle_timeout(later);
    assert_eq!(sent(&mut device, epoch, later), said(&[ping(3_600_000_000)]));
    assert_eq!(
        (device.state(), device.poll_timeout()),
        (State::Connected, Some((later + 10 * SECOND, Timer::Silence)))
    );
    // Asleep once more in the middle of the questions.
    let again = later + 3600 * SECOND;
    device.handle_timeout(again);
    assert_eq!(sent(&mut device, epoch, again).len(), 1);
    assert_eq!(device.poll_timeout(), Some((again + 10 * SECOND, Timer::Silence)));
}

#[test]
fn late_calls_do_not_add_up() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    for second in [33, 43, 53] {
        device.handle_timeout(now + second * SECOND);
        assert_eq!(sent(&mut device, epoch, now + second * SECOND).len(), 1);
    }
    assert_eq!(device.poll_timeout(), Some((now + 60 * SECOND, Timer::Silence)));
}

#[test]
fn every_ping_is_answered_with_its_nonce() {
    //= spec/session.md#S-4
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    let (mut device, at_device) = welcomed(config(), Carrier::Stream, now);
    for nonce in [7, u64::MAX] {
        hear(&mut server, epoch, now, &ping(nonce));
        hear(&mut device, at_device, now, &ping(nonce));
        assert_eq!(sent(&mut server, epoch, now), said(&[Message::Pong { nonce }]));
        assert_eq!(sent(&mut device, at_device, now), said(&[Message::Pong { nonce }]));
    }
}

#[test]
fn the_round_trip_is_measured_by_the_nonce_that_comes_back() {
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    device.handle_timeout(now + 30 * SECOND);
    pieces(&mut device, epoch, now + 30 * SECOND);
    let answer = Message::Pong { nonce: 30_000_000 };
    hear(&mut device, epoch, now + 30 * SECOND + SECOND / 4, &answer);
    assert_eq!(device.counters().round_trip, Some(SECOND / 4));
    // The same once more is no second sample.
    hear(&mut device, epoch, now + 35 * SECOND, &answer);
    assert_eq!(device.counters().round_trip, Some(SECOND / 4));
}

#[test]
fn a_pong_that_nobody_asked_for_says_nothing() {
    //= spec/session.md#S-4
    let now = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
    let at = now + 20 * SECOND;
    for nonce in [0, 19_000_000, 20_000_000, u64::MAX] {
        hear(&mut device, epoch, at, &Message::Pong { nonce });
    }
    assert_eq!(device.counters().round_trip, None, "no question was out");
    device.handle_timeout(at + 30 * SECOND);
    pieces(&mut device, epoch, at + 30 * SECOND);
    for nonce in [0, 49_999_999, 60_000_000, u64::MAX] {
        hear(&mut device, epoch, at + 31 * SECOND, &Message::Pong { nonce });
    }
    assert_eq!(device.counters().round_trip, None, "older than the question, or from the future");
    hear(&mut device, epoch, at + 31 * SECOND, &Message::Pong { nonce: 50_000_000 });
    assert_eq!(device.counters().round_trip, Some(SECOND));
    assert_eq!(events(&mut device), []);
}

#[test]
fn a_heartbeat_belongs_to_its_connection() {
    let mut pair = Pair::new();
    pass(&mut pair.device, pair.now + 41 * SECOND);
    pair.now += 41 * SECOND;
    pair.cut();
    pair.connect();
    assert_eq!(pair.device.state(), State::Connected);
    assert_eq!(pair.device.poll_timeout(), Some((pair.now + 30 * SECOND, Timer::Silence)));
    pair.carry_up();
    assert_eq!(sent(&mut pair.server, pair.at_server, pair.now), [], "the questions of the last one are gone");
}

proptest! {
    /// At every schedule of arrivals: never dead while `heartbeat + probes × timeout` has not passed since the last byte,
    /// always dead when it has, and asked no more often than probes.
    #[test]
    fn death_is_declared_at_the_bound_after_the_last_byte_and_never_before(
        arrivals in proptest::collection::vec(1_u64..70_000, 0..40),
        heartbeat in 100_u64..60_000,
        timeout in 1_u64..20_000,
        probes in 0_u32..5,
    ) {
        let now = start();
        let mut config = config();
        config.limits.probe_timeout = Duration::from_millis(timeout);
        config.limits.probes = probes;
        let (mut device, epoch) = crate::pair::registering(config, Carrier::Stream, now);
        pieces(&mut device, epoch, now);
        let welcome = Message::Welcome(dtu_proto::message::Welcome {
            heartbeat_ms: u32::try_from(heartbeat).unwrap(),
            window: 1,
            resume: crate::pair::FRESH,
        });
        hear(&mut device, epoch, now, &welcome);
        let bound = Duration::from_millis(heartbeat + timeout * u64::from(probes));
        prop_assert_eq!(device.limits().device_silence(), bound);
        let mut last = now;
        for gap in arrivals {
            let next = last + Duration::from_millis(gap);
            let mut asked = 0;
            while let Some((deadline, Timer::Silence)) = device.poll_timeout().filter(|(deadline, _)| *deadline < next) {
                // Its own silence may have become too long while it asked.
                let at = deadline.max(last);
                device.handle_timeout(at);
                if device.state().is_up() {
                    asked += sent(&mut device, epoch, at).len();
                } else {
                    prop_assert_eq!(at, last + bound, "dead at the bound");
                }
            }
            // One more when this side itself was silent for a heartbeat.
            prop_assert!(asked <= 1 + usize::try_from(probes).unwrap());
            prop_assert_eq!(device.state().is_up(), last + bound >= next, "{:?} of silence", next - last);
            if !device.state().is_up() {
                return Ok(());
            }
            device.handle_bytes(epoch, next, b".");
            last = next;
        }
        pass(&mut device, last + bound - TICK);
        prop_assert!(device.state().is_up());
        device.handle_timeout(last + bound);
        prop_assert!(!device.state().is_up());
    }

    /// However late the time is told: no death without as many questions as there are probes, and never more than that.
    #[test]
    fn no_schedule_of_calls_declares_death_before_all_questions_were_asked(
        steps in proptest::collection::vec(1_u64..200_000, 1..30),
    ) {
        let now = start();
        let (mut device, epoch) = welcomed(config(), Carrier::Stream, now);
        let (mut at, mut asked) = (now, 0);
        for step in steps {
            at += Duration::from_millis(step);
            device.handle_timeout(at);
            if !device.state().is_up() {
                prop_assert_eq!(asked, 3);
                prop_assert!(at - now >= 60 * SECOND);
                return Ok(());
            }
            let pings = sent(&mut device, epoch, at).len();
            prop_assert!(pings <= 1, "a burst");
            asked += pings;
        }
        prop_assert!(asked <= 3);
    }
}

#[test]
fn a_silent_peer_in_the_middle_of_a_frame_dies_no_later() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &frame(&data(0, b"cut"))[..8]);
    pass(&mut server, now + 60 * SECOND);
    assert_eq!(states(&mut server), [(State::Disconnected, Some(Cause::Silent { limit: 60 * SECOND }))]);
}

#[test]
fn a_device_whose_application_is_behind_still_gives_its_own_signs_of_life() {
    let now = start();
    let mut config = config();
    config.limits.receive = 10;
    let (mut device, epoch) = welcomed(config, Carrier::Stream, now);
    hear(&mut device, epoch, now + 5 * SECOND, &data(0, &[7; 10]));
    assert!(!device.wants_bytes());
    for round in 1..10 {
        let at = now + round * 60 * SECOND;
        pass(&mut device, at);
        assert!(!pieces(&mut device, epoch, at).is_empty(), "the server waits for something in each of its silences");
    }
    assert_eq!(states(&mut device), []);
}

#[test]
fn a_device_that_only_listens_gives_a_sign_of_life_in_every_heartbeat() {
    //= spec/session.md#S-19
    let mut pair = Pair::new();
    let began = pair.now;
    // The server has much to say, and the device nothing.
    for second in 1..600 {
        pair.now = began + second * SECOND;
        pair.device.handle_bytes(pair.at_device, pair.now, b".");
        pass(&mut pair.device, pair.now);
        pass(&mut pair.server, pair.now);
        pair.carry_up();
    }
    assert_eq!((pair.device.state(), pair.server.state()), (State::Connected, State::Connected));
}

#[test]
fn an_idle_link_takes_one_question_in_every_heartbeat_and_dies_no_earlier_or_later_for_it() {
    //= spec/session.md#S-18
    let begin = start();
    let (mut device, epoch) = welcomed(config(), Carrier::Stream, begin);
    let round_trip = SECOND / 10;
    let mut last_byte = begin;
    for heartbeat in 1..=10 {
        let at = begin + heartbeat * 30 * SECOND;
        assert_eq!(device.poll_timeout(), Some((at, Timer::Silence)));
        device.handle_timeout(at);
        let asked = sent(&mut device, epoch, at);
        let [question] = &asked[..] else { panic!("{heartbeat}: {asked:?}") };
        let Message::Ping { nonce } = question.message() else { panic!("{question:?}") };
        // The timer goes first where both come at one time.
        device.handle_timeout(at + round_trip);
        assert_eq!(sent(&mut device, epoch, at + round_trip), [], "no second one before the answer");
        last_byte = at + round_trip;
        hear(&mut device, epoch, last_byte, &Message::Pong { nonce });
    }
    pass(&mut device, last_byte + 40 * SECOND - TICK);
    assert_eq!(device.state(), State::Connected);
    device.handle_timeout(last_byte + 40 * SECOND);
    assert_eq!(device.state(), State::Suspect, "as late as a question that was not early");
    pass(&mut device, last_byte + 60 * SECOND - TICK);
    assert!(device.state().is_up());
    device.handle_timeout(last_byte + 60 * SECOND);
    assert!(!device.state().is_up());
}
