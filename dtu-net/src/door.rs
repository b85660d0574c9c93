//! How many connections a server lets wait for it, and when it tells the rest to come again. No IO.
//!
//! After an outage a whole fleet comes at once, and a device that waits for longer than its patience gives up and comes again:
//! a server that takes them all works for peers that are gone. So as many wait as can be served in time, which is the rate
//! at which they are served (measured) times their patience, and each of the others gets an appointment: the time of its place behind
//! all that were told before, at that rate. The devices keep it ([`Delays::next_at_least`]), so the server is neither
//! overrun nor idle until all are back.
//!
//! ```text
//!   arrival ──> waiting for the server ── turn ──> under way: the peer's word is awaited ── served ──> in
//!      │           (at most `limit`)  <── wait ──      └── left: gave up, too slow, not let in
//!      └──> REFUSE with its appointment
//! ```
//!
//! | | rule |
//! |---|---|
//! | rate | counted in windows of [`WINDOW`]. A window in which always somebody waited shows what the server can do, and the estimate goes halfway down to it, or up to it at once; any other shows only what was asked for, and can only raise it |
//! | limit | rate × patience, from `min_waiting` to `max_unidentified`. Who is under way does not count: a slow network is not a slow server |
//! | appointments | one place each `1 / rate`, behind those that wait; a third denser: who comes too early costs one more REFUSE, an idle server costs everybody time, and devices come up to an eighth late. What refusing takes is added to the measured rate, as nobody is to be refused by then. When the queue runs low before the appointments do, they are not kept, and half of the time is given anew |
//!
//! [`Delays::next_at_least`]: crate::backoff::Delays::next_at_least

use core::mem;
use core::time::Duration;
use std::time::Instant;

/// How long a connection may wait for the server at a time; see [`DoorLimits::patience`]. A fifth of
/// [`IDENTIFY`](crate::limits::IDENTIFY): with TLS and a proof a device waits four times.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The registrations a second that a server counts on before it has measured any. A slower one finds out within some windows.
pub const INITIAL_RATE: u32 = 4_000;

/// How many may wait however slow it goes: enough to measure by.
pub const MIN_WAITING: usize = 64;

/// How many connections may be unidentified at a time, waiting or under way: as many as a server takes at all by default, so that
/// of a fleet at once nobody is refused who can be served in time.
pub const MAX_UNIDENTIFIED: usize = 16_384;

/// The longest appointment. What is behind it, nobody can know.
pub const HINT_MAX: Duration = Duration::from_secs(300);

/// Over how long the rate is counted.
pub const WINDOW: Duration = Duration::from_millis(500);

/// No registration takes less, in nanoseconds.
const SHORTEST: u64 = 1_000;

/// The part of the time between two appointments that is left out.
const DENSER: u64 = 3;

/// What a REFUSE is taken to cost, in nanoseconds of the server's time: accept, write, close. A round number, not a measurement. It
/// counts for the appointments only, not for how many may wait.
const REFUSE_COST: u64 = 50_000;

/// At least this part of a window counts as time for those that were served, however many were refused.
const SERVING: u64 = 8;

/// A queue below this part of its limit runs low.
const LOW: usize = 4;

/// The bounds of a [`Door`]. Start from `DoorLimits::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DoorLimits {
    /// How long a connection may wait for the server at a time. Well below the time after which the devices give up, their
    /// limit [`identify`](crate::Limits::identify).
    pub patience: Duration,
    /// See [`INITIAL_RATE`]; 0 counts as 1.
    pub initial_rate: u32,
    /// See [`MIN_WAITING`]; 0 counts as 1.
    pub min_waiting: usize,
    /// See [`MAX_UNIDENTIFIED`].
    pub max_unidentified: usize,
    /// See [`HINT_MAX`].
    pub hint_max: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            initial_rate: INITIAL_RATE,
            min_waiting: MIN_WAITING,
            max_unidentified: MAX_UNIDENTIFIED,
            hint_max: HINT_MAX,
        }
    }
}

