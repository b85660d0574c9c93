//! Dirt on the line, and candidates that do not become whole.

use crate::pair::{
    Pair, SECOND, TICK, consume, data, delivered, events, frame, frame_around, hear, numbered, pass, pieces, serving,
    start, states,
};
use dtu_net::{Carrier, Cause, Event, Limits, State, Timer};
use dtu_proto::Message;
use dtu_proto::message::kind;

/// A header that claims 4096 bytes.
const FALSE_HEADER: [u8; 6] = [0xD7, 0x55, 0x10, 0x00, 0xEF, 0xFF];

#[test]
fn dirt_is_reported_with_its_cause_and_ends_nothing() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    let mut flipped = frame(&data(1, b"flipped"));
    flipped[14] ^= 1;
    let stream = [
        frame(&data(0, b"a")),
        b"noise".to_vec(),
        flipped,
        frame_around(&[kind::ACK]),
        frame_around(&[0x7F, 1, 2]),
        frame(&data(0, b"a")),
        frame(&data(1, b"b")),
    ]
    .concat();
    server.handle_bytes(epoch, now, &stream);
    let names: Vec<_> = events(&mut server)
        .iter()
        .map(|event| match event {
            Event::Skipped { cause, .. } => cause.name(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["magic", "checksum", "message", "unknown_kind", "repeated"]);
    assert_eq!(delivered(&mut server), numbered(&[(0, "a"), (1, "b")]));
    assert_eq!(server.state(), State::Connected);
}

#[test]
fn a_stalled_candidate_is_given_up_after_silence_and_what_it_hid_comes_out() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &FALSE_HEADER);
    hear(&mut server, epoch, now + SECOND, &data(0, b"hidden"));
    assert_eq!(delivered(&mut server), []);
    assert_eq!(server.poll_timeout(), Some((now + 31 * SECOND, Timer::InterByte)));
    server.handle_timeout(now + 31 * SECOND - TICK);
    assert_eq!(delivered(&mut server), []);
    server.handle_timeout(now + 31 * SECOND);
    assert_eq!(delivered(&mut server), numbered(&[(0, "hidden")]));
    assert!(matches!(&events(&mut server)[..], [Event::Skipped { bytes: 6, .. }]));
    assert_eq!(server.memory(), 0);
}

#[test]
fn the_end_of_the_transport_brings_out_what_a_false_header_hid() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &FALSE_HEADER);
    hear(&mut server, epoch, now, &data(0, b"hidden"));
    server.handle_disconnected(epoch, now, Cause::Disconnected);
    assert_eq!(delivered(&mut server), numbered(&[(0, "hidden")]));
    let counters = server.counters();
    assert_eq!((counters.line.frames, counters.line.skipped_bytes(), counters.received), (2, 6, 1));
}

#[test]
fn a_close_that_a_false_header_hid_decides_over_the_broken_transport() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    server.handle_bytes(epoch, now, &FALSE_HEADER);
    hear(&mut server, epoch, now, &crate::pair::close(dtu_proto::message::CloseCode::DONE, ""));
    server.handle_disconnected(epoch, now, Cause::Disconnected);
    let done = Cause::PeerClosed(dtu_proto::message::CloseCode::DONE);
    assert_eq!(states(&mut server), [(State::Closed, Some(done))]);
}

#[test]
fn a_frame_that_takes_too_long_is_given_up_though_it_trickles() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    let long = frame(&data(0, &[7; 2000]));
    let mut at = now;
    for byte in &long[..299] {
        at += SECOND;
        server.handle_bytes(epoch, at, core::slice::from_ref(byte));
    }
    assert_eq!((server.state(), events(&mut server)), (State::Connected, vec![]), "it is life");
    let deadline = now + 301 * SECOND;
    assert_eq!(server.poll_timeout(), Some((deadline, Timer::Frame)), "counted from its first byte");
    pass(&mut server, deadline);
    assert_eq!(server.memory(), 0);
    assert!(matches!(&events(&mut server)[..], [Event::Skipped { .. }, ..]));
    assert_eq!(server.state(), State::Connected);
}

