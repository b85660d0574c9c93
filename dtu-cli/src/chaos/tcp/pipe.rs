//! One direction of a TCP connection, without its sockets: what comes in is damaged, held, and goes out at its rate.

use crate::chaos::bucket::Bucket;
use crate::chaos::damage::{Damage, Done};
use crate::chaos::draw::{Direction, Draw, Purpose};
use crate::chaos::hold::Hold;
use crate::chaos::plan::Plan;
use bytes::Bytes;
use core::time::Duration;
use tokio::time::Instant;

/// What a pipe has to give now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<'a> {
    /// These bytes may go out; what went is told by [`Pipe::passed`].
    Bytes(&'a [u8]),
    /// The end of the stream is to be passed on. Said once.
    End,
    /// Nothing before this time.
    Wait(Instant),
    /// Nothing before something comes in.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The stream goes on.
    Open,
    /// It ended; passed on at this time, behind all that is held.
    Held(Instant),
    Passed,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    damage: Damage,
    timing: Draw,
    delay: Duration,
    jitter: Duration,
    hold: Hold,
    bucket: Option<Bucket>,
    end: End,
}

impl Pipe {
    pub(super) fn new(plan: &Plan, connection: u64, direction: Direction, now: Instant) -> Self {
        Self {
            damage: Damage::new(plan, connection, direction),
            timing: Draw::new(plan.seed, connection, Purpose::Hold(direction)),
            delay: plan.delay,
            jitter: plan.jitter,
            hold: Hold::default(),
            bucket: plan.rate.map(|rate| Bucket::new(rate, now)),
            end: End::Open,
        }
    }

    /// Whether more is to be read.
    pub(super) fn is_reading(&self) -> bool {
        self.end == End::Open && self.hold.has_room()
    }

    /// Whether the end of the stream is passed on.
    pub(super) fn has_ended(&self) -> bool {
        self.end == End::Passed
    }

    /// Takes in a chunk that came at `now`.
    pub(super) fn push(&mut self, now: Instant, mut chunk: Vec<u8>) -> Done {
        let done = self.damage.apply(&mut chunk);
        let due = self.draw_due(now);
        if !chunk.is_empty() {
            chunk.shrink_to_fit();
            self.hold.push(due, Bytes::from(chunk));
        }
        done
    }

    /// Takes in the end of the stream.
    pub(super) fn push_end(&mut self, now: Instant) {
        self.end = End::Held(self.draw_due(now));
    }

    fn draw_due(&mut self, now: Instant) -> Instant {
        now + self.timing.around(self.delay, self.jitter)
    }

