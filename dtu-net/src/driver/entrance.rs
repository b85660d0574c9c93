//! What a server has room for: the bounds at its door, and what each connection takes of them.

use super::now;
use crate::door::{Door, DoorLimits};
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use dtu_proto::message::{Datagram, Reason, Refuse, RefuseCode};
use dtu_proto::{Message, Native};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// What a device is told for which there is no room, and of which nobody knows when there will be; also when its key cannot
/// be looked up.
pub(crate) const FULL_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Connections that have been called and wait for their turn, at the most: enough that no processor is idle until more are called.
pub(crate) const CALLED: usize = 64;

/// A bound of a server at which it refuses a device as busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// [`max_connections`](super::ServerConfig::max_connections).
    Connections,
    /// [`max_per_address`](super::ServerConfig::max_per_address).
    Address,
    /// [`max_memory`](super::ServerConfig::max_memory).
    Memory,
    /// What can be served in time, or [`max_unidentified`](DoorLimits::max_unidentified).
    Unidentified,
    /// [`max_sessions`](super::ServerConfig::max_sessions).
    Sessions,
    /// [`flapping`](super::ServerConfig::flapping).
    Flapping,
}

impl Bound {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 6] =
        [Self::Connections, Self::Address, Self::Memory, Self::Unidentified, Self::Sessions, Self::Flapping];

    /// The bound as one word, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Unidentified => "unidentified",
            Self::Memory => "memory",
            Self::Sessions => "sessions",
            Self::Flapping => "flapping",
        }
    }
}

/// How many devices were refused as busy, by the bound that they met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TurnedAway([u64; Bound::ALL.len()]);

impl TurnedAway {
    /// How many met this bound.
    #[must_use]
    pub fn by(&self, bound: Bound) -> u64 {
        self.0[bound as usize]
    }

    /// How many met any.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// A refusal for want of room, and when to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) bound: Bound,
    pub(crate) retry_after: Duration,
}

impl Full {
    pub(crate) const fn new(bound: Bound) -> Self {
        Self { bound, retry_after: FULL_RETRY_AFTER }
    }

    /// The frame that says so; in a datagram with the stream that it named.
    pub(crate) fn frame(&self, stream: Option<u64>) -> Vec<u8> {
        let retry_after_ms = u32::try_from(self.retry_after.as_millis()).unwrap_or(u32::MAX);
        let reason = Reason::new(self.bound.name()).unwrap_or(Reason::EMPTY);
        let message = Message::Refuse(Refuse { code: RefuseCode::BUSY, retry_after_ms, reason });
        let (native, mut bytes) = (Native::new(), Vec::new());
        let encoded = match stream {
            None => native.encode_to(&message, &mut bytes),
            Some(stream) => native.encode_to(&Datagram { stream, message }, &mut bytes),
        };
        encoded.expect("a vector grows to the size of a REFUSE");
        bytes
    }
}

/// The door of a server, with the bounds on connections.
#[derive(Debug)]
pub(crate) struct Entrance {
    max_per_address: Option<usize>,
    inner: Mutex<Inner>,
    /// The sessions hold as much as they may; looked at once in a sweep.
    out_of_memory: AtomicBool,
    turned_away: [AtomicU64; Bound::ALL.len()],
    /// How many have been called and had no turn so far, and who shall hear when they are few.
    called: AtomicUsize,
    few: Notify,
}

#[derive(Debug)]
struct Inner {
    door: Door,
    max_connections: usize,
    connections: usize,
    /// Empty where there is no bound on them.
    addresses: HashMap<IpAddr, usize>,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    entrance: Arc<Entrance>,
    /// Where it came from, when there is a bound on that.
    address: Option<Box<IpAddr>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its first turn is the next thing that happens to it.
    Called,
    Waiting,
    UnderWay,
    In,
}

impl Entrance {
    pub(crate) fn new(max_connections: usize, max_per_address: Option<usize>, door: DoorLimits, now: Instant) -> Self {
        let (door, addresses) = (Door::new(door, now), HashMap::new());
        let inner = Mutex::new(Inner { door, max_connections, connections: 0, addresses });
        let (out_of_memory, turned_away) = (AtomicBool::new(false), Default::default());
        Self { max_per_address, inner, out_of_memory, turned_away, called: AtomicUsize::new(0), few: Notify::new() }
    }

