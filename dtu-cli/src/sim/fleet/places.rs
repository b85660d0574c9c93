//! Where the things of each device lie. A fleet of 100 000 takes a quarter of a gigabyte, and most of the time of a run is spent
//! on waiting for memory; where one event lies next to the one before, it is there already.

/// A place for each device, from 0 on without holes.
#[derive(Debug)]
pub(super) struct Places(Vec<u32>);

impl Places {
    /// Each device lies where its number says.
    pub(super) fn new(devices: u32) -> Self {
        Self((0..devices).collect())
    }

    /// The place of a device.
    pub(super) fn of(&self, device: u32) -> usize {
        self.0[device as usize] as usize
    }

    /// The devices in the order of the key of their places; of two with one key in the order of their numbers.
    pub(super) fn in_order(&self, key: impl Fn(usize) -> u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(self.0.len()).collect();
        order.sort_by_key(|device| key(self.of(*device)));
        order
    }

    /// Lays the devices in this order; calls `swap` with pairs of places whose things change places, one after another.
    pub(super) fn lay(&mut self, order: Vec<u32>, mut swap: impl FnMut(usize, usize)) {
        // Where what lies at a place belongs.
        let mut target = vec![0; order.len()];
        for (place, device) in (0..).zip(order) {
            target[self.of(device)] = place;
            self.0[device as usize] = place;
        }
        for place in 0..target.len() {
            while target[place] as usize != place {
                let other = target[place] as usize;
                swap(place, other);
                target.swap(place, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::Random;

    #[test]
    fn things_follow_their_devices_and_lie_in_order() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let count = random.between(0, 40) as u32;
            let mut places = Places::new(count);
            let mut names: Vec<u32> = (0..count).collect();
            let mut keys: Vec<u64> = names.iter().map(|_| random.between(0, 9)).collect();
            for _ in 0..4 {
                let order = places.in_order(|place| keys[place]);
                places.lay(order, |one, other| {
                    names.swap(one, other);
                    keys.swap(one, other);
                });
                assert!((0..count).all(|device| names[places.of(device)] == device), "seed {seed}");
                assert!(keys.is_sorted(), "seed {seed}");
                for key in &mut keys {
                    *key = random.between(0, 9);
                }
            }
        }
    }
}
