//! What a run ends with: a summary for people, or one JSON document for scripts.

use anyhow::Context;
use core::fmt::Display;
use serde::Serialize;
use std::io::Write;

/// Prints it to stdout, as JSON on one line if asked for.
pub(crate) fn print(summary: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = if json {
        let line = serde_json::to_string(summary)?;
        writeln!(out, "{line}")
    } else {
        writeln!(out, "{summary}")
    };
    printed.and_then(|()| out.flush()).context("cannot write the summary to stdout")
}
