//! Targets among themselves.

use crate::bench::{Bench, PLAIN, SECOND, generous};
use dtu_net::controller::{Event, Failure, JobId, Policies, SchedulerConfig, TargetConfig};
use std::collections::BTreeMap;

#[test]
fn targets_take_turns_however_much_one_has() {
    let config = SchedulerConfig::DEFAULT.max_in_flight(10);
    let target = TargetConfig::DEFAULT.max_in_flight(100);
    let mut bench = Bench::with(config, Policies::new(PLAIN.concurrency(100)).unwrap(), target);
    for _ in 0..1000 {
        bench.repeatable("a");
    }
    let few: Vec<JobId> = (0..5).map(|_| bench.repeatable("b")).collect();
    let starts = bench.starts();
    let begun: Vec<JobId> = starts.iter().map(|(id, _)| *id).filter(|id| few.contains(id)).collect();
    assert_eq!((starts.len(), begun), (10, few));
}

#[test]
fn a_target_that_hangs_or_fails_does_not_hold_up_the_other() {
    for hangs in [true, false] {
        let config = SchedulerConfig::DEFAULT.max_in_flight(8);
        let target = TargetConfig::DEFAULT.max_in_flight(4).budget(generous());
        let mut bench = Bench::with(config, Policies::new(PLAIN).unwrap(), target);
        let broken: Vec<JobId> = (0..500).map(|_| bench.repeatable("a")).collect();
        let mut began = BTreeMap::new();
        let mut waited = Vec::new();
        for _ in 0..100 {
            began.insert(bench.repeatable("b"), bench.now);
            loop {
                let starts = bench.starts();
                if starts.is_empty() {
                    break;
                }
                for (id, attempt) in starts {
                    if let Some(submitted) = began.remove(&id) {
                        waited.push(bench.now - submitted);
                        bench.finish((id, attempt), Ok(()));
                    } else if !hangs {
                        assert!(broken.contains(&id));
                        bench.finish((id, attempt), Err(Failure::TRANSIENT));
                    }
                }
            }
            bench.advance(SECOND);
            while let Some(event) = bench.scheduler.poll_event() {
                if let Event::Stop(stop) = event {
                    bench.finish((stop.id, stop.attempt), Err(Failure::INTERRUPTED));
                }
            }
        }
        assert_eq!(waited.len(), 100);
        assert!(waited.iter().all(|wait| wait.is_zero()), "{waited:?}");
    }
}
