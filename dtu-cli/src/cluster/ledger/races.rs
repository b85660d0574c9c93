//! One device, three gateways and a bucket, in whatever order things happen: in the end the key says where the device is.

use super::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const GATEWAYS: usize = 3;

/// What the key says: whose the device is, since when.
type Value = Option<(usize, u64)>;

#[derive(Default)]
struct Bucket {
    revision: u64,
    value: Value,
}

/// A work on its way. A claim has read the key, and writes it when nobody has written meanwhile.
struct Task {
    work: Work,
    read: Option<(u64, u64)>,
    /// What came of it, before the gateway has the word of it.
    done: Option<Done>,
}

#[derive(Default)]
struct Gateway {
    ledger: Ledger,
    tasks: Vec<Task>,
    /// What the watch has not told yet.
    watch: VecDeque<(u64, Value)>,
    /// How many of that belong to the reading of all keys; `None` when it is over.
    reading: Option<usize>,
    is_up: bool,
    has_session: bool,
    skew: u64,
}

struct World {
    rng: Xoshiro256PlusPlus,
    bucket: Bucket,
    gateways: Vec<Gateway>,
    /// Where the device is connected.
    at: Option<usize>,
    now: u64,
    comings: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut gateways: Vec<Gateway> = core::iter::repeat_with(Gateway::default).take(GATEWAYS).collect();
        gateways.iter_mut().for_each(|gateway| (gateway.is_up, gateway.skew) = (true, rng.next_u64() % 200));
        Self { rng, bucket: Bucket::default(), gateways, at: None, now: 1_000, comings: 0 }
    }

    fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(below).unwrap()).unwrap()
    }

    fn comes(&mut self, to: usize) {
        self.now += 1;
        self.comings += 1;
        self.at = Some(to);
        let gateway = &mut self.gateways[to];
        gateway.has_session = true;
        gateway.ledger.handle_arrival(&"m".into(), self.now + gateway.skew, gateway.is_up);
    }

    /// The session ends at a gateway.
    fn ends(&mut self, at: usize) {
        self.at = self.at.filter(|there| *there != at);
        let gateway = &mut self.gateways[at];
        if core::mem::replace(&mut gateway.has_session, false) {
            gateway.ledger.handle_departure("m");
        }
    }

    fn write(&mut self, value: Value) -> u64 {
        self.bucket.revision += 1;
        self.bucket.value = value;
        let entry = (self.bucket.revision, value);
        self.gateways.iter_mut().filter(|gateway| gateway.is_up).for_each(|gateway| gateway.watch.push_back(entry));
        entry.0
    }

    /// Whether there was something to do.
    fn begins(&mut self, at: usize) -> bool {
        let gateway = &mut self.gateways[at];
        let work = if gateway.is_up { gateway.ledger.poll_work() } else { None };
        let before = gateway.tasks.len();
        gateway.tasks.extend(work.map(|(_, work)| Task { work, read: None, done: None }));
        gateway.tasks.len() > before
    }

    /// One step of a work: `None` while it goes on.
    fn works(&mut self, at: usize, task: &mut Task) -> Option<Done> {
        match (task.work, task.read) {
            (Work::Release { revision }, _) => {
                if self.bucket.revision == revision {
                    self.write(None);
                }
                Some(Done::Released)
            }
            (Work::Claim { since, is_fresh }, None) => match self.bucket.value {
                Some((owner, since)) if owner == at => Some(Done::Claimed { revision: self.bucket.revision, since }),
                Some((_, other)) if !is_fresh && other >= since => Some(Done::Conceded { since: other }),
                Some((_, other)) => {
                    task.read = Some((self.bucket.revision, if is_fresh { since.max(other + 1) } else { since }));
                    None
                }
                None => {
                    task.read = Some((self.bucket.revision, since));
                    None
                }
            },
            (Work::Claim { .. }, Some((revision, _))) if self.bucket.revision != revision => {
                task.read = None;
                None
            }
            (Work::Claim { .. }, Some((_, since))) => {
                Some(Done::Claimed { revision: self.write(Some((at, since))), since })
            }
        }
    }

    fn goes_on(&mut self, at: usize, may_fail: bool) -> bool {
        if self.gateways[at].tasks.is_empty() {
            return false;
        }
        let place = self.below(self.gateways[at].tasks.len());
        let mut task = self.gateways[at].tasks.swap_remove(place);
        if let Some(done) = task.done {
            // It is done, and the word of it is lost.
            let done = if may_fail && self.below(8) == 0 { Done::Failed } else { done };
            let gone = self.gateways[at].ledger.handle_done(&"m".into(), done);
            self.let_go(at, gone);
        } else {
            task.done = self.works(at, &mut task);
            self.gateways[at].tasks.push(task);
        }
        true
    }

    fn tells(&mut self, at: usize) -> bool {
        let gateway = &mut self.gateways[at];
        let told = gateway.watch.pop_front();
        let gone = match told {
            Some((revision, Some((owner, _)))) if owner == at => {
                gateway.ledger.handle_own("m", revision);
                None
            }
            Some((revision, Some((_, since)))) => gateway.ledger.handle_other("m", revision, since),
            Some((revision, None)) => gateway.ledger.handle_none("m", revision),
            None => None,
        };
        if let Some(left) = &mut gateway.reading {
            *left = left.saturating_sub(1);
        }
        if gateway.reading.take_if(|left| *left == 0).is_some() {
            gateway.ledger.end_round();
        }
        self.let_go(at, gone);
        told.is_some()
    }

    fn let_go(&mut self, at: usize, gone: Option<LetGo>) {
        if gone.is_some() {
            self.ends(at);
        }
    }

    /// NATS goes, with what is under way, or comes back.
    fn turns(&mut self, at: usize) {
        if self.gateways[at].is_up {
            self.gateways[at].is_up = false;
            for mut task in core::mem::take(&mut self.gateways[at].tasks) {
                // What has left may arrive.
                if task.done.is_none() && self.below(2) == 0 {
                    let _unheard = self.works(at, &mut task);
                }
            }
            (self.gateways[at].watch, self.gateways[at].reading) = (VecDeque::new(), None);
            return;
        }
        let gateway = &mut self.gateways[at];
        gateway.is_up = true;
        gateway.ledger.begin_round();
        if self.bucket.revision > 0 {
            gateway.watch.push_back((self.bucket.revision, self.bucket.value));
        }
        gateway.reading = Some(gateway.watch.len());
        if gateway.watch.is_empty() {
            gateway.reading = None;
            gateway.ledger.end_round();
        }
    }

    fn acts(&mut self) {
        let at = self.below(GATEWAYS);
        match self.below(16) {
            0 => self.comes(at),
            1 if self.at != Some(at) => self.ends(at),
            2 => self.turns(at),
            3..=6 => drop(self.begins(at)),
            7..=11 => drop(self.goes_on(at, true)),
            _ => drop(self.tells(at)),
        }
    }

    /// All comes to rest; a device that is let go comes again.
    fn rests(&mut self, seed: u64) {
        for at in 0..GATEWAYS {
            if !self.gateways[at].is_up {
                self.turns(at);
            }
        }
        let before = self.comings;
        loop {
            let mut is_busy = false;
            for at in 0..GATEWAYS {
                is_busy |= self.begins(at) | self.goes_on(at, false) | self.tells(at);
            }
            if self.at.is_none() {
                let to = self.below(GATEWAYS);
                self.comes(to);
            } else if !is_busy {
                break;
            }
            assert!(self.comings - before < 20, "seed {seed}: it is thrown from gateway to gateway");
        }
    }
}

#[test]
fn whatever_happens_the_key_says_in_the_end_where_the_device_is() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        for _ in 0..10 {
            (0..30).for_each(|_| world.acts());
            world.rests(seed);
            let owner = world.bucket.value.map(|(owner, _)| owner);
            assert_eq!(owner, world.at, "seed {seed}");
            let here: Vec<bool> = world.gateways.iter().map(|gateway| !gateway.ledger.is_empty()).collect();
            assert_eq!(here, (0..GATEWAYS).map(|at| Some(at) == world.at).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}
