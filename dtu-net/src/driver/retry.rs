//! Runs one operation through its attempts.

use super::now;
use crate::breaker::{Breaker, Permit};
use crate::retry::{Attempt, Class, End, Failure, Last, Plan, Policy, RetryError, Verdict};
use core::hash::{BuildHasher, Hasher};
use rand_core::SeedableRng;
use rand_pcg::Pcg32;
use std::hash::RandomState;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs `operation` until it succeeds, or until `policy`, `breaker` or `token` say that it is enough.
///
/// Every attempt needs a permit of the breaker, if there is one, and its result goes to the breaker as
/// [`Failure`] says; the timeout of an attempt is a failure of the peer. Cancelling `token` ends a running attempt and every
/// wait at once. That and the deadline of the whole are no verdict on the peer. An attempt that has succeeded already is
/// not thrown away. To end an attempt is to drop its future. Dropping the future of `retry` does the same, and leaves nothing
/// behind: the permit goes back.
///
/// # Errors
///
/// [`RetryError`], which holds the last error and why there is no further attempt.
///
/// # Panics
///
/// Outside of a tokio runtime with its clock enabled.
///
/// # Examples
///
/// ```
/// use dtu_net::breaker::{Breaker, BreakerConfig};
/// use dtu_net::retry::{End, Failure, Policy, retry};
/// use std::time::{Duration, Instant};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # tokio::time::pause();
/// let breaker = Breaker::new(BreakerConfig::DEFAULT, Instant::now());
/// let token = CancellationToken::new();
/// let policy = Policy::EXPONENTIAL_WITH_JITTER.idempotent();
/// let register = retry(policy, Some(&breaker), &token, async |attempt| match attempt.number {
///     1 => Err(Failure::transient("no route")),
///     2 => Err(Failure::retry_after("busy", Duration::from_secs(3))),
///     _ => Ok(230),
/// });
/// assert_eq!(register.await, Ok(230));
///
/// // What is not declared idempotent runs once, unless nothing of it was sent.
/// let write = retry(Policy::FIXED_INTERVAL, Some(&breaker), &token, async |attempt| match attempt.number {
///     1 => Err::<(), _>(Failure::transient("not connected").unsent()),
///     _ => Err(Failure::transient("no answer")),
/// });
/// let error = write.await.unwrap_err();
/// assert_eq!((error.end, error.attempts), (End::NotRepeatable, 2));
/// # }
/// ```
pub async fn retry<T, E, O, F>(
    policy: Policy,
    breaker: Option<&Breaker>,
    token: &CancellationToken,
    mut operation: O,
) -> Result<T, RetryError<E>>
where
    O: FnMut(Attempt) -> F,
    F: Future<Output = Result<T, Failure<E>>>,
{
    // Only spreads delays; it differs from call to call and from process to process.
    let mut rng = Pcg32::seed_from_u64(RandomState::new().build_hasher().finish());
    let mut plan = Plan::new(policy, now());
    let mut last = None;
    let end = loop {
        let (attempt, permit) = match begin(&mut plan, breaker, token) {
            Ok(begun) => begun,
            Err(end) => break end,
        };
        let result = tokio::select! {
            biased;
            result = operation(attempt) => Some(result),
            () = token.cancelled() => break End::Cancelled,
            () = tokio::time::sleep_until(attempt.until.into()) => None,
        };
        let ended = now();
        let (class, is_unsent, verdict) = match result {
            Some(Ok(value)) => {
                report(permit, Verdict::Answered, ended);
                return Ok(value);
            }
            Some(Err(failure)) => {
                let judged = (failure.class(), failure.is_unsent(), failure.verdict());
                last = Some(Last::Failed(failure.error));
                // The operation may have noticed the token before we did, and call it a failure.
                if token.is_cancelled() {
                    break End::Cancelled;
                }
                judged
            }
            None if attempt.is_last_chance => break End::Deadline,
            None => {
                last = Some(Last::TimedOut);
                (Class::Transient, false, Verdict::Failed)
            }
        };
        report(permit, verdict, ended);
        match plan.failed(class, is_unsent, ended, &mut rng) {
            Ok(next) => {
                tokio::select! {
                    biased;
                    () = token.cancelled() => break End::Cancelled,
                    () = tokio::time::sleep_until(next.into()) => {}
                }
            }
            Err(end) => break end,
        }
    };
    Err(RetryError { end, attempts: plan.attempts(), elapsed: plan.elapsed(now()), last })
}

type MaybePermit<'a> = Option<Permit<&'a Breaker>>;

fn begin<'a>(
    plan: &mut Plan,
    breaker: Option<&'a Breaker>,
    token: &CancellationToken,
) -> Result<(Attempt, MaybePermit<'a>), End> {
    if token.is_cancelled() {
        return Err(End::Cancelled);
    }
    let now = now();
    let permit = breaker.map(|breaker| breaker.acquire(now)).transpose().map_err(End::BreakerOpen)?;
    Ok((plan.begin(now)?, permit))
}

fn report(permit: MaybePermit<'_>, verdict: Verdict, now: Instant) {
    let Some(permit) = permit else { return };
    match verdict {
        Verdict::Failed => permit.fail(now),
        Verdict::Answered => permit.succeed(now),
        Verdict::None => drop(permit),
    }
}
