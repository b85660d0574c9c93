//! When a connection is cut and when it stalls, and how the cut is told.

use super::draw::{Draw, Purpose};
use super::plan::{Plan, Stall};
use core::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What a schedule says about now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Bytes pass.
    Passing,
    /// Nothing passes.
    Stalled {
        /// Whether this stall was not told yet.
        begins: bool,
    },
    /// The connection is cut. Said until [`Schedule::cut_again`].
    Cut,
}

/// The cuts and stalls of one connection.
#[derive(Debug)]
pub(super) struct Schedule {
    cuts: Option<Cuts>,
    stalls: Option<Stalls>,
}

#[derive(Debug)]
struct Cuts {
    draw: Draw,
    mean: Duration,
    next: Instant,
}

#[derive(Debug)]
struct Stalls {
    draw: Draw,
    stall: Stall,
    /// When the next one begins, or this one ends.
    next: Instant,
    stalled: bool,
}

impl Schedule {
    pub(super) fn new(plan: &Plan, connection: u64, now: Instant) -> Self {
        let cuts = plan.cut_every.map(|mean| {
            let mut draw = Draw::new(plan.seed, connection, Purpose::Cut);
            let next = now + draw.about(mean);
            Cuts { draw, mean, next }
        });
        let stalls = plan.stall.map(|stall| {
            let mut draw = Draw::new(plan.seed, connection, Purpose::Stall);
            let next = now + draw.about(stall.every);
            Stalls { draw, stall, next, stalled: false }
        });
        Self { cuts, stalls }
    }

    /// What is now. A cut goes before a stall.
    pub(super) fn poll(&mut self, now: Instant) -> Moment {
        if self.cuts.as_ref().is_some_and(|cuts| cuts.next <= now) {
            return Moment::Cut;
        }
        let Some(stalls) = &mut self.stalls else { return Moment::Passing };
        if stalls.next > now {
            return if stalls.stalled { Moment::Stalled { begins: false } } else { Moment::Passing };
        }
        // From now, not from when it was due: a process that slept makes up for nothing.
        stalls.stalled = !stalls.stalled;
        if stalls.stalled {
            stalls.next = now + stalls.stall.length;
            Moment::Stalled { begins: true }
        } else {
            stalls.next = now + stalls.draw.about(stalls.stall.every);
            Moment::Passing
        }
    }

    /// When to call `poll` again; `None` is never.
    pub(super) fn next(&self) -> Option<Instant> {
        let cut = self.cuts.as_ref().map(|cuts| cuts.next);
        let stall = self.stalls.as_ref().map(|stalls| stalls.next);
        cut.into_iter().chain(stall).min()
    }

    /// Draws the time of another cut.
    pub(super) fn cut_again(&mut self, now: Instant) {
        if let Some(cuts) = &mut self.cuts {
            cuts.next = now + cuts.draw.about(cuts.mean);
        }
    }

    /// How the cut of connection number `connection`, from 1, is told, and to whom.
    pub(super) fn draw_cut(&mut self, connection: u64, half_open: Option<Duration>) -> Cut {
        let how = if connection.is_multiple_of(2) { Farewell::Finish } else { Farewell::Reset };
        let draws = self.cuts.as_mut().map(|cuts| (cuts.draw.chance(0.5), cuts.draw.chance(0.5)));
        let told = match (half_open, draws) {
            (Some(length), Some((true, upstream))) => {
                let side = if upstream { Side::Upstream } else { Side::Client };
                Told::Only { side, length }
            }
            (Some(_) | None, _) => Told::Both,
        };
        Cut { how, told }
    }
}

/// Waits for a time, or for ever.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => core::future::pending().await,
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// By RST: at once.
    Reset,
    /// By FIN: in order. Bytes that are still on their way are answered by RST, as by any socket that is closed.
    Finish,
}

/// One of the two ends of a connection through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

/// Who gets to know about a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Both,
    /// This side; the other is left with a half-open link for so long.
    Only {
        side: Side,
        length: Duration,
    },
}

