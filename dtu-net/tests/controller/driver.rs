//! The controller on tokio's paused clock.
#![expect(clippy::disallowed_methods, reason = "the clock is paused, and the test measures on it")]

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Jitter};
use dtu_net::controller::{
    Controller, Failure, FailureClass, JobError, NewJob, Outcome, Policies, Policy, RejectCause, RetryContext,
    SchedulerConfig, Snapshot, SnapshotError, TargetConfig, Why,
};
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle as Runtime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(1_800_000_000);

/// What an operation does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    /// Succeeds at this attempt, with the time of one second each.
    Succeed(u32),
    Hang,
    Panic,
    Refuse,
}

/// What an operation touches on its way.
#[derive(Default)]
struct World {
    running: AtomicUsize,
    most: AtomicUsize,
    attempts: Mutex<Vec<(u64, u32)>>,
}

struct Inside(Arc<World>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn operation(world: Arc<World>, context: RetryContext, what: Arc<Do>) -> Result<u32, Failure> {
    let running = world.running.fetch_add(1, Ordering::SeqCst) + 1;
    world.most.fetch_max(running, Ordering::SeqCst);
    let _inside = Inside(Arc::clone(&world));
    world.attempts.lock().unwrap().push((context.id.number(), context.attempts));
    assert_eq!(context.why, Why::InFlight);
    match *what {
        Do::Succeed(at) => {
            sleep(SECOND).await;
            if context.attempts < at { Err(Failure::TRANSIENT) } else { Ok(context.attempts) }
        }
        Do::Hang => core::future::pending().await,
        Do::Panic => panic!("as the test wants it"),
        Do::Refuse => Err(Failure::PERMANENT),
    }
}

fn policies() -> Policies {
    let policy = Policy::DEFAULT
        .backoff(Backoff::fixed(2 * SECOND).jitter(Jitter::None))
        .max_attempts(3)
        .attempt_timeout(10 * SECOND);
    Policies::new(policy).unwrap()
}

fn begin(config: SchedulerConfig) -> (Controller<Do, u32>, Arc<World>, CancellationToken) {
    let (world, token) = (Arc::new(World::default()), CancellationToken::new());
    let inside = Arc::clone(&world);
    let run = move |context, what| operation(Arc::clone(&inside), context, what);
    let controller = Controller::start(config, policies(), run, token.clone()).unwrap();
    for target in ["a", "b"] {
        controller.add_target(target, TargetConfig::DEFAULT).unwrap();
    }
    (controller, world, token)
}

fn job(what: Do) -> NewJob<Do> {
    NewJob::new("a", "read", what).repeatable()
}

fn tasks() -> usize {
    Runtime::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_handle_gives_the_result_after_the_delays() {
    let (controller, world, _token) = begin(SchedulerConfig::DEFAULT);
    let mut events = controller.events();
    let began = Instant::now();
    let handle = controller.submit(job(Do::Succeed(3))).unwrap();
    let id = handle.id();
    assert_eq!(handle.await, Ok(3));
    // Three attempts of one second, and two delays of two.
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(*world.attempts.lock().unwrap(), [(1, 1), (1, 2), (1, 3)]);
    let event = events.recv().await.unwrap();
    assert_eq!((event.id, event.outcome, event.attempts), (id, Outcome::Done, 3));
    assert!(controller.query(id).is_none() && controller.ledger().balances());
}

#[tokio::test(start_paused = true)]
async fn what_hangs_panics_or_is_refused_ends() {
    let (controller, world, _token) = begin(SchedulerConfig::DEFAULT);
    let began = Instant::now();
    let panicked = controller.submit(job(Do::Panic)).unwrap();
    let refused = controller.submit(job(Do::Refuse)).unwrap();
    let hung = controller.submit(job(Do::Hang)).unwrap();
    let hung_once = controller.submit(NewJob::new("b", "write", Do::Hang)).unwrap();
    assert_eq!(panicked.await, Err(JobError::Ended(Outcome::Failed)));
    assert_eq!(refused.await, Err(JobError::Ended(Outcome::Failed)));
    assert!(began.elapsed() < SECOND);
    assert_eq!(hung_once.await, Err(JobError::Ended(Outcome::InDoubt)));
    assert_eq!(began.elapsed().as_secs(), 10);
    let waits = controller.queries(None, 10);
    assert_eq!(
        waits.iter().map(|context| (context.why, context.last_failure)).collect::<Vec<_>>(),
        [(Why::Backoff, Some(FailureClass::TimedOut))]
    );
    assert_eq!(hung.await, Err(JobError::Ended(Outcome::Exhausted)));
    assert_eq!(began.elapsed().as_secs(), 34);
    tokio::task::yield_now().await;
    assert_eq!(world.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_and_a_dropped_handle_cancels_nothing() {
    let (controller, world, _token) = begin(SchedulerConfig::DEFAULT.max_in_flight(3));
    for _ in 0..9 {
        drop(controller.submit(job(Do::Succeed(1))).unwrap());
    }
    let last = controller.submit(job(Do::Succeed(1))).unwrap();
    assert_eq!(last.await, Ok(1));
    assert_eq!((world.most.load(Ordering::SeqCst), controller.ledger().done), (3, 10));
}

#[tokio::test(start_paused = true)]
async fn cancel_and_remove_end_what_runs() {
    let (controller, world, _token) = begin(SchedulerConfig::DEFAULT);
    let [cancelled, gone] = [(); 2].map(|()| controller.submit(job(Do::Hang)).unwrap());
    sleep(SECOND).await;
    assert_eq!(world.running.load(Ordering::SeqCst), 2);
    assert!(controller.cancel(cancelled.id()) && !controller.cancel(cancelled.id()));
    assert_eq!(cancelled.await, Err(JobError::Ended(Outcome::Cancelled)));
    assert_eq!(controller.remove_target("a"), Some(1));
    assert_eq!(gone.await, Err(JobError::Ended(Outcome::TargetGone)));
    sleep(SECOND).await;
    assert_eq!((world.running.load(Ordering::SeqCst), tasks()), (0, 1), "only the scheduler is left");
    let rejected = controller.submit(job(Do::Hang)).unwrap_err();
    assert_eq!((rejected.cause, rejected.job.into_payload()), (RejectCause::UnknownTarget, Do::Hang));
}

#[tokio::test(start_paused = true)]
async fn the_token_ends_everything_and_leaves_no_task() {
    let (controller, world, token) = begin(SchedulerConfig::DEFAULT);
    let handles = [Do::Hang, Do::Succeed(3)].map(|what| controller.submit(job(what)).unwrap());
    sleep(Duration::from_millis(1500)).await;
    token.cancel();
    controller.stopped().await;
    assert_eq!(world.running.load(Ordering::SeqCst), 0);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), 0);
    for handle in handles {
        assert_eq!(handle.await, Err(JobError::Stopped));
    }
    assert_eq!(controller.submit(job(Do::Hang)).unwrap_err().cause, RejectCause::Closed);
    // Nothing is lost: both are there for a snapshot, and a claim does not wait without end.
    assert_eq!(controller.snapshot(WALL).len(), 2);
    assert_eq!(controller.claim(controller.queries(None, 1)[0].id).unwrap().await, Err(JobError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn what_was_done_when_the_token_is_cancelled_counts_as_done() {
    let token = CancellationToken::new();
    let ends = token.clone();
    let operation = move |_, _: Arc<()>| {
        let ends = ends.clone();
        async move {
            ends.cancel();
            Ok(7)
        }
    };
    let controller: Controller<(), u32> =
        Controller::start(SchedulerConfig::DEFAULT, policies(), operation, token).unwrap();
    controller.add_target("a", TargetConfig::DEFAULT).unwrap();
    let handle = controller.submit(NewJob::new("a", "read", ())).unwrap();
    assert_eq!(handle.await, Ok(7));
    controller.stopped().await;
    assert_eq!((controller.ledger().done, controller.snapshot(WALL).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_waits_for_what_is_in_flight_and_no_longer_than_the_grace() {
    let (controller, _world, token) = begin(SchedulerConfig::DEFAULT);
    let began = Instant::now();
    let done = controller.submit(job(Do::Succeed(1))).unwrap();
    tokio::task::yield_now().await;
    controller.shut_down(60 * SECOND).await;
    assert_eq!((done.await, began.elapsed().as_secs()), (Ok(1), 1));
    assert!(!token.is_cancelled(), "the token is the caller's");

    let (controller, _world, _token) = begin(SchedulerConfig::DEFAULT);
    let began = Instant::now();
    let hangs = controller.submit(job(Do::Hang)).unwrap();
    tokio::task::yield_now().await;
    controller.shut_down(3 * SECOND).await;
    assert_eq!((hangs.await, began.elapsed().as_secs()), (Err(JobError::Stopped), 3));
}

#[tokio::test(start_paused = true)]
async fn a_controller_goes_on_from_the_snapshot_of_another() {
    let (first, world, _token) = begin(SchedulerConfig::DEFAULT);
    let repeatable = first.submit(job(Do::Succeed(2))).unwrap();
    let once = first.submit(NewJob::new("b", "write", Do::Hang)).unwrap();
    // The first attempt of each is cut off.
    sleep(SECOND / 2).await;
    first.shut_down(Duration::ZERO).await;
    let snapshot = first.snapshot(WALL);
    assert_eq!(world.attempts.lock().unwrap().len(), 2);

    let (second, world, _token) = begin(SchedulerConfig::DEFAULT);
    let mut events = second.events();
    let other: Snapshot<Do> = snapshot.clone();
    let back = second.restore(WALL - SECOND, snapshot).unwrap_err();
    assert_eq!((back.error, &back.snapshot), (SnapshotError::TakenAt { ahead: SECOND }, &other));
    second.restore(WALL + SECOND, back.snapshot).unwrap();
    assert!(second.restore(WALL, other.clone()).is_err_and(|rejected| rejected.snapshot == other));
    let claimed = second.claim(repeatable.id()).unwrap();
    assert_eq!(claimed.await, Ok(2));
    let event = events.recv().await.unwrap();
    assert_eq!((event.id, event.outcome), (once.id(), Outcome::InDoubt));
    assert_eq!(*world.attempts.lock().unwrap(), [(repeatable.id().number(), 2)]);
    assert!(second.ledger().balances() && second.claim(once.id()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_does_not_hold_up_the_other() {
    let (controller, _world, _token) = begin(SchedulerConfig::DEFAULT.max_in_flight(20));
    for _ in 0..100 {
        drop(controller.submit(job(Do::Hang)).unwrap());
    }
    for _ in 0..50 {
        let began = Instant::now();
        let handle = controller.submit(NewJob::new("b", "read", Do::Succeed(1))).unwrap();
        assert_eq!(handle.await, Ok(1));
        assert_eq!(began.elapsed().as_secs(), 1);
    }
}

#[test]
fn handles_end_when_the_runtime_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (controller, handle) = runtime.block_on(async {
        let (controller, _world, _token) = begin(SchedulerConfig::DEFAULT);
        let handle = controller.submit(job(Do::Hang)).unwrap();
        sleep(SECOND).await;
        (controller, handle)
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(other.block_on(handle), Err(JobError::Stopped));
    other.block_on(controller.stopped());
    assert_eq!(controller.ledger().pending, 1);
}
