//! The task of the scheduler, and those of the attempts.

use super::shared::{Progress, Shared, StopsOnDrop, attempt_name};
use crate::controller::{Disposition, Event, Failure, JobId, Outcome, RetryContext, Stop};
use crate::driver::now;
use core::pin::pin;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// One attempt: its job and its number.
type Attempt = (JobId, u32);

struct Attempts<R> {
    tasks: JoinSet<Result<R, Failure>>,
    by_task: BTreeMap<Id, Attempt>,
    aborts: BTreeMap<Attempt, AbortHandle>,
}

pub(super) async fn run<T, R, F, Fut>(shared: Arc<Shared<T, R>>, operation: Arc<F>, token: CancellationToken)
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(RetryContext, Arc<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
{
    // Declared first, so that it is dropped after the tasks.
    let _stops = StopsOnDrop(Arc::clone(&shared));
    let mut attempts = Attempts { tasks: JoinSet::new(), by_task: BTreeMap::new(), aborts: BTreeMap::new() };
    let mut sleep = pin!(sleep_until(TokioInstant::from_std(now())));
    loop {
        let wake = turn(&shared, &operation, &mut attempts);
        if let Some(wake) = wake {
            let wake = TokioInstant::from_std(wake);
            // The timer is moved only when it has to be.
            if sleep.deadline() != wake || sleep.is_elapsed() {
                sleep.as_mut().reset(wake);
            }
        }
        tokio::select! {
            biased;
            () = token.cancelled() => break,
            Some(joined) = attempts.tasks.join_next_with_id() => settle(&shared, &mut attempts, joined, true),
            () = shared.changed() => {}
            () = sleep.as_mut(), if wake.is_some() => {}
        }
    }
    attempts.tasks.abort_all();
    // What was done all the same counts; what was cut off stays in flight, for a snapshot.
    while let Some(joined) = attempts.tasks.join_next_with_id().await {
        settle(&shared, &mut attempts, joined, false);
    }
    tell_events(&shared, &attempts);
}

/// Does all that can be done now. Returns when there is more.
fn turn<T, R, F, Fut>(shared: &Arc<Shared<T, R>>, operation: &Arc<F>, attempts: &mut Attempts<R>) -> Option<Instant>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(RetryContext, Arc<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Failure>> + Send + 'static,
{
    shared.look(|inner| inner.scheduler.handle_timeout(now()));
    tell_events(shared, attempts);
    let (wake, is_idle) = shared.look(|inner| {
        let now = now();
        while let Some(start) = inner.scheduler.poll_start(now) {
            let attempt = (start.context.id, start.context.attempts);
            let span = tracing::debug_span!(
                "attempt",
                job = attempt.0.number(),
                attempt = attempt.1,
                target = %start.context.target,
                operation = %start.context.operation
            );
            let (operation, context, payload) = (Arc::clone(operation), start.context, Arc::clone(start.payload));
            // The operation is called there too: it may block or panic.
            let task = async move { operation(context, payload).await };
            let abort = attempts.tasks.spawn(task.instrument(span));
            attempts.by_task.insert(abort.id(), attempt);
            attempts.aborts.insert(attempt, abort);
        }
        (inner.scheduler.poll_timeout(), inner.scheduler.is_closed() && inner.scheduler.in_flight() == 0)
    });
    // What expired at its turn has ended without a timer.
    tell_events(shared, attempts);
    if is_idle {
        shared.advance(Progress::Idle);
    }
    wake
}

fn tell_events<T, R>(shared: &Shared<T, R>, attempts: &Attempts<R>) {
    while let Some(event) = shared.look(|inner| inner.scheduler.poll_event()) {
        match event {
            Event::Stop(Stop { id, attempt, cause }) => {
                metrics::counter!("dtu_retry_attempts_total", "outcome" => cause.name()).increment(1);
                // One that has just ended by itself is joined without it.
                if let Some(abort) = attempts.aborts.get(&(id, attempt)) {
                    abort.abort();
                }
            }
            Event::Ended(ending) => shared.tell(&ending),
        }
    }
}

/// An attempt's task is over. One that was cut off is told to the scheduler only if the scheduler goes on.
fn settle<T, R>(
    shared: &Shared<T, R>,
    attempts: &mut Attempts<R>,
    joined: Result<(Id, Result<R, Failure>), JoinError>,
    goes_on: bool,
) {
    let (task, result) = match joined {
        Ok((task, result)) => (task, result),
        Err(error) if error.is_panic() => (error.id(), Err(Failure::PANICKED)),
        Err(error) => (error.id(), Err(Failure::INTERRUPTED)),
    };
    let (id, attempt) = attempts.by_task.remove(&task).expect("a task is an attempt until it is joined");
    attempts.aborts.remove(&(id, attempt));
    let told = result.as_ref().map(|_| ()).map_err(|failure| *failure);
    if told == Err(Failure::INTERRUPTED) && !goes_on {
        return;
    }
    let disposition = shared.look(|inner| inner.scheduler.handle_outcome(now(), id, attempt, told));
    if disposition != Disposition::Stale {
        metrics::counter!("dtu_retry_attempts_total", "outcome" => attempt_name(told)).increment(1);
    }
    if let (Disposition::Ended(Outcome::Done), Ok(result)) = (disposition, result) {
        shared.answer(id, Ok(result));
    }
}
