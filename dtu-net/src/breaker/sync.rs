//! The primitives that the breaker is built on, which the model checker replaces by its own.

#[cfg(loom)]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
#[cfg(not(loom))]
pub(super) use {
    core::sync::atomic::AtomicU64,
    std::sync::{Mutex, MutexGuard},
};
