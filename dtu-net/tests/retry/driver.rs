use crate::SECOND;
use core::future::pending;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use dtu_net::breaker::{Breaker, BreakerConfig, BreakerState, OPEN_FOR, RefusedCause};
use dtu_net::retry::{ATTEMPT_TIMEOUT, DEADLINE, End, Failure, Last, Policy, RetryError, retry};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

const POLICY: Policy = Policy::EXPONENTIAL.idempotent();

fn now() -> Instant {
    tokio_now()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the test is tokio's, which is paused")]
fn tokio_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn breaker(failures: u32) -> Breaker {
    Breaker::new(BreakerConfig::DEFAULT.consecutive(failures).unwrap(), now())
}

/// Open until a moment ago, so that the next call is the only probe.
fn recovering() -> Breaker {
    let breaker = breaker(1);
    let opened = now() - OPEN_FOR;
    breaker.acquire(opened).unwrap().fail(opened);
    assert_eq!(breaker.state(now()), BreakerState::HalfOpen);
    breaker
}

async fn failing(policy: Policy, breaker: Option<&Breaker>, failure: Failure<u8>) -> RetryError<u8> {
    retry(policy, breaker, &CancellationToken::new(), async |_| Err::<(), _>(failure)).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn it_waits_between_attempts_and_tells_all_in_the_end() {
    let error = failing(POLICY, None, Failure::transient(7)).await;
    assert_eq!((error.end, error.attempts, error.last), (End::AttemptsUsedUp, 6, Some(Last::Failed(7))));
    assert_eq!(error.elapsed.as_secs(), 31);
    let text = error.to_string();
    assert!(text.starts_with("given up after 6 attempts and 31"), "{text}");
    assert!(text.ends_with(" ms: all attempts are used up; the last error: 7"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn it_gives_the_value_of_the_first_attempt_that_succeeds() {
    let (breaker, began) = (breaker(5), now());
    let token = CancellationToken::new();
    let value = retry(POLICY, Some(&breaker), &token, async |attempt| match attempt.number {
        4 => Ok(attempt.number),
        _ => Err(Failure::transient("not yet")),
    });
    assert_eq!(value.await, Ok(4));
    assert_eq!((now() - began).as_secs(), 7);
    // The success was counted: four failures more do not open it.
    (0..4).for_each(|_| breaker.acquire(now()).unwrap().fail(now()));
    assert_eq!(breaker.state(now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_and_one_of_unknown_effect_end_it_at_once() {
    let began = now();
    let error = failing(POLICY, None, Failure::permanent(1)).await;
    assert_eq!((error.end, error.attempts, error.last), (End::Permanent, 1, Some(Last::Failed(1))));
    let error = failing(Policy::EXPONENTIAL, None, Failure::transient(2)).await;
    assert_eq!((error.end, error.attempts, error.last), (End::NotRepeatable, 1, Some(Last::Failed(2))));
    assert_eq!(now(), began);
    let error = failing(Policy::EXPONENTIAL, None, Failure::transient(2).unsent()).await;
    assert_eq!((error.end, error.attempts), (End::AttemptsUsedUp, 6));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_times_out_as_a_failure_of_the_peer() {
    let breaker = breaker(2);
    let token = CancellationToken::new();
    let hangs = async |_| pending::<Result<(), Failure<u8>>>().await;
    let error = retry(POLICY, Some(&breaker), &token, hangs).await.unwrap_err();
    assert!(matches!(error.end, End::BreakerOpen(refused) if refused.cause == RefusedCause::Open), "{error:?}");
    assert_eq!((error.attempts, error.last), (2, Some(Last::TimedOut)));
    // Two timeouts, 1 s between them, and 2 s after.
    assert_eq!(error.elapsed.as_secs(), 2 * ATTEMPT_TIMEOUT.as_secs() + 1 + 2);
    assert_eq!(breaker.counters().opened, 1);

    // It may have been sent.
    let error = retry(Policy::EXPONENTIAL, None, &token, hangs).await.unwrap_err();
    assert_eq!((error.end, error.attempts, error.last), (End::NotRepeatable, 1, Some(Last::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_a_running_attempt_off_and_blames_nobody() {
    let (breaker, token) = (recovering(), CancellationToken::new());
    let policy = POLICY.deadline(10 * SECOND);
    let hangs = async |_| pending::<Result<(), Failure<u8>>>().await;
    let error = retry(policy, Some(&breaker), &token, hangs).await.unwrap_err();
    assert_eq!((error.end, error.attempts, error.last), (End::Deadline, 1, None));
    assert_eq!(error.elapsed.as_secs(), 10);
    assert_eq!((breaker.state(now()), breaker.counters().returned), (BreakerState::HalfOpen, 1));

    // What cannot begin in time is not waited for.
    let began = now();
    let error = failing(policy, None, Failure::retry_after(3, 10 * SECOND)).await;
    assert_eq!((error.end, error.attempts, now()), (End::Deadline, 1, began));
    let error = failing(POLICY.deadline(Duration::ZERO), None, Failure::transient(3)).await;
    assert_eq!((error.end, error.attempts, error.last), (End::Deadline, 0, None));
    assert_eq!(DEADLINE, 120 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_an_attempt_and_a_wait_at_once_and_blames_nobody() {
    let hangs = async |_| pending::<Result<(), Failure<u8>>>().await;
    // Before the first attempt.
    let token = CancellationToken::new();
    token.cancel();
    let error = retry(POLICY, None, &token, hangs).await.unwrap_err();
    assert_eq!((error.end, error.attempts), (End::Cancelled, 0));

    // While one runs, by a parent.
    let (breaker, parent) = (recovering(), CancellationToken::new());
    let (token, began) = (parent.child_token(), now());
    let (result, ()) = tokio::join!(retry(POLICY, Some(&breaker), &token, hangs), async {
        tokio::time::sleep(SECOND).await;
        parent.cancel();
    });
    assert_eq!(result.map_err(|error| (error.end, error.attempts)), Err((End::Cancelled, 1)));
    assert_eq!(((now() - began).as_secs(), breaker.counters().returned), (1, 1));

    // While it waits.
    let (token, began) = (CancellationToken::new(), now());
    let fails = async |_| Err::<(), _>(Failure::retry_after(1_u8, 100 * SECOND));
    let (result, ()) = tokio::join!(retry(POLICY, None, &token, fails), async {
        tokio::time::sleep(SECOND).await;
        token.cancel();
    });
    let error = result.unwrap_err();
    assert_eq!((error.end, error.last, (now() - began).as_secs()), (End::Cancelled, Some(Last::Failed(1)), 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_notices_the_token_first_is_no_failure_of_the_peer() {
    let (breaker, token) = (recovering(), CancellationToken::new());
    let notices = async |_| {
        token.cancel();
        Err::<(), _>(Failure::transient("cancelled"))
    };
    let error = retry(POLICY, Some(&breaker), &token, notices).await.unwrap_err();
    assert_eq!((error.end, error.last), (End::Cancelled, Some(Last::Failed("cancelled"))));
    assert_eq!((breaker.state(now()), breaker.counters().returned), (BreakerState::HalfOpen, 1));
    // One that has succeeded is not thrown away.
    let token = CancellationToken::new();
    let succeeds = async |_| {
        token.cancel();
        Ok::<_, Failure<u8>>(5)
    };
    assert_eq!(retry(POLICY, Some(&breaker), &token, succeeds).await, Ok(5));
    assert_eq!(breaker.state(now()), BreakerState::Closed);
    // Not even when both happen before either is seen.
    for _ in 0..32 {
        let token = CancellationToken::new();
        let cancel = async {
            tokio::time::sleep(SECOND).await;
            token.cancel();
        };
        let succeeds = async |_| {
            tokio::time::sleep(SECOND).await;
            Ok::<_, Failure<u8>>(5)
        };
        let ((), result) = tokio::join!(biased; cancel, retry(POLICY, None, &token, succeeds));
        assert_eq!(result, Ok(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_leaves_nothing_behind() {
    struct Running(Arc<AtomicU32>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let (breaker, token, running) = (recovering(), CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let hangs = async |_| {
        running.fetch_add(1, Ordering::Relaxed);
        let _running = Running(Arc::clone(&running));
        pending::<Result<(), Failure<u8>>>().await
    };
    let cut = tokio::time::timeout(SECOND, retry(POLICY, Some(&breaker), &token, hangs)).await;
    assert!(cut.is_err());
    assert_eq!(running.load(Ordering::Relaxed), 0);
    assert!(breaker.acquire(now()).is_ok_and(|permit| permit.is_probe()), "the permit has gone back");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_admits_no_attempt() {
    let breaker = breaker(1);
    breaker.acquire(now()).unwrap().fail(now());
    let error = failing(POLICY, Some(&breaker), Failure::transient(1)).await;
    assert_eq!((error.attempts, error.last), (0, None));
    assert!(matches!(error.end, End::BreakerOpen(refused) if refused.retry_after == OPEN_FOR), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_breaker_counts_what_the_failure_says() {
    let cases = [
        (Failure::transient(0), BreakerState::Open { until: now() + OPEN_FOR }),
        (Failure::retry_after(0, SECOND), BreakerState::Open { until: now() + OPEN_FOR }),
        (Failure::transient(0).local(), BreakerState::HalfOpen),
        (Failure::permanent(0), BreakerState::HalfOpen),
        (Failure::permanent(0).answered(), BreakerState::Closed),
    ];
    for (failure, state) in cases {
        let breaker = recovering();
        failing(Policy::EXPONENTIAL, Some(&breaker), failure).await;
        assert_eq!(breaker.state(now()), state, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_runs_in_a_task_of_its_own() {
    let breaker = Arc::new(breaker(5));
    let task = tokio::spawn(async move {
        let calls = AtomicU32::new(0);
        let token = CancellationToken::new();
        retry(POLICY, Some(&breaker), &token, async |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Failure::transient("once")),
            calls => Ok(calls),
        })
        .await
    });
    assert_eq!(task.await.unwrap(), Ok(1));
}
