//! Units that put frames of their own around those of their line: Hongdian's DDP on TCP.

use super::bench::{Bench, ms};
use super::rtu::{read, registers};
use dtu_net::transparent::{EnvelopeSpec, ProfileSpec, ReplySpec, TransparentEvent};
use dtu_net::{Cause, State};
use dtu_proto::Malformed;
use dtu_proto::spec::FrameSpec;

const ID: &[u8] = b"13800138000";

fn spec() -> ProfileSpec {
    let mut spec = ProfileSpec::new("modbus_rtu", r"{:any}\x01\x00\x16{id:digit*11}{ip:any*4}{port:any*2}\x7B");
    spec.registration.pattern = r"\x7B\x01\x00\x16{id:digit*11}{ip:any*4}{port:any*2}\x7B".into();
    spec.registration.reply = ReplySpec::Bytes(r"\x7B\x81\x00\x10{id}\x7B".into());
    spec.envelope = Some(EnvelopeSpec {
        framing: "hongdian_ddp_tcp".into(),
        kind_at: 1,
        register: 0x01,
        data_up: 0x09,
        data_down: 0x89,
        logout: Some(0x02),
        logout_reply: ReplySpec::Bytes(r"\x7B\x82\x00\x10{id}\x7B".into()),
    });
    spec
}

fn ddp(kind: u8, id: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(16 + payload.len()).unwrap().to_be_bytes();
    [&[0x7B, kind], &len[..], id, payload, &[0x7B]].concat()
}

fn registration(id: &[u8]) -> Vec<u8> {
    ddp(0x01, id, &[10, 0, 0, 2, 0x13, 0x89])
}

#[test]
fn requests_and_replies_go_in_envelopes_cut_and_glued_at_will() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    assert_eq!(bench.sent, [ddp(0x81, ID, &[])]);
    let id = bench.ask(&read(1, 0, 2));
    assert_eq!(bench.sent[1], ddp(0x89, ID, &read(1, 0, 2)));
    // The unit cuts the reply at a gap of its line, and beats in between.
    let reply = registers(1, &[0x7B7B, 2]);
    let line = [ddp(0x09, ID, &reply[..4]), registration(ID), ddp(0x09, ID, &reply[4..])].concat();
    for byte in &line {
        bench.hear(&[*byte]);
    }
    assert_eq!(bench.reply(id), Some(&reply[..]));
    assert_eq!((bench.heartbeats(), &bench.sent[2]), (vec![None], &ddp(0x81, ID, &[])));
}

#[test]
fn a_unit_that_registers_outside_of_its_envelopes_is_sent_their_kind_all_the_same() {
    let mut spec = spec();
    spec.registration.pattern = r"REG:{id:digit*11}\r\n".into();
    spec.registration.reply = ReplySpec::None;
    let mut bench = Bench::new(&spec);
    bench.connect(super::bench::REG);
    bench.ask(&read(1, 0, 2));
    assert_eq!(bench.sent, [ddp(0x89, &[0; 11], &read(1, 0, 2))]);
}

#[test]
fn what_is_longer_than_an_envelope_leaves_in_several() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    let bytes = [7; 1024];
    bench.session.send(bench.now, &bytes).unwrap();
    bench.drain();
    assert_eq!(bench.sent[1..], [ddp(0x89, ID, &bytes)]);
}

#[test]
fn a_logout_is_answered_and_other_kinds_are_told() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    bench.hear(&[ddp(0x02, ID, &[]), ddp(0x0B, ID, b"params")].concat());
    assert_eq!(bench.sent[1..], [ddp(0x82, ID, &[])]);
    assert!(bench.events.contains(&TransparentEvent::Control { kind: 0x0B }));
}

#[test]
fn who_claims_to_be_another_in_the_middle_is_over() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    bench.hear(&registration(b"13900000000"));
    let Some((State::Disconnected, Some(Cause::Violation(violation)))) = bench.states().last().copied() else {
        unreachable!("{:?}", bench.states())
    };
    assert_eq!(violation.name(), "other_device");
}

