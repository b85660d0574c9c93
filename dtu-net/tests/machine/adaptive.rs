//! The search for the longest heartbeat, behind a NAT that forgets, on networks that come and go.

use crate::nat::{Speaker, Traffic, World, up_to};
use crate::pair::SECOND;
use core::time::Duration;
use dtu_net::Cause;
use dtu_net::adaptive::{Learned, RETRY, START};
use rand_core::Rng;
use rand_pcg::Pcg32;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The most connections that a search with the default options breaks: one where it grows, and three until `good` and `bad`
/// are a tenth apart.
const BROKEN_MOST: usize = 4;

/// Between 20 s and 30 min, as often below as above any factor.
fn nat(random: &mut Pcg32) -> Duration {
    let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
    Duration::from_secs_f64(20.0 * 90_f64.powf(share))
}

/// The device's silence begins when the server's last byte arrives, at the NAT one way earlier.
fn assert_found(world: &World, nat: Duration) {
    let interval = world.device.heartbeat_interval();
    let least = (nat - world.latency).mul_f64(0.8);
    assert!(interval < nat && interval >= least, "{interval:?} behind a NAT of {nat:?}: {:?}", world.learned);
}

#[test]
fn the_interval_comes_within_the_margin_of_what_the_nat_allows() {
    for seed in 0..300 {
        let random = &mut Pcg32::new(seed, 1);
        let nat = nat(random);
        let mut world = World::new(nat, HOUR, Some(up_to(HOUR)));
        world.latency = Duration::from_millis(1 + random.next_u64() % 1_500);
        world.run(12 * HOUR);
        println!("seed {seed}: {nat:?}, {:?}, {} broken", world.device.heartbeat_interval(), world.broken.len());
        assert_found(&world, nat);
        assert!(world.broken.len() <= BROKEN_MOST, "{:?}", world.broken);
        // And there it stays.
        let (broken, learned) = (world.broken.len(), world.learned.len());
        world.run(11 * HOUR);
        assert_eq!((world.broken.len(), world.learned.len()), (broken, learned));
    }
}

#[test]
fn a_wrong_step_is_seen_after_three_short_timeouts() {
    let mut world = World::new(100 * SECOND, HOUR, Some(up_to(HOUR)));
    world.run(HOUR);
    let silences: Vec<_> = world.broken.iter().map(|(_, cause)| *cause).collect();
    // 30 s, 60 s and 120 s; then 60 and 120 are halved by their geometric mean.
    let first = Cause::Silent { limit: (120 + 9) * SECOND };
    assert_eq!(silences.first(), Some(&first));
    for cause in silences {
        assert!(matches!(cause, Cause::Silent { limit } if limit < (120 + 9) * SECOND || cause == first), "{cause:?}");
    }
}

#[test]
fn nothing_breaks_where_the_nat_allows_the_ceiling_and_the_ceiling_holds() {
    for heartbeat in [10, 30, 100, 600, 3600] {
        for latency in [0, 1, 1000] {
            let announced = Duration::from_secs(heartbeat);
            let mut world = World::new(2 * HOUR, announced, Some(up_to(1000 * SECOND)));
            world.latency = Duration::from_millis(latency);
            world.run(2 * DAY);
            assert_eq!(world.device.heartbeat_interval(), announced.min(1000 * SECOND));
            assert_eq!(world.broken, []);
        }
    }
}

#[test]
fn a_nat_that_became_shorter_is_found() {
    for (before, after) in [(1000, 200), (1000, 25), (60, 22), (1700, 1400)] {
        let mut world = World::new(Duration::from_secs(before), HOUR, Some(up_to(HOUR)));
        world.run(12 * HOUR);
        assert_found(&world, Duration::from_secs(before));
        let broken = world.broken.len();
        world.nat = Duration::from_secs(after);
        world.run(11 * HOUR);
        assert_found(&world, Duration::from_secs(after));
        // Two until it is believed that what was good is good no more.
        let broken = world.broken.len() - broken;
        assert!(broken <= BROKEN_MOST + 2, "{before} to {after}: {broken}");
    }
}

#[test]
fn a_nat_that_became_longer_is_found_by_the_rare_retry() {
    let mut world = World::new(100 * SECOND, HOUR, Some(up_to(HOUR)));
    world.run(12 * HOUR);
    assert_found(&world, 100 * SECOND);
    world.nat = 1000 * SECOND;
    world.run(DAY + 6 * HOUR);
    assert_found(&world, 1000 * SECOND);
}

#[test]
fn a_retry_costs_one_connection_a_day() {
    let mut world = World::new(100 * SECOND, HOUR, Some(up_to(HOUR)));
    world.run(RETRY - HOUR);
    let (broken, learned) = (world.broken.len(), world.learned.len());
    world.run(10 * DAY);
    assert_eq!((world.broken.len(), world.learned.len()), (broken + 10, learned));
    assert_found(&world, 100 * SECOND);
}

#[test]
fn outages_do_not_mislead() {
    let (mut broken, mut misled) = (0, 0);
    for seed in 0..100 {
        let random = &mut Pcg32::new(seed, 2);
        println!("seed {seed}");
        let mut world = World::new(300 * SECOND, HOUR, Some(up_to(HOUR)));
        // One every two hours, up to 25 minutes long, and every second one short.
        for hours in (0..35).step_by(2) {
            let from = world.began + hours * HOUR + Duration::from_millis(random.next_u64() % 3_600_000);
            let longest = if hours % 4 == 0 { 1_500_000 } else { 60_000 };
            world.outages.push_back((from, from + Duration::from_millis(random.next_u64() % longest)));
        }
        world.run(35 * HOUR);
        broken += world.broken.len();
        // One that ends just when the device dials again looks like a NAT that has forgotten.
        misled += usize::from(world.learned.iter().any(|learned| learned.bad.is_some_and(|bad| bad < 290 * SECOND)));
        world.outages.clear();
        world.run(4 * DAY);
        assert_found(&world, 300 * SECOND);
    }
    println!("{broken} broken, {misled} misled");
    assert!(broken > 1_000 && misled * 200 < broken, "{broken}, {misled}");
}