    /// Takes nobody any more.
    pub(crate) fn close(&self) {
        self.lock().max_connections = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Poison is no concern: no change of the counts panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came from `address`.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        self.judge(address).inspect_err(|full| self.turn_away(full.bound))?;
        let address = self.max_per_address.map(|_| Box::new(address));
        Ok(Place { entrance: Arc::clone(self), address, stage: Stage::Waiting })
    }

    fn judge(&self, address: IpAddr) -> Result<(), Full> {
        let (mut inner, now) = (self.lock(), now());
        let judged = self.judge_by(&mut inner, address, now);
        if judged.is_err_and(|full| full.bound != Bound::Unidentified) {
            inner.door.handle_refused(now);
        }
        judged
    }

    fn judge_by(&self, inner: &mut Inner, address: IpAddr, now: Instant) -> Result<(), Full> {
        if inner.connections >= inner.max_connections {
            return Err(Full::new(Bound::Connections));
        }
        let known = inner.addresses.get(&address).copied().unwrap_or_default();
        if self.max_per_address.is_some_and(|most| known >= most) {
            return Err(Full::new(Bound::Address));
        }
        if self.out_of_memory.load(Ordering::Relaxed) {
            return Err(Full::new(Bound::Memory));
        }
        let arrived = inner.door.handle_arrival(now);
        arrived.map_err(|retry_after| Full { bound: Bound::Unidentified, retry_after })?;
        inner.connections += 1;
        if self.max_per_address.is_some() {
            *inner.addresses.entry(address).or_default() += 1;
        }
        Ok(())
    }

