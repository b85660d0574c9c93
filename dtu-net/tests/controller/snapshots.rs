//! What a snapshot keeps, and what is not taken for one.

use crate::bench::{Bench, PLAIN, SECOND};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::controller::{
    DEADLINE_MAX, Failure, FailureClass, JobId, NAME_LEN_MAX, NewJob, Outcome, Policies, SchedulerConfig, Snapshot,
    SnapshotError, TargetConfig, VERSION, Why,
};
use serde_json::{Value, json};

const WALL: Duration = Duration::from_secs(1_800_000_000);

/// One job of each kind: 1 in flight and repeatable, 2 in flight, 3 in its backoff, 4 and 5 ready, 6 cancelled and not
/// fetched.
fn busy() -> Bench {
    let policy = PLAIN.backoff(Backoff::fixed(8 * SECOND).jitter(Jitter::None)).concurrency(3);
    let mut bench = Bench::new(policy);
    bench.repeatable("a");
    for _ in 2..=6 {
        bench.submit(NewJob::new("a", "read", 7).deadline(20 * SECOND));
    }
    assert_eq!(bench.starts(), [1, 2, 3].map(|number| (JobId::from_number(number), 1)));
    bench.finish((JobId::from_number(3), 1), Err(Failure::TRANSIENT.unsent()));
    bench.scheduler.cancel(bench.now, JobId::from_number(6));
    // Out of the way, so that what was ready stays so.
    bench.advance(2 * SECOND);
    bench
}

fn value(bench: &Bench) -> Value {
    serde_json::to_value(bench.scheduler.snapshot(bench.now, WALL)).unwrap()
}

fn restore(value: &Value, down: Duration) -> Result<Bench, SnapshotError> {
    let mut bench = Bench::new(PLAIN);
    let snapshot: Snapshot<u32> = serde_json::from_value(value.clone()).unwrap();
    let handed_in = snapshot.clone();
    match bench.scheduler.restore(bench.now, down, snapshot) {
        Ok(()) => Ok(bench),
        Err(rejected) => {
            assert_eq!(rejected.snapshot, handed_in, "it is given back whole");
            assert_eq!(bench.scheduler.queries(bench.now, None).count(), 0);
            assert_eq!(bench.scheduler.poll_event(), None);
            Err(rejected.error)
        }
    }
}

#[test]
fn every_job_goes_on_by_what_it_was() {
    let mut bench = restore(&value(&busy()), SECOND).unwrap();
    let id = JobId::from_number;
    assert_eq!(bench.outcome(), Some((id(6), Outcome::Cancelled)));
    assert_eq!(bench.outcome(), Some((id(2), Outcome::InDoubt)));
    assert_eq!(bench.outcome(), None);
    let interrupted = bench.query(id(1));
    assert_eq!((interrupted.attempts, interrupted.last_failure), (1, Some(FailureClass::Interrupted)));
    assert_eq!((interrupted.why, interrupted.next_attempt), (Why::Backoff, Some(bench.now + SECOND)));
    assert_eq!(interrupted.submitted, bench.now - 3 * SECOND);
    let waits = bench.query(id(3));
    // Eight seconds, of which two had passed before and one after the snapshot.
    assert_eq!((waits.why, waits.next_attempt), (Why::Backoff, Some(bench.now + 5 * SECOND)));
    assert_eq!(waits.deadline, Some(bench.now + 17 * SECOND));
    assert_eq!(waits.last_failure, Some(FailureClass::Transient));
    assert_eq!(bench.starts(), [(id(4), 1), (id(5), 1)]);
    let new = bench.repeatable("a");
    assert_eq!(new, id(7), "numbers are not given out again");
    bench.advance(SECOND);
    assert_eq!(bench.starts(), [(new, 1), (id(1), 2)]);
    let ledger = bench.scheduler.ledger();
    assert!(ledger.balances());
    assert_eq!((ledger.submitted, ledger.cancelled, ledger.in_doubt, ledger.pending), (7, 1, 1, 5));
}

#[test]
fn what_was_ready_keeps_its_turn() {
    let mut bench = Bench::new(PLAIN.backoff(Backoff::fixed(SECOND).jitter(Jitter::None)).concurrency(1));
    let [first, second] = [(); 2].map(|()| bench.repeatable("a"));
    assert_eq!(bench.starts(), [(first, 1)]);
    bench.finish((first, 1), Err(Failure::TRANSIENT));
    // The first is ready again, behind the second.
    bench.advance(SECOND);
    let mut bench = restore(&value(&bench), Duration::ZERO).unwrap();
    assert_eq!(bench.starts(), [(second, 1), (first, 2)]);
}