#[test]
fn a_whole_frame_begins_the_time_of_the_next_anew() {
    let now = start();
    let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
    let ping = frame(&Message::Ping { nonce: 1 });
    let mut at = now;
    // The buffer always holds the front of a frame, which is whole 2 s later.
    server.handle_bytes(epoch, at, &ping[..9]);
    let rest_and_next = [&ping[9..], &ping[..9]].concat();
    for _ in 0..400 {
        at += 2 * SECOND;
        server.handle_bytes(epoch, at, &rest_and_next);
        pass(&mut server, at);
        pieces(&mut server, epoch, at);
    }
    assert_eq!((server.state(), events(&mut server)), (State::Connected, vec![]));
}

#[test]
fn every_flipped_bit_of_data_is_made_good_by_a_repeat_or_a_new_connection() {
    let now = start();
    let whole = frame(&data(0, b"abc"));
    for bit in 0..whole.len() * 8 {
        let (mut server, epoch) = serving(Limits::default(), Carrier::Stream, now);
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        server.handle_bytes(epoch, now, &flipped);
        assert_eq!(delivered(&mut server), [], "bit {bit}");
        // A damaged length may claim more than came: the repeat is found when the candidate is given up.
        hear(&mut server, epoch, now + SECOND, &data(0, b"abc"));
        pass(&mut server, now + 40 * SECOND);
        assert_eq!(delivered(&mut server), numbered(&[(0, "abc")]), "bit {bit}");
    }
}

#[test]
fn damage_in_the_middle_ends_the_connection_and_loses_nothing() {
    //= spec/session.md#S-11
    let mut pair = Pair::new();
    for body in ["a", "b", "c"] {
        crate::pair::send(&mut pair.device, body);
    }
    let mut bytes = pieces(&mut pair.device, pair.at_device, pair.now).concat();
    let at = frame(&data(0, b"a")).len() + 12;
    bytes[at] ^= 1;
    pair.server.handle_bytes(pair.at_server, pair.now, &bytes);
    let gap = dtu_net::Violation::Gap { expected: 1, seq: 2 };
    assert_eq!(states(&mut pair.server).pop(), Some((State::Disconnected, Some(Cause::Violation(gap)))));
    pair.carry_down();
    pair.connect();
    pair.carry_up();
    assert_eq!(consume(&mut pair.server), numbered(&[(0, "a"), (1, "b"), (2, "c")]));
}

#[test]
fn random_bytes_neither_stop_nor_deceive_a_server() {
    // A small generator of its own keeps the bytes the same for ever.
    for seed in 1..200_u64 {
        let now = start();
        let ((mut server, epoch), mut state, mut bytes) =
            (serving(Limits::default(), Carrier::Stream, now), seed, Vec::new());
        let random = server.counters().line.skipped_bytes();
        for _ in 0..2000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of the bytes are what headers are made of.
            let [choice, value, ..] = state.to_be_bytes();
            bytes.push(if state & 1 == 0 { [0xD7, 0x55, 0x00, 0xFF][usize::from(choice % 4)] } else { value });
        }
        for piece in bytes.chunks(37) {
            server.handle_bytes(epoch, now, piece);
        }
        server.handle_disconnected(epoch, now, Cause::Disconnected);
        let told: u64 = events(&mut server)
            .iter()
            .map(|event| match event {
                Event::Skipped { bytes, .. } => *bytes,
                Event::State(change) if change.cause == Some(Cause::Disconnected) => 0,
                other => panic!("seed {seed}: {other:?}"),
            })
            .sum();
        assert_eq!(told, 2000, "seed {seed}: every byte is accounted for");
        assert_eq!(server.counters().line.skipped_bytes() - random, 2000, "seed {seed}");
    }
}
