//! What the task of the scheduler and the application's hands share.

use super::handle::{Handle, JobError, JobEvent};
use super::{EVENTS, Outcome};
use crate::controller::{Ending, JobId, Scheduler};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, broadcast, oneshot, watch};

#[derive(Debug)]
pub(super) struct Shared<T, R> {
    inner: Mutex<Inner<T, R>>,
    /// Wakes the task.
    changed: Notify,
    progress: watch::Sender<Progress>,
    pub(super) events: broadcast::Sender<JobEvent>,
}

#[derive(Debug)]
pub(super) struct Inner<T, R> {
    pub(super) scheduler: Scheduler<Arc<T>>,
    /// Who waits for which job.
    handles: BTreeMap<JobId, oneshot::Sender<Result<R, JobError>>>,
    is_stopped: bool,
}

/// How far the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Attempts are in flight, or could be.
    Busy,
    /// The scheduler is closed, and no attempt is in flight.
    Idle,
    /// No task is left.
    Stopped,
}

impl<T, R> Shared<T, R> {
    pub(super) fn new(scheduler: Scheduler<Arc<T>>) -> Self {
        let inner = Inner { scheduler, handles: BTreeMap::new(), is_stopped: false };
        Self {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            progress: watch::Sender::new(Progress::Busy),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T, R>> {
        // Poison is no concern: a panic inside the scheduler is a broken invariant that the panic itself reports.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look<U>(&self, look: impl FnOnce(&mut Inner<T, R>) -> U) -> U {
        look(&mut self.lock())
    }

    pub(super) fn change<U>(&self, change: impl FnOnce(&mut Inner<T, R>) -> U) -> U {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn advance(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    pub(super) async fn wait_for(&self, is_reached: impl FnMut(&Progress) -> bool) {
        // The sender lives as long as `self`.
        let mut progress = self.progress.subscribe();
        let _reached = progress.wait_for(is_reached).await;
    }

    /// Tells that a job has ended; to its handle, if that was not told with a result.
    pub(super) fn tell(&self, ending: &Ending<Arc<T>>) {
        let Ending { outcome, context, .. } = ending;
        metrics::counter!("dtu_retry_jobs_total", "outcome" => outcome.name()).increment(1);
        tracing::debug!(
            job = context.id.number(),
            target = %context.target,
            operation = %context.operation,
            attempts = context.attempts,
            outcome = outcome.name(),
            "job ended"
        );
        let (target, operation) = (Arc::clone(&context.target), Arc::clone(&context.operation));
        let event = JobEvent { id: context.id, target, operation, outcome: *outcome, attempts: context.attempts };
        // Without a listener it has been counted and traced.
        let _nobody = self.events.send(event);
        self.answer(context.id, Err(JobError::Ended(*outcome)));
    }

    pub(super) fn answer(&self, id: JobId, result: Result<R, JobError>) {
        let handle = self.lock().handles.remove(&id);
        if let Some(handle) = handle {
            // Nobody waits for a handle that was dropped.
            let _dropped = handle.send(result);
        }
    }

    /// The task ends; who still waits is told so.
    fn stop(&self) {
        let handles = self.look(|inner| {
            inner.scheduler.close();
            inner.is_stopped = true;
            core::mem::take(&mut inner.handles)
        });
        drop(handles);
        self.advance(Progress::Stopped);
    }
}

/// Held by the task, so that its end is told however it comes about: the runtime may be dropped before the token is cancelled.
pub(super) struct StopsOnDrop<T, R>(pub(super) Arc<Shared<T, R>>);

impl<T, R> Drop for StopsOnDrop<T, R> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<T, R> Inner<T, R> {
    pub(super) fn handle(&mut self, id: JobId) -> Handle<R> {
        let (sender, receiver) = oneshot::channel();
        // After the stop nobody would answer.
        if !self.is_stopped {
            self.handles.insert(id, sender);
        }
        Handle::new(id, receiver)
    }
}

/// What the counter of attempts says about one that ended by itself.
pub(super) const fn attempt_name(result: Result<(), crate::controller::Failure>) -> &'static str {
    match result {
        Ok(()) => Outcome::Done.name(),
        Err(failure) => failure.class().name(),
    }
}
