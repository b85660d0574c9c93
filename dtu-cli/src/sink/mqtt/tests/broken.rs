//! Brokers that do not do as they should: a clear error, in time, and nothing counts as stored that has no PUBACK.

use super::fake::{Fake, Published, TAKEN};
use super::*;
use tokio::join;

const SUCCESS: u8 = 0;
const NOT_AUTHORIZED: u8 = 0x87;
const NO_SUBSCRIBERS: u8 = 0x10;

fn short(port: u16) -> MqttSettings {
    MqttSettings { timeout: Span(Duration::from_millis(300)), ..settings(port) }
}

fn seqs(published: &[Published]) -> Vec<u32> {
    published.iter().map(Published::seq).collect()
}

#[tokio::test]
async fn without_a_broker_there_is_a_sink_that_stores_nothing() {
    let fake = Fake::new().await;
    let port = fake.port;
    drop(fake);
    let said = stored(&mut sink(&settings(port)), batch("a", 0, 1)).await.unwrap_err();
    assert!(said.contains(&format!("MQTT broker 127.0.0.1:{port}:")) && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn each_answer_to_connect_that_is_none_is_told() {
    let garbage = vec![0xee; 64];
    for (answer, closes, part) in [
        (&b""[..], true, "closed by peer"),
        (&garbage, false, ""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", false, ""),
        (&[0xd0, 0], false, "something else than CONNACK"),
        (&[0x20, 3, 0, 0x86, 0], false, "BadUserNamePassword"),
        (&[0x20, 3, 0, 0x84, 0], false, "UnsupportedProtocolVersion"),
        (b"", false, "no connection within 300ms"),
    ] {
        let fake = Fake::new().await;
        let (mut sink, batch) = (sink(&short(fake.port)), batch("a", 0, 3));
        let broker = async {
            let guest = fake.accept(answer).await;
            (!closes).then_some(guest)
        };
        let (said, _guest) = join!(stored(&mut sink, &batch), broker);
        let said = said.unwrap_err();
        assert!(said.contains(part), "{answer:02x?}: {said}");
    }
}

#[tokio::test]
async fn each_answer_to_publish_that_is_none_is_told() {
    let garbage = vec![0xee; 64];
    for (answer, closes, part) in [
        (&b""[..], true, "Connection "),
        (&garbage, false, ""),
        (b"", false, "no PUBACK within 300ms, 3 are awaited"),
        // For a number that was never used, as QoS 2, with an unknown reason, and a DISCONNECT.
        (&[0x40, 2, 0, 200], false, "acknowledged number 200, which was not under way"),
        (&[0x50, 2, 0, 1], false, ""),
        (&[0x40, 4, 0, 1, 0x42, 0], false, ""),
        (&[0xe0, 2, 0x8e, 0], false, "SessionTakenOver"),
    ] {
        let fake = Fake::new().await;
        let (mut sink, batch) = (sink(&short(fake.port)), batch("a", 0, 3));
        let broker = async {
            let mut guest = fake.accept(TAKEN).await;
            guest.publish().await.unwrap();
            guest.say(answer).await;
            (!closes).then_some(guest)
        };
        let (said, _guest) = join!(stored(&mut sink, &batch), broker);
        let said = said.unwrap_err();
        assert!(said.contains(part), "{answer:02x?}: {said}");
        assert!(sink.book.open(&batch).iter().all(|stored| !stored), "{answer:02x?}");
    }
}

#[tokio::test]
async fn a_refused_record_fails_its_batch_and_only_that_record_comes_again() {
    let fake = Fake::new().await;
    let (mut sink, batch) = (sink(&settings(fake.port)), batch("a", 0, 5));
    let broker = async {
        let mut guest = fake.accept(TAKEN).await;
        let mut first = Vec::new();
        for index in 0..5 {
            let published = guest.publish().await.unwrap();
            guest.acknowledge(published.id, if index == 1 { NOT_AUTHORIZED } else { SUCCESS }).await;
            first.push(published);
        }
        let mut guest = fake.accept(TAKEN).await;
        let again = guest.publish().await.unwrap();
        guest.acknowledge(again.id, SUCCESS).await;
        (first, again, guest)
    };
    let twice = async {
        let said = stored(&mut sink, &batch).await.unwrap_err();
        stored(&mut sink, &batch).await.unwrap();
        said
    };
    let (said, (first, again, guest)) = join!(twice, broker);
    assert!(said.contains("refused a record on dtu/a/data: NotAuthorized"), "{said}");
    assert_eq!((seqs(&first), again.seq(), guest.has_more()), (vec![0, 1, 2, 3, 4], 1, false));
}

#[tokio::test]
async fn a_broken_connection_repeats_only_what_has_no_acknowledgement() {
    let fake = Fake::new().await;
    let (mut sink, first, other) = (sink(&settings(fake.port)), batch("a", 0, 10), batch("a", 5, 10));
    let broker = async {
        let mut guest = fake.accept(TAKEN).await;
        for _ in 0..3 {
            let published = guest.publish().await.unwrap();
            guest.acknowledge(published.id, SUCCESS).await;
        }
        // All are acknowledged before the end is seen.
        while guest.publish().await.unwrap().seq() < 9 {}
        drop(guest);
        let mut counts = Vec::new();
        let mut guest = fake.accept(TAKEN).await;
        for _ in 0..17 {
            let published = guest.publish().await.unwrap();
            guest.acknowledge(published.id, SUCCESS).await;
            counts.push(published);
        }
        seqs(&counts)
    };
    let stores = async {
        let said = stored(&mut sink, &first).await.unwrap_err();
        stored(&mut sink, &first).await.unwrap();
        stored(&mut sink, &other).await.unwrap();
        said
    };
    let (said, again) = join!(stores, broker);
    assert!(said.contains("Connection "), "{said}");
    assert_eq!(again, (3..10).chain(5..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_batch_is_not_taken_for_the_one_that_failed() {
    let (mut book, first) = (super::super::Book::default(), batch("a", 0, 3));
    book.keep(&first, vec![true, false, true]);
    assert_eq!(book.open(&batch("a", 1, 3)), [false; 3]);
    assert_eq!(book.open(&first), [false; 3], "the book is empty");
    book.keep(&first, vec![true, false, true]);
    assert_eq!(book.open(&first), [true, false, true]);
}

#[tokio::test]
async fn a_broker_that_left_meanwhile_is_dialled_again_in_the_same_call() {
    let fake = Fake::new().await;
    let mut sink = sink(&settings(fake.port));
    for _ in 0..3 {
        let broker = async {
            let mut guest = fake.accept(TAKEN).await;
            let published = guest.publish().await.unwrap();
            guest.acknowledge(published.id, SUCCESS).await;
        };
        let (outcome, ()) = join!(stored(&mut sink, batch("a", 0, 1)), broker);
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_nobody_subscribed_to_is_stored_and_told_once() {
    let fake = Fake::new().await;
    let mut sink = sink(&settings(fake.port));
    let broker = async {
        let mut guest = fake.accept(TAKEN).await;
        for _ in 0..2 {
            let published = guest.publish().await.unwrap();
            guest.acknowledge(published.id, NO_SUBSCRIBERS).await;
        }
    };
    let (outcome, ()) = join!(stored(&mut sink, batch("a", 0, 2)), broker);
    outcome.unwrap();
    assert!(sink.told_unmatched);
}

#[tokio::test]
async fn a_record_above_the_brokers_bound_is_told_before_anything_is_published() {
    let fake = Fake::new().await;
    // `Maximum Packet Size`: 60 bytes. A packet with a device of one letter has 57.
    let answer = [0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 60];
    let (mut sink, mut both, device) = (sink(&settings(fake.port)), batch("a", 0, 1), Arc::from("a-long-name"));
    push(&mut both, &device, "data", 1);
    let said = {
        let (said, guest) = join!(stored(&mut sink, &both), fake.accept(&answer));
        assert!(!guest.has_more());
        said.unwrap_err()
    };
    assert!(said.contains("at most 60 bytes, and a record of a-long-name has 74"), "{said}");
    let broker = async {
        let mut guest = fake.accept(&answer).await;
        let published = guest.publish().await.unwrap();
        guest.acknowledge(published.id, SUCCESS).await;
    };
    let (outcome, ()) = join!(stored(&mut sink, batch("a", 0, 1)), broker);
    outcome.unwrap();
}

#[tokio::test]
async fn never_more_are_under_way_than_the_broker_or_the_settings_allow() {
    // `Receive Maximum` 3, then none: the settings have 5.
    for (answer, most) in [(&[0x20, 6, 0, 0, 3, 0x21, 0, 3][..], 3), (TAKEN, 5)] {
        let fake = Fake::new().await;
        let mut sink = sink(&MqttSettings { in_flight: 5, ..settings(fake.port) });
        let broker = async {
            let mut guest = fake.accept(answer).await;
            let mut seen = Vec::new();
            while seen.len() < 4 * most {
                let mut wave = Vec::new();
                for _ in 0..most {
                    wave.push(guest.publish().await.unwrap());
                }
                // Whatever were sent besides would be there by the time of a turn.
                tokio::task::yield_now().await;
                assert!(!guest.has_more(), "more than {most}");
                // In the order that is worst for the client.
                for published in wave.iter().rev() {
                    guest.acknowledge(published.id, SUCCESS).await;
                }
                seen.extend(wave);
            }
            seqs(&seen)
        };
        let count = u32::try_from(4 * most).unwrap();
        let records = batch("a", 0, count);
        let (outcome, seen) = join!(stored(&mut sink, &records), broker);
        outcome.unwrap();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn events_are_published_only_when_they_are_wanted() {
    for (events, expected) in [(false, vec![0, 2, 4]), (true, vec![0, 1, 2, 3, 4])] {
        let fake = Fake::new().await;
        let mut sink = sink(&MqttSettings { events, ..settings(fake.port) });
        let (mut records, device) = (Batch::default(), Arc::from("a/b"));
        for (seq, event) in (0..).zip(["data", "connected", "skip", "closed", "frame"]) {
            push(&mut records, &device, event, seq);
        }
        assert_eq!(sink.keeps(&records), expected.len());
        let broker = async {
            let mut guest = fake.accept(TAKEN).await;
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                let published = guest.publish().await.unwrap();
                guest.acknowledge(published.id, SUCCESS).await;
                seen.push(published);
            }
            seen
        };
        let (outcome, seen) = join!(stored(&mut sink, &records), broker);
        outcome.unwrap();
        assert_eq!(seqs(&seen), expected);
        assert_eq!((&*seen[0].topic, &*seen[expected.len() - 1].topic), ("dtu/a%2Fb/data", "dtu/a%2Fb/frame"));
        assert_eq!(seen[0].body, r#"{"event":"data","device":"a/b","seq":0}"#);
    }
}
