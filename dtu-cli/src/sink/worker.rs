//! A thread for what blocks: writes that a reader holds up, disks that take their time.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use tokio::sync::oneshot;

/// A thread that owns a value, and works on it when told. It ends when this is dropped and the work at hand is done.
#[derive(Debug)]
pub(super) struct Worker<T> {
    jobs: Sender<Job<T>>,
}

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The thread has panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkerGone;

impl<T: Send + 'static> Worker<T> {
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(super) fn start(name: &str, mut value: T) -> io::Result<Self> {
        let (jobs, todo) = channel::<Job<T>>();
        thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(job) = todo.recv() {
                job(&mut value);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Has `work` done behind all that was asked for before. A future that is dropped leaves it to be done, unheard.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`].
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, WorkerGone> {
        let (done, outcome) = oneshot::channel();
        let job = move |value: &mut T| {
            let _unheard = done.send(work(value));
        };
        self.jobs.send(Box::new(job)).map_err(|_| WorkerGone)?;
        outcome.await.map_err(|_| WorkerGone)
    }
}
