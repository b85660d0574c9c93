//! The deframer's buffer: bounded, given back, and never in the way of progress.

use crate::watched::Watched;
use dtu_proto::deframer::{FIRST_CAPACITY, Storage};
use dtu_proto::encode::EncodeError;
use dtu_proto::frame::MAX_FRAME_LEN;
use dtu_proto::testing::{Dirty, frame_around};
use dtu_proto::{Deframer, Malformed, Native, Step};
use std::rc::Rc;

/// Reads `stream` in the largest reads there is room for, as a socket would, and returns the payloads.
fn read_all<S: Storage>(deframer: &mut Deframer<Native, S>, mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while !stream.is_empty() {
        let room = deframer.spare_capacity_mut();
        assert!(!room.is_empty(), "no room after NeedMore");
        let count = room.len().min(stream.len());
        room[..count].copy_from_slice(&stream[..count]);
        deframer.commit(count);
        stream = &stream[count..];
        loop {
            match deframer.next_step() {
                Step::Frame(frame) => payloads.push(frame.payload().to_vec()),
                Step::Skipped { .. } => {}
                Step::NeedMore { .. } => break,
            }
        }
    }
    payloads
}

#[test]
fn a_frame_of_maximum_size_makes_progress_on_the_heap_and_in_fixed_storage() {
    let payload: Vec<u8> = (0..65_535_u32).map(|i| (i * 31) as u8).collect();
    let longest = frame_around(&payload);
    assert_eq!(longest.len(), MAX_FRAME_LEN);
    // The second one starts in the middle of the buffer, behind a header that claims as much.
    let stream = [&longest[..], b"\x00\xD7\x55\xFF\xFF\x00\x00", &longest, &longest].concat();
    let expected = vec![payload; 3];

    assert_eq!(read_all(&mut Deframer::new(Native::new()), &stream), expected);
    let mut array = Box::new([0; MAX_FRAME_LEN]);
    let slice = &mut array[..];
    let mut fixed = Deframer::with_storage(Native::new(), slice).unwrap();
    assert_eq!(read_all(&mut fixed, &stream), expected);
    let mut small = Deframer::with_storage(Native::with_max_payload(9), [0xA5_u8; 19]).unwrap();
    assert_eq!(read_all(&mut small, &frame_around(b"123456789").repeat(5)), vec![b"123456789".to_vec(); 5]);
}

#[test]
fn the_buffer_stays_in_its_bound_and_is_given_back() {
    for (limit, bound) in [(16, FIRST_CAPACITY), (6000, 2 * 6010), (65_535, 2 * MAX_FRAME_LEN)] {
        let storage = Watched::default();
        let (now, most) = (Rc::clone(&storage.now), Rc::clone(&storage.most));
        let mut deframer = Deframer::with_storage(Native::with_max_payload(limit), storage).unwrap();
        for seed in 0..60 {
            let mut stream = Dirty::seeded(seed, limit).bytes;
            stream.extend(b"\xD7\x55");
            stream.extend(limit.to_be_bytes());
            stream.extend((!limit).to_be_bytes());
            stream.extend(vec![0xD7; usize::from(limit)]);
            read_all(&mut deframer, &stream);
            while deframer.abandon_candidate().is_some() {
                deframer.for_each_step(|_| ());
            }
            let (held, largest) = (now.get(), most.get());
            assert!(largest <= bound, "limit {limit}, seed {seed}: grew to {largest}");
            assert_eq!((deframer.buffered(), held), (0, 0), "limit {limit}, seed {seed}");
        }
        assert!(most.get() * 2 > bound, "the bound is neared, or the test is too weak: {} of {bound}", most.get());
    }
}

#[test]
fn whole_frames_leave_nothing_behind() {
    let storage = Watched::default();
    let now = Rc::clone(&storage.now);
    let mut deframer = Deframer::with_storage(Native::new(), storage).unwrap();
    assert_eq!(now.get(), 0, "allocates before there are bytes");
    read_all(&mut deframer, &frame_around(b"hi").repeat(3));
    assert_eq!(now.get(), 0, "next_step");
    assert_eq!(deframer.push(&frame_around(b"hi")), 12);
    assert_eq!(deframer.for_each_step(|_| ()).get(), 6);
    assert_eq!(now.get(), 0, "for_each_step");
    assert_eq!(deframer.push(b"\xD7\x55"), 2);
    deframer.for_each_step(|_| ());
    assert!(now.get() > 0, "two bytes wait");
}

