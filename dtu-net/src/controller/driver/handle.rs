//! What the caller holds of a job.

use super::Outcome;
use crate::controller::JobId;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A future of what the operation gave. Dropping it does not cancel the job; [`cancel`](super::Controller::cancel) does.
#[derive(Debug)]
#[must_use = "a handle that is dropped leaves the outcome to events and counters"]
pub struct Handle<R> {
    id: JobId,
    result: oneshot::Receiver<Result<R, JobError>>,
}

impl<R> Handle<R> {
    pub(super) const fn new(id: JobId, result: oneshot::Receiver<Result<R, JobError>>) -> Self {
        Self { id, result }
    }

    /// The number of the job.
    #[must_use]
    pub const fn id(&self) -> JobId {
        self.id
    }
}

impl<R> Future for Handle<R> {
    type Output = Result<R, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(context).map(|result| result.unwrap_or(Err(JobError::Stopped)))
    }
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// The job ended in this outcome, which is not [`Outcome::Done`].
    Ended(Outcome),
    /// The controller stopped before the job had ended. The job is in the snapshot, if one is taken.
    Stopped,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(outcome) => write!(f, "the job ended: {outcome}"),
            Self::Stopped => f.write_str("the controller stopped before the job had ended"),
        }
    }
}

impl core::error::Error for JobError {}

/// A job has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobEvent {
    /// Its number.
    pub id: JobId,
    /// Its target.
    pub target: Arc<str>,
    /// Its operation.
    pub operation: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was attempted.
    pub attempts: u32,
}
