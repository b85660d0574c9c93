//! Frames in frames: each byte in one item, whichever way the inner stream is cut.

use crate::framings::{DDP, DLT645, JTT808, RTU, crc_modbus, ddp, dlt645, rtu};
use crate::watched::Watched;
use dtu_proto::encode::EncodeError;
use dtu_proto::message::{Data, Message};
use dtu_proto::nested::{Item, Nested, Pieces, Select, data_body};
use dtu_proto::testing::{Cuts, Seeded, frame_around};
use dtu_proto::{Frame, Framing, Malformed, Native, Step};
use proptest::prelude::*;

/// What came out, with noise merged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Out {
    Outer(Vec<u8>, Option<usize>),
    OuterSkipped(usize, Malformed),
    Inner(Vec<u8>),
    InnerSkipped(usize, Malformed),
}

fn push_skip(all: &mut Vec<Out>, skip: Out) {
    match (all.last_mut(), &skip) {
        (Some(Out::OuterSkipped(sum, last)), Out::OuterSkipped(bytes, cause))
        | (Some(Out::InnerSkipped(sum, last)), Out::InnerSkipped(bytes, cause))
            if last == cause =>
        {
            *sum += bytes;
        }
        _ => all.push(skip),
    }
}

/// Whether it was anything but `NeedMore`.
fn take(all: &mut Vec<Out>, item: Item<'_>) -> bool {
    match item {
        Item::Outer { frame, carried } => all.push(Out::Outer(frame.as_bytes().to_vec(), carried)),
        Item::OuterSkipped { bytes, cause } => push_skip(all, Out::OuterSkipped(bytes, cause)),
        Item::Inner(frame) => all.push(Out::Inner(frame.as_bytes().to_vec())),
        Item::InnerSkipped { bytes, cause } => push_skip(all, Out::InnerSkipped(bytes, cause)),
        Item::NeedMore { .. } => return false,
    }
    true
}

/// The user data of DDP.
fn user_data(frame: &Frame<'_>, payload: &[u8]) -> Option<core::ops::Range<usize>> {
    (frame.as_bytes()[1] == 0x09).then_some(0..payload.len())
}

fn run(pieces: Pieces, stream: &[u8], cuts: Cuts) -> Vec<Out> {
    let mut nested = Nested::new(DDP, RTU, pieces, user_data);
    let mut all = Vec::new();
    for read in cuts.of(stream) {
        assert_eq!(nested.push(read), read.len());
        while take(&mut all, nested.next_item()) {}
    }
    while nested.abandon_outer().is_some_and(|item| take(&mut all, item)) {
        while take(&mut all, nested.next_item()) {}
    }
    if pieces == Pieces::Alone {
        assert_eq!(nested.inner().buffered(), 0, "nothing waits behind a piece");
    }
    while nested.abandon_inner().is_some_and(|item| take(&mut all, item)) {
        while take(&mut all, nested.next_item()) {}
    }
    let (outer, inner) = (nested.outer().counters(), nested.inner().counters());
    let mut sums = [0; 3];
    for out in &all {
        match out {
            Out::Outer(bytes, carried) => {
                sums[0] += bytes.len();
                sums[2] += carried.unwrap_or(0);
            }
            Out::OuterSkipped(bytes, _) => sums[0] += bytes,
            Out::Inner(bytes) => sums[1] += bytes.len(),
            Out::InnerSkipped(bytes, _) => sums[1] += bytes,
        }
    }
    assert_eq!(sums[0], stream.len(), "every outer byte is in one item");
    assert_eq!(sums[1], sums[2], "every carried byte is in one item");
    let counted = [outer, inner].map(|counters| counters.frame_bytes + counters.skipped_bytes());
    assert_eq!(counted.map(|sum| usize::try_from(sum).expect("short")), [sums[0], sums[1]]);
    all
}

fn inner_frames(all: &[Out]) -> Vec<Vec<u8>> {
    let frame = |out: &Out| match out {
        Out::Inner(bytes) => Some(bytes.clone()),
        Out::Outer(..) | Out::OuterSkipped(..) | Out::InnerSkipped(..) => None,
    };
    all.iter().filter_map(frame).collect()
}

/// Registers that never look like another reply, so that only whole frames are frames.
fn registers() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0x10..0x80_u8, 0..20).prop_map(|mut bytes| {
        bytes.truncate(bytes.len() & !1);
        bytes
    })
}