#[test]
fn the_time_that_the_process_was_down_counts_against_deadlines() {
    let mut bench = restore(&value(&busy()), 18 * SECOND).unwrap();
    let outcomes: Vec<_> = core::iter::from_fn(|| bench.outcome()).skip(1).collect();
    let expired = |number| (JobId::from_number(number), Outcome::Expired);
    assert_eq!(outcomes, [expired(4), expired(5), expired(3), (JobId::from_number(2), Outcome::InDoubt)]);
    let snapshot = busy().scheduler.snapshot(busy().now, WALL);
    assert_eq!(
        (snapshot.taken_at(), snapshot.down(WALL), snapshot.down(WALL + SECOND)),
        (WALL, Ok(Duration::ZERO), Ok(SECOND))
    );
    assert_eq!((snapshot.version(), snapshot.len(), snapshot.is_empty()), (VERSION, 5, false));
}

#[test]
fn the_jobs_of_a_target_that_is_gone_are_told_and_those_in_flight_are_in_doubt() {
    let mut bench = Bench::new(PLAIN);
    bench.scheduler.remove_target(bench.now, "a");
    let snapshot = serde_json::from_value(value(&busy())).unwrap();
    bench.scheduler.restore(bench.now, Duration::ZERO, snapshot).unwrap();
    let outcomes: Vec<_> =
        core::iter::from_fn(|| bench.outcome()).map(|(id, outcome)| (id.number(), outcome)).collect();
    let gone = Outcome::TargetGone;
    let expected = [(6, Outcome::Cancelled), (4, gone), (5, gone), (3, gone), (1, gone), (2, Outcome::InDoubt)];
    assert_eq!(outcomes, expected);
    assert!(bench.scheduler.ledger().balances());
}

#[test]
fn budgets_are_not_filled_by_a_restart() {
    let budget = dtu_net::controller::Budget::new(0, 3).unwrap();
    let make = || {
        let policies = Policies::new(PLAIN.max_attempts(100)).unwrap();
        Bench::with(SchedulerConfig::DEFAULT, policies, TargetConfig::DEFAULT.budget(budget))
    };
    let mut bench = make();
    bench.repeatable("a");
    let mut retries = 0;
    for _ in 0..10 {
        for (id, attempt) in bench.starts() {
            retries += u32::from(attempt > 1);
            bench.finish((id, attempt), Err(Failure::TRANSIENT.local()));
        }
        let snapshot = serde_json::from_value(value(&bench)).unwrap();
        bench = make();
        bench.scheduler.restore(bench.now, SECOND, snapshot).unwrap();
    }
    assert_eq!(retries, 3);
}

#[test]
fn a_snapshot_cut_anywhere_is_an_error() {
    let bytes = serde_json::to_vec(&busy().scheduler.snapshot(busy().now, WALL)).unwrap();
    for len in 0..bytes.len() {
        let cut = serde_json::from_slice::<Snapshot<u32>>(&bytes[..len]);
        assert!(cut.unwrap_err().is_eof(), "{len}");
    }
    assert!(serde_json::from_slice::<Snapshot<u32>>(&bytes).is_ok());
}

/// TOML marks no end.
#[test]
fn a_snapshot_without_its_last_tables_is_an_error() {
    let text = toml::to_string(&busy().scheduler.snapshot(busy().now, WALL)).unwrap();
    let is_taken = |text: &str| {
        let Ok(snapshot) = toml::from_str::<Snapshot<u32>>(text) else { return false };
        let mut bench = Bench::new(PLAIN);
        bench.scheduler.restore(bench.now, SECOND, snapshot).is_ok()
    };
    assert!(is_taken(&text));
    let tables: Vec<_> = text.match_indices("\n[").map(|(at, _)| at + 1).collect();
    assert!(tables.len() > 20);
    for at in tables {
        assert!(!is_taken(&text[..at]), "{}", &text[at..]);
    }
}