/// Who waits at a server, and how fast they are served. See the [module](self).
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use dtu_net::door::{Door, DoorLimits};
/// # let now = std::time::Instant::now();
///
/// let mut limits = DoorLimits::default();
/// limits.initial_rate = 100; // so 200 may wait for 2 s
/// let mut door = Door::new(limits, now);
/// for _ in 0..200 {
///     assert_eq!(door.handle_arrival(now), Ok(()));
/// }
/// // The next one shall come when they are through, and the one behind it two thirds of a hundredth of a second later.
/// assert_eq!(door.handle_arrival(now), Err(Duration::from_nanos(2_006_666_667)));
/// assert_eq!(door.handle_arrival(now), Err(Duration::from_nanos(2_013_333_334)));
/// ```
#[derive(Debug)]
pub struct Door {
    limits: DoorLimits,
    /// The time that one registration takes, in nanoseconds.
    interval: u64,
    /// The same when nobody is to be refused.
    undisturbed: u64,
    waiting: usize,
    under_way: usize,
    /// The appointment given last.
    turn: Instant,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    served: u64,
    /// The queue ran low at some time in it, or nobody waited at all.
    ran_low: bool,
    ran_empty: bool,
    refused: u64,
}

impl Door {
    /// A door at which nobody waits.
    #[must_use]
    pub fn new(limits: DoorLimits, now: Instant) -> Self {
        let interval = (1_000_000_000 / u64::from(limits.initial_rate.max(1))).max(SHORTEST);
        let window = Window { began: now, served: 0, ran_low: true, ran_empty: true, refused: 0 };
        Self { limits, interval, undisturbed: interval, waiting: 0, under_way: 0, turn: now, window }
    }

    /// A connection came, and waits from now on.
    ///
    /// # Errors
    ///
    /// There is no place; how long it shall stay away, never zero.
    pub fn handle_arrival(&mut self, now: Instant) -> Result<(), Duration> {
        self.roll(now);
        if self.waiting >= self.limit() || self.unidentified() >= self.limits.max_unidentified {
            return Err(self.appoint(now));
        }
        self.waiting += 1;
        Ok(())
    }

    /// The server works on one that waited: from now on it waits for its peer.
    pub fn handle_turn(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        self.under_way += 1;
        self.roll(now);
    }

    /// One that was under way waits for the server again.
    pub fn handle_wait(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.waiting += 1;
        self.roll(now);
    }

    /// One that was under way is in.
    pub fn handle_served(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.window.served += 1;
        self.roll(now);
    }

    /// One that was under way has given up, ran out of time, or was not let in.
    pub fn handle_left(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.roll(now);
    }

    /// How many wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many are connected and not in: they wait, or are under way.
    #[must_use]
    pub const fn unidentified(&self) -> usize {
        self.waiting + self.under_way
    }

    /// How many may wait.
    #[must_use]
    pub fn limit(&self) -> usize {
        let limit = usize::try_from(nanos(self.limits.patience) / self.interval).unwrap_or(usize::MAX);
        limit.min(self.limits.max_unidentified).max(self.limits.min_waiting).max(1)
    }

    /// How many registrations a second it counts on.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        1_000_000_000 / self.interval
    }

    /// Gives the place behind all others.
    fn appoint(&mut self, now: Instant) -> Duration {
        let waiting = u64::try_from(self.waiting).unwrap_or(u64::MAX);
        let through = now + Duration::from_nanos(self.undisturbed.saturating_mul(waiting)).min(self.limits.hint_max);
        self.window.refused += 1;
        let next = Duration::from_nanos(self.undisturbed - self.undisturbed / DENSER);
        self.turn = (self.turn.max(through) + next).min(now + self.limits.hint_max);
        // Zero would be no appointment.
        self.turn.saturating_duration_since(now).max(Duration::from_millis(1))
    }

    /// Ends a window that has lasted long enough.
    fn roll(&mut self, now: Instant) {
        let runs_low = self.waiting < self.limit().div_ceil(LOW);
        self.window.ran_low |= runs_low;
        self.window.ran_empty |= self.waiting == 0;
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < WINDOW {
            return;
        }
        let next = Window { began: now, served: 0, ran_low: runs_low, ran_empty: self.waiting == 0, refused: 0 };
        let Window { served, ran_low, ran_empty, refused, .. } = mem::replace(&mut self.window, next);
        let all = nanos(elapsed);
        let serving = all.saturating_sub(refused.saturating_mul(REFUSE_COST)).max(all / SERVING);
        for (interval, time) in [(&mut self.interval, all), (&mut self.undisturbed, serving)] {
            let measured = (time / served.max(1)).max(SHORTEST);
            if !ran_empty && measured > *interval {
                *interval = interval.midpoint(measured);
            } else if served > 0 {
                *interval = (*interval).min(measured);
            }
        }
        if ran_low {
            self.turn = now + self.turn.saturating_duration_since(now) / 2;
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
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
        // Ten a millisecond are refused for 50 us each: half of the time is left for those that wait.
        scene.run(5_000, 4 * MILLISECOND, 10);
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
}
