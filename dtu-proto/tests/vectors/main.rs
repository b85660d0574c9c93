//! The golden vectors of `spec/vectors`, held against every way into and out of the codec.
//!
//! They come from a reference implementation of the specification that shares no code with this crate. What a build
//! without some feature cannot check is listed as ignored, with the feature it needs.

use dtu_proto::frame::{CHECKSUM_LEN, HEADER_LEN};
use dtu_proto::framing::{abandon_candidate, next_step};
use dtu_proto::message::Datagram;
use dtu_proto::{Examined, Framing, Malformed, Message, Native, Step};
use file::{dropped_of, table_of, vectors, verdict_of};
use receivers::{Merged, receivers};
use std::collections::BTreeSet;
use toml::Value;

mod file;
mod receivers;

#[test]
fn there_are_enough_vectors_and_each_has_its_own_name() {
    let files = ["frames", "messages", "damage", "streams", "datagrams"].map(|file| vectors(file).len());
    assert!(files.iter().all(|&count| count >= 30), "{files:?}");
    let count: usize = files.iter().sum();
    println!("{count} vectors: frames, messages, damage, streams, datagrams = {files:?}");
    assert!(count >= 200, "{count} vectors");
}

#[test]
fn frames_decode_to_their_payload_and_encode_to_their_bytes() {
    for vector in vectors("frames") {
        let (name, payload) = (vector.name(), vector.payload());
        let frame = [vector.hex("header"), payload.clone(), vector.hex("checksum")].concat();
        if vector.0.contains_key("bytes") {
            assert_eq!(frame, vector.hex("bytes"), "{name}");
        }
        let limit = u16::try_from(payload.len()).expect("payloads are in bounds");
        let native = Native::with_max_payload(limit);
        let Step::Frame(decoded) = next_step(&native, &frame) else { panic!("{name}: no frame") };
        assert_eq!((decoded.payload(), decoded.as_bytes()), (&payload[..], &frame[..]), "{name}");
        hold_receivers_to(name, limit, &frame, &[], true, &[Merged::Frame(payload.clone())], [vec![]]);

        let mut out = vec![0xA5; frame.len() + 3];
        assert_eq!(native.encode(&payload[..], &mut out), Ok(frame.len()), "{name}");
        assert_eq!(out, [&frame[..], &[0xA5; 3]].concat(), "{name}");
        assert_eq!(native.encoded_len(&payload[..]), Ok(frame.len()), "{name}");
        let envelope = native.envelope(&payload[..]).expect("the payload is in bounds");
        assert_eq!(envelope.header, frame[..HEADER_LEN], "{name}");
        assert_eq!(envelope.trailer, frame[frame.len() - CHECKSUM_LEN..], "{name}");
        #[cfg(feature = "bytes")]
        {
            let mut out = bytes::BytesMut::from(&b"in front"[..]);
            assert_eq!(native.encode_to(&payload[..], &mut out), Ok(frame.len()), "{name}");
            assert_eq!(out[8..], frame, "{name}");
        }
    }
}

#[test]
fn damage_gives_its_verdict_and_its_skips() {
    for vector in vectors("damage") {
        let (name, stream, limit) = (vector.name(), vector.stream(), vector.limit());
        let native = Native::with_max_payload(limit);
        let verdict = vector.0["verdict"].as_table().expect("a table");
        let (step, seen) = match native.examine(&stream) {
            Examined::Rejected { cause, judged } => {
                (Some(next_step(&native, &stream)), verdict_of(cause, judged, None))
            }
            Examined::NeedMore { at_least } => {
                let received = Malformed::Abandoned { received: stream.len() };
                let seen = verdict_of(received, stream.len(), Some(at_least.get()));
                (abandon_candidate(&native, &stream), seen)
            }
            Examined::Frame(frame) => panic!("{name}: {frame:?}"),
        };
        assert_eq!(&seen, verdict, "{name}");
        let Some(Step::Skipped { bytes, .. }) = step else { panic!("{name}: {step:?}") };
        assert_eq!(bytes, vector.int("skipped"), "{name}");
        hold_receivers_to(name, limit, &stream, &[], true, &vector.steps(), every_cut(stream.len(), &[]));
    }
}

#[test]
fn streams_give_the_same_steps_however_they_are_cut() {
    for vector in vectors("streams") {
        let (name, stream, limit) = (vector.name(), vector.stream(), vector.limit());
        let abandon_after = vector.ints("abandon_after");
        let end = vector.0.get("end").is_none_or(|end| end.as_bool() == Some(true));
        let steps = vector.steps();
        let cuts = every_cut(stream.len(), &abandon_after);
        hold_receivers_to(name, limit, &stream, &abandon_after, end, &steps, cuts);
        let waiting = stream.len() - steps.iter().map(Merged::covered).sum::<usize>();
        assert_eq!(waiting, if end { 0 } else { vector.int("waiting") }, "{name}");
        if !end {
            let native = Native::with_max_payload(limit);
            let Step::NeedMore { at_least } = next_step(&native, &stream[stream.len() - waiting..]) else {
                panic!("{name}: nothing waits");
            };
            assert_eq!(at_least.get(), vector.int("missing"), "{name}");
        }
    }
}