proptest! {
    #[test]
    fn replies_cut_and_glued_over_envelopes_come_whole(replies in proptest::collection::vec(registers(), 1..8), seed: u64, read in 1..64_usize) {
        let replies: Vec<_> = replies.iter().map(|registers| rtu(registers)).collect();
        let mut seeded = Seeded(seed);
        let mut stream = Vec::new();
        for piece in Cuts::Seeded(seed).of(&replies.concat()) {
            stream.extend(ddp(0x09, piece));
            if seeded.below(3) == 0 {
                stream.extend(ddp(0x01, &[1, 3, 0, 0, 0, 0]));
            }
            if seeded.below(4) == 0 {
                stream.extend([0x00, 0x01, 0x03]);
            }
        }
        let all = run(Pieces::Glued, &stream, Cuts::Of(read));
        prop_assert_eq!(inner_frames(&all), replies);
        prop_assert!(all.iter().all(|out| !matches!(out, Out::InnerSkipped(..))));
        prop_assert_eq!(run(Pieces::Glued, &stream, Cuts::Seeded(seed)), all);
    }

    #[test]
    fn in_datagrams_each_piece_stands_alone(replies in proptest::collection::vec((registers(), 0..3_u8), 1..8), read in 1..64_usize) {
        let mut whole = Vec::new();
        let mut stream = Vec::new();
        let mut cut: usize = 0;
        for (registers, how) in &replies {
            let mut reply = rtu(registers);
            if *how == 0 {
                reply.pop();
                cut += reply.len();
            } else {
                whole.push(reply.clone());
            }
            stream.extend(ddp(0x09, &reply));
        }
        let all = run(Pieces::Alone, &stream, Cuts::Of(read));
        prop_assert_eq!(inner_frames(&all), whole);
        let skipped: usize = all.iter().map(|out| if let Out::InnerSkipped(bytes, _) = out { *bytes } else { 0 }).sum();
        prop_assert_eq!(skipped, cut);
    }
}

#[test]
fn only_what_is_selected_is_looked_at() {
    let reply = rtu(&[1, 2]);
    let stream = [ddp(0x01, &reply), ddp(0x09, &reply), ddp(0x09, &[]), b"noise".to_vec()].concat();
    let all = run(Pieces::Glued, &stream, Cuts::Of(7));
    let expected = [
        Out::Outer(ddp(0x01, &reply), None),
        Out::Outer(ddp(0x09, &reply), Some(7)),
        Out::Inner(reply),
        Out::Outer(ddp(0x09, &[]), Some(0)),
        Out::OuterSkipped(5, Malformed::Magic),
    ];
    assert_eq!(all, expected);
}

#[test]
fn the_body_of_data_messages_on_one_channel_is_selected() {
    let meter = dlt645(&[0x33; 4]);
    let mut nested = Nested::new(Native::new(), DLT645, Pieces::Glued, data_body(2));
    let mut sent = Vec::new();
    let on = |channel, body| Message::Data(Data { seq: 0, channel, body });
    for message in [on(2, &meter[..9]), on(1, &meter[..]), Message::Ping { nonce: 1 }, on(2, &meter[9..])] {
        Native::new().encode_to(&message, &mut sent).expect("short");
    }
    sent.extend(frame_around(b"\xEEno message"));
    nested.push(&sent);
    let mut all = Vec::new();
    while take(&mut all, nested.next_item()) {}
    let carried: Vec<_> =
        all.iter().filter_map(|out| if let Out::Outer(_, carried) = out { Some(*carried) } else { None }).collect();
    assert_eq!(carried, [Some(9), None, None, Some(7), None]);
    assert_eq!(inner_frames(&all), [meter]);
}

#[test]
fn an_outer_payload_goes_in_without_its_escapes() {
    // The reply holds 7E and 7D, which the envelope escapes.
    let reply = rtu(&[0x7E, 0x7D]);
    let mut plain = [&[2, 0, 0, u8::try_from(reply.len()).expect("short")], &[0; 8][..], &reply].concat();
    plain.push(plain.iter().fold(0, |xor, byte| xor ^ byte));
    let mut stream = vec![0x7E];
    for byte in plain {
        match byte {
            0x7E => stream.extend([0x7D, 2]),
            0x7D => stream.extend([0x7D, 1]),
            _ => stream.push(byte),
        }
    }
    stream.push(0x7E);
    let body = |_: &Frame<'_>, payload: &[u8]| Some(12..payload.len() - 1);
    let mut nested = Nested::new(JTT808, RTU, Pieces::Glued, body);
    nested.push(&stream);
    assert!(matches!(nested.next_item(), Item::Outer { carried: Some(7), .. }));
    let Item::Inner(frame) = nested.next_item() else { panic!("the reply is whole") };
    assert_eq!(frame.as_bytes(), reply);
}

