use super::*;
use crate::settings::Mistakes;
use dtu_net::{Received, SkipCause};
use std::collections::BTreeSet;

fn fleet() -> Arc<Fleet> {
    Fleet::new(&RequestSettings::default()).unwrap()
}

impl Fleet {
    fn played(self: &Arc<Self>, id: &str) -> Seat {
        self.enter(Hand::Played(id.into()))
    }
}

impl Seat {
    fn data(&self, seq: u32, body: &'static [u8]) {
        self.received(&[Received::Data { stream: 7, seq, channel: 1, body: body.into() }]);
    }
}

fn wanted(limit: usize) -> Wanted<'static> {
    Wanted { limit, ..Wanted::default() }
}

#[test]
fn a_large_fleet_is_listed_in_parts_and_each_is_bounded() {
    let fleet = fleet();
    let seats: Vec<_> = (0..10_000).map(|number| fleet.played(&format!("d{number:05}"))).collect();
    let (mut seen, mut after) = (Vec::new(), None::<Arc<str>>);
    loop {
        let page = fleet.list(&Wanted { after: after.as_deref(), limit: 1000, ..Wanted::default() });
        assert!(page.rows.len() <= 1000 && page.total == 10_000);
        seen.extend(page.rows.into_iter().map(|row| row.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.len() == 10_000);
    assert_eq!(fleet.list(&wanted(10_000)).next, None, "the last part says that it is");
    let page = fleet.list(&Wanted { search: Some("D0123"), ..wanted(5) });
    assert_eq!((page.rows.len(), page.total, page.next.as_deref()), (5, 10, Some("d01234")));
    assert_eq!(fleet.census(), Census { connected: 10_000, disconnected: 0 });
    drop(seats);
    assert_eq!(fleet.list(&wanted(5)).total, 0);
}

#[test]
fn who_follows_a_large_fleet_gets_pieces_and_then_only_what_changed() {
    let fleet = fleet();
    let mut seats: Vec<_> = (0..10_000).map(|number| fleet.played(&format!("d{number:05}"))).collect();
    let (mut seen, mut here) = (Seen::default(), BTreeSet::new());
    loop {
        let changes = fleet.news(seen, 500).unwrap();
        assert!(changes.rows.len() <= 500 && changes.gone.is_empty());
        here.extend(changes.rows.into_iter().map(|row| row.id));
        seen = changes.seen;
        if !changes.more {
            break;
        }
    }
    assert_eq!(here.len(), 10_000);
    for seq in 0..100 {
        seats[7].data(seq, b"ab");
        seats[9000].data(seq, b"ab");
    }
    drop(seats.pop());
    let changes = fleet.news(seen, 500).unwrap();
    let changed: Vec<_> = changes.rows.iter().map(|row| (&*row.id, row.frames, row.bytes)).collect();
    assert_eq!(changed, [("d00007", 100, 200), ("d09000", 100, 200)]);
    assert_eq!((changes.gone, changes.more), (vec!["d09999".into()], false));
    let changes = fleet.news(changes.seen, 500).unwrap();
    assert!(changes.rows.is_empty() && changes.gone.is_empty());
}

#[test]
fn while_nobody_looks_nothing_piles_up() {
    let fleet = fleet();
    for round in 0..10 {
        let seats: Vec<_> = (0..1000).map(|number| fleet.played(&format!("{round}-{number}"))).collect();
        seats.iter().for_each(|seat| seat.data(0, b"x"));
        assert!(fleet.marked().len() < MARKED);
    }
    let changes = fleet.news(Seen::default(), 500).unwrap();
    assert!(changes.rows.is_empty());
}

#[test]
fn a_device_is_told_with_what_it_did_last() {
    let fleet = fleet();
    let seat = fleet.played("a");
    assert_eq!(fleet.detail("a").unwrap().timeline.len(), 1, "it came");
    seat.data(0, b"\x01\x02");
    seat.received(&[Received::Skip { stream: 7, from: 1, next: 4 }]);
    let Detail { row, timeline, frames } = fleet.detail("a").unwrap();
    assert_eq!((row.frames, row.bytes, row.state), (1, 2, Standing::Connected));
    let told: Vec<_> = timeline.iter().map(|happened| (happened.event, &*happened.text)).collect();
    assert_eq!(told, [("missing", "3 from 1 on will not come"), ("connected", "")]);
    assert_eq!(
        (frames.len(), &frames[0].bytes[..], frames[0].seq, frames[0].channel),
        (1, &b"\x01\x02"[..], Some(0), 1)
    );
    assert!(fleet.detail("b").is_none());
}

#[test]
fn a_device_that_came_anew_keeps_its_place_when_the_old_seat_goes() {
    let fleet = fleet();
    let old = fleet.played("a");
    old.data(0, b"x");
    let new = fleet.played("a");
    drop(old);
    assert_eq!(fleet.detail("a").unwrap().row.frames, 0);
    drop(new);
    assert!(fleet.detail("a").is_none());
    assert_eq!(fleet.close("a", ""), Closing::Unknown);
    assert_eq!(fleet.let_go("a"), Closing::Unknown);
}

#[test]
fn the_last_words_of_a_session_are_not_those_of_the_next() {
    let fleet = fleet();
    let (before, now): (Arc<str>, Arc<str>) = ("a".into(), "a".into());
    let _seat = fleet.enter(Hand::Played(Arc::clone(&now)));
    let skipped = |device: &Arc<str>| {
        let event = Event::Skipped { bytes: 7, cause: SkipCause::NoRoom { seq: 1 } };
        fleet.handle_link(&LinkEvent::Link { device: Arc::clone(device), epoch: Epoch::default(), event });
        fleet.detail("a").unwrap().row.errors
    };
    assert_eq!((skipped(&before), skipped(&now)), (0, 7));
}

#[test]
fn a_change_of_which_no_event_came_is_told_all_the_same() {
    let fleet = fleet();
    let seat = fleet.played("a");
    let first = fleet.news(Seen::default(), 10).unwrap();
    assert_eq!(first.rows.len(), 1);
    let told = |seen| {
        *fleet.round.lock().unwrap() = Round::default();
        fleet.news(seen, 10).unwrap().rows.len()
    };
    assert_eq!(told(first.seen), 0);
    // It was told as one that is away.
    seat.0.told_standing.store(Standing::Disconnected.mark(), Ordering::Relaxed);
    assert_eq!(told(first.seen), 1);
}

#[test]
fn an_idle_device_costs_little() {
    // The device in its `Arc`, and its places in both maps at their fill of two thirds.
    let places = (size_of::<(Arc<str>, Arc<Device>)>() + size_of::<(u64, Arc<Device>)>()) * 3 / 2;
    let cost = size_of::<Device>() + 2 * size_of::<usize>() + places;
    assert!(cost <= 200, "{cost} bytes");
}

#[test]
fn settings_that_cannot_be_are_told_by_their_keys() {
    let keys = |text: &str| -> Vec<String> {
        let settings: RequestSettings = toml::from_str(text).unwrap();
        let mut mistakes = Mistakes::default();
        settings.check(&mut mistakes);
        mistakes.iter().map(|mistake| mistake.key.clone()).collect()
    };
    assert!(keys("").is_empty() && keys("framing = 'raw'").is_empty());
    assert_eq!(
        keys("timeout = '11m'\nqueue = 0\nframing = 'no such'\nretries = 11\nretry_after = '1ms'"),
        ["requests.timeout", "requests.queue", "requests.retries", "requests.retry_after", "requests.framing"]
    );
}