#[test]
fn traffic_in_between_does_not_mislead() {
    for speaker in [Speaker::Device, Speaker::Server] {
        for seed in 0..40 {
            let mut random = Pcg32::new(seed, 3);
            let nat = nat(&mut random);
            println!("seed {seed}: {speaker:?}, {nat:?}");
            let mut world = World::new(nat, HOUR, Some(up_to(HOUR)));
            let longest = Duration::from_secs(20 + random.next_u64() % 1_000);
            world.traffic = Some(Traffic { speaker, longest, random, next: world.began });
            world.run(22 * HOUR);
            let interval = world.device.heartbeat_interval();
            for learned in &world.learned {
                assert!(learned.good.is_none_or(|good| good <= nat), "{learned:?} behind {nat:?}");
                assert!(learned.bad.is_none_or(|bad| bad >= nat - SECOND), "{learned:?} behind {nat:?}");
            }
            assert!(world.broken.len() <= BROKEN_MOST, "{:?}", world.broken);
            if longest > nat {
                assert!(interval < nat, "{interval:?}");
            }
            if longest >= 2 * nat {
                assert_found(&world, nat);
            }
        }
    }
}

#[test]
fn readings_at_a_period_above_the_nat_do_not_break_one_connection_after_the_other() {
    // Each reading comes when the NAT has just forgotten, before the PING would ask.
    let mut world = World::new(100 * SECOND, HOUR, Some(up_to(HOUR)));
    for _ in 0..200 {
        world.traffic = Some(Traffic {
            speaker: Speaker::Device,
            longest: Duration::from_millis(1),
            random: Pcg32::new(1, 1),
            next: world.now + 110 * SECOND,
        });
        world.run(110 * SECOND);
        world.traffic = None;
    }
    assert_found(&world, 100 * SECOND);
    assert!(world.broken.len() <= BROKEN_MOST, "{:?}", world.broken);
}

#[test]
fn a_nat_that_answers_with_a_reset_is_found_by_two_of_them_each_time() {
    for seed in 0..50 {
        let nat = nat(&mut Pcg32::new(seed, 4));
        let mut world = World::new(nat, HOUR, Some(up_to(HOUR)));
        world.resets = true;
        world.run(20 * HOUR);
        println!("seed {seed}: {nat:?}, {} broken", world.broken.len());
        assert_found(&world, nat);
        assert!(world.broken.len() <= 2 * BROKEN_MOST);
    }
}

#[test]
fn one_reset_is_no_evidence() {
    let mut world = World::new(HOUR + SECOND, HOUR, Some(up_to(HOUR)));
    world.run(5 * 60 * SECOND);
    world.resets = true;
    // For a while, until it has forgotten one connection: a router that was started again.
    world.nat = SECOND;
    while world.broken.is_empty() {
        world.run(SECOND);
    }
    world.nat = HOUR + SECOND;
    world.run(10 * HOUR);
    assert_eq!(world.broken.len(), 1);
    assert_eq!(world.device.heartbeat_interval(), HOUR);
}

#[test]
fn what_was_learned_spares_the_search_the_next_time() {
    let mut first = World::new(500 * SECOND, HOUR, Some(up_to(HOUR)));
    first.run(12 * HOUR);
    let learned = first.device.learned();
    assert_eq!(learned.last(), first.learned.last());
    let mut second = World::new(500 * SECOND, HOUR, Some(up_to(HOUR)));
    for learned in learned {
        second.device.remember(second.now, learned);
    }
    second.run(20 * HOUR);
    assert_eq!(second.device.heartbeat_interval(), first.device.heartbeat_interval());
    assert_eq!((second.broken, second.learned), (vec![], vec![]));
}

#[test]
fn without_the_option_a_device_asks_as_announced() {
    let mut world = World::new(100 * SECOND, 30 * SECOND, None);
    world.device.remember(world.now, Learned { good: Some(SECOND), ..Learned::default() });
    world.run(DAY);
    assert_eq!(world.device.heartbeat_interval(), START);
    assert_eq!((world.device.learned(), world.learned, world.broken), (vec![], vec![], vec![]));
    assert_eq!(world.pings, 2880);
}

/// The figure of `docs/adaptive.md`: PINGs of the first day on an unknown network, and of a later one.
#[test]
fn a_day_takes_a_fraction_of_the_pings() {
    let mut fixed = World::new(2 * HOUR, 30 * SECOND, None);
    fixed.run(DAY);
    println!("fixed: {} PINGs", fixed.pings);
    for (minutes, most) in [(1_u32, 1800), (2, 900), (5, 400), (15, 160), (30, 90), (60, 90)] {
        let mut world = World::new(minutes * 60 * SECOND, HOUR, Some(up_to(1800 * SECOND)));
        world.run(DAY);
        let (first, broken) = (world.pings, world.broken.len());
        world.run(DAY);
        let later = world.pings - first;
        let (interval, retried) = (world.device.heartbeat_interval(), world.broken.len() - broken);
        println!(
            "NAT of {minutes} min: {interval:?}; first day {first} PINGs, {broken} broken; next {later}, {retried}"
        );
        assert!(first <= most && later <= first + first / 100, "{first}, {later}");
        assert!(first * 8 < fixed.pings * 5, "{first} against {}", fixed.pings);
    }
}