/// A cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) how: Farewell,
    pub(super) told: Told,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(seed: u64) -> Plan {
        let stall = Some(Stall { length: 3 * SECOND, every: 10 * SECOND });
        Plan { seed, cut_every: Some(60 * SECOND), stall, ..Plan::default() }
    }

    /// Follows a schedule from wake to wake; returns what it said and when.
    fn course(plan: &Plan, connection: u64) -> Vec<(Duration, Moment)> {
        let start = Instant::now();
        let mut schedule = Schedule::new(plan, connection, start);
        let (mut now, mut course) = (start, Vec::new());
        loop {
            let moment = schedule.poll(now);
            course.push((now - start, moment));
            if moment == Moment::Cut {
                return course;
            }
            let next = schedule.next().unwrap();
            assert!(next > now, "a wake in the past would spin");
            now = next;
        }
    }

    #[test]
    fn a_harmless_plan_never_wakes() {
        let now = Instant::now();
        let mut schedule = Schedule::new(&Plan::default(), 1, now);
        assert_eq!((schedule.poll(now), schedule.next()), (Moment::Passing, None));
    }

    #[test]
    fn stalls_take_their_length_and_come_about_their_interval_until_the_cut() {
        for seed in 0..100 {
            let course = course(&plan(seed), 1);
            let (&(cut, _), course) = course.split_last().unwrap();
            assert!((30 * SECOND..=90 * SECOND).contains(&cut), "seed {seed}: cut after {cut:?}");
            for pair in course.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                let time = to.0 - from.0;
                match from.1 {
                    Moment::Stalled { begins } => assert!(begins && time == 3 * SECOND, "seed {seed}: {pair:?}"),
                    Moment::Passing => assert!((5 * SECOND..=15 * SECOND).contains(&time), "seed {seed}: {pair:?}"),
                    Moment::Cut => panic!("seed {seed}: a cut is the last"),
                }
                assert_ne!(from.1, to.1, "seed {seed}");
            }
        }
    }

    #[test]
    fn within_a_stall_only_the_first_call_says_that_it_begins() {
        let now = Instant::now();
        let mut schedule = Schedule::new(&Plan { cut_every: None, ..plan(1) }, 1, now);
        let begins = schedule.next().unwrap();
        assert_eq!(schedule.poll(begins), Moment::Stalled { begins: true });
        assert_eq!(schedule.poll(begins + SECOND), Moment::Stalled { begins: false });
        assert_eq!(schedule.next(), Some(begins + 3 * SECOND));
        assert_eq!(schedule.poll(begins + 3 * SECOND), Moment::Passing);
    }

    #[test]
    fn a_connection_that_is_cut_again_is_cut_about_its_interval_later() {
        let now = Instant::now();
        let mut schedule = Schedule::new(&Plan { stall: None, ..plan(1) }, 1, now);
        let first = schedule.next().unwrap();
        assert_eq!(schedule.poll(first), Moment::Cut);
        schedule.cut_again(first);
        assert_eq!(schedule.poll(first), Moment::Passing);
        assert!((30 * SECOND..=90 * SECOND).contains(&(schedule.next().unwrap() - first)));
    }

    #[test]
    fn the_seed_and_the_connection_decide_the_course() {
        assert_eq!(course(&plan(1), 1), course(&plan(1), 1));
        assert_ne!(course(&plan(1), 1), course(&plan(2), 1));
        assert_ne!(course(&plan(1), 1), course(&plan(1), 2));
    }

    #[test]
    fn cuts_alternate_and_half_of_the_half_open_ones_tell_one_side() {
        let cut =
            |connection, half_open| Schedule::new(&plan(1), connection, Instant::now()).draw_cut(connection, half_open);
        for connection in 1..=100 {
            let how = if connection % 2 == 1 { Farewell::Reset } else { Farewell::Finish };
            assert_eq!(cut(connection, None), Cut { how, told: Told::Both });
        }
        let told = |connection| cut(connection, Some(SECOND)).told;
        let count = |expected| (1..=1000).filter(|&connection| told(connection) == expected).count();
        assert!((400..=600).contains(&count(Told::Both)));
        for side in [Side::Client, Side::Upstream] {
            assert!((180..=320).contains(&count(Told::Only { side, length: SECOND })), "{side:?}");
        }
    }
}