#[test]
fn a_range_outside_of_the_payload_selects_nothing() {
    let mut nested = Nested::new(DDP, RTU, Pieces::Glued, |_: &Frame<'_>, payload: &[u8]| Some(0..payload.len() + 1));
    nested.push(&ddp(0x09, &rtu(&[])));
    assert!(matches!(nested.next_item(), Item::Outer { carried: None, .. }));
    assert!(matches!(nested.next_item(), Item::NeedMore { .. }));
}

#[test]
fn a_piece_longer_than_the_inner_buffer_goes_through_it() {
    let small = Native::with_max_payload(2);
    let inner = small.max_frame_len();
    let outer = Native::with_max_payload(600);
    let all_of_it = |_: &Frame<'_>, payload: &[u8]| Some(0..payload.len());
    let short = Nested::with_storage((outer, [0; 610]), (small, [0; 610]), [0; 610], Pieces::Glued, all_of_it);
    let mut nested = short.expect("there is room");
    let inside = frame_around(b"hi");
    assert_eq!(inside.len(), inner);
    let frame = frame_around(&inside.repeat(50));
    assert_eq!(nested.push(&frame), 610);
    let mut frames = 0;
    loop {
        match nested.next_item() {
            Item::Inner(frame) => {
                assert_eq!(frame.payload(), b"hi");
                frames += 1;
            }
            Item::NeedMore { .. } => break,
            Item::Outer { carried, .. } => assert_eq!(carried, Some(600)),
            Item::OuterSkipped { .. } | Item::InnerSkipped { .. } => panic!("nothing is lost"),
        }
    }
    assert_eq!(frames, 50);
}

#[test]
fn a_storage_that_is_too_short_is_refused() {
    let native = Native::with_max_payload(10);
    let with = |outer: usize, inner: usize, piece: usize| {
        let storages = [outer, inner, piece].map(|len| vec![0; len]);
        let [mut outer, mut inner, mut piece] = storages;
        let (outer, inner) = ((native, &mut outer[..]), (native, &mut inner[..]));
        Nested::with_storage(outer, inner, &mut piece[..], Pieces::Alone, data_body(0)).map(|_| ())
    };
    assert_eq!(with(20, 20, 20), Ok(()));
    let short = Err(EncodeError::BufferTooSmall { needed: 20, available: 19 });
    assert_eq!([with(19, 20, 20), with(20, 19, 20), with(20, 20, 19)], [short; 3]);
}

#[test]
fn a_reply_that_stays_cut_is_given_up_when_the_serial_line_is_silent() {
    let reply = rtu(&[1, 2]);
    assert_eq!(crc_modbus(&reply[..5]), reply[5..]);
    let mut nested = Nested::new(DDP, RTU, Pieces::Glued, user_data);
    nested.push(&[ddp(0x09, &reply[..6]), ddp(0x09, &reply)].concat());
    let mut all = Vec::new();
    while take(&mut all, nested.next_item()) {}
    assert!(nested.outer().unjudged().is_empty());
    while nested.abandon_inner().is_some_and(|item| take(&mut all, item)) {
        while take(&mut all, nested.next_item()) {}
    }
    assert_eq!(inner_frames(&all), [reply]);
}

/// A selector is a closure of the right shape.
fn _selects(select: impl Select) -> impl Select {
    select
}

#[test]
fn the_items_are_the_steps_of_the_outer_deframer_where_nothing_is_selected() {
    let stream = [ddp(1, b"a"), vec![9; 9], ddp(2, b"")].concat();
    let mut nested = Nested::new(DDP, RTU, Pieces::Alone, |_: &Frame<'_>, _: &[u8]| None);
    let mut deframer = dtu_proto::Deframer::new(DDP);
    nested.push(&stream);
    deframer.push(&stream);
    loop {
        match (nested.next_item(), deframer.next_step()) {
            (Item::Outer { frame, carried: None }, Step::Frame(same)) => assert_eq!(frame, same),
            (Item::OuterSkipped { bytes, cause }, Step::Skipped { bytes: same, cause: of }) => {
                assert_eq!((bytes, cause), (same, of));
            }
            (Item::NeedMore { at_least }, Step::NeedMore { at_least: same }) => {
                assert_eq!(at_least, same);
                break;
            }
            (item, step) => panic!("{item:?} and {step:?}"),
        }
    }
}

#[test]
fn no_buffer_is_kept_when_nothing_waits() {
    let storages = [(); 3].map(|()| Watched::default());
    let held = storages.each_ref().map(|storage| storage.now.clone());
    let [outer, inner, piece] = storages;
    let nested = Nested::with_storage((DDP, outer), (RTU, inner), piece, Pieces::Glued, user_data);
    let mut nested = nested.expect("they grow");
    nested.push(&ddp(0x09, &rtu(&[1, 2])));
    let mut all = Vec::new();
    while take(&mut all, nested.next_item()) {}
    assert_eq!(inner_frames(&all).len(), 1);
    assert_eq!(held.map(|held| held.get()), [0; 3]);
}
