//! Which devices this gateway has, and what is to be done about their keys. No clock, no IO.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Devices by id. There are as many as the gateway has sessions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    devices: HashMap<Arc<str>, Device>,
    /// Those about whose key something is to be done, each once.
    due: VecDeque<Arc<str>>,
    /// The reading of all keys that is under way, or was last.
    round: u64,
}

#[derive(Debug)]
struct Device {
    /// When it came, in unix milliseconds, and later than when whoever had it before says that it came.
    since: u64,
    /// Of the key while it says that the device is here; 0 otherwise.
    revision: u64,
    /// In which reading of all keys it was seen last.
    seen: u64,
    stage: Stage,
    /// What its key was heard to say while it was worked on: since which revision, and since when another has the device.
    news: Option<(u64, u64)>,
    is_wanted: bool,
    /// It came while NATS was there: the last who comes has it. Who came while NATS was away has it if nobody says that it came
    /// later.
    is_fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Settled,
    /// It stands in `due`.
    Due,
    /// It is worked on.
    Busy,
}

/// Something to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Claim { since: u64, is_fresh: bool },
    Release { revision: u64 },
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Claimed {
        revision: u64,
        since: u64,
    },
    /// Another gateway has had the device since then, which is later.
    Conceded {
        since: u64,
    },
    /// Also when the key was another's already.
    Released,
    /// It is to be tried again.
    Failed,
}

/// The device is another gateway's now, and is to be let go here.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct LetGo;

impl Ledger {
    /// The device has connected, for the first time or again. `is_fresh`: NATS is there.
    pub(super) fn handle_arrival(&mut self, id: &Arc<str>, now: u64, is_fresh: bool) {
        match self.devices.entry(Arc::clone(id)) {
            Entry::Vacant(place) => {
                let device = Device {
                    since: now,
                    revision: 0,
                    seen: 0,
                    stage: Stage::Due,
                    news: None,
                    is_wanted: true,
                    is_fresh,
                };
                place.insert(device);
                self.due.push_back(Arc::clone(id));
            }
            Entry::Occupied(mut place) => {
                let device = place.get_mut();
                device.since = now.max(device.since + 1);
                device.is_fresh = is_fresh;
                device.is_wanted = true;
            }
        }
    }

    /// Its session is over.
    pub(super) fn handle_departure(&mut self, id: &str) {
        let Some((id, device)) = self.devices.get_key_value(id).map(|(id, _)| Arc::clone(id)).and_then(|id| {
            let device = self.devices.get_mut(&id)?;
            Some((id, device))
        }) else {
            return;
        };
        device.is_wanted = false;
        if device.stage == Stage::Settled {
            device.stage = Stage::Due;
            self.due.push_back(id);
        }
    }

