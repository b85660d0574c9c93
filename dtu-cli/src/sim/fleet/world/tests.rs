use super::super::backlog::Pending;
use super::super::event::Bytes;
use super::super::model::{Measures, SECOND};
use super::*;

fn model(devices: u32) -> Model {
    Model {
        devices,
        outage: 20 * SECOND,
        accept_rate: 25,
        backlog: 100,
        policy: Policy::Dtu,
        measures: Measures { cap: true, bound: true, hints: true, discard: true },
        heartbeat: 30 * SECOND,
        after: Some(300 * SECOND),
        seed: 3,
    }
}

/// What is planned for a device from `world` on, and when.
fn planned(world: &mut World, is_meant: impl Fn(What) -> bool) -> Vec<(u64, What)> {
    core::iter::from_fn(|| world.wheel.next())
        .map(|(at, event)| (at, event.what))
        .filter(|(_, what)| is_meant(*what))
        .collect()
}

#[test]
fn a_syn_without_room_comes_again_after_1_3_and_7_seconds_until_the_device_gives_up() {
    let mut world = World::new(Model { backlog: 1, ..model(1) });
    let is_syn = |what| matches!(what, What::Syn { .. });
    for serial in [8, 9] {
        assert!(world.backlog.push(Pending { device: 0, serial, bytes: Bytes::NONE }));
    }
    let came_at = 10 * SECOND;
    (world.now, world.hot[0].socket) = (came_at, 1);
    world.syn(0, 1, 0);
    for (repeat, after) in [(1, 1), (2, 3), (3, 7)] {
        let at = came_at + after * SECOND;
        assert_eq!(planned(&mut world, is_syn), [(at, What::Syn { serial: 1, repeat })]);
        world.now = at;
        world.syn(0, 1, repeat);
    }
    let _next = planned(&mut world, is_syn);
    world.hot[0].socket = 2;
    world.syn(0, 1, 4);
    assert_eq!((planned(&mut world, is_syn), world.backlog.syn_drops), (vec![], 4), "the device dials anew");
}

#[test]
fn first_bytes_without_room_come_again_doubling_the_time() {
    let mut world = World::new(Model { backlog: 1, ..model(1) });
    for serial in [8, 9] {
        assert!(world.backlog.push(Pending { device: 0, serial, bytes: Bytes::NONE }));
    }
    let is_first = |what| matches!(what, What::First { .. });
    let mut at = 10 * SECOND;
    world.now = at;
    let bytes = world.pool.put(&mut vec![1]);
    world.first(0, 1, bytes, 0, 0);
    for (repeat, wait) in [(1, 300_000), (2, 600_000), (3, 1_200_000)] {
        at += wait;
        assert_eq!(planned(&mut world, is_first), [(at, What::First { serial: 1, bytes, repeat, life: 0 })]);
        world.now = at;
        world.first(0, 1, bytes, repeat, 0);
    }
    let _next = planned(&mut world, is_first);
    world.hot[0].ended = 1;
    world.first(0, 1, bytes, 4, 0);
    assert_eq!(planned(&mut world, is_first), [], "what was given up is not repeated");
}

#[test]
fn a_fleet_that_is_back_lies_in_the_order_of_its_deadlines_with_all_that_is_its_own() {
    let mut world = World::new(model(200));
    world.run(|_| {});
    assert!(world.is_tidy && world.tally.all_since.is_some());
    // Half a heartbeat later the order has turned by half; nothing happens between that and what is looked at.
    let until = world.now + 15 * SECOND;
    while world.now < until {
        let (at, event) = world.wheel.next().expect("a fleet always has something to come");
        world.step(at, event);
    }
    let before: Vec<usize> = (0..200).map(|device| world.places.of(device)).collect();
    world.tidy();
    let mut moved = 0;
    for device in 0..200 {
        let place = world.places.of(device);
        moved += u32::from(place != before[device as usize]);
        let (hot, link) = (world.hot[place], &world.links[place]);
        assert_eq!(link.epoch().number(), hot.socket, "the machine of its connection");
        assert_eq!(hot.socket, hot.session, "its session is on its connection");
        assert_eq!(link.poll_timeout().map(|(at, _)| world.micros(at)), Some(hot.timer.due));
        let session = world.sessions[place].as_ref().map(|(_, link)| link);
        let due = session.and_then(Link::poll_timeout).map(|(at, _)| world.micros(at));
        assert_eq!(due, Some(hot.session_timer.due), "and its deadline is that of this session");
    }
    assert!(moved > 100, "the order has turned: {moved}");
    let dues: Vec<u64> = (0..200).map(|place| world.hot[place].timer.due).collect();
    assert!(dues.is_sorted(), "{dues:?}");
}

#[test]
fn delays_of_others_begin_anew_after_a_success() {
    for policy in [Policy::AsyncNats, Policy::Grpc, Policy::AwsFullJitter] {
        let mut world = World::new(Model { policy, after: None, ..model(50) });
        world.run(|_| {});
        assert!(world.tally.all_since.is_some(), "{policy:?}");
        assert!(world.tries.iter().all(|tries| tries.is_new()), "{policy:?}");
    }
}
