//! `dtu demo`.

use std::process::ExitCode;

/// Runs a server and devices in one process over a damaged link and draws the balance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