    /// All sessions are over.
    pub(super) fn handle_end(&mut self) {
        let ids: Vec<_> = self.devices.keys().cloned().collect();
        ids.iter().for_each(|id| self.handle_departure(id));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// The next thing to do; what comes of it goes to [`handle_done`](Self::handle_done).
    #[must_use]
    pub(super) fn poll_work(&mut self) -> Option<(Arc<str>, Work)> {
        while let Some(id) = self.due.pop_front() {
            // One that was forgotten meanwhile, and came again, stands in here twice.
            let due = self.devices.get_mut(&id).filter(|device| device.stage == Stage::Due);
            let Some(device) = due else { continue };
            let work = match (device.is_wanted, device.revision) {
                (true, 0) => Work::Claim { since: device.since, is_fresh: device.is_fresh },
                // It came back before its key was given up.
                (true, _) => {
                    device.stage = Stage::Settled;
                    continue;
                }
                (false, 0) => {
                    self.devices.remove(&id);
                    continue;
                }
                (false, revision) => Work::Release { revision },
            };
            device.stage = Stage::Busy;
            return Some((id, work));
        }
        None
    }

    pub(super) fn handle_done(&mut self, id: &Arc<str>, done: Done) -> Option<LetGo> {
        let device = self.devices.get_mut(id)?;
        let news = device.news.take();
        match done {
            Done::Claimed { revision, since } => {
                device.revision = device.revision.max(revision);
                device.since = device.since.max(since);
                device.is_fresh = false;
                device.stage = Stage::Settled;
                if !device.is_wanted {
                    self.again(id);
                }
                // The word of the claim may come behind that of a claim by another, which was later.
                news.and_then(|(revision, since)| self.handle_other(id, revision, since))
            }
            // It has come here again meanwhile.
            Done::Conceded { since } if device.is_wanted && device.since > since => {
                self.again(id);
                None
            }
            Done::Conceded { .. } => {
                let was_wanted = device.is_wanted;
                self.devices.remove(id);
                was_wanted.then_some(LetGo)
            }
            Done::Released if device.is_wanted => {
                device.revision = 0;
                self.again(id);
                None
            }
            Done::Released => {
                self.devices.remove(id);
                None
            }
            Done::Failed => {
                device.is_fresh = false;
                self.again(id);
                // A key that was to be given up may be another's by now.
                news.and_then(|(revision, since)| self.handle_other(id, revision, since))
            }
        }
    }

    fn again(&mut self, id: &Arc<str>) {
        if let Some(device) = self.devices.get_mut(id) {
            device.stage = Stage::Due;
            self.due.push_back(Arc::clone(id));
        }
    }

    /// The key says, since `revision`, that the device is here.
    pub(super) fn handle_own(&mut self, id: &str, revision: u64) {
        let round = self.round;
        if let Some(device) = self.devices.get_mut(id) {
            device.seen = round;
            // What is under way says itself what came of it.
            if device.stage != Stage::Busy && device.revision != 0 {
                device.revision = device.revision.max(revision);
            }
        }
    }

    /// The key says, since `revision`, that another gateway has the device, and has had it since then.
    pub(super) fn handle_other(&mut self, id: &str, revision: u64, since: u64) -> Option<LetGo> {
        let (id, device) = self.held(id, revision, since)?;
        device.revision = 0;
        device.is_fresh = false;
        if device.is_wanted && device.since > since {
            // It came here later than there, while NATS was away.
            if device.stage == Stage::Settled {
                self.again(&id);
            }
            return None;
        }
        let was_wanted = device.is_wanted;
        self.devices.remove(&id);
        was_wanted.then_some(LetGo)
    }

    /// The key is gone since `revision`, by another hand.
    pub(super) fn handle_none(&mut self, id: &str, revision: u64) -> Option<LetGo> {
        // Nobody has had it since before all others.
        self.handle_other(id, revision, 0)
    }

    /// A device whose key was ours until `revision`. What is worked on keeps the news for later.
    fn held(&mut self, id: &str, revision: u64, since: u64) -> Option<(Arc<str>, &mut Device)> {
        let id = Arc::clone(self.devices.get_key_value(id)?.0);
        let device = self.devices.get_mut(&id)?;
        if device.stage == Stage::Busy {
            let is_newer = device.news.is_none_or(|(before, _)| before < revision);
            if is_newer {
                device.news = Some((revision, since));
            }
            return None;
        }
        (device.revision != 0 && device.revision < revision).then_some((id, device))
    }

    /// All keys are read from now on; whoever was worked on before is not any more.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
        for (id, device) in &mut self.devices {
            if device.stage == Stage::Busy {
                device.stage = Stage::Due;
                device.news = None;
                device.is_fresh = false;
                self.due.push_back(Arc::clone(id));
            }
        }
    }

    /// All keys were read: those of ours that were not among them are gone.
    pub(super) fn end_round(&mut self) {
        for (id, device) in &mut self.devices {
            if device.revision != 0 && device.seen != self.round && device.stage != Stage::Busy {
                device.revision = 0;
                device.is_fresh = false;
                if device.stage == Stage::Settled {
                    device.stage = Stage::Due;
                    self.due.push_back(Arc::clone(id));
                }
            }
        }
    }
}

#[cfg(test)]
mod races;
#[cfg(test)]
mod tests;