#[test]
fn payloads_decode_to_their_message_or_error_and_messages_encode_to_their_payload() {
    for vector in vectors("messages") {
        let (name, payload) = (vector.name(), vector.payload());
        match Message::decode(&payload) {
            Ok(message) => {
                assert!(!vector.0.contains_key("error"), "{name}: {message:?}");
                let mut frame = vec![0xA5; payload.len() + 16];
                let len = Native::new().encode(&message, &mut frame).expect("there is room");
                let Step::Frame(again) = next_step(&Native::new(), &frame[..len]) else { panic!("{name}: no frame") };
                assert_eq!(again.payload(), payload, "{name}");
            }
            Err(error) => assert_eq!(Some(&Value::Table(table_of(error))), vector.0.get("error"), "{name}"),
        }
    }
}

#[test]
fn datagrams_open_to_a_stream_and_a_message_or_error_and_encode_to_their_bytes() {
    for vector in vectors("datagrams") {
        let (name, bytes) = (vector.name(), vector.hex("datagram"));
        match Datagram::open(&Native::new(), &bytes) {
            Ok(datagram) => {
                assert!(!vector.0.contains_key("error"), "{name}: {datagram:?}");
                assert_eq!(datagram.stream.to_be_bytes()[..], vector.hex("stream"), "{name}");
                let mut again = vec![0xA5; bytes.len()];
                assert_eq!(Native::new().encode(&datagram, &mut again), Ok(bytes.len()), "{name}");
                assert_eq!(again, bytes, "{name}");
            }
            Err(error) => assert_eq!(Some(&Value::Table(dropped_of(error))), vector.0.get("error"), "{name}"),
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn datagrams_are_the_tables_of_the_vectors() {
    for mut vector in vectors("datagrams") {
        let (name, bytes) = (vector.name().to_owned(), vector.hex("datagram"));
        let Ok(datagram) = Datagram::open(&Native::new(), &bytes) else { continue };
        vector.0.retain(|key, _| key == "stream" || key == "message");
        let as_json = |value: serde_json::Result<serde_json::Value>| value.expect("nothing in it can fail");
        let (seen, expected) = (as_json(serde_json::to_value(datagram)), as_json(serde_json::to_value(&vector.0)));
        assert_eq!(seen, expected, "{name}");
    }
}

#[cfg(not(feature = "serde"))]
#[test]
#[ignore = "needs --features serde"]
fn datagrams_are_the_tables_of_the_vectors() {}

#[cfg(feature = "serde")]
#[test]
fn messages_are_the_tables_of_the_vectors() {
    for vector in vectors("messages") {
        let Some(expected) = vector.0.get("message") else { continue };
        let payload = vector.payload();
        let message = Message::decode(&payload).unwrap_or_else(|error| panic!("{}: {error}", vector.name()));
        let as_json = |value: serde_json::Result<serde_json::Value>| value.expect("nothing in it can fail");
        let (seen, expected) = (as_json(serde_json::to_value(message)), as_json(serde_json::to_value(expected)));
        assert_eq!(seen, expected, "{}", vector.name());
    }
}

#[cfg(not(feature = "serde"))]
#[test]
#[ignore = "needs --features serde"]
fn messages_are_the_tables_of_the_vectors() {}

#[cfg(not(feature = "bytes"))]
#[test]
#[ignore = "needs --features bytes"]
fn vectors_through_buf_mut_and_chunk() {}

#[cfg(not(feature = "tokio-util"))]
#[test]
#[ignore = "needs --features tokio-util"]
fn vectors_through_the_codec_adapter() {}

/// No cut, each single cut, and a cut behind every byte; the places of `always` are cuts in all of them.
fn every_cut(len: usize, always: &[usize]) -> Vec<Vec<usize>> {
    let single = (1..len).map(|at| vec![at]);
    let sorted = |cuts: Vec<usize>| BTreeSet::from_iter(cuts.into_iter().chain(always.iter().copied()));
    let all = [vec![], (1..len).collect()].into_iter().chain(single);
    all.map(|cuts| sorted(cuts).into_iter().collect()).collect()
}

/// Runs `stream` through every receiver this build has, cut in each way of `cuts`, and compares the merged steps.
fn hold_receivers_to(
    name: &str,
    limit: u16,
    stream: &[u8],
    abandon_after: &[usize],
    end: bool,
    steps: &[Merged],
    cuts: impl IntoIterator<Item = Vec<usize>>,
) {
    let native = Native::with_max_payload(limit);
    let mut storage = vec![0xA5; native.max_frame_len()];
    for cuts in cuts {
        for (kind, mut receiver) in receivers(native, &mut storage) {
            let mut found = Vec::new();
            let mut from = 0;
            for to in cuts.iter().copied().chain([stream.len()]) {
                receiver.receive(&stream[from..to], &mut found);
                from = to;
                if abandon_after.contains(&to) {
                    receiver.abandon(&mut found);
                    receiver.receive(&[], &mut found);
                }
            }
            while end && receiver.abandon(&mut found) {
                receiver.receive(&[], &mut found);
            }
            assert_eq!(found, steps, "{name}, {kind}, cut at {cuts:?}");
        }
    }
}
