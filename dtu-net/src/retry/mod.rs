//! One operation, tried until it succeeds or it makes no sense any more.
//!
//! `retry`, under the feature `tokio`, runs an operation under a [`Policy`], a
//! [`Breaker`](crate::breaker::Breaker) and a `CancellationToken`. [`Plan`] is what it decides by, without clock and runtime.
//!
//! | | |
//! |---|---|
//! | three ways to wait | [`Policy::FIXED_INTERVAL`], [`Policy::EXPONENTIAL`], [`Policy::EXPONENTIAL_WITH_JITTER`], or any [`Backoff`](crate::backoff::Backoff) |
//! | what failed | the caller says so by a [`Failure`]: transient, permanent, or not before some time |
//! | what is repeated | an operation that is declared [`idempotent`](Policy::idempotent); any other only when the failure says that the attempt was [`unsent`](Failure::unsent) |
//! | how long | up to the policy's deadline, which cuts off a running attempt; each attempt has a timeout of its own |
//! | how it ends | in the operation's value, or in a [`RetryError`] with attempts, time, last error and [`End`] |

mod error;
mod failure;
mod plan;
mod policy;

#[cfg(feature = "tokio")]
pub use crate::driver::retry::retry;
pub use error::{End, Last, RetryError};
pub use failure::{Class, Failure, Verdict};
pub use plan::{Attempt, Plan};
pub use policy::{ATTEMPT_TIMEOUT, ATTEMPTS, DEADLINE, Policy, Repeatable};
