//! What is counted of a run.

use super::world::NEVER;

/// One device since the outage began.
#[derive(Debug, Clone, Copy)]
struct Of {
    dials: u32,
    /// Since when it has been connected; [`NEVER`] while it is not.
    since: u64,
}

/// The counts of one run; but for the fleet's connections, all since the server died.
#[derive(Debug)]
pub(super) struct Tally {
    of: Vec<Of>,
    connected: usize,
    /// Since when all have been connected.
    pub(super) all_since: Option<u64>,
    pub(super) refused: u64,
    pub(super) discarded: u64,
    pub(super) registered: u64,
    /// Those of the registrations that a device has heard of.
    pub(super) welcomed: u64,
}

impl Tally {
    pub(super) fn new(devices: usize) -> Self {
        let of = vec![Of { dials: 0, since: NEVER }; devices];
        Self { of, connected: 0, all_since: None, refused: 0, discarded: 0, registered: 0, welcomed: 0 }
    }

    /// Begins to count.
    pub(super) fn died(&mut self) {
        for of in &mut self.of {
            of.dials = 0;
        }
        (self.refused, self.discarded, self.registered, self.welcomed) = (0, 0, 0, 0);
    }

    pub(super) fn dialled(&mut self, device: u32) {
        self.of[device as usize].dials += 1;
    }

    /// A device is connected, or was and was in doubt.
    pub(super) fn connected(&mut self, device: u32, now: u64) {
        let of = &mut self.of[device as usize];
        if of.since == NEVER {
            of.since = now;
            self.connected += 1;
            self.welcomed += 1;
            if self.connected == self.of.len() {
                self.all_since = Some(now);
            }
        }
    }

    pub(super) fn lost(&mut self, device: u32) {
        let of = &mut self.of[device as usize];
        if of.since != NEVER {
            of.since = NEVER;
            self.connected -= 1;
            self.all_since = None;
        }
    }

    /// How many are connected.
    pub(super) const fn up(&self) -> usize {
        self.connected
    }

    /// Since when each device has been connected, the first one first; who is not is missing.
    pub(super) fn back(&self) -> Vec<u64> {
        let mut back: Vec<u64> = self.of.iter().map(|of| of.since).filter(|since| *since != NEVER).collect();
        back.sort_unstable();
        back
    }

    /// How often each device has dialled, the fewest first.
    pub(super) fn dials(&self) -> Vec<u32> {
        let mut dials: Vec<u32> = self.of.iter().map(|of| of.dials).collect();
        dials.sort_unstable();
        dials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_lost_is_not_back_until_it_is_connected_again() {
        let mut tally = Tally::new(2);
        tally.dialled(0);
        tally.died();
        tally.dialled(1);
        tally.connected(0, 5);
        tally.connected(0, 6);
        assert_eq!((tally.back(), tally.all_since), (vec![5], None), "in doubt and back again is no new connection");
        tally.connected(1, 4);
        assert_eq!((tally.back(), tally.all_since, tally.welcomed), (vec![4, 5], Some(4), 2));
        tally.lost(0);
        tally.lost(0);
        assert_eq!((tally.back(), tally.all_since), (vec![4], None));
        tally.connected(0, 9);
        assert_eq!((tally.back(), tally.all_since, tally.welcomed), (vec![4, 9], Some(9), 3));
        assert_eq!(tally.dials(), [0, 1], "what was dialled before is not counted");
    }
}
