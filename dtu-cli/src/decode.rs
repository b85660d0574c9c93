//! `dtu decode`.

use std::process::ExitCode;

/// Shows the frames, messages and skipped bytes of a capture.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
