//! `dtu connect`.

use std::process::ExitCode;

/// Plays the device side: carries a serial port or stdin to a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
