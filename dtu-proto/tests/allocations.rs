//! What is allocated, counted by an allocator that counts: nothing a frame, and nothing for an idle link.

#![cfg(feature = "std")]

use allocation_counter::measure;
use dtu_proto::message::{Data, DeviceId, Register, Resume, Token};
use dtu_proto::{Deframer, Framing, Message, Native, Step, framing::next_step};

const FRAMES: usize = 500;

/// Frames that carry messages, one behind the other, as one buffer.
fn stream() -> Vec<u8> {
    let mut stream = vec![0; FRAMES * 64];
    let mut end = 0;
    for seq in 0..FRAMES {
        let body = [seq.to_be_bytes(), (!seq).to_be_bytes()].concat();
        let data = Message::Data(Data { seq: u32::try_from(seq).expect("few frames"), channel: 0, body: &body });
        end += Native::new().encode(&data, &mut stream[end..]).expect("the frame is shorter than its place");
    }
    stream.truncate(end);
    stream
}

/// Decodes the message of a frame and counts it in `frames`.
fn count_messages(step: Step<'_>, frames: &mut usize) {
    if let Step::Frame(frame) = step {
        assert!(matches!(Message::decode(frame.payload()), Ok(Message::Data(_))));
        *frames += 1;
    }
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(core::hint::black_box(vec![0_u8; 100])));
    assert_eq!((info.count_total, info.bytes_total, info.bytes_current), (1, 100, 0));
}

#[test]
fn decoding_borrowed_frames_and_their_messages_allocates_nothing() {
    let mut stream = stream();
    stream[1000] ^= 1; // Damage goes another way through the code, and may not allocate there either.
    let native = Native::new();
    let (mut by_step, mut by_walk) = (0, 0);
    let info = measure(|| {
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let step = next_step(&native, rest);
            count_messages(step, &mut by_step);
            rest = &rest[step.covered()..];
        }
        native.walk(&stream, |step| count_messages(step, &mut by_walk));
    });
    assert_eq!((by_step, by_walk), (FRAMES - 1, FRAMES - 1));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}

#[test]
fn encoding_into_a_slice_allocates_nothing() {
    let native = Native::new();
    let register = Message::Register(Register {
        version: 1,
        flags: 0,
        device_id: DeviceId::new("meter-0815").unwrap(),
        token: Token::EMPTY,
        resume: Resume { stream: 1, send_base: 0, peer_stream: 0, receive_next: 0 },
    });
    let mut out = [0; 128];
    let info = measure(|| {
        for _ in 0..FRAMES {
            native.encode(&register, &mut out).unwrap();
            native.encode(b"21.5 C", &mut out).unwrap();
            native.envelope(b"21.5 C").unwrap();
            native.encode(b"too long", &mut out[..4]).unwrap_err();
        }
    });
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}

#[test]
fn a_deframer_allocates_for_a_read_and_not_for_a_frame() {
    let stream = stream();
    let reads = stream.len().div_ceil(dtu_proto::deframer::FIRST_CAPACITY) as u64;
    let mut frames = 0;
    let info = measure(|| {
        let mut deframer = Deframer::new(Native::with_max_payload(256));
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let count = deframer.push(rest);
            assert!(count > 0, "no room after NeedMore");
            rest = &rest[count..];
            deframer.for_each_step(|step| count_messages(step, &mut frames));
        }
    });
    assert_eq!(frames, FRAMES);
    assert!(info.count_total <= reads + 1, "{} allocations in {reads} reads of {frames} frames", info.count_total);
    assert!(info.bytes_max <= 4096, "{} bytes at once", info.bytes_max);
}

#[test]
fn a_deframer_in_fixed_storage_allocates_nothing() {
    let stream = stream();
    let mut frames = 0;
    let info = measure(|| {
        let mut deframer = Deframer::with_storage(Native::with_max_payload(246), [0; 256]).unwrap();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let count = deframer.push(rest);
            assert!(count > 0, "no room after NeedMore");
            rest = &rest[count..];
            deframer.for_each_step(|step| count_messages(step, &mut frames));
        }
    });
    assert_eq!(frames, FRAMES);
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
}

#[test]
fn a_thousand_idle_deframers_hold_no_bytes() {
    let stream = stream();
    let mut idle: Vec<_> = (0..1000).map(|_| Deframer::new(Native::new())).collect();
    let info = measure(|| {
        for deframer in &mut idle {
            // A frame in two reads, so that a candidate has waited in the buffer.
            deframer.push(&stream[..20]);
            deframer.for_each_step(|_| ());
            deframer.push(&stream[20..32]);
            deframer.for_each_step(|_| ());
            assert_eq!((deframer.buffered(), deframer.counters().frames), (0, 1));
        }
    });
    assert!(info.count_total >= 1000, "each had a buffer while its frame was under way");
    assert_eq!((info.count_current, info.bytes_current), (0, 0));
}
