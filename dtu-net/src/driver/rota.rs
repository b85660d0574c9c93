//! The deadlines of connections that are far away. That of an idle connection is a minute away, and every PING moves it; a timer of the
//! runtime for it takes 128 bytes, and rings in vain. So whoever has time stands in a rota: once in a sweep it looks at those
//! whose round has come, moves them to a later round, and wakes those whose deadline is near: they set a timer of their own.

use super::now;
use super::shared::{Inner, Shared};
use crate::link::Role;
use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How long before its deadline a connection is woken, a second more or less. As late as that a sweep may come.
const NEAR: Duration = Duration::from_secs(5);

/// What is nearer is not taken: it would be woken again at once.
const FAR: Duration = Duration::from_secs(7);

/// How many rounds there are; whoever has more time is looked at in between.
const ROUNDS: u32 = 64;

/// The number of a round: in seconds since the rota began, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(NonZeroU32);

#[derive(Debug)]
pub(crate) struct Rota<R> {
    began: Instant,
    rounds: Mutex<Rounds<R>>,
}

#[derive(Debug)]
struct Rounds<R> {
    /// Who stands in the rounds from `next` on.
    waiting: VecDeque<Vec<Arc<Shared<R>>>>,
    next: Round,
}

impl<R: Role> Rota<R> {
    pub(crate) fn new() -> Self {
        Self { began: now(), rounds: Mutex::new(Rounds { waiting: VecDeque::new(), next: Round(NonZeroU32::MIN) }) }
    }

    fn lock(&self) -> MutexGuard<'_, Rounds<R>> {
        // Poison is no concern: no change of the rounds panics half-way.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn round(&self, at: Instant) -> Round {
        let seconds = at.saturating_duration_since(self.began).as_secs();
        Round(NonZeroU32::MIN.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// Whether it sees to `deadline`, under the lock of the session; then give it the session when `inner` says so.
    pub(crate) fn watches(&self, inner: &mut Inner<R>, now: Instant, deadline: Instant) -> Watched {
        if deadline.saturating_duration_since(now) < FAR {
            return Watched::No;
        }
        let round = self.round(deadline.checked_sub(NEAR).unwrap_or(now));
        match inner.round {
            Some(before) if before <= round => Watched::Already,
            // It stands in a round that comes too late for this one.
            Some(_) => Watched::No,
            None => Watched::From(self.enter(inner, round)),
        }
    }

    /// The round that it gets: not later than `round`.
    fn enter(&self, inner: &mut Inner<R>, round: Round) -> Round {
        let Round(next) = self.lock().next;
        let round = round.min(Round(next.saturating_add(ROUNDS - 1)));
        inner.round = Some(round);
        round
    }

    /// Takes a session into its round.
    pub(crate) fn take(&self, shared: Arc<Shared<R>>, round: Round) {
        let mut rounds = self.lock();
        let place = usize::try_from(round.0.get().saturating_sub(rounds.next.0.get())).unwrap_or(usize::MAX);
        if rounds.waiting.len() <= place {
            rounds.waiting.resize_with(place + 1, Vec::new);
        }
        if let Some(waiting) = rounds.waiting.get_mut(place) {
            waiting.push(shared);
        }
    }

    /// Looks at those whose round has come.
    pub(crate) fn sweep(&self) {
        let last = self.round(now());
        loop {
            let mut rounds = self.lock();
            if rounds.next > last {
                return;
            }
            rounds.next = Round(rounds.next.0.saturating_add(1));
            let waiting = rounds.waiting.pop_front().unwrap_or_default();
            drop(rounds);
            waiting.into_iter().for_each(|shared| self.look(shared));
        }
    }

    fn look(&self, shared: Arc<Shared<R>>) {
        let (woken, round) = shared.task(|inner, now| {
            inner.round = None;
            if !inner.link.is_live(inner.link.epoch()) {
                return (None, None);
            }
            match inner.link.poll_timeout().map(|(deadline, _)| self.watches(inner, now, deadline)) {
                Some(Watched::From(round)) => (None, Some(round)),
                Some(Watched::No | Watched::Already) | None => (inner.take_task(), None),
            }
        });
        if let Some(round) = round {
            self.take(shared, round);
        }
        if let Some(task) = woken {
            task.wake();
        }
    }
}

/// What a rota does about a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Nothing: it needs a timer.
    No,
    /// It looks at the session before.
    Already,
    /// It will, when it is given the session for this round.
    From(Round),
}

#[cfg(test)]
mod tests {
    use super::super::carriage::Carriage;
    use super::super::hub::Hub;
    use super::{Arc, Duration, FAR, NEAR, Rota, Shared, now};
    use crate::device::{Device, DeviceConfig};
    use crate::error::Cause;
    use crate::event::{Epoch, State};
    use crate::handshake::Handshake;
    use crate::limits::Limits;
    use crate::link::Link;
    use crate::server::Server;
    use crate::wire::Carrier;
    use dtu_proto::{Message, Native};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{interval, sleep};

