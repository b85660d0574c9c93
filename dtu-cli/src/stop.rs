//! The signals that end a command in order.

use anyhow::Context;
use core::pin::Pin;
use tokio::signal::unix::{SignalKind, signal as listen};

/// Returns what resolves at SIGINT or SIGTERM. From the call on they do not end the process.
pub(crate) fn signal() -> anyhow::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let mut interrupt = listen(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = listen(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }))
}
