use super::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::collections::BinaryHeap;

/// Plans and takes by the seed, with times of all magnitudes, in a wheel and in a heap.
fn agrees(seed: u64, steps: u32) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut wheel, mut heap) = (Wheel::new(), BinaryHeap::new());
    let (mut now, mut number) = (0, 0_u64);
    for _ in 0..steps {
        if random.next_u64() % 5 < 3 {
            // Also times that are now, that have passed, and that many share.
            let magnitude = random.next_u64() % 34;
            let ahead = random.next_u64() % (1 << magnitude);
            let at = if ahead % 7 == 0 { (now + ahead) / 4096 * 4096 } else { now + ahead };
            heap.push(Reverse((at, number)));
            wheel.plan(at, number);
            number += 1;
        } else {
            let expected = heap.pop().map(|Reverse(next)| next);
            let taken = wheel.next();
            assert_eq!(taken, expected, "seed {seed}");
            now = taken.map_or(now, |(at, _)| now.max(at));
        }
    }
    while let Some(Reverse(next)) = heap.pop() {
        assert_eq!(wheel.next(), Some(next), "seed {seed}");
    }
    assert_eq!(wheel.next(), None, "seed {seed}");
}

#[test]
fn a_wheel_gives_what_a_heap_gives() {
    for seed in 0..300 {
        agrees(seed, 400);
    }
    agrees(300, 100_000);
}

#[test]
fn a_wheel_that_ran_empty_takes_more() {
    let mut wheel = Wheel::new();
    wheel.plan(5_000_000, 1);
    assert_eq!(wheel.next(), Some((5_000_000, 1)));
    assert_eq!(wheel.next(), None);
    wheel.plan(5_000_000, 2);
    wheel.plan(4_000_000, 3);
    wheel.plan(SPAN - 1, 4);
    assert_eq!(wheel.next(), Some((4_000_000, 3)), "what is late comes next");
    assert_eq!(wheel.next(), Some((5_000_000, 2)));
    assert_eq!(wheel.next(), Some((SPAN - 1, 4)));
    assert_eq!(wheel.next(), None);
}

#[test]
fn slots_share_few_buffers() {
    let mut wheel = Wheel::new();
    for round in 0..3_000_u64 {
        for item in 0..40 {
            wheel.plan(round * 1_048_576 + item * 26_000, item);
        }
        while wheel.next().is_some() {}
    }
    let kept: usize = wheel.levels.iter().flat_map(|level| &level.slots).filter(|slot| slot.capacity() > 0).count();
    assert_eq!(kept, 0, "an empty slot holds no buffer");
    assert!(wheel.spare.len() <= SPARE);
}

#[test]
#[should_panic(expected = "a plan reaches for")]
fn a_time_beyond_the_span_is_no_silent_loss() {
    Wheel::new().plan(SPAN, ());
}
