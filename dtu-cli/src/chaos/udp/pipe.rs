//! One direction of a UDP link, without its sockets: datagrams are lost, damaged, doubled, held, and change places.

use super::REORDER_WAIT;
use crate::chaos::bucket::Bucket;
use crate::chaos::counters::Flow;
use crate::chaos::damage::Damage;
use crate::chaos::draw::{Direction, Draw, Purpose};
use crate::chaos::hold::Hold;
use crate::chaos::plan::Plan;
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Pipe {
    plan: Arc<Plan>,
    damage: Damage,
    timing: Draw,
    fate: Draw,
    hold: Hold,
    /// What waits for the next datagram to overtake it, and until when.
    waiting: Option<(Instant, Bytes)>,
    bucket: Option<Bucket>,
}

impl Pipe {
    pub(super) fn new(plan: &Arc<Plan>, link: u64, direction: Direction, now: Instant) -> Self {
        Self {
            plan: Arc::clone(plan),
            damage: Damage::new(plan, link, direction),
            timing: Draw::new(plan.seed, link, Purpose::Hold(direction)),
            fate: Draw::new(plan.seed, link, Purpose::Datagram(direction)),
            hold: Hold::default(),
            waiting: None,
            bucket: plan.rate.map(|rate| Bucket::new(rate, now)),
        }
    }

    /// Takes in a datagram that came at `now`, and counts what becomes of it.
    pub(super) fn push(&mut self, now: Instant, mut datagram: Vec<u8>, flow: &Flow) {
        flow.bytes.read.add(datagram.len());
        flow.datagrams.read.add(1);
        // All are drawn for each datagram, so that one setting does not change what another one hits.
        let [lost, doubled, overtaken] =
            [self.plan.loss, self.plan.duplicate, self.plan.reorder].map(|share| self.fate.chance(share));
        if lost {
            flow.bytes.discarded.add(datagram.len());
            flow.datagrams.lost.add(1);
            return;
        }
        if !self.hold.has_room() {
            flow.bytes.discarded.add(datagram.len());
            flow.datagrams.overflowed.add(1);
            return;
        }
        flow.damaged(self.damage.apply(&mut datagram));
        datagram.shrink_to_fit();
        let datagram = Bytes::from(datagram);
        if doubled {
            flow.bytes.duplicated.add(datagram.len());
            flow.datagrams.duplicated.add(1);
            let due = self.draw_due(now);
            self.hold.insert(due, datagram.clone());
        }
        match self.waiting.take() {
            // Who overtakes does not wait to be overtaken: the two change places.
            Some((_, overtaken)) => {
                flow.datagrams.reordered.add(1);
                let (first, second) = (self.draw_due(now), self.draw_due(now));
                self.hold.insert(first, datagram);
                self.hold.insert(second.max(first), overtaken);
            }
            None if overtaken => self.waiting = Some((now + REORDER_WAIT, datagram)),
            None => {
                let due = self.draw_due(now);
                self.hold.insert(due, datagram);
            }
        }
    }

    fn draw_due(&mut self, now: Instant) -> Instant {
        now + self.timing.around(self.plan.delay, self.plan.jitter)
    }

    /// The datagram that may go at `now`. It stays until [`Pipe::advance`].
    pub(super) fn front(&mut self, now: Instant) -> Option<Bytes> {
        if let Some((_, datagram)) = self.waiting.take_if(|(until, _)| *until <= now) {
            let due = self.draw_due(now);
            self.hold.insert(due, datagram);
        }
        if self.front_ready()? > now {
            return None;
        }
        self.hold.front().map(|(_, datagram)| datagram.clone())
    }

