//! The scheduler on tokio: one task and one timer for it, and a task for each attempt.

mod handle;
mod shared;
mod task;

pub use handle::{Handle, JobError, JobEvent};

use super::job::{JobId, NewJob, Rejected, RetryContext};
use super::outcome::Ledger;
use super::policy::Policies;
use super::scheduler::{Scheduler, SchedulerConfig, TargetError};
use super::snapshot::{RejectedSnapshot, Snapshot};
use super::target::TargetConfig;
use super::{Failure, Outcome};
use crate::breaker::Breaker;
use crate::driver::now;
use crate::policy::PolicyError;
use core::fmt;
use core::time::Duration;
use shared::{Progress, Shared};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// The events that a slow listener may be behind, unless set otherwise.
pub const EVENTS: usize = 1024;

/// Runs jobs by an operation of the caller's. Clones are the same controller.
///
/// | what | ends |
/// |---|---|
/// | an attempt | when it is done; its future is dropped when its time is over, its job has ended, or the controller stops |
/// | a job | in one [`Outcome`], whether its [`Handle`] is kept or not: a handle that is dropped cancels nothing |
/// | the controller | when its token is cancelled, or by [`shut_down`](Self::shut_down). Its jobs are not cancelled: they stay for [`snapshot`](Self::snapshot), and their handles give [`JobError::Stopped`] |
///
/// # Examples
///
/// ```
/// use dtu_net::controller::{Controller, Failure, NewJob, Policies, RetryContext, SchedulerConfig, TargetConfig};
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let read = |context: RetryContext, register: Arc<u16>| async move {
///     if context.attempts < 3 {
///         return Err(Failure::TRANSIENT); // the meter is busy
///     }
///     Ok(*register + 1)
/// };
/// let token = CancellationToken::new();
/// let controller = Controller::start(SchedulerConfig::DEFAULT, Policies::default(), read, token)?;
/// controller.add_target("meter 7", TargetConfig::DEFAULT)?;
/// let handle = controller.submit(NewJob::new("meter 7", "read", 41).repeatable())?;
/// assert_eq!(handle.await?, 42);
/// controller.shut_down(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
pub struct Controller<T, R> {
    shared: Arc<Shared<T, R>>,
    token: CancellationToken,
}

/// Why a controller did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// A limit is out of its range.
    Config(PolicyError),
    /// The system gives no random seed.
    NoSeed,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => fmt::Display::fmt(error, f),
            Self::NoSeed => f.write_str("the system gives no random seed"),
        }
    }
}

impl core::error::Error for StartError {}

impl<T: Send + Sync + 'static, R: Send + 'static> Controller<T, R> {
    /// Starts the task of the scheduler, without targets. `operation` makes the future of each attempt; both run on the
    /// task of that attempt. Has to be called in a tokio runtime. The seed of the jitter comes from the system.
    ///
    /// # Errors
    /// A limit of `config` is zero, or there is no seed.
    pub fn start<F, Fut>(
        config: SchedulerConfig,
        policies: Policies,
        operation: F,
        token: CancellationToken,
    ) -> Result<Self, StartError>
    where
        F: Fn(RetryContext, Arc<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let seed = getrandom::u64().map_err(|_| StartError::NoSeed)?;
        let scheduler = Scheduler::new(config, policies, seed, now()).map_err(StartError::Config)?;
        let shared = Arc::new(Shared::new(scheduler));
        // Its own, so that `shut_down` ends no more than this.
        let token = token.child_token();
        tokio::spawn(task::run(Arc::clone(&shared), Arc::new(operation), token.clone()));
        Ok(Self { shared, token })
    }

