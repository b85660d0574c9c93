//! The session of a unit over its connections.

use super::bench::{Bench, REG, ms, spec};
use super::rtu::{read, registers};
use dtu_net::line::Unsolicited;
use dtu_net::transparent::{
    HEARD_BYTES, HEARD_FRAMES, HeartbeatSpec, Mode, ProfileSpec, REPLIES, ReplySpec, TransparentEvent,
};
use dtu_net::{Cause, State};
use dtu_proto::message::CloseCode;

fn beating(reply: ReplySpec) -> ProfileSpec {
    let mut spec = spec();
    spec.heartbeat.push(HeartbeatSpec { token: r"\xFE".into(), reply: ReplySpec::None });
    spec.heartbeat.push(HeartbeatSpec { token: "PING".into(), reply });
    spec
}

#[test]
fn a_unit_registers_answers_and_beats() {
    let mut spec = beating(ReplySpec::Bytes("PONG {id}".into()));
    spec.registration.reply = ReplySpec::Bytes(r"OK {id}\r\n".into());
    let mut bench = Bench::new(&spec);
    bench.connect(&[REG, b"PING"].concat());
    assert_eq!(bench.sent, [&b"OK 13800138000\r\n"[..]]);
    // It could be the beginning of a frame, until the line is silent.
    bench.pass(ms(1000));
    assert_eq!(bench.sent[1..], [&b"PONG 13800138000"[..]]);
    assert_eq!(bench.states(), [(State::Connected, None)]);
    let id = bench.ask(&read(1, 0, 1));
    assert_eq!(bench.sent[2], read(1, 0, 1));
    let reply = registers(1, &[7]);
    bench.hear(&[&b"\xFE"[..], &reply[..4], b"PING", &reply[4..]].concat());
    assert_eq!(bench.reply(id), Some(&reply[..]));
    assert_eq!(bench.heartbeats(), [Some(1), Some(0), Some(1)]);
    assert_eq!(bench.sent[3], b"PONG 13800138000");
    assert_eq!((bench.session.counters().heartbeats, bench.skipped()), (3, 0));
}

#[test]
fn a_registration_before_every_packet_is_taken_out() {
    for mode in [Mode::Prefix, Mode::Both] {
        let mut spec = spec();
        (spec.registration.mode, spec.registration.reply) = (mode, ReplySpec::Echo);
        let mut bench = Bench::new(&spec);
        let frame = registers(9, &[1]);
        bench.connect(&[REG, REG, &frame, REG, &frame].concat());
        assert_eq!(bench.frames(), [frame.clone(), frame.clone()]);
        assert_eq!((bench.session.counters().prefixes, bench.sent.len(), bench.skipped()), (2, 1, 0));
        assert_eq!(bench.sent[0], REG);
        // The next one of the same unit may be another: it is what came last that counts.
        bench.lose();
        bench.connect(&[REG, &frame, REG].concat());
        bench.pass(ms(1000));
        assert_eq!((bench.session.counters().prefixes, bench.skipped()), (3, 0));
    }
    let mut bench = Bench::new(&spec());
    bench.connect(&[REG, REG].concat());
    bench.pass(ms(1000));
    assert_eq!((bench.session.counters().prefixes, bench.skipped()), (0, REG.len()));
}

#[test]
fn the_session_outlives_its_connections_and_the_newest_wins() {
    let mut bench = Bench::new(&spec());
    bench.connect(REG);
    let (first, old) = (bench.ask(&read(1, 0, 1)), bench.epoch);
    let second = bench.ask(&read(2, 0, 1));
    bench.connect(REG);
    assert_eq!(bench.states()[1..], [(State::Disconnected, Some(Cause::Replaced)), (State::Connected, None)]);
    assert_eq!((bench.outcome(first), bench.outcome(second)), ("line_gone", "pending"));
    assert!(!bench.session.is_live(old) && bench.session.is_live(bench.epoch));
    // What the old connection still says is nothing.
    bench.session.handle_bytes(old, bench.now, &registers(2, &[1]));
    bench.session.handle_disconnected(old, bench.now, Cause::Disconnected);
    let mut out = Vec::new();
    bench.pass(ms(1600));
    assert!(!bench.session.poll_transmit(old, bench.now, &mut out));
    assert_eq!((bench.session.state(), bench.frames().len()), (State::Connected, 0));
    assert_eq!(bench.sent.last(), Some(&read(2, 0, 1)));
    bench.hear(&registers(2, &[5]));
    assert_eq!(bench.reply(second), Some(&registers(2, &[5])[..]));
    assert_eq!((bench.session.counters().connections, bench.epoch.number()), (2, 2));
}