    /// Counts one that was refused for want of room.
    pub(crate) fn turn_away(&self, bound: Bound) {
        metrics::counter!("dtu_busy_total", "bound" => bound.name()).increment(1);
        self.turned_away[bound as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn turned_away(&self) -> TurnedAway {
        TurnedAway(self.turned_away.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_out_of_memory(&self, out_of_memory: bool) {
        self.out_of_memory.store(out_of_memory, Ordering::Relaxed);
    }

    /// Until when nobody is to be accepted; see [`Door::refuses_from`].
    pub(crate) fn refuses_from(&self) -> Option<Instant> {
        self.lock().door.refuses_from(now())
    }

    /// How many have been called and had no turn so far.
    pub(crate) fn called(&self) -> usize {
        self.called.load(Ordering::Relaxed)
    }

    /// Waits until half of [`CALLED`] are left of those that have been called. For one listener, which hears later of what came when it
    /// did not listen.
    pub(crate) async fn few_are_called(&self) {
        self.few.notified().await;
    }

    /// How many connections there are, and how many of them are not identified.
    pub(crate) fn count(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.connections, inner.door.unidentified())
    }
}

impl Place {
    /// It shall have its first turn as soon as those that were called before have had theirs.
    pub(crate) fn call(&mut self) {
        if self.stage == Stage::Waiting {
            self.stage = Stage::Called;
            self.entrance.called.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The server works on it now; what it waits for from now on is its peer.
    pub(crate) fn begin(&mut self) {
        if self.stage == Stage::Called {
            self.stage = Stage::Waiting;
            if self.entrance.called.fetch_sub(1, Ordering::Relaxed) == CALLED / 2 + 1 {
                self.entrance.few.notify_one();
            }
        }
        if self.stage == Stage::Waiting {
            self.stage = Stage::UnderWay;
            self.entrance.lock().door.handle_turn(now());
        }
    }

    /// It waits for this side again.
    pub(crate) fn wait(&mut self) {
        if self.stage == Stage::UnderWay {
            self.stage = Stage::Waiting;
            self.entrance.lock().door.handle_wait(now());
        }
    }

    /// Its device is in.
    pub(crate) fn admit(&mut self) {
        self.begin();
        if self.stage == Stage::UnderWay {
            self.stage = Stage::In;
            self.entrance.lock().door.handle_served(now());
        }
    }

    /// Its device is not let in; it only leaves.
    pub(crate) fn refuse(&mut self) {
        self.begin();
        if self.stage == Stage::UnderWay {
            self.stage = Stage::In;
            self.entrance.lock().door.handle_left(now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.refuse();
        let mut inner = self.entrance.lock();
        inner.connections = inner.connections.saturating_sub(1);
        if let Some(address) = &self.address
            && let Entry::Occupied(mut known) = inner.addresses.entry(**address)
        {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::REFUSED_AT_ONCE;
    use core::net::Ipv4Addr;

    fn entrance(max_connections: usize, max_per_address: Option<usize>) -> Arc<Entrance> {
        let mut door = DoorLimits::default();
        (door.max_unidentified, door.min_waiting, door.initial_rate) = (4, 2, 1);
        Arc::new(Entrance::new(max_connections, max_per_address, door, now()))
    }

    fn address(host: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, host).into()
    }

    fn waiting(entrance: &Entrance) -> usize {
        entrance.lock().door.waiting()
    }

    fn bound(entered: Result<Place, Full>) -> Option<Bound> {
        entered.err().map(|full| full.bound)
    }

    #[test]
    fn each_bound_refuses_by_its_name_and_a_place_that_is_left_is_free() {
        let entrance = entrance(3, Some(2));
        let mut places: Vec<Place> = (0..2).map(|_| entrance.enter(address(1)).expect("room")).collect();
        assert_eq!(bound(entrance.enter(address(1))), Some(Bound::Address));
        assert_eq!(bound(entrance.enter(address(2))), Some(Bound::Unidentified));
        places.iter_mut().for_each(Place::begin);
        entrance.set_out_of_memory(true);
        assert_eq!(bound(entrance.enter(address(2))), Some(Bound::Memory));
        entrance.set_out_of_memory(false);
        places.push(entrance.enter(address(2)).expect("room"));
        assert_eq!(bound(entrance.enter(address(3))), Some(Bound::Connections));
        assert_eq!((entrance.count(), entrance.turned_away().total()), ((3, 3), 4));
        for of in [Bound::Connections, Bound::Address, Bound::Unidentified, Bound::Memory] {
            assert_eq!(entrance.turned_away().by(of), 1, "{of:?}");
        }
        places[0].admit();
        assert_eq!(entrance.count(), (3, 2));
        places.clear();
        assert_eq!(entrance.count(), (0, 0));
        assert_eq!(entrance.lock().addresses.len(), 0);
        assert_eq!(bound(entrance.enter(address(1))), None);
    }

    #[test]
    fn who_is_in_or_refused_or_waits_again_is_counted_once() {
        let entrance = entrance(8, None);
        let mut place = entrance.enter(address(1)).expect("room");
        place.begin();
        place.begin();
        place.wait();
        assert_eq!((waiting(&entrance), entrance.count()), (1, (1, 1)));
        place.admit();
        place.wait();
        place.refuse();
        assert_eq!((waiting(&entrance), entrance.count()), (0, (1, 0)));
        let mut refused = entrance.enter(address(1)).expect("room");
        refused.refuse();
        refused.admit();
        assert_eq!(entrance.count(), (2, 0));
        drop((place, refused));
        assert_eq!(entrance.count(), (0, 0));
    }

    #[test]
    fn who_is_called_has_one_turn_and_half_of_them_left_are_told_once() {
        let entrance = Arc::new(Entrance::new(1_000, None, DoorLimits::default(), now()));
        let mut places: Vec<Place> = (0..CALLED + 1).map(|_| entrance.enter(address(1)).expect("room")).collect();
        let told = |entrance: &Entrance| {
            let mut told = core::pin::pin!(entrance.few_are_called());
            told.as_mut().poll(&mut core::task::Context::from_waker(core::task::Waker::noop())).is_ready()
        };
        let uncalled = places.pop().expect("one more than are called");
        places.iter_mut().for_each(Place::call);
        places.iter_mut().for_each(Place::call);
        assert_eq!((entrance.called(), waiting(&entrance), told(&entrance)), (CALLED, CALLED + 1, false));
        let half = places.split_off(CALLED / 2 + 1);
        for mut place in half {
            place.begin();
            place.begin();
        }
        drop(uncalled);
        assert_eq!((entrance.called(), told(&entrance)), (CALLED / 2 + 1, false));
        places.pop();
        assert_eq!((entrance.called(), told(&entrance), told(&entrance)), (CALLED / 2, true, false));
        drop(places);
        assert_eq!((entrance.called(), entrance.count(), told(&entrance)), (0, (0, 0), false));
    }

    #[test]
    fn a_refusal_at_any_bound_takes_its_part_of_the_time() {
        let entrance = entrance(0, None);
        let refused = (0..2 * REFUSED_AT_ONCE).find(|_| {
            assert_eq!(bound(entrance.enter(address(1))), Some(Bound::Connections));
            entrance.refuses_from().is_some()
        });
        assert!(refused >= Some(REFUSED_AT_ONCE), "{refused:?}");
    }
}
