use super::*;

fn id() -> Arc<str> {
    "m".into()
}

/// A ledger with a device that is held since 100 at revision 7.
fn held() -> (Ledger, Arc<str>) {
    let (mut ledger, id) = (Ledger::default(), id());
    ledger.handle_arrival(&id, 100, true);
    assert_eq!(ledger.poll_work(), Some((Arc::clone(&id), claim(100, true))));
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 7, since: 100 }), None);
    assert_eq!(ledger.poll_work(), None);
    (ledger, id)
}

const fn claim(since: u64, is_fresh: bool) -> Work {
    Work::Claim { since, is_fresh }
}

#[track_caller]
fn works(ledger: &mut Ledger, expected: Work) {
    assert_eq!(ledger.poll_work(), Some((id(), expected)));
    assert_eq!(ledger.poll_work(), None, "each once");
}

#[test]
fn a_device_is_claimed_once_and_released_once() {
    let (mut ledger, id) = held();
    // It comes again, and is held already.
    ledger.handle_arrival(&id, 200, true);
    assert_eq!(ledger.poll_work(), None);
    ledger.handle_departure(&id);
    ledger.handle_departure(&id);
    works(&mut ledger, Work::Release { revision: 7 });
    assert_eq!(ledger.handle_done(&id, Done::Released), None);
    assert!(ledger.is_empty());
    ledger.handle_departure(&id);
    assert_eq!(ledger.poll_work(), None);
}

#[test]
fn who_leaves_before_he_is_claimed_needs_no_key_and_who_leaves_meanwhile_gives_his_up() {
    let (mut ledger, id) = (Ledger::default(), id());
    ledger.handle_arrival(&id, 1, true);
    ledger.handle_departure(&id);
    assert_eq!(ledger.poll_work(), None);
    assert!(ledger.is_empty());

    ledger.handle_arrival(&id, 1, true);
    works(&mut ledger, claim(1, true));
    ledger.handle_departure(&id);
    assert_eq!(ledger.poll_work(), None);
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 3, since: 1 }), None);
    works(&mut ledger, Work::Release { revision: 3 });
}

#[test]
fn who_comes_back_before_his_key_is_given_up_keeps_it_and_gets_another_when_it_is_too_late() {
    let (mut ledger, id) = held();
    ledger.handle_departure(&id);
    ledger.handle_arrival(&id, 200, true);
    assert_eq!(ledger.poll_work(), None);
    // It is settled, and not forgotten in between.
    ledger.handle_departure(&id);
    works(&mut ledger, Work::Release { revision: 7 });
    ledger.handle_arrival(&id, 300, true);
    assert_eq!(ledger.handle_done(&id, Done::Released), None);
    works(&mut ledger, claim(300, true));
}

#[test]
fn a_later_owner_is_let_have_it_and_an_earlier_one_is_not() {
    let (mut ledger, id) = held();
    assert_eq!(ledger.handle_other(&id, 6, 999), None, "older news than the own claim");
    assert_eq!(ledger.handle_other(&id, 8, 101), Some(LetGo));
    assert!(ledger.is_empty());

    let (mut ledger, id) = held();
    assert_eq!(ledger.handle_other(&id, 8, 99), None);
    works(&mut ledger, claim(100, false));
    // Meanwhile the bucket says what it said; what is under way will tell.
    assert_eq!(ledger.handle_other(&id, 8, 99), None);
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 9, since: 100 }), None);
    assert_eq!(ledger.handle_other(&id, 10, 100), Some(LetGo), "the same time: it is his");
}

#[test]
fn who_came_again_while_nats_was_away_has_it_from_then_on() {
    let (mut ledger, id) = held();
    ledger.handle_arrival(&id, 300, false);
    assert_eq!(ledger.handle_other(&id, 8, 200), None);
    works(&mut ledger, claim(300, false));
    // By a clock that went back it is later than before all the same.
    let (mut ledger, id) = held();
    ledger.handle_arrival(&id, 50, false);
    assert_eq!(ledger.handle_other(&id, 8, 100), None);
    works(&mut ledger, claim(101, false));
}

#[test]
fn a_claim_that_is_conceded_lets_go_unless_the_device_came_again_meanwhile() {
    let (mut ledger, id) = (Ledger::default(), id());
    ledger.handle_arrival(&id, 1, false);
    works(&mut ledger, claim(1, false));
    assert_eq!(ledger.handle_done(&id, Done::Conceded { since: 5 }), Some(LetGo));
    assert!(ledger.is_empty());

    ledger.handle_arrival(&id, 1, false);
    works(&mut ledger, claim(1, false));
    ledger.handle_arrival(&id, 9, true);
    assert_eq!(ledger.handle_done(&id, Done::Conceded { since: 5 }), None);
    works(&mut ledger, claim(9, true));
    ledger.handle_departure(&id);
    assert_eq!(ledger.handle_done(&id, Done::Conceded { since: 50 }), None, "there is nothing to let go");
    assert!(ledger.is_empty());
}

