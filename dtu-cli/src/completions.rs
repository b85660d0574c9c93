//! `dtu completions`: what a shell needs to complete the commands of `dtu`.

use anyhow::Context;
use clap_complete::Shell;
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints what a shell needs to complete commands, flags and their values.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dtu completions bash > /etc/bash_completion.d/dtu
  dtu completions zsh > ~/.zfunc/_dtu
  dtu completions fish > ~/.config/fish/completions/dtu.fish
  source <(dtu completions bash)")]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// `command` is the whole of the program.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "dtu", &mut script);
    io::stdout().write_all(&script).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}
