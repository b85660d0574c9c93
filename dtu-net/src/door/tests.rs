use super::*;
use std::collections::VecDeque;

/// A server that takes `cost` for each, and as many arrivals in each millisecond.
struct Scene {
    door: Door,
    now: Instant,
    queue: VecDeque<Instant>,
    free_at: Instant,
    longest_wait: Duration,
    served: u32,
    refused: Vec<Duration>,
}

impl Scene {
    fn new(limits: DoorLimits) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant can be had from the clock only; it stands still then"
        )]
        let now = Instant::now();
        let door = Door::new(limits, now);
        let (queue, longest_wait, refused) = (VecDeque::new(), Duration::ZERO, Vec::new());
        Self { door, now, queue, free_at: now, longest_wait, served: 0, refused }
    }

    fn run(&mut self, milliseconds: u32, cost: Duration, arrivals: u32) {
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            for _ in 0..arrivals {
                match self.door.handle_arrival(self.now) {
                    Ok(()) => self.queue.push_back(self.now),
                    Err(hint) => self.refused.push(hint),
                }
            }
            while self.free_at <= self.now
                && let Some(arrived) = self.queue.pop_front()
            {
                self.longest_wait = self.longest_wait.max(self.now - arrived);
                self.door.handle_turn(self.now);
                self.door.handle_served(self.now);
                self.free_at = self.free_at.max(self.now - Duration::from_millis(1)) + cost;
                self.served += 1;
            }
            assert!(self.door.waiting() == self.queue.len());
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn an_overrun_server_learns_its_rate_and_serves_all_the_time() {
    for initial_rate in [1, 100, 500, 4_000, 1_000_000] {
        let mut scene = Scene::new(DoorLimits { initial_rate, ..DoorLimits::default() });
        scene.run(10_000, 2 * MILLISECOND, 5);
        assert!((450..=550).contains(&scene.door.rate()), "{initial_rate}: {}", scene.door.rate());
        assert!((900..=1_100).contains(&scene.door.limit()), "{initial_rate}: {}", scene.door.limit());
        assert!(scene.served >= 4_990, "{initial_rate}: {}", scene.served);
        (scene.longest_wait, scene.served) = (Duration::ZERO, 0);
        scene.run(10_000, 2 * MILLISECOND, 5);
        assert!(scene.longest_wait <= Duration::from_millis(2_300), "{initial_rate}: {:?}", scene.longest_wait);
        assert!(scene.served >= 4_990, "{initial_rate}: {}", scene.served);
    }
}

#[test]
fn a_server_that_becomes_slower_or_faster_is_followed() {
    let mut scene = Scene::new(DoorLimits::default());
    scene.run(5_000, MILLISECOND, 5);
    assert!((900..=1_100).contains(&scene.door.rate()), "{}", scene.door.rate());
    scene.run(30_000, 20 * MILLISECOND, 5);
    assert!((45..=60).contains(&scene.door.rate()), "{}", scene.door.rate());
    scene.run(5_000, MILLISECOND, 5);
    assert!((900..=1_100).contains(&scene.door.rate()), "{}", scene.door.rate());
}

#[test]
fn a_server_with_little_to_do_is_not_taken_for_a_slow_one() {
    let mut scene = Scene::new(DoorLimits::default());
    for _ in 0..100 {
        scene.run(1, MILLISECOND, 1);
        scene.run(999, MILLISECOND, 0);
    }
    assert_eq!((scene.door.rate(), scene.refused.len()), (4_000, 0));
}

#[test]
fn a_slow_server_with_a_short_queue_is_found_out() {
    // Ten a second more than it serves: the queue never comes near the limit of a fast one.
    let mut scene = Scene::new(DoorLimits::default());
    for _ in 0..400 {
        scene.run(1, 20 * MILLISECOND, 6);
        scene.run(99, 20 * MILLISECOND, 0);
    }
    assert!((45..=60).contains(&scene.door.rate()), "{}", scene.door.rate());
    assert!(scene.door.waiting() <= 130, "{}", scene.door.waiting());
}

#[test]
fn appointments_are_for_a_server_that_has_nobody_to_refuse() {
    let mut scene = Scene::new(DoorLimits { initial_rate: 500, ..DoorLimits::default() });
    // Twenty a millisecond are refused for 25 us each: half of the time is left for those that wait.
    scene.run(5_000, 4 * MILLISECOND, 20);
    assert!((240..=260).contains(&scene.door.rate()), "{}", scene.door.rate());
    let hints: Vec<_> = (0..20).filter_map(|_| scene.door.handle_arrival(scene.now).err()).collect();
    let step = hints[1] - hints[0];
    assert!((1_200..=1_500).contains(&step.as_micros()), "two thirds of 2 ms, and not of 4: {step:?}");
}

#[test]
fn who_waits_for_its_peer_takes_no_place_in_the_queue_but_one_among_the_unidentified() {
    let mut scene = Scene::new(DoorLimits { max_unidentified: 300, initial_rate: 50, ..DoorLimits::default() });
    for _ in 0..300 {
        assert_eq!(scene.door.handle_arrival(scene.now), Ok(()));
        scene.door.handle_turn(scene.now);
        scene.now += 100 * MILLISECOND;
    }
    assert_eq!((scene.door.waiting(), scene.door.unidentified(), scene.door.rate()), (0, 300, 50));
    assert!(scene.door.handle_arrival(scene.now).is_err());
    scene.door.handle_left(scene.now);
    assert_eq!(scene.door.handle_arrival(scene.now), Ok(()));
    scene.door.handle_turn(scene.now);
    scene.door.handle_wait(scene.now);
    assert_eq!((scene.door.waiting(), scene.door.unidentified()), (1, 300));
    scene.door.handle_turn(scene.now);
    scene.door.handle_served(scene.now);
    assert_eq!((scene.door.waiting(), scene.door.unidentified()), (0, 299));
}

#[test]
fn appointments_are_one_behind_the_other_at_the_measured_rate_and_bounded() {
    let limits = DoorLimits { initial_rate: 500, hint_max: Duration::from_secs(40), ..DoorLimits::default() };
    let mut scene = Scene::new(limits);
    let turns = |scene: &mut Scene, count: u32| -> Vec<Duration> {
        (0..count).filter_map(|_| scene.door.handle_arrival(scene.now).err()).collect()
    };
    assert!(turns(&mut scene, 1_000).is_empty());
    let hints = turns(&mut scene, 40_000);
    assert_eq!(hints.len(), 40_000);
    let step = Duration::from_nanos(1_333_334);
    assert_eq!(hints[0], Duration::from_secs(2) + step);
    assert!(hints.windows(2).all(|pair| pair[1] - pair[0] == step || pair[1] == limits.hint_max));
    assert_eq!(hints.last(), Some(&limits.hint_max));
}

#[test]
fn appointments_that_nobody_keeps_are_given_anew() {
    let mut scene = Scene::new(DoorLimits { initial_rate: 500, ..DoorLimits::default() });
    scene.run(1, 2 * MILLISECOND, 20_000);
    let far = scene.refused.last().copied();
    assert!(far > Some(Duration::from_secs(20)), "{far:?}");
    // All who wait are served, and nobody comes: after some windows the schedule is empty.
    scene.run(10_000, 2 * MILLISECOND, 0);
    scene.run(7_000, 2 * MILLISECOND, 1);
    scene.refused.clear();
    scene.run(1, 2 * MILLISECOND, 2_000);
    let near = scene.refused.first().copied();
    assert!(near < Some(Duration::from_secs(5)), "{near:?}");
}

#[test]
fn clocks_that_jump_and_calls_too_many_change_no_bound() {
    let mut scene = Scene::new(DoorLimits::default());
    let door = &mut scene.door;
    for at in [scene.now + Duration::from_secs(86_400), scene.now, scene.now + Duration::from_secs(1)] {
        door.handle_left(at);
        door.handle_served(at);
        door.handle_turn(at);
        door.handle_left(at);
        assert_eq!((door.waiting(), door.unidentified()), (0, 0));
        assert_eq!(door.handle_arrival(at), Ok(()));
        door.handle_turn(at);
        door.handle_served(at);
    }
    assert!((MIN_WAITING..=MAX_UNIDENTIFIED).contains(&door.limit()));
}

#[test]
fn the_longest_times_that_can_be_set_lead_out_of_no_clock() {
    let (patience, hint_max) = (Duration::MAX, Duration::MAX);
    let mut scene =
        Scene::new(DoorLimits { patience, hint_max, max_unidentified: 1, initial_rate: 1, ..DoorLimits::default() });
    assert_eq!(scene.door.handle_arrival(scene.now), Ok(()));
    for _ in 0..1_000 {
        let hint = scene.door.handle_arrival(scene.now).expect_err("there is one place");
        assert!(hint > Duration::from_secs(1), "{hint:?}");
    }
}

/// How many are refused in a time in which always somebody is there.
fn refused_in(door: &mut Door, now: &mut Instant, time: Duration) -> u32 {
    let (end, mut refused) = (*now + time, 0);
    while *now < end {
        match door.refuses_from(*now) {
            Some(from) => *now = from,
            None => {
                assert!(door.handle_arrival(*now).is_err());
                refused += 1;
                *now += REFUSE_COST;
            }
        }
    }
    refused
}

#[test]
fn a_fleet_is_refused_at_once_and_those_that_never_end_in_a_part_of_the_time() {
    let mut scene = Scene::new(DoorLimits { max_unidentified: 0, ..DoorLimits::default() });
    let (door, mut now) = (&mut scene.door, scene.now);
    let fleet = REFUSE_COST * REFUSED_AT_ONCE;
    assert_eq!(refused_in(door, &mut now, fleet), REFUSED_AT_ONCE, "without a pause");
    // While they were refused, their part of that time has passed, too.
    let part = |time: Duration| u32::try_from(time.div_duration_f64(REFUSE_COST) as u64).unwrap() / REFUSING;
    let _rest = refused_in(door, &mut now, fleet);
    let time = Duration::from_secs(30);
    let refused = refused_in(door, &mut now, time);
    assert!(refused.abs_diff(part(time)) <= part(PAUSE) + 1, "{refused} of {}", part(time));
    // After a time without refusals all is as it was.
    now += fleet * REFUSING;
    assert_eq!(refused_in(door, &mut now, fleet), REFUSED_AT_ONCE);
}

#[test]
fn refusals_at_other_bounds_count_for_the_time_too() {
    let mut scene = Scene::new(DoorLimits::default());
    for _ in 0..REFUSED_AT_ONCE {
        assert_eq!(scene.door.refuses_from(scene.now), None);
        scene.door.handle_refused(scene.now);
    }
    assert_eq!(scene.door.refuses_from(scene.now), None, "so many are refused at once");
    scene.door.handle_refused(scene.now);
    let from = scene.door.refuses_from(scene.now);
    assert_eq!(from, Some(scene.now + REFUSE_COST * REFUSING + PAUSE));
    assert_eq!(from.and_then(|from| scene.door.refuses_from(from)), None);
    (0..1_000).for_each(|_| scene.door.handle_refused(scene.now));
    assert_eq!(scene.door.refuses_from(scene.now), from, "none makes the pause longer");
}