#[test]
fn what_failed_is_tried_again_and_is_not_fresh_any_more() {
    let (mut ledger, id) = (Ledger::default(), id());
    ledger.handle_arrival(&id, 1, true);
    works(&mut ledger, claim(1, true));
    assert_eq!(ledger.handle_done(&id, Done::Failed), None);
    works(&mut ledger, claim(1, false));
}

#[test]
fn a_key_that_is_gone_is_made_again() {
    let (mut ledger, id) = held();
    assert_eq!(ledger.handle_none(&id, 6), None);
    assert_eq!(ledger.poll_work(), None, "older news");
    assert_eq!(ledger.handle_none(&id, 8), None);
    works(&mut ledger, claim(100, false));
}

#[test]
fn news_that_overtake_the_word_of_the_own_claim_are_not_forgotten() {
    let (mut ledger, id) = (Ledger::default(), id());
    ledger.handle_arrival(&id, 100, true);
    works(&mut ledger, claim(100, true));
    assert_eq!(ledger.handle_other(&id, 5, 99), None, "who had it before");
    assert_eq!(ledger.handle_other(&id, 8, 101), None);
    assert_eq!(ledger.handle_other(&id, 7, 100), None);
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 7, since: 100 }), Some(LetGo));
    assert!(ledger.is_empty());

    ledger.handle_arrival(&id, 100, true);
    works(&mut ledger, claim(100, true));
    assert_eq!(ledger.handle_other(&id, 5, 99), None);
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 7, since: 100 }), None, "before the own claim");
    assert_eq!(ledger.poll_work(), None);
}

#[test]
fn a_reading_of_all_keys_finds_those_that_are_missing_and_ends_what_was_under_way() {
    let (mut ledger, id) = held();
    ledger.begin_round();
    ledger.handle_own(&id, 7);
    ledger.end_round();
    assert_eq!(ledger.poll_work(), None, "it is there");
    ledger.begin_round();
    ledger.end_round();
    works(&mut ledger, claim(100, false));
    // The connection broke under the claim.
    ledger.begin_round();
    works(&mut ledger, claim(100, false));
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 1, since: 100 }), None);
    ledger.handle_own(&id, 2);
    ledger.handle_departure(&id);
    works(&mut ledger, Work::Release { revision: 2 });
}

#[test]
fn a_key_that_another_took_is_not_released() {
    let (mut ledger, id) = held();
    ledger.handle_departure(&id);
    assert_eq!(ledger.handle_other(&id, 8, 200), None, "its session is over");
    assert_eq!(ledger.poll_work(), None);
    assert!(ledger.is_empty());
}

#[test]
fn the_end_releases_all() {
    let mut ledger = Ledger::default();
    for (place, id) in ["a", "b", "c"].into_iter().enumerate() {
        ledger.handle_arrival(&id.into(), 1, true);
        if place > 0 {
            let (id, _) = ledger.poll_work().unwrap();
            let _held = ledger.handle_done(&id, Done::Claimed { revision: 5, since: 1 });
        }
    }
    assert_eq!(ledger.len(), 3);
    ledger.handle_end();
    let mut released = 0;
    while let Some((id, work)) = ledger.poll_work() {
        assert_eq!(work, Work::Release { revision: 5 });
        let _gone = ledger.handle_done(&id, Done::Released);
        released += 1;
    }
    assert!(released == 2 && ledger.is_empty());
}

#[test]
fn who_was_forgotten_while_due_and_comes_again_is_claimed_once() {
    let (mut ledger, id) = held();
    ledger.handle_departure(&id);
    assert_eq!(ledger.handle_other(&id, 8, 900), None);
    ledger.handle_arrival(&id, 1000, true);
    works(&mut ledger, claim(1000, true));
    assert_eq!(ledger.handle_done(&id, Done::Claimed { revision: 9, since: 1000 }), None);
    assert_eq!(ledger.poll_work(), None);
}

#[test]
fn news_of_a_key_that_could_not_be_given_up_are_not_forgotten() {
    for (since, expected) in [(900, None), (1100, Some(LetGo))] {
        let (mut ledger, id) = held();
        ledger.handle_departure(&id);
        works(&mut ledger, Work::Release { revision: 7 });
        assert_eq!(ledger.handle_other(&id, 8, since), None);
        ledger.handle_arrival(&id, 1000, true);
        assert_eq!(ledger.handle_done(&id, Done::Failed), expected);
        assert_eq!(ledger.poll_work(), (since < 1000).then(|| (Arc::clone(&id), claim(1000, false))));
    }
}
