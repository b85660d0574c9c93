//! Which devices there are, by their ids and by when they changed last.
//!
//! Each change has a number. A device stands at the number of its last change, so who has seen everything up to some number finds
//! what is new behind it, however long he was away, and each device once. Those that left stand in a list of their own.

use super::device::Device;
use core::ops::Bound;
use core::sync::atomic::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Ids of devices that left which are remembered for who looks for changes. Who has missed some of more has to begin anew.
pub(crate) const GONE: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) by_id: BTreeMap<Arc<str>, Arc<Device>>,
    by_change: BTreeMap<u64, Arc<Device>>,
    gone: VecDeque<(u64, Arc<str>)>,
    /// The change of the last one that is forgotten.
    forgotten: u64,
    last_change: u64,
}

/// How far somebody has followed: first not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    changed: u64,
    /// Who has seen nobody misses nobody who left before.
    gone: Option<u64>,
}

/// What is new. Those that left come first: one of them may have come again.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) gone: Vec<Arc<str>>,
    pub(super) changed: Vec<Arc<Device>>,
    pub(super) seen: Seen,
    /// There is more.
    pub(super) more: bool,
}

impl Index {
    /// Puts a device in, and returns the one that had its id.
    pub(super) fn enter(&mut self, device: Arc<Device>) -> Option<Arc<Device>> {
        let before = self.by_id.insert(Arc::clone(device.id()), Arc::clone(&device));
        if let Some(before) = &before {
            self.by_change.remove(&before.change.load(Ordering::Relaxed));
        }
        self.changed(&device);
        before
    }

    /// The device has changed; one that is not in here does not come in by it.
    pub(super) fn changed(&mut self, device: &Arc<Device>) {
        if !self.has(device) {
            return;
        }
        self.last_change += 1;
        let before = device.change.swap(self.last_change, Ordering::Relaxed);
        self.by_change.remove(&before);
        self.by_change.insert(self.last_change, Arc::clone(device));
    }

    fn has(&self, device: &Arc<Device>) -> bool {
        self.by_id.get(&**device.id()).is_some_and(|found| Arc::ptr_eq(found, device))
    }

    /// Takes it out, unless another has its id by now. Returns whether it did.
    pub(super) fn leave(&mut self, device: &Arc<Device>) -> bool {
        if !self.has(device) {
            return false;
        }
        self.by_id.remove(&**device.id());
        self.by_change.remove(&device.change.load(Ordering::Relaxed));
        self.last_change += 1;
        if self.gone.len() == GONE
            && let Some((change, _)) = self.gone.pop_front()
        {
            self.forgotten = change;
        }
        self.gone.push_back((self.last_change, Arc::clone(device.id())));
        true
    }

    /// Up to `limit` of those that left, and of those that changed, behind `seen`. `None` where some that left are forgotten: begin
    /// anew then.
    pub(super) fn news(&self, seen: Seen, limit: usize) -> Option<News> {
        let gone_from = seen.gone.unwrap_or(self.last_change);
        if gone_from < self.forgotten {
            return None;
        }
        let mut left = self.gone.range(self.gone.partition_point(|(change, _)| *change <= gone_from)..);
        let gone: Vec<_> = left.by_ref().take(limit).collect();
        let more_gone = left.next().is_some();
        // What changed behind those that are told later is told with them.
        let gone_up_to = gone.last().map(|(change, _)| *change).filter(|_| more_gone).unwrap_or(self.last_change);
        let behind = (Bound::Excluded(seen.changed), Bound::Included(gone_up_to.max(seen.changed)));
        let mut changes = if gone_up_to > seen.changed { self.by_change.range(behind) } else { Default::default() };
        let changed: Vec<_> = changes.by_ref().take(limit).collect();
        let more_changed = changes.next().is_some();
        let changed_up_to = changed.last().map(|(change, _)| **change).filter(|_| more_changed).unwrap_or(gone_up_to);
        Some(News {
            gone: gone.into_iter().map(|(_, id)| Arc::clone(id)).collect(),
            changed: changed.into_iter().map(|(_, device)| Arc::clone(device)).collect(),
            seen: Seen { changed: changed_up_to.max(seen.changed), gone: Some(gone_up_to) },
            more: more_gone || more_changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn device(id: &str) -> Arc<Device> {
        Arc::new(Device::played(id))
    }

    /// What somebody sees who follows the changes in pieces of `limit`.
    fn follow(index: &Index, seen: &mut Seen, limit: usize, here: &mut BTreeSet<Arc<str>>) {
        loop {
            let news = index.news(*seen, limit).expect("nothing is forgotten");
            assert!(news.changed.len() <= limit && news.gone.len() <= limit);
            here.retain(|id| !news.gone.contains(id));
            here.extend(news.changed.iter().map(|device| Arc::clone(device.id())));
            *seen = news.seen;
            if !news.more {
                break;
            }
        }
    }

    #[test]
    fn who_follows_sees_what_is_there_in_whatever_pieces() {
        for limit in [1, 2, 3, 7, 1000] {
            let (mut index, mut state) = (Index::default(), 12_345_u64);
            let (mut seen, mut here) = (Seen::default(), BTreeSet::new());
            for step in 0..2000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let id = format!("d{}", (state >> 33) % 40);
                let found = index.by_id.get(&*id).cloned();
                match (found, (state >> 60) % 3) {
                    (None, _) => drop(index.enter(device(&id))),
                    (Some(found), 0) => assert!(index.leave(&found)),
                    (Some(found), _) => index.changed(&found),
                }
                if (state >> 40).is_multiple_of(5) {
                    follow(&index, &mut seen, limit, &mut here);
                    let there: BTreeSet<_> = index.by_id.keys().cloned().collect();
                    assert_eq!(here, there, "pieces of {limit}, step {step}");
                    assert_eq!(index.by_change.len(), index.by_id.len());
                }
            }
        }
    }

    #[test]
    fn a_device_that_changed_often_is_told_once() {
        let mut index = Index::default();
        let one = device("one");
        index.enter(Arc::clone(&one));
        (0..5).for_each(|_| index.changed(&one));
        let news = index.news(Seen::default(), 10).unwrap();
        assert_eq!((news.changed.len(), news.more), (1, false));
        assert!(index.news(news.seen, 10).unwrap().changed.is_empty());
    }

    #[test]
    fn who_was_away_too_long_begins_anew() {
        let mut index = Index::default();
        let stays = device("stays");
        index.enter(Arc::clone(&stays));
        let first = index.news(Seen::default(), 10).unwrap().seen;
        for number in 0..=GONE {
            let leaves = device(&number.to_string());
            index.enter(Arc::clone(&leaves));
            index.leave(&leaves);
        }
        assert!(index.news(first, 10).is_none());
        let news = index.news(Seen::default(), 10).unwrap();
        assert_eq!((news.gone.len(), news.changed.len()), (0, 1));
        assert!(index.news(news.seen, 10).is_some());
    }

    #[test]
    fn a_device_that_has_been_followed_by_another_does_not_take_it_along() {
        let mut index = Index::default();
        let (first, second) = (device("one"), device("one"));
        index.enter(Arc::clone(&first));
        assert!(index.enter(Arc::clone(&second)).is_some());
        assert!(!index.leave(&first));
        index.changed(&first);
        assert!(Arc::ptr_eq(&index.news(Seen::default(), 10).unwrap().changed[0], &second));
        assert!(index.leave(&second));
    }
}