#[test]
fn a_silent_connection_is_over_and_an_absent_unit_is_forgotten_in_the_end() {
    let mut spec = spec();
    (spec.idle_ms, spec.retention_ms) = (5000, 20_000);
    let mut bench = Bench::new(&spec);
    bench.connect(REG);
    bench.pass(ms(4999));
    bench.hear(b"x");
    bench.pass(ms(4999));
    assert_eq!(bench.session.state(), State::Connected);
    bench.pass(ms(1));
    assert_eq!(bench.states().last(), Some(&(State::Disconnected, Some(Cause::Silent { limit: ms(5000) }))));
    bench.pass(ms(19_999));
    assert_eq!(bench.session.state(), State::Disconnected);
    bench.pass(ms(1));
    assert_eq!(bench.states().last(), Some(&(State::Closed, Some(Cause::Away { limit: ms(20_000) }))));
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn a_closed_session_ends_all_that_was_asked_of_it() {
    let mut bench = Bench::new(&spec());
    bench.connect(REG);
    let (first, second) = (bench.ask(&read(1, 0, 1)), bench.ask(&read(2, 0, 1)));
    bench.session.close(bench.now, CloseCode::DONE);
    bench.session.close(bench.now, CloseCode::DONE);
    bench.drain();
    assert_eq!((bench.outcome(first), bench.outcome(second)), ("line_gone", "line_gone"));
    assert_eq!(bench.states()[1..], [(State::Closed, Some(Cause::Closed(CloseCode::DONE)))]);
    assert!(
        bench.session.request(bench.now, dtu_net::line::Request::new(b"x", dtu_net::line::Matcher::AnyFrame)).is_err()
    );
}

#[test]
fn bytes_without_a_reply_leave_in_turn_with_the_requests() {
    let mut bench = Bench::new(&spec());
    bench.connect(REG);
    let asked = bench.ask(&read(1, 0, 1));
    let (now, session) = (bench.now, &mut bench.session);
    let (first, second) = (session.send(now, b"one").unwrap(), session.send(now, b"two").unwrap());
    bench.drain();
    assert_eq!(bench.sent.len(), 1);
    bench.hear(&registers(1, &[7]));
    assert_eq!(bench.sent[1..], [&b"one"[..], b"two"]);
    assert_eq!([asked, first, second].map(|id| bench.outcome(id)), ["replied", "sent", "sent"]);
}

#[test]
fn frames_that_nobody_takes_make_room_for_newer_ones_and_are_counted() {
    let mut bench = Bench::new(&spec());
    bench.connect(REG);
    let count = HEARD_FRAMES + 3;
    for value in 0..u16::try_from(count).unwrap() {
        bench.session.handle_bytes(bench.epoch, bench.now, &registers(9, &[value]));
    }
    assert!(bench.session.has_heard());
    bench.drain();
    assert_eq!((bench.heard.len(), bench.session.counters().overruns), (HEARD_FRAMES, 3));
    assert_eq!(bench.frames()[0], registers(9, &[3]));
    assert_eq!((bench.heard[0].kind, bench.heard[0].epoch), (Unsolicited::Idle, bench.epoch));
    let overruns = bench.events.iter().filter(|event| **event == TransparentEvent::Overrun { bytes: 7 }).count();
    assert_eq!(overruns, 3);
    let long = registers(9, &[7; 125]);
    for _ in 0..HEARD_FRAMES + 1 {
        bench.session.handle_bytes(bench.epoch, bench.now, &long);
    }
    bench.heard.clear();
    bench.drain();
    assert_eq!(bench.heard.len(), (HEARD_BYTES / long.len()).min(HEARD_FRAMES));
}

#[test]
fn a_unit_that_beats_and_takes_nothing_is_bounded() {
    let mut bench = Bench::new(&beating(ReplySpec::Echo));
    bench.connect(REG);
    for _ in 0..REPLIES {
        bench.session.handle_bytes(bench.epoch, bench.now, b"PING");
    }
    bench.pass(ms(1000));
    assert_eq!(bench.sent.concat().len(), REPLIES);
    assert_eq!(bench.session.counters().replies_dropped, (REPLIES - REPLIES / b"PING".len()) as u64);
}

#[test]
fn noise_before_the_registration_is_told() {
    let mut bench = Bench::new(&spec());
    bench.connect(&[b"xx", REG].concat());
    assert_eq!((bench.skipped(), bench.session.counters().received_bytes), (2, 19));
}

#[test]
fn on_a_line_that_echoes_the_profile_takes_the_echo_out_of_every_request() {
    let mut spec = spec();
    spec.line.echo = true;
    let mut bench = Bench::new(&spec);
    bench.connect(REG);
    let bytes = super::rtu::write(1, 2, 3);
    let id = bench.ask(&bytes);
    bench.hear(&bytes);
    assert_eq!(bench.outcome(id), "pending");
    bench.hear(&bytes);
    assert_eq!(bench.outcome(id), "replied");
}

#[test]
fn answers_are_not_kept_for_the_next_connection() {
    let mut bench = Bench::new(&beating(ReplySpec::Echo));
    bench.connect(REG);
    bench.session.handle_bytes(bench.epoch, bench.now, b"PINGPING");
    bench.connect(REG);
    assert!(bench.sent.is_empty(), "{:?}", bench.sent);
    assert_eq!(bench.heartbeats().len(), 2);
}
