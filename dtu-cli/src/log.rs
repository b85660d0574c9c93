//! What a gateway says on stderr: lines for people, or one JSON object a line for what reads logs.
//!
//! What is said in words always (`say`, `warn`, `fail`) is a plain line in text, and an object like the rest in JSON.

use crate::settings::{Format, Level, LogSettings};
use anyhow::Context;
use core::fmt::Display;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{IsTerminal, Write};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Where what is said in words comes from, in JSON.
const WORDS: &str = "gateway";

/// What the gateway says in its own words already.
const SAID: &str = "dtu_net::driver::server=error,dtu_net::driver::transparent::server=error";

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// The log, of which the level can be changed.
#[derive(Debug)]
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

/// Starts it, once in a process.
///
/// # Errors
///
/// When there is one already.
pub(crate) fn start(settings: &LogSettings) -> anyhow::Result<Log> {
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // It would be told on stderr, and panic there.
    let layer = layer.log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.format {
        Format::Text => registry.with(layer).try_init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    started.context("cannot start the log")?;
    IS_JSON.store(settings.format == Format::Json, Ordering::Relaxed);
    Ok(Log(handle))
}

impl Log {
    /// Says more or less from now on.
    ///
    /// # Errors
    ///
    /// A level that is none, which the settings do not have.
    pub(crate) fn set_level(&self, level: &Level) -> anyhow::Result<()> {
        self.0.reload(filter(level)?).context("the log is gone")
    }
}

fn filter(level: &Level) -> anyhow::Result<EnvFilter> {
    let level = level.as_str();
    // What stands later counts.
    let directives = match level {
        level if level == "off" || level.contains('=') => format!("{WORDS}=info,{level}"),
        level => format!("{WORDS}=info,{SAID},{level}"),
    };
    EnvFilter::try_new(directives).context("the log's level")
}

fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// A line for people. Whoever read stderr may be gone, as a log collector that is restarted; that ends no gateway.
fn line(text: impl Display) {
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

/// Says something that is always said.
pub(crate) fn say(text: impl Display) {
    if is_json() {
        tracing::info!(target: WORDS, "{text}");
    } else {
        line(format_args!("{text}"));
    }
}

/// Says what is unsafe or will not go on, and does not end the process.
pub(crate) fn warn(text: impl Display) {
    if is_json() {
        tracing::warn!(target: WORDS, "{text}");
    } else {
        line(format_args!("dtu: warning: {text}"));
    }
}

/// Says what went wrong.
pub(crate) fn fail(text: impl Display) {
    if is_json() {
        tracing::error!(target: WORDS, "{text}");
    } else {
        line(format_args!("dtu: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as Rank;

    #[test]
    fn what_is_said_in_words_is_said_at_every_level() {
        for (level, warns) in
            [("off", false), ("error", false), ("warn", true), ("trace", true), ("off,dtu=warn", true)]
        {
            let subscriber = tracing_subscriber::registry().with(filter(&Level::parse(level).unwrap()).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                assert!(tracing::enabled!(target: WORDS, Rank::INFO), "{level}");
                assert_eq!(tracing::enabled!(target: "dtu::nats", Rank::WARN), warns, "{level}");
            });
        }
    }
}