    /// The session of a device that has just registered.
    fn registered(limits: Limits) -> (Arc<Shared<Server>>, Epoch) {
        let (at, limits) = (now(), Arc::new(limits));
        let mut device: Link<Device> = Link::device(DeviceConfig::new("m").expect("it is an id"), 2, 0, at);
        device.handle_timeout(at);
        let epoch = device.poll_connect().expect("it dials at once");
        device.handle_connected(epoch, at, Carrier::Stream);
        let mut bytes = Vec::new();
        while device.poll_transmit(epoch, at, &mut bytes) {}
        let mut handshake = Handshake::new(Arc::clone(&limits), Carrier::Stream, 0, at);
        handshake.handle_bytes(at, &bytes);
        let shared = Shared::new("m".into(), Link::server(limits, 1, at), Hub::new(1), at);
        let epoch = shared.task(|inner, at| inner.link.handle_registered(at, handshake)).expect("it is open");
        (shared, epoch)
    }

    /// A connection of it with a rota that is swept once a second, and the device's end.
    fn carried(limits: Limits) -> (Arc<Shared<Server>>, Arc<Rota<Server>>, DuplexStream) {
        let (rota, (shared, epoch)) = (Arc::new(Rota::new()), registered(limits));
        let (near, far) = tokio::io::duplex(4096);
        let carriage = Carriage::new(near, Arc::clone(&shared), epoch, Some(Arc::clone(&rota)));
        tokio::spawn(carriage);
        let sweeps = Arc::clone(&rota);
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                sweeps.sweep();
            }
        });
        (shared, rota, far)
    }

    fn ping() -> Vec<u8> {
        let mut frame = Vec::new();
        Native::new().encode_to(&Message::Ping { nonce: 7 }, &mut frame).expect("a PING fits a frame");
        frame
    }

    async fn down(shared: &Shared<Server>) -> (Duration, Option<Cause>) {
        let began = now();
        shared.wait(|inner| ((inner.last().state == State::Disconnected).then_some(()), false)).await;
        (now() - began, shared.application(|inner| (inner.last().cause, false)))
    }

    fn waiting(rota: &Rota<Server>) -> usize {
        rota.lock().waiting.iter().map(Vec::len).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_device_is_given_up_at_its_very_deadline_however_far_that_is() {
        for heartbeat in [1, 3, 4, 7, 30, 45, 100, 1000] {
            let limits = Limits { heartbeat: Duration::from_secs(heartbeat), ..Limits::default() };
            let (shared, rota, _device) = carried(limits);
            tokio::task::yield_now().await;
            let is_far = 2 * heartbeat >= FAR.as_secs();
            assert_eq!(waiting(&rota), usize::from(is_far), "heartbeat {heartbeat}");
            let (after, cause) = down(&shared).await;
            let limit = Duration::from_secs(2 * heartbeat);
            assert_eq!(cause, Some(Cause::Silent { limit }), "heartbeat {heartbeat}");
            assert!(after >= limit && after <= limit + Duration::from_millis(2), "{after:?}, heartbeat {heartbeat}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_gives_signs_of_life_stays_in_one_place_of_the_rota_and_is_not_woken() {
        let (shared, rota, mut device) = carried(Limits::default());
        for _ in 0..20 {
            sleep(Duration::from_secs(30)).await;
            device.write_all(&ping()).await.expect("there is room");
            while device.read(&mut [0; 256]).await.expect("it is open") == 0 {}
            assert_eq!(waiting(&rota), 1);
            // The connection's task sleeps, with a waker for the application: nobody has taken it.
            assert!(shared.task(|inner, _| inner.take_task()).is_some());
        }
        drop(device);
        assert_eq!(down(&shared).await.1, Some(Cause::Disconnected));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(waiting(&rota), 0, "who is gone stands there no more");
    }

    /// The rota looks at it too late for that.
    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_than_the_one_in_the_rota_is_kept_as_well() {
        let (heartbeat, inter_byte) = (Duration::from_secs(60), Duration::from_secs(20));
        let limits = Limits { heartbeat, inter_byte, ..Limits::default() };
        let (shared, rota, mut device) = carried(limits);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(waiting(&rota), 1);
        device.write_all(&ping()[..8]).await.expect("there is room");
        let abandoned =
            |shared: &Shared<Server>| shared.application(|inner| (inner.link.counters().line.abandoned.count, false));
        sleep(Duration::from_millis(19_990)).await;
        assert_eq!(abandoned(&shared), 0);
        sleep(Duration::from_millis(20)).await;
        assert_eq!(abandoned(&shared), 1);
        let (after, cause) = down(&shared).await;
        assert_eq!(cause, Some(Cause::Silent { limit: Duration::from_secs(120) }));
        assert!(after > Duration::from_secs(99) && after < Duration::from_secs(101), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_comes_late_looks_at_all_whose_round_it_was() {
        let rota: Rota<Server> = Rota::new();
        let (shared, _epoch) = registered(Limits::default());
        let deadline = shared.task(|inner, _| inner.link.poll_timeout()).expect("it has one").0;
        let watched = shared.task(|inner, at| rota.watches(inner, at, deadline));
        let super::Watched::From(round) = watched else { panic!("{watched:?}") };
        rota.take(Arc::clone(&shared), round);
        assert_eq!(shared.task(|inner, at| rota.watches(inner, at, deadline)), super::Watched::Already);
        tokio::time::advance(deadline - now() - NEAR - Duration::from_secs(2)).await;
        rota.sweep();
        assert_eq!(waiting(&rota), 1, "it is not its round yet");
        tokio::time::advance(Duration::from_secs(300)).await;
        rota.sweep();
        assert_eq!((waiting(&rota), shared.task(|inner, _| inner.round)), (0, None));
    }
}