#[test]
fn an_envelope_that_does_not_go_on_is_given_up_and_the_next_is_found() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    let id = bench.ask(&read(1, 0, 1));
    // The beginning of a long envelope, and one that is whole behind it.
    bench.hear(&[&ddp(0x09, ID, &[0; 500])[..40], &ddp(0x09, ID, &registers(1, &[7]))].concat());
    assert_eq!(bench.outcome(id), "pending");
    let mut patient = Bench::new(&spec());
    patient.connect(&registration(ID));
    patient.hear(&[&ddp(0x09, ID, &[0; 500])[..40], &ddp(0x09, ID, &registers(9, &[7]))].concat());
    patient.now += ms(1000);
    patient.session.handle_timeout(patient.now);
    patient.drain();
    assert_eq!(patient.frames(), [registers(9, &[7])]);
    assert!(patient.session.counters().envelope_skipped_bytes >= 40);
    // The next one may take its time again.
    let slow = ddp(0x09, ID, &registers(9, &[8]));
    patient.hear(&slow[..20]);
    patient.pass(ms(900));
    patient.hear(&slow[20..]);
    assert_eq!(patient.frames()[1..], [registers(9, &[8])]);
}

#[test]
fn what_a_session_holds_is_counted_and_given_back() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    assert_eq!(bench.session.memory(), 0);
    // An envelope that is not whole; then the beginning of a frame that was in it.
    let (frame, now, epoch) = (registers(9, &[8]), bench.now, bench.epoch);
    let begun = ddp(0x09, ID, &frame[..3]);
    bench.session.handle_bytes(epoch, now, &begun[..10]);
    assert_eq!(bench.session.memory(), 10);
    bench.session.handle_bytes(epoch, now, &begun[10..]);
    assert_eq!(bench.session.memory(), 3);
    // The frame, which nobody takes.
    bench.session.handle_bytes(epoch, now, &ddp(0x09, ID, &frame[3..]));
    assert!(bench.session.memory() > frame.len());
    assert!(bench.session.poll_heard().is_some());
    assert_eq!(bench.session.memory(), 0);
    // An answer that has not left.
    bench.session.handle_bytes(epoch, now, &registration(ID));
    assert_eq!(bench.session.memory(), ddp(0x81, ID, &[]).len());
    bench.drain();
    // A request in the queue and on the line.
    let id = bench.session.send(now, &[7; 500]).unwrap();
    assert!(bench.session.memory() > 500);
    assert!(bench.session.cancel(now, id));
    assert_eq!(bench.session.memory(), 0);
    let id = bench.ask(&read(1, 0, 2));
    assert!(bench.session.memory() > 8, "it is on the line");
    assert!(bench.session.cancel(now, id));
    assert_eq!(bench.session.memory(), 0);
}

/// Lines with a header of a letter and the kind: they carry no line feed.
#[test]
fn what_an_envelope_cannot_carry_is_told_and_counted_and_nothing_of_it_leaves() {
    let mut spec = spec();
    spec.registration.pattern = r"K\x01{id:digit*11}\n".into();
    spec.registration.reply = ReplySpec::None;
    let envelope = spec.envelope.as_mut().unwrap();
    envelope.framing = FrameSpec::new(64).start(b"K").payload_from(2).end(b"\n").into();
    let mut bench = Bench::new(&spec);
    bench.connect(b"K\x0113800138000\n");
    bench.session.send(bench.now, b"one\ntwo").unwrap();
    bench.session.send(bench.now, b"one").unwrap();
    bench.drain();
    assert_eq!(bench.sent, [&b""[..], b"K\x89one\n"]);
    let told = bench.events.iter().filter(|event| matches!(event, TransparentEvent::Unsendable { bytes: 7, .. }));
    assert_eq!((told.count(), bench.session.counters().unsendable), (1, 1));
}

#[test]
fn a_registration_in_an_envelope_that_fits_no_pattern_is_damage_and_no_heartbeat() {
    let mut bench = Bench::new(&spec());
    bench.connect(&registration(ID));
    let (sent, before) = (bench.sent.len(), bench.session.counters());
    let damaged = registration(b"1380013800x");
    bench.hear(&damaged);
    // One that is cut short is whole as an envelope.
    let short = ddp(0x01, ID, &[]);
    bench.hear(&short);
    assert_eq!((bench.heartbeats(), bench.sent.len()), (vec![], sent));
    let counters = bench.session.counters();
    assert_eq!(counters.heartbeats, before.heartbeats);
    let bytes = damaged.len() + short.len();
    assert_eq!(counters.envelope_skipped_bytes - before.envelope_skipped_bytes, bytes as u64);
    let told = |bytes| TransparentEvent::Skipped { bytes, cause: Malformed::Magic };
    assert!(
        [damaged.len(), short.len()].iter().all(|&bytes| bench.events.contains(&told(bytes))),
        "{:?}",
        bench.events
    );
    // It is still there, and beats.
    bench.hear(&registration(ID));
    assert_eq!((bench.heartbeats(), bench.sent.len()), (vec![None], sent + 1));
}
