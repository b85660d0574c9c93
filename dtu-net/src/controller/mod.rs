//! One scheduler for the jobs of many targets: retries with backoff, a breaker and a retry budget for each target, limits of
//! concurrency, deadlines, and a snapshot that outlives the process.
//!
//! [`Scheduler`] is the machine. It reads no clock, draws its jitter from a seed, and calls nothing. `Controller`,
//! under the feature `tokio`, runs it: one task, one timer, and a task for each attempt.
//!
//! # The loop
//!
//! **After every `handle_*`, `submit`, `cancel` and change of targets: drain [`poll_event`](Scheduler::poll_event) and
//! [`poll_start`](Scheduler::poll_start), then sleep until [`poll_timeout`](Scheduler::poll_timeout) or the next fact.**
//!
//! ```
//! use dtu_net::controller::{Event, Failure, NewJob, Outcome, Policies, Scheduler, SchedulerConfig, TargetConfig};
//! use std::time::Instant;
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let mut now = Instant::now(); // a test has a clock of its own
//! let mut scheduler = Scheduler::new(SchedulerConfig::DEFAULT, Policies::default(), 7, now)?;
//! scheduler.add_target(now, "meter 7", TargetConfig::DEFAULT)?;
//! let id = scheduler.submit(now, NewJob::new("meter 7", "read", [0x01, 0x03]).repeatable())?;
//!
//! let mut answers = [Err(Failure::TRANSIENT), Ok(())].into_iter();
//! let ending = loop {
//!     scheduler.handle_timeout(now);
//!     if let Some(Event::Ended(ending)) = scheduler.poll_event() {
//!         break ending;
//!     }
//!     while let Some(start) = scheduler.poll_start(now) {
//!         assert_eq!(*start.payload, [0x01, 0x03]); // the operation goes here
//!         let answer = answers.next().expect("the second is a success");
//!         let (id, attempt) = (start.context.id, start.context.attempts);
//!         scheduler.handle_outcome(now, id, attempt, answer);
//!     }
//!     now = scheduler.poll_timeout().map_or(now, |timeout| timeout.max(now)); // a driver sleeps here
//! };
//! assert_eq!((ending.context.id, ending.outcome, ending.context.attempts), (id, Outcome::Done, 2));
//! assert!(scheduler.ledger().balances());
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! | | rule |
//! |---|---|
//! | repeats | a job is attempted again only if it was declared repeatable, or the attempt provably did nothing ([`Failure::unsent`]). Otherwise it ends in [`Outcome::InDoubt`] |
//! | attempts | are numbered from 1. What an old one brings counts for nothing; its slot is taken until it has told its end |
//! | order | targets take turns, one start each. Within a target the job that is ready for longest goes first, except that a retry without a token holds up no first attempt, and an operation at its limit no other one |
//! | deadlines | no attempt begins after the deadline of its job, and a job ends at once when its backoff would outlast it |
//! | breaker | transient failures, pauses asked for and timeouts are failures of the target. Permanent, local and interrupted ones, and attempts that ended with their job, give no verdict; the caller can say that the target [`answered`](Failure::answered) |
//! | clock | `now` may jump or go back. Nothing is lost, and however much is due at once, starts keep to the limits and to the budget |
//! | cost | each call costs the logarithm of the jobs and targets; `handle_timeout` does [`TIMERS_PER_CALL`] timers at most, then names a timeout that has passed. `poll_start` looks at a target without a start once for each reason it had to look. Removing a target costs as much as it has jobs |

mod budget;
#[cfg(feature = "tokio")]
mod driver;
mod failure;
mod job;
mod outcome;
mod policy;
mod query;
mod restore;
mod scheduler;
mod snapshot;
mod target;
mod turns;
#[cfg(feature = "serde")]
mod wire;

pub use budget::{BURST_MAX, Budget};
#[cfg(feature = "tokio")]
pub use driver::{Controller, EVENTS, Handle, JobError, JobEvent, StartError};
pub use failure::{Failure, FailureClass};
pub use job::{Ending, JobId, NewJob, Rejected, RetryContext, Scope, Why};
pub use outcome::{Disposition, Event, Ledger, Outcome, RejectCause, Stop, StopCause};
pub use policy::{Policies, Policy};
pub use scheduler::{Scheduler, SchedulerConfig, TargetError};
pub use snapshot::{RejectedSnapshot, Snapshot, SnapshotError, VERSION};
pub use target::TargetConfig;
pub use turns::Start;

use core::time::Duration;

/// The jobs that a scheduler holds at most.
pub const JOBS: usize = 65_536;

/// The targets that a scheduler holds at most.
pub const TARGETS: usize = 4096;

/// The attempts that run at a time in the process.
pub const IN_FLIGHT: u32 = 256;

/// The attempts that run at a time on one target: few enough that a target which hangs leaves room for others.
pub const TARGET_IN_FLIGHT: u32 = 16;

/// The policies besides the default.
pub const POLICIES: usize = 65_536;

/// The longest name of a target or an operation, in bytes.
pub const NAME_LEN_MAX: usize = 255;

/// The longest deadline, and the longest time for one attempt.
pub const DEADLINE_MAX: Duration = Duration::from_hours(30 * 24);

/// The timers that one call of [`Scheduler::handle_timeout`] does.
pub const TIMERS_PER_CALL: usize = 256;

/// When a breaker that refused is asked again at the latest: it may have been closed by hand.
pub const BREAKER_RECHECK: Duration = Duration::from_secs(60);
