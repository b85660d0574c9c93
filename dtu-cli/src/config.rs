//! `dtu config`: the file of `dtu serve --config`.

mod summary;

use crate::gateway::Source;
use crate::log;
use crate::settings::EXAMPLE;
use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks the file of a gateway, and prints one to start from.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Says what a gateway would run with this file, or all that is wrong with it.
    ///
    /// Everything is read that the file names: keys, certificates, profiles. Nothing is listened on.
    #[command(after_help = "\
Exit code:
  0  it is good; what would run is said on stdout
  1  it is not; on stderr a line for each mistake, with file, line and key

Examples:
  dtu config check gateway.toml
  dtu config check gateway.toml && systemctl reload dtu")]
    Check {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints a file with everything that can be set, each with its default.
    #[command(after_help = "\
Example:
  dtu config example > gateway.toml")]
    Example,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &args.what {
        What::Example => {
            out.write_all(EXAMPLE.as_bytes()).and_then(|()| out.flush()).context("cannot write to stdout")?;
        }
        What::Check { file } => {
            let source = Source::File(file.clone());
            let read = match source.read() {
                Ok(read) => read,
                Err(mistakes) => {
                    source.tell(&mistakes);
                    return Ok(ExitCode::FAILURE);
                }
            };
            for warning in &read.plan.warnings {
                log::warn(warning);
            }
            let words = summary::of(&read);
            out.write_all(words.as_bytes()).and_then(|()| out.flush()).context("cannot write to stdout")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