#[test]
fn steps_of_bytes_from_outside_are_those_of_the_buffer_however_they_are_cut() {
    for seed in 0..200 {
        let stream = Dirty::seeded(seed, 512).bytes;
        let native = Native::with_max_payload(512);
        let mut pushed = Deframer::new(native);
        let mut expected = Vec::new();
        for piece in stream.chunks(97) {
            let mut piece = piece;
            while !piece.is_empty() {
                let count = pushed.push(piece);
                piece = &piece[count..];
                while let step = pushed.next_step()
                    && !matches!(step, Step::NeedMore { .. })
                {
                    expected.push(format!("{step:?}"));
                }
            }
        }
        for chunk in [1, 7, 97, 1000, stream.len()] {
            let mut direct = Deframer::new(native);
            let mut payloads = Vec::new();
            for mut piece in stream.chunks(chunk) {
                loop {
                    let (count, step) = direct.next_step_from(piece);
                    piece = &piece[count..];
                    match step {
                        Step::NeedMore { .. } => break,
                        Step::Frame(_) | Step::Skipped { .. } => payloads.push(format!("{step:?}")),
                    }
                }
                assert!(piece.is_empty(), "seed {seed}: NeedMore with bytes left");
                assert!(direct.buffered() <= direct.max_capacity(), "seed {seed}");
            }
            assert_eq!(direct.buffered(), pushed.buffered(), "seed {seed}, chunks of {chunk}");
            assert_eq!(direct.counters().frames, pushed.counters().frames, "seed {seed}, chunks of {chunk}");
            assert_eq!(direct.counters().skipped_bytes(), pushed.counters().skipped_bytes(), "seed {seed}");
            if chunk == 97 {
                assert_eq!(payloads, expected, "seed {seed}: cut alike, the steps are the same");
            }
        }
    }
}

#[test]
fn storage_shorter_than_a_frame_is_refused() {
    let native = Native::with_max_payload(100);
    let too_small = EncodeError::BufferTooSmall { needed: 110, available: 109 };
    assert_eq!(Deframer::with_storage(native, [0; 109]).err(), Some(too_small));
    assert_eq!(Deframer::with_storage(native, &mut [0; 109][..]).err(), Some(too_small));
    assert!(Deframer::with_storage(native, [0; 110]).is_ok());
}

#[test]
#[should_panic(expected = "no more is committed than there was room for")]
fn committing_more_than_the_room_panics() {
    let mut deframer = Deframer::with_storage(Native::with_max_payload(0), [0; 10]).unwrap();
    let room = deframer.spare_capacity_mut().len();
    deframer.commit(room + 1);
}

#[test]
#[should_panic(expected = "no more is committed than there was room for")]
fn committing_more_than_can_be_counted_panics() {
    let mut deframer = Deframer::new(Native::new());
    deframer.push(b"\xD7");
    deframer.commit(usize::MAX);
}

#[test]
fn a_push_takes_what_there_is_room_for() {
    let mut deframer = Deframer::with_storage(Native::with_max_payload(2), [0; 12]).unwrap();
    let stream = frame_around(b"hi").repeat(2);
    assert_eq!(deframer.push(&stream), 12);
    assert_eq!(deframer.push(&stream[12..]), 0, "full until it is drained");
    assert!(matches!(deframer.next_step(), Step::Frame(_)));
    assert_eq!(deframer.push(&stream[12..]), 12);
    assert!(matches!(deframer.next_step(), Step::Frame(_)));
    assert_eq!(deframer.push(b""), 0);
}

#[test]
fn giving_up_a_candidate_goes_on_behind_its_first_byte() {
    let mut deframer = Deframer::new(Native::new());
    assert_eq!(deframer.abandon_candidate(), None, "nothing waits");
    let stream = [b"\xD7\x55\x40\x00\xBF\xFF", &frame_around(b"hi")[..], b"\xD7"].concat();
    deframer.push(&stream);
    let Step::NeedMore { at_least } = deframer.next_step() else { panic!("the claim is not met") };
    assert_eq!(at_least.get(), 0x4000 + 10 - stream.len());
    let cause = Malformed::Abandoned { received: stream.len() };
    assert_eq!(deframer.abandon_candidate(), Some(Step::Skipped { bytes: 6, cause }));
    assert!(matches!(deframer.next_step(), Step::Frame(frame) if frame.payload() == b"hi"));
    assert!(matches!(deframer.next_step(), Step::NeedMore { at_least } if at_least.get() == 5));
    let cause = Malformed::Abandoned { received: 1 };
    assert_eq!(deframer.abandon_candidate(), Some(Step::Skipped { bytes: 1, cause }));
    assert_eq!(deframer.abandon_candidate(), None);
    let counters = deframer.counters();
    assert_eq!((counters.abandoned.count, counters.abandoned.bytes, counters.frame_bytes), (2, 7, 12));
}

#[test]
fn an_over_long_claim_is_refused_before_anything_is_kept_for_it() {
    let storage = Watched::default();
    let most = Rc::clone(&storage.most);
    let mut deframer = Deframer::with_storage(Native::with_max_payload(64), storage).unwrap();
    deframer.push(b"\xD7\x55\xFF\xFF\x00\x00");
    let cause = Malformed::OverLimit { length: 65_535, limit: 64 };
    assert_eq!(deframer.next_step(), Step::Skipped { bytes: 6, cause });
    assert_eq!(deframer.buffered(), 0);
    assert_eq!(most.get(), FIRST_CAPACITY);
}
