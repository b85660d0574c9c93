//! What those see who look at the fleet: a list in parts, one device, what has changed.

use super::Fleet;
use super::books::Books;
use super::device::Device;
use super::index::{News, Seen};
use super::rings::{Happened, LastFrame};
use super::row::{self, Row, Standing};
use core::ops::Bound;
use core::time::Duration;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// In so many looks each device is looked at that only keeps alive. Its last sign of life is told so much later.
const ROUND: usize = 15;

/// No two such looks are nearer than this, however many look.
const LOOK: Duration = Duration::from_millis(900);

/// How old a count may be for those who look again and again: all of them together count the fleet once in it.
const RECENT: Duration = Duration::from_millis(900);

/// What changed, ready to be told: first those that left.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<Arc<str>>,
    pub(crate) rows: Vec<Row>,
    /// Goes on from here.
    pub(crate) seen: Seen,
    /// There is more at once.
    pub(crate) more: bool,
}

/// One device with all that is known of it, newest first.
#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) row: Row,
    pub(crate) timeline: Vec<Happened>,
    pub(crate) frames: Vec<LastFrame>,
}

/// Which devices are wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: usize,
    pub(crate) state: Option<Standing>,
    /// A part of the id, in small or capital letters.
    pub(crate) search: Option<&'a str>,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// The last of them, when there are more behind it.
    pub(crate) next: Option<Arc<str>>,
    /// How many there are in all that fit.
    pub(crate) total: usize,
}

/// How many devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub(crate) connected: usize,
    pub(crate) disconnected: usize,
}

/// The round past those that only keep alive.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Who was looked at last.
    last: Option<Arc<str>>,
    at: Option<Instant>,
}

impl Fleet {
    /// One device.
    pub(crate) fn detail(&self, device: &str) -> Option<Detail> {
        let device = self.find(device)?;
        let row = Row::of(&device, &self.clock);
        Some(Detail { row, timeline: device.timeline(), frames: device.frames() })
    }

    /// A part of the list, in the order of the ids.
    pub(crate) fn list(&self, wanted: &Wanted<'_>) -> Page<Row> {
        self.part(wanted, |device| Row::of(device, &self.clock))
    }

    /// The books of the sessions of a part of the list.
    pub(crate) fn books(&self, wanted: &Wanted<'_>) -> Page<Books> {
        self.part(wanted, Books::of)
    }

    fn part<T>(&self, wanted: &Wanted<'_>, of: impl Fn(&Device) -> T) -> Page<T> {
        let search = wanted.search.map(str::to_lowercase);
        let room = wanted.limit.saturating_add(1);
        let (devices, total) = if search.is_none() && wanted.state.is_none() {
            let index = self.index();
            let after = wanted.after.map_or(Bound::Unbounded, Bound::Excluded);
            let behind = index.by_id.range::<str, _>((after, Bound::Unbounded)).map(|(_, device)| device);
            (behind.take(room).cloned().collect(), index.by_id.len())
        } else {
            // Not under the lock, which those wait for who bring devices: each is asked where it stands.
            let mut all: Vec<_> = self.index().by_id.values().cloned().collect();
            all.retain(|device| {
                search.as_ref().is_none_or(|search| device.id().to_lowercase().contains(search))
                    && wanted.state.is_none_or(|state| row::standing(device) == state)
            });
            let total = all.len();
            all.retain(|device| wanted.after.is_none_or(|after| **device.id() > *after));
            all.truncate(room);
            (all, total)
        };
        let shown = devices.get(..wanted.limit).unwrap_or(&devices);
        let next = shown.last().filter(|_| devices.len() > shown.len()).map(|device| Arc::clone(device.id()));
        Page { rows: shown.iter().map(|device| of(device)).collect(), next, total }
    }

    /// How many devices there are, by where they stand.
    pub(crate) fn census(&self) -> Census {
        let devices: Vec<_> = self.index().by_id.values().cloned().collect();
        let connected = devices.iter().filter(|device| row::standing(device) == Standing::Connected).count();
        Census { connected, disconnected: devices.len() - connected }
    }

    /// The same as it was not longer ago than a second, for those who look again and again.
    pub(crate) fn recent_census(&self) -> Census {
        let mut recent = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        match *recent {
            Some((at, census)) if at.elapsed() < RECENT => census,
            _ => recent.insert((Instant::now(), self.census())).1,
        }
    }

    /// Every device, to be looked at in pieces: up to `limit` behind `after`.
    pub(crate) fn news(&self, seen: Seen, limit: usize) -> Option<Changes> {
        self.go_round();
        self.put_in_order();
        let News { gone, changed, seen, more } = self.index().news(seen, limit)?;
        let rows = changed.iter().map(|device| Row::of(device, &self.clock)).collect();
        Some(Changes { gone, rows, seen, more })
    }

    /// Marks those of the next part of the fleet that were heard since they were told last, or stand elsewhere.
    fn go_round(&self) {
        let part: Vec<_> = {
            let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
            if round.at.is_some_and(|at| at.elapsed() < LOOK) {
                return;
            }
            round.at = Some(Instant::now());
            let index = self.index();
            let behind = round.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let count = index.by_id.len().div_ceil(ROUND);
            let part: Vec<_> = index
                .by_id
                .range::<str, _>((behind, Bound::Unbounded))
                .take(count)
                .map(|(_, device)| Arc::clone(device))
                .collect();
            // A part that is not full was the last one.
            round.last = part.last().filter(|_| part.len() == count).map(|device| Arc::clone(device.id()));
            part
        };
        for device in part.iter().filter(|device| device.is_other_than_told(&self.clock)) {
            self.mark(device);
        }
    }
}
