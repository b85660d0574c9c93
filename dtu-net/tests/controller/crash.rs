//! A process that dies at any moment, and has kept a snapshot before each round of operations: what is not repeatable takes
//! effect once at most, and what was kept ends once.

use crate::bench::{Bench, PLAIN, SECOND};
use core::time::Duration;
use dtu_net::controller::{Event, Failure, NewJob, Outcome, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;

/// What an operation does to its target, and what the process hears of it.
#[derive(Debug, Clone, Copy)]
enum Run {
    Done,
    /// It takes effect, and the answer is lost.
    NoAnswer,
    Unsent,
    /// It takes effect and the process dies.
    Crash,
}

#[derive(Debug, Clone)]
enum Op {
    Submit {
        repeatable: bool,
    },
    /// Begins what can begin, keeps a snapshot, and runs it; nothing more to run is answered by what is last.
    Round(Vec<Run>),
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    let run =
        prop_oneof![3 => Just(Run::Done), 3 => Just(Run::NoAnswer), 3 => Just(Run::Unsent), 1 => Just(Run::Crash)];
    prop_oneof![
        4 => any::<bool>().prop_map(|repeatable| Op::Submit { repeatable }),
        4 => prop::collection::vec(run, 1..6).prop_map(Op::Round),
        1 => Just(Op::Crash),
    ]
}

struct Process {
    bench: Bench,
    kept: Vec<u8>,
    /// By the payload: whether it is repeatable, and how often it took effect.
    jobs: BTreeMap<u32, (bool, u32)>,
    ended: BTreeMap<u32, Outcome>,
}

impl Process {
    fn new() -> Self {
        let mut process =
            Self { bench: Bench::new(PLAIN), kept: Vec::new(), jobs: BTreeMap::new(), ended: BTreeMap::new() };
        process.keep();
        process
    }

    fn keep(&mut self) {
        self.kept = serde_json::to_vec(&self.bench.scheduler.snapshot(self.bench.now, Duration::ZERO)).unwrap();
    }

    fn crash(&mut self) {
        let now = self.bench.now;
        self.bench = Bench::new(PLAIN);
        self.bench.now = now + SECOND;
        let snapshot: Snapshot<u32> = serde_json::from_slice(&self.kept).unwrap();
        self.bench.scheduler.restore(self.bench.now, SECOND, snapshot).unwrap();
    }

    fn submit(&mut self, repeatable: bool) {
        let payload = self.jobs.len() as u32;
        let job = NewJob::new("a", "read", payload);
        self.bench.submit(if repeatable { job.repeatable() } else { job });
        self.jobs.insert(payload, (repeatable, 0));
        self.keep();
    }

    fn round(&mut self, runs: &[Run]) {
        self.bench.advance(SECOND);
        let mut starts = Vec::new();
        while let Some(start) = self.bench.scheduler.poll_start(self.bench.now) {
            starts.push((*start.payload, (start.context.id, start.context.attempts)));
        }
        self.keep();
        for (nth, (payload, attempt)) in starts.into_iter().enumerate() {
            let run = runs[nth.min(runs.len() - 1)];
            let (repeatable, effects) = self.jobs.get_mut(&payload).unwrap();
            *effects += u32::from(!matches!(run, Run::Unsent));
            assert!(*repeatable || *effects <= 1, "job {payload} took effect twice");
            let result = match run {
                Run::Done => Ok(()),
                Run::NoAnswer => Err(Failure::TRANSIENT.local()),
                Run::Unsent => Err(Failure::TRANSIENT.local().unsent()),
                Run::Crash => return self.crash(),
            };
            self.bench.finish(attempt, result);
        }
        // Ends are kept before they are told on.
        self.keep();
        while let Some(event) = self.bench.scheduler.poll_event() {
            if let Event::Ended(ending) = event {
                // After a crash before the next snapshot it is told again, and is the same.
                let before = self.ended.insert(ending.payload, ending.outcome);
                assert!(before.is_none_or(|before| before == ending.outcome), "{before:?}, then {ending:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0xC1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_crash_at_any_moment_loses_no_job_and_repeats_none_that_is_not_repeatable(
        ops in prop::collection::vec(any_op(), 1..80)
    ) {
        let mut process = Process::new();
        for op in ops {
            match op {
                Op::Submit { repeatable } => process.submit(repeatable),
                Op::Round(runs) => process.round(&runs),
                Op::Crash => process.crash(),
            }
        }
        for _ in 0..1000 {
            process.round(&[Run::Done]);
            if process.bench.scheduler.ledger().pending == 0 {
                break;
            }
        }
        prop_assert_eq!(process.ended.len(), process.jobs.len(), "every job has ended");
        for (payload, (_, effects)) in &process.jobs {
            prop_assert!(process.ended[payload] != Outcome::Done || *effects > 0, "job {} was not done", payload);
        }
    }
}
