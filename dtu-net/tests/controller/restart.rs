//! No job is lost or run twice, whatever happens and wherever the process is restarted.

use crate::model::{Model, OPERATIONS, TARGETS};
use core::time::Duration;
use dtu_net::controller::Failure;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Debug, Clone)]
enum Op {
    Submit { target: usize, operation: usize, repeatable: bool, deadline: Option<u64> },
    Advance(u64),
    GoBack(u64),
    Timeout,
    Start,
    Finish { nth: usize, result: Result<(), Failure> },
    Event,
    Cancel(usize),
    RemoveTarget(usize),
    AddTarget(usize),
    Restart { down: u64, gone: Option<usize> },
}

fn any_result() -> impl Strategy<Value = Result<(), Failure>> {
    prop_oneof![
        2 => Just(Ok(())),
        4 => Just(Err(Failure::TRANSIENT)),
        2 => Just(Err(Failure::TRANSIENT.unsent())),
        2 => Just(Err(Failure::TRANSIENT.local().unsent())),
        1 => Just(Err(Failure::PERMANENT)),
        1 => Just(Err(Failure::INTERRUPTED)),
        1 => (0_u64..20_000).prop_map(|ms| Err(Failure::retry_after(Duration::from_millis(ms)))),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let targets = 0..TARGETS.len();
    let deadline = prop_oneof![2 => Just(None), 1 => (1_u64..20_000).prop_map(Some)];
    prop_oneof![
        12 => (targets.clone(), 0..OPERATIONS.len(), any::<bool>(), deadline)
            .prop_map(|(target, operation, repeatable, deadline)| Op::Submit { target, operation, repeatable, deadline }),
        8 => (0_u64..4_000).prop_map(Op::Advance),
        1 => (0_u64..100_000_000).prop_map(Op::Advance),
        1 => (0_u64..100_000).prop_map(Op::GoBack),
        8 => Just(Op::Timeout),
        16 => Just(Op::Start),
        14 => (any::<usize>(), any_result()).prop_map(|(nth, result)| Op::Finish { nth, result }),
        8 => Just(Op::Event),
        2 => any::<usize>().prop_map(Op::Cancel),
        1 => targets.clone().prop_map(Op::RemoveTarget),
        2 => targets.clone().prop_map(Op::AddTarget),
        2 => (0_u64..10_000, prop_oneof![4 => Just(None), 1 => targets.prop_map(Some)])
            .prop_map(|(down, gone)| Op::Restart { down, gone }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0xC0),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_job_is_lost_or_run_twice_over_restarts(seed: u32, ops in prop::collection::vec(any_op(), 1..250)) {
        let mut model = Model::new(seed.into());
        for op in ops {
            match op {
                Op::Submit { target, operation, repeatable, deadline } => {
                    model.submit(target, operation, repeatable, deadline);
                }
                Op::Advance(ms) => model.advance(Duration::from_millis(ms)),
                Op::GoBack(ms) => model.go_back(Duration::from_millis(ms)),
                Op::Timeout => model.timeout(),
                Op::Start => {
                    model.start();
                }
                Op::Finish { nth, result } => model.finish(nth, result),
                Op::Event => {
                    model.event();
                }
                Op::Cancel(nth) => model.cancel(nth),
                Op::RemoveTarget(target) => model.remove_target(target),
                Op::AddTarget(target) => model.add_target(target),
                Op::Restart { down, gone } => model.restart(Duration::from_millis(down), gone),
            }
            model.check();
        }
        model.run_out();
    }
}