#[test]
fn a_wall_clock_that_went_back_is_told_and_loses_nothing() {
    let snapshot: Snapshot<u32> = serde_json::from_value(value(&busy())).unwrap();
    let error = SnapshotError::TakenAt { ahead: SECOND };
    assert_eq!(snapshot.down(WALL - SECOND), Err(error));
    assert_eq!(error.to_string(), "`taken_at_ns` is 1000 ms ahead of the clock");
    assert_eq!(snapshot.down(snapshot.taken_at()), Ok(Duration::ZERO), "how it is taken up all the same");
    // One that jumps ahead ends what has a deadline, and tells it.
    let mut bench = Bench::new(PLAIN);
    bench.scheduler.restore(bench.now, snapshot.down(Duration::MAX).unwrap(), snapshot).unwrap();
    let ended = core::iter::from_fn(|| bench.outcome()).count() as u64;
    let ledger = bench.scheduler.ledger();
    assert!(ledger.balances());
    assert_eq!((ended, ledger.pending, ledger.expired), (5, 1, 3), "job 1 has no deadline");
}

#[test]
fn another_version_is_known_as_such_whatever_it_holds() {
    let error = |found| Some(SnapshotError::Version { found, supported: VERSION });
    for text in [
        r#"{"version":2,"work":{"new":[]}}"#,
        r#"{"version":2}"#,
        r#"{"version":2,"jobs":1,"more":[]}"#,
        r#"[2,{"new":[]}]"#,
    ] {
        let snapshot: Snapshot<u32> = match serde_json::from_str(text) {
            Ok(snapshot) => snapshot,
            // In a format without names nothing says where the rest ends; the error does not come from the work.
            Err(error) => {
                assert!(text.starts_with('[') && error.to_string().contains("trailing"), "{error}");
                continue;
            }
        };
        assert_eq!(snapshot.version(), 2);
        assert!(serde_json::to_vec(&snapshot).is_err(), "it would not be the same");
        let mut bench = Bench::new(PLAIN);
        assert_eq!(bench.scheduler.restore(bench.now, SECOND, snapshot).err().map(|rejected| rejected.error), error(2));
    }
    for text in [
        "{}",
        "[]",
        "[1]",
        "{\"work\":{}}",
        "{\"version\":1}",
        "{\"version\":1,\"jobs\":[]}",
        "{\"version\":1,\"version\":1}",
        "null",
        "7",
    ] {
        assert!(serde_json::from_str::<Snapshot<u32>>(text).is_err(), "{text}");
    }
}

#[test]
fn contradictions_name_the_job_and_the_field() {
    let id = JobId::from_number;
    let ns = |time: Duration| json!(time.as_nanos() as u64);
    let long = json!("x".repeat(NAME_LEN_MAX + 1));
    // In `jobs`: 0 is in flight, 2 in its backoff, 3 ready.
    let cases: Vec<(&str, Value, SnapshotError)> = vec![
        ("/work/jobs/1/head/id", json!(1), SnapshotError::Duplicate(id(1))),
        ("/work/endings/0/head/id", json!(1), SnapshotError::Duplicate(id(1))),
        ("/work/jobs/1/head/id", json!(0), SnapshotError::Number(id(0))),
        ("/work/jobs/1/head/id", json!(7), SnapshotError::Number(id(7))),
        ("/work/jobs/1/head/max_attempts", json!(0), SnapshotError::MaxAttempts(id(2))),
        (
            "/work/jobs/0/head/attempts",
            json!(6),
            SnapshotError::AttemptsOverMax { id: id(1), attempts: 6, max_attempts: 5 },
        ),
        (
            "/work/jobs/2/head/attempts",
            json!(5),
            SnapshotError::AttemptsOverMax { id: id(3), attempts: 5, max_attempts: 5 },
        ),
        ("/work/jobs/0/head/attempts", json!(0), SnapshotError::NoAttempt(id(1))),
        ("/work/jobs/2/head/attempts", json!(0), SnapshotError::NoAttempt(id(3))),
        ("/work/jobs/0/head/target", long.clone(), SnapshotError::NameLen(id(1))),
        ("/work/jobs/0/head/operation", long, SnapshotError::NameLen(id(1))),
        ("/work/jobs/0/head/deadline_in_ns", ns(DEADLINE_MAX + SECOND), SnapshotError::Deadline(id(1))),
        ("/work/jobs/2/state/Backoff/due_in_ns", ns(25 * 3600 * SECOND), SnapshotError::Backoff(id(3))),
        ("/work/jobs/2/state/Backoff/due_in_ns", ns(19 * SECOND), SnapshotError::Backoff(id(3))),
        ("/work/jobs/2/delays/given", json!(2), SnapshotError::Delays(id(3))),
        ("/work/jobs/2/delays/previous_ns", json!(u64::MAX), SnapshotError::Delays(id(3))),
        ("/work/ledger/done", json!(1), SnapshotError::Ledger),
        ("/work/ledger/done", json!(u64::MAX), SnapshotError::Ledger),
        ("/work/next_job", json!(8), SnapshotError::Ledger),
        ("/work/next_job", json!(u64::MAX), SnapshotError::Ledger),
        ("/work/targets/1/name", json!("a"), SnapshotError::Target),
    ];
    let whole = value(&busy());
    assert!(restore(&whole, SECOND).is_ok());
    for (field, to, error) in cases {
        let mut changed = whole.clone();
        *changed.pointer_mut(field).unwrap() = to;
        assert_eq!(restore(&changed, SECOND).err(), Some(error), "{field}");
    }
    // A job or an ending that is missing is noticed.
    for list in ["/work/jobs", "/work/endings"] {
        let mut changed = whole.clone();
        changed.pointer_mut(list).unwrap().as_array_mut().unwrap().pop();
        let lost = restore(&changed, SECOND).err();
        let untold = SnapshotError::Untold { found: 0, expected: 1 };
        assert_eq!(lost, Some(if list == "/work/jobs" { SnapshotError::Ledger } else { untold }), "{list}");
    }
}