    /// What may go out at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Output<'_> {
        if let Some((due, chunk)) = self.hold.front() {
            let ready = self.bucket.as_ref().map_or(due, |bucket| due.max(bucket.ready_at(chunk.len())));
            if ready > now {
                return Output::Wait(ready);
            }
            let allowed = self.bucket.as_ref().map_or(usize::MAX, |bucket| bucket.allowed(now));
            return Output::Bytes(chunk.get(..allowed).unwrap_or(chunk));
        }
        match self.end {
            End::Held(due) if due <= now => {
                self.end = End::Passed;
                Output::End
            }
            End::Held(due) => Output::Wait(due),
            End::Open | End::Passed => Output::Nothing,
        }
    }

    /// Takes out `count` bytes of what `poll` gave.
    pub(super) fn passed(&mut self, now: Instant, count: usize) {
        self.hold.advance(count);
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now, count);
        }
    }

    /// Throws away what is held; returns how many bytes.
    pub(super) fn clear(&mut self) -> usize {
        let (_, bytes) = self.hold.clear();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::num::NonZeroU64;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Lets out all there is, from wake to wake; returns the bytes, and when the end or the last byte came.
    fn drain(pipe: &mut Pipe, mut now: Instant) -> (Vec<u8>, Instant) {
        let mut out = Vec::new();
        loop {
            let count = match pipe.poll(now) {
                Output::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    bytes.len()
                }
                Output::Wait(next) => {
                    assert!(next > now, "a wake in the past would spin");
                    now = next;
                    continue;
                }
                Output::End | Output::Nothing => return (out, now),
            };
            assert!(count > 0);
            pipe.passed(now, count);
        }
    }

    #[test]
    fn a_harmless_pipe_passes_bytes_and_end_at_once() {
        let now = Instant::now();
        let mut pipe = Pipe::new(&Plan::default(), 1, Direction::Up, now);
        assert_eq!(pipe.push(now, b"hello".to_vec()), Done::default());
        pipe.push_end(now);
        assert!(!pipe.is_reading());
        assert_eq!(pipe.poll(now), Output::Bytes(b"hello"));
        pipe.passed(now, 2);
        assert_eq!(pipe.poll(now), Output::Bytes(b"llo"));
        pipe.passed(now, 3);
        assert_eq!(pipe.poll(now), Output::End);
        assert_eq!(pipe.poll(now), Output::Nothing);
        assert!(pipe.has_ended());
    }

    #[test]
    fn each_chunk_is_held_for_the_delay_and_its_jitter_in_order() {
        let (delay, jitter) = (100 * MILLISECOND, 40 * MILLISECOND);
        for seed in 0..50 {
            let plan = Plan { seed, delay, jitter, ..Plan::default() };
            let start = Instant::now();
            let mut pipe = Pipe::new(&plan, 1, Direction::Down, start);
            for number in 0..20 {
                pipe.push(start + u32::from(number) * MILLISECOND, vec![number]);
            }
            let (out, end) = drain(&mut pipe, start);
            assert_eq!(out, (0..20).collect::<Vec<u8>>(), "seed {seed}");
            let held = end - start;
            // The last is not before any other, and none is later than the last one's most.
            assert!(held >= delay - jitter + 19 * MILLISECOND, "seed {seed}: {held:?}");
            assert!(held <= delay + jitter + 19 * MILLISECOND, "seed {seed}: {held:?}");
        }
    }

    #[test]
    fn a_full_hold_stops_the_reading_until_bytes_went_out() {
        let start = Instant::now();
        let plan = Plan { delay: 10 * MILLISECOND, ..Plan::default() };
        let mut pipe = Pipe::new(&plan, 1, Direction::Up, start);
        let mut pushed = 0;
        while pipe.is_reading() {
            pushed += 16 * 1024;
            pipe.push(start, vec![0; 16 * 1024]);
        }
        assert_eq!(pushed, crate::chaos::hold::HELD_BYTES);
        let (out, _) = drain(&mut pipe, start);
        assert_eq!(out.len(), pushed);
        assert!(pipe.is_reading());
    }

    #[test]
    fn the_rate_bounds_what_goes_out() {
        let start = Instant::now();
        let plan = Plan { rate: NonZeroU64::new(1000), ..Plan::default() };
        let mut pipe = Pipe::new(&plan, 1, Direction::Up, start);
        pipe.push(start, vec![7; 1100]);
        pipe.push_end(start);
        let (out, end) = drain(&mut pipe, start);
        // The first 100 are the burst.
        assert_eq!((out.len(), end - start), (1100, 1000 * MILLISECOND));
    }

    #[test]
    fn what_comes_out_and_what_is_counted_make_what_came_in() {
        let start = Instant::now();
        let plan = Plan { seed: 9, corrupt: 0.01, drop_bytes: 0.01, delay: MILLISECOND, ..Plan::default() };
        let mut pipe = Pipe::new(&plan, 1, Direction::Up, start);
        let done: u64 = (0..10).map(|_| pipe.push(start, vec![0; 1000]).dropped).sum();
        assert!(done > 0);
        let count = match pipe.poll(start + MILLISECOND) {
            Output::Bytes(bytes) => bytes.len(),
            other @ (Output::End | Output::Wait(_) | Output::Nothing) => panic!("{other:?}"),
        };
        pipe.passed(start + MILLISECOND, count);
        assert_eq!(10_000, count + pipe.clear() + usize::try_from(done).unwrap());
    }
}