    /// Adds a target.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn add_target(&self, name: &str, config: TargetConfig) -> Result<(), TargetError> {
        self.shared.change(|inner| inner.scheduler.add_target(now(), name, config))
    }

    /// Removes a target; its jobs end in [`Outcome::TargetGone`]. Gives their number, or `None` without such a target.
    pub fn remove_target(&self, name: &str) -> Option<usize> {
        self.shared.change(|inner| inner.scheduler.remove_target(now(), name))
    }

    /// The breaker of a target. After a change by hand call [`look_again`](Self::look_again).
    #[must_use]
    pub fn breaker(&self, target: &str) -> Option<Arc<Breaker>> {
        self.shared.look(|inner| inner.scheduler.breaker(target).cloned())
    }

    /// Asks the breaker of a target again at once.
    pub fn look_again(&self, target: &str) {
        self.shared.change(|inner| inner.scheduler.look_again(target));
    }

    /// Takes a job.
    ///
    /// # Errors
    /// The cause, with the job.
    pub fn submit(&self, job: NewJob<T>) -> Result<Handle<R>, Rejected<T>> {
        let submitted = self.shared.change(|inner| {
            let id = inner.scheduler.submit(now(), job.map(Arc::new))?;
            Ok(inner.handle(id))
        });
        submitted.map_err(|Rejected { cause, job }| {
            metrics::counter!("dtu_retry_rejected_total", "cause" => cause.name()).increment(1);
            let job = job.map(|payload| Arc::into_inner(payload).expect("a job that was not let in is nobody else's"));
            Rejected { cause, job }
        })
    }

    /// A handle on a job without one, for instance from a snapshot; `None` when it has ended. A handle given before ends as
    /// if the controller had stopped.
    #[must_use]
    pub fn claim(&self, id: JobId) -> Option<Handle<R>> {
        self.shared.change(|inner| inner.scheduler.query(now(), id).map(|_| inner.handle(id)))
    }

    /// Ends a job, in [`Outcome::Cancelled`]. Returns whether there was one of that number.
    pub fn cancel(&self, id: JobId) -> bool {
        self.shared.change(|inner| inner.scheduler.cancel(now(), id))
    }

    /// Where a job stands; `None` when it has ended, or never was.
    #[must_use]
    pub fn query(&self, id: JobId) -> Option<RetryContext> {
        self.shared.look(|inner| inner.scheduler.query(now(), id))
    }

    /// Where up to `limit` jobs after `after` stand, in the order of their numbers.
    #[must_use]
    pub fn queries(&self, after: Option<JobId>, limit: usize) -> Vec<RetryContext> {
        self.shared.look(|inner| inner.scheduler.queries(now(), after).take(limit).collect())
    }

    /// What became of all jobs so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.look(|inner| inner.scheduler.ledger())
    }

    /// What ends from now on. A listener that is behind by more than [`EVENTS`] is told how many it missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<JobEvent> {
        self.shared.events.subscribe()
    }

    /// All that has to outlive the process; `wall` is what the wall clock shows, the time since 1970. To lose nothing and run
    /// nothing twice, take it after [`shut_down`](Self::shut_down).
    #[must_use]
    pub fn snapshot(&self, wall: Duration) -> Snapshot<T>
    where
        T: Clone,
    {
        // Payloads are copied after the lock is given back.
        self.shared.look(|inner| inner.scheduler.snapshot(now(), wall)).map(|payload| (*payload).clone())
    }

    /// Takes up the jobs of a snapshot, after the targets were added and before any job is submitted; `wall` is what the wall
    /// clock shows now. See [`Scheduler::restore`].
    ///
    /// # Errors
    /// Nothing is taken up, and the snapshot is given back. After [`SnapshotError::TakenAt`](super::SnapshotError::TakenAt)
    /// it can be taken up as if no time had passed, with [`Snapshot::taken_at`] for `wall`.
    pub fn restore(&self, wall: Duration, snapshot: Snapshot<T>) -> Result<(), RejectedSnapshot<T>> {
        // One of another version is refused as such.
        let down = match snapshot.down(wall) {
            Ok(down) => down,
            Err(error) => return Err(RejectedSnapshot { error, snapshot }),
        };
        let restored = self.shared.change(|inner| inner.scheduler.restore(now(), down, snapshot.map(Arc::new)));
        restored.map_err(|RejectedSnapshot { error, snapshot }| RejectedSnapshot {
            error,
            snapshot: snapshot
                .map(|payload| Arc::into_inner(payload).expect("a snapshot that was not taken up is nobody else's")),
        })
    }

    /// Takes no more jobs and begins no more attempts, lets those in flight end for up to `grace`, drops the rest, and
    /// returns when no task is left.
    pub async fn shut_down(&self, grace: Duration) {
        self.shared.change(|inner| inner.scheduler.close());
        let idle = self.shared.wait_for(|progress| *progress != Progress::Busy);
        // What is in flight after the grace is dropped, and stays in doubt.
        let _idle = tokio::time::timeout(grace, idle).await;
        self.token.cancel();
        self.stopped().await;
    }

    /// Waits until the controller has stopped and no task of it is left.
    pub async fn stopped(&self) {
        self.shared.wait_for(|progress| *progress == Progress::Stopped).await;
    }
}

impl<T, R> Clone for Controller<T, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), token: self.token.clone() }
    }
}

impl<T, R> fmt::Debug for Controller<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("stops", &self.token.is_cancelled()).finish_non_exhaustive()
    }
}
