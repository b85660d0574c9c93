//! `dtu serve`.

use std::process::ExitCode;

/// Accepts devices and prints what they send.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
