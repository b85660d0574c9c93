use super::*;
use std::time::Instant;

const NONE: Resume = Resume { stream: 7, send_base: 0, peer_stream: 0, receive_next: 0 };
const DATA: Message<'static> = Message::Ack { receive_next: 0 };

#[expect(clippy::disallowed_methods, reason = "the machine counts from any instant")]
fn start() -> Instant {
    Instant::now()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn pong(nonce: u64) -> Message<'static> {
    Message::Pong { nonce }
}

#[test]
fn only_the_nonce_echoed_from_where_it_went_moves_the_path() {
    let (now, home, new, third) = (start(), address(1), address(2), address(3));
    let mut path = Path::proven(home, NONE);
    assert!(path.arrived(now, home, &DATA, || unreachable!("home has proved itself")));
    assert!(!path.arrived(now, new, &DATA, || Some(77)), "what comes from elsewhere does not count");
    assert_eq!(path.take_probe(), Some((new, 77)));
    assert_eq!(path.take_probe(), None, "one PING");
    for (from, said) in [(new, pong(78)), (third, pong(77)), (home, pong(77)), (new, DATA)] {
        path.arrived(now, from, &said, || Some(1));
        assert_eq!((path.address(), path.take_probe()), (home, None), "{from} {said:?}");
    }
    assert!(path.arrived(now, new, &pong(77), || None));
    assert_eq!((path.address(), path.is_proven()), (new, true));
    assert!(!path.arrived(now, home, &DATA, || Some(5)), "the old address is one like any other");
    assert_eq!(path.take_probe(), Some((home, 5)));
}

#[test]
fn unproven_addresses_together_get_one_ping_a_second_and_the_nonce_of_one_stays() {
    let now = start();
    let mut path = Path::proven(address(1), NONE);
    let mut drawn = 0;
    let mut pings = Vec::new();
    for tenth in 0..30 {
        let now = now + Duration::from_millis(100 * tenth);
        path.arrived(now, address(2), &DATA, || {
            drawn += 1;
            Some(70 + drawn)
        });
        path.arrived(now, address(3), &DATA, || unreachable!("the place is taken"));
        pings.extend(path.take_probe());
    }
    assert_eq!(pings, [(address(2), 71); 3]);
    path.arrived(now + seconds(3), address(3), &DATA, || Some(9));
    assert_eq!(path.take_probe(), Some((address(3), 9)), "after its second the place is free for another");
}

#[test]
fn an_address_that_only_registered_gets_one_answer_and_one_ping_until_it_echoes() {
    let (now, home) = (start(), address(1));
    let mut path = Path::unproven(home, NONE, 77, now);
    assert!(!path.is_proven() && path.is_answer_due());
    path.answered();
    assert_eq!((path.take_probe(), path.is_answer_due()), (Some((home, 77)), false));
    assert!(path.arrived(now, home, &DATA, || unreachable!("it was asked just now")), "what it says counts");
    assert!(!path.is_proven());
    assert_eq!(path.take_probe(), None);
    assert!(path.arrived(now + seconds(1), home, &DATA, || unreachable!("the nonce stays")));
    assert_eq!(path.take_probe(), Some((home, 77)), "the first PING may be lost");
    assert!(path.arrived(now + seconds(1), home, &pong(77), || None));
    assert!(path.is_proven());
}

#[test]
fn the_opening_is_repeated_only_in_the_same_words_from_the_same_address_before_anything_else() {
    let (now, home) = (start(), address(1));
    let mut path = Path::unproven(home, NONE, 77, now);
    path.answered();
    let other = Resume { receive_next: 1, ..NONE };
    assert!(!path.reopened(home, Some(&other)) && !path.reopened(address(2), Some(&NONE)));
    assert!(!path.is_answer_due());
    assert!(path.reopened(home, Some(&NONE)) && path.is_answer_due(), "each REGISTER has one answer");
    assert!(path.reopened(home, None), "so has a PROOF");
    assert!(!path.arrived(now, address(2), &DATA, || None));
    assert!(path.reopened(home, Some(&NONE)), "a stranger ends nothing");
    assert!(path.arrived(now, home, &DATA, || None));
    assert!(!path.reopened(home, Some(&NONE)), "the device has its WELCOME");
}

#[test]
fn without_a_random_number_nobody_is_asked() {
    let mut path = Path::proven(address(1), NONE);
    assert!(!path.arrived(start(), address(2), &DATA, || None));
    assert_eq!(path.take_probe(), None);
}