    /// Takes out the datagram that `front` gave.
    pub(super) fn advance(&mut self, now: Instant) {
        let Some(datagram) = self.hold.pop() else { return };
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now, datagram.len());
        }
    }

    fn front_ready(&self) -> Option<Instant> {
        let (due, datagram) = self.hold.front()?;
        Some(self.bucket.as_ref().map_or(due, |bucket| due.max(bucket.ready_at(datagram.len()))))
    }

    /// When to call `front` again, if nothing comes in before.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.waiting.as_ref().map(|(until, _)| *until);
        self.front_ready().into_iter().chain(waiting).min()
    }

    /// Throws away what is held, and counts it.
    pub(super) fn clear(&mut self, flow: &Flow) {
        let (datagrams, bytes) = self.hold.clear();
        let (waiting, waiting_bytes) = self.waiting.take().map_or((0, 0), |(_, datagram)| (1, datagram.len()));
        flow.datagrams.discarded.add(datagrams + waiting);
        flow.bytes.discarded.add(bytes + waiting_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::counters::{Counters, Snapshot};
    use crate::chaos::hold::HELD_BYTES;
    use core::num::NonZeroU64;
    use core::time::Duration;

    struct Run {
        plan: Plan,
        counters: Counters,
    }

    impl Run {
        fn new(plan: Plan) -> Self {
            Self { plan, counters: Counters::default() }
        }

        fn pipe(&self, now: Instant) -> Pipe {
            Pipe::new(&Arc::new(self.plan.clone()), 1, Direction::Up, now)
        }

        /// Sends numbered datagrams of 100 bytes, a millisecond apart, and takes out what goes, with its time.
        fn numbered(&self, count: u8) -> Vec<(Duration, u8)> {
            let (start, flow) = (Instant::now(), self.counters.flow(Direction::Up));
            let (mut pipe, mut out) = (self.pipe(start), Vec::new());
            let pop_until = |pipe: &mut Pipe, out: &mut Vec<_>, until: Option<Instant>| {
                while let Some(next) = pipe.next().filter(|next| until.is_none_or(|until| *next < until)) {
                    while let Some(datagram) = pipe.front(next) {
                        pipe.advance(next);
                        assert_eq!(datagram.len(), 100, "boundaries are kept");
                        flow.passed(datagram.len());
                        out.push((next - start, datagram[0]));
                    }
                }
            };
            for number in 0..count {
                let now = start + u32::from(number) * Duration::from_millis(1);
                pop_until(&mut pipe, &mut out, Some(now));
                pipe.push(now, vec![number; 100], flow);
            }
            pop_until(&mut pipe, &mut out, None);
            out
        }

        fn order(&self, count: u8) -> Vec<u8> {
            self.numbered(count).into_iter().map(|(_, number)| number).collect()
        }

        fn snapshot(&self) -> Snapshot {
            self.counters.snapshot()
        }
    }

    #[test]
    fn a_harmless_pipe_passes_each_datagram_at_once() {
        let run = Run::new(Plan::default());
        let expected: Vec<_> = (0..50).map(|number| (Duration::from_millis(u64::from(number)), number)).collect();
        assert_eq!(run.numbered(50), expected);
    }

    #[test]
    fn lost_and_doubled_datagrams_are_those_counted() {
        for seed in 0..20 {
            let run = Run::new(Plan { seed, loss: 0.2, duplicate: 0.2, ..Plan::default() });
            let order = run.order(200);
            let times = |number| order.iter().filter(|&&other| other == number).count();
            let count = |wanted| (0..200).filter(|&number| times(number) == wanted).count();
            let up = run.snapshot().datagrams.up;
            assert_eq!((count(0), count(2)), (up.lost as usize, up.duplicated as usize), "seed {seed}");
            assert_eq!(count(0) + count(1) + count(2), 200, "seed {seed}");
            assert!(up.lost > 10 && up.duplicated > 10, "seed {seed}: {up:?}");
            assert_eq!(up.read + up.duplicated, up.passed + up.lost, "seed {seed}");
            assert!(order.is_sorted(), "seed {seed}: nothing else changes the order");
        }
    }

    #[test]
    fn one_setting_does_not_change_what_another_one_hits() {
        let lost = |duplicate, reorder| {
            let order = Run::new(Plan { seed: 3, loss: 0.3, duplicate, reorder, ..Plan::default() }).order(200);
            (0..200).filter(|number| !order.contains(number)).collect::<Vec<u8>>()
        };
        assert_eq!(lost(0.0, 0.0), lost(0.5, 0.5));
        assert_ne!(lost(0.0, 0.0), Vec::<u8>::new());
    }

    #[test]
    fn a_datagram_changes_places_with_the_next_and_goes_alone_when_none_comes() {
        let run = Run::new(Plan { reorder: 1.0, ..Plan::default() });
        let ms = Duration::from_millis;
        assert_eq!(run.numbered(5), [(ms(1), 1), (ms(1), 0), (ms(3), 3), (ms(3), 2), (ms(4) + REORDER_WAIT, 4)]);
        assert_eq!(run.snapshot().datagrams.up.reordered, 2);
    }

    #[test]
    fn jitter_changes_the_order_and_loses_nothing() {
        let delay = Duration::from_millis(50);
        let run = Run::new(Plan { seed: 1, delay, jitter: delay, ..Plan::default() });
        let mut order = run.order(100);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn the_rate_spreads_the_datagrams() {
        let run = Run::new(Plan { rate: NonZeroU64::new(1000), ..Plan::default() });
        let last = run.numbered(11).last().unwrap().0;
        // 1100 bytes, of which the first 100 are the burst.
        assert_eq!(last, Duration::from_secs(1));
    }

    #[test]
    fn what_is_too_much_is_counted_and_the_sums_balance() {
        let run = Run::new(Plan {
            seed: 5,
            delay: Duration::from_secs(60),
            loss: 0.1,
            duplicate: 0.1,
            reorder: 0.1,
            drop_bytes: 0.001,
            ..Plan::default()
        });
        let (now, flow) = (Instant::now(), run.counters.flow(Direction::Up));
        let mut pipe = run.pipe(now);
        for _ in 0..2 * HELD_BYTES / 1000 {
            pipe.push(now, vec![0; 1000], flow);
        }
        pipe.clear(flow);
        let Snapshot { bytes, datagrams, .. } = run.snapshot();
        let (bytes, datagrams) = (bytes.up, datagrams.up);
        assert!(datagrams.overflowed > 0 && datagrams.discarded > 0 && bytes.dropped > 0, "{datagrams:?}");
        assert_eq!(datagrams.read + datagrams.duplicated, datagrams.lost + datagrams.overflowed + datagrams.discarded);
        assert_eq!(bytes.read + bytes.duplicated, bytes.dropped + bytes.discarded);
        assert_eq!((pipe.next(), pipe.front(now)), (None, None));
    }
}