#[test]
fn numbers_at_their_ends_do_not_panic() {
    let whole = value(&busy());
    let mut fields = Vec::new();
    numbers(&whole, String::new(), &mut fields);
    assert!(fields.len() > 60);
    // Its delays depend on the one before.
    let policy = PLAIN.backoff(Backoff::exponential(SECOND, 2_000, 60 * SECOND).jitter(Jitter::Decorrelated));
    for field in fields {
        for number in [json!(0), json!(1), json!(u32::MAX), json!(u64::MAX), json!(-1), json!(1.5)] {
            let mut changed = whole.clone();
            *changed.pointer_mut(&field).unwrap() = number;
            let Ok(snapshot) = serde_json::from_value::<Snapshot<u32>>(changed) else { continue };
            let mut bench = Bench::new(policy);
            if bench.scheduler.restore(bench.now, SECOND, snapshot).is_ok() {
                bench.advance(60 * SECOND);
                for attempt in bench.starts() {
                    bench.finish(attempt, Err(Failure::TRANSIENT.unsent()));
                }
                assert!(bench.scheduler.ledger().balances(), "{field}");
            }
        }
    }
}

fn numbers(value: &Value, path: String, fields: &mut Vec<String>) {
    match value {
        Value::Number(_) => fields.push(path),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| numbers(item, format!("{path}/{at}"), fields));
        }
        Value::Object(items) => items.iter().for_each(|(name, item)| numbers(item, format!("{path}/{name}"), fields)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn a_scheduler_in_use_or_too_small_takes_no_snapshot() {
    let snapshot = || serde_json::from_value::<Snapshot<u32>>(value(&busy())).unwrap();
    let mut bench = Bench::new(PLAIN);
    bench.repeatable("a");
    assert_eq!(bench.scheduler.restore(bench.now, SECOND, snapshot()).unwrap_err().error, SnapshotError::NotEmpty);
    let config = SchedulerConfig::DEFAULT.max_jobs(5);
    let mut bench = Bench::with(config, Policies::new(PLAIN).unwrap(), TargetConfig::DEFAULT);
    let error = bench.scheduler.restore(bench.now, SECOND, snapshot()).unwrap_err().error;
    assert_eq!(error, SnapshotError::TooMany { jobs: 6, limit: 5 });
}

#[test]
fn a_snapshot_after_the_clock_went_back_is_taken_up() {
    let mut bench = busy();
    bench.now -= Duration::from_hours(24 * 40);
    let mut restored = restore(&value(&bench), SECOND).unwrap();
    assert_eq!(restored.scheduler.ledger().pending, 4);
    restored.advance(DEADLINE_MAX);
    let _begun = restored.starts();
    assert!(restored.scheduler.ledger().balances());
}
