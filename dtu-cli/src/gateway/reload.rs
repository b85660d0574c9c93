//! SIGHUP: the settings are read again, and what can change while the gateway runs does.
//!
//! All is read and judged before anything changes, so a file that is wrong changes nothing.

use super::Plan;
use super::native::Native;
use super::plan::{Credentials, NativePlan};
use crate::http::Api;
use crate::log::{self, Log};
use crate::settings::{Document, Mistakes, Settings};
use core::fmt;
use dtu_net::driver::Listen;
use dtu_net::driver::tls::ServerTls;
use metrics::counter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where settings come from.
pub(crate) enum Source {
    File(PathBuf),
    /// The flags say the same each time; the files that they name may not.
    Flags(Box<Settings>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Flags(_) => f.write_str("the flags"),
        }
    }
}

impl Source {
    /// # Errors
    ///
    /// All that is wrong.
    pub(crate) fn read(&self) -> Result<Read, Mistakes> {
        let (settings, document, mistakes) = match self {
            Self::File(path) => {
                let (settings, document, mistakes) = Settings::read(path)?;
                (settings, Some(document), mistakes)
            }
            Self::Flags(settings) => (Settings::clone(settings), None, Mistakes::default()),
        };
        let (plan, more) = Plan::of(&settings);
        let mistakes = mistakes.and(more);
        let mistakes = match &document {
            Some(document) => document.placed(mistakes),
            None => mistakes,
        };
        mistakes.or(Read { settings, document, plan })
    }

    /// Says all that is wrong, a line each.
    pub(crate) fn tell(&self, mistakes: &Mistakes) {
        for mistake in mistakes.iter() {
            match self {
                Self::File(path) => log::fail(format_args!("{}: {mistake}", path.display())),
                Self::Flags(_) => log::fail(mistake),
            }
        }
    }
}

/// What was read, and what it comes to.
pub(crate) struct Read {
    pub(crate) settings: Settings,
    /// Of a file.
    pub(crate) document: Option<Document>,
    pub(crate) plan: Plan,
}

/// A listener for native devices.
struct Running {
    key: String,
    listen: Listen,
    credentials: Credentials,
}

impl Running {
    fn is(&self, plan: &NativePlan) -> bool {
        self.key == plan.key && self.listen == plan.listen
    }
}

/// What runs, as far as it can change.
pub(super) struct Reloader {
    source: Source,
    /// As they were at the start; what can change is as it is now.
    settings: Settings,
    /// The keys of the file at the start, with their values.
    keys: BTreeMap<String, toml::Value>,
    log: Log,
    listeners: Vec<Running>,
    api: Option<Arc<Api>>,
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        read: (Settings, Option<&Document>),
        log: Log,
        natives: &[Native],
        api: Option<Arc<Api>>,
    ) -> Self {
        let (settings, document) = read;
        let keys = document.map(Document::keys).unwrap_or_default();
        let listeners = natives.iter().map(|native| Running {
            key: native.key.clone(),
            listen: native.listen,
            credentials: native.credentials.clone(),
        });
        let listeners = listeners.collect();
        Self { source, settings, keys, log, listeners, api }
    }

    /// Reads the settings again, and says what came of it.
    pub(super) fn reload(&mut self) {
        let read = match self.source.read() {
            Ok(read) => read,
            Err(mistakes) => {
                counter!("dtu_config_reloads_total", "outcome" => "failed").increment(1);
                self.source.tell(&mistakes);
                log::fail(format_args!("{}: nothing is reloaded, and all goes on as it was", self.source));
                return;
            }
        };
        for warning in &read.plan.warnings {
            log::warn(warning);
        }
        let restarts = self.restarts(&read);
        let mut done: Vec<String> = Vec::new();
        for running in &self.listeners {
            let newer = read.plan.natives.iter().find(|plan| running.is(plan));
            done.extend(newer.into_iter().flat_map(|newer| running.credentials.replace(&newer.credentials)));
        }
        match self.api.as_ref().map(|api| api.reload(read.settings.http.token_file.as_deref())) {
            Some(Ok(true)) => done.push("the token".to_owned()),
            Some(Ok(false)) | None => {}
            Some(Err(error)) => log::fail(format_args!("{error:#}")),
        }
        if read.settings.log.level != self.settings.log.level {
            let level = &read.settings.log.level;
            match self.log.set_level(level) {
                Ok(()) => done.push(format!("log level {}", level.as_str())),
                Err(error) => log::fail(format_args!("{error:#}")),
            }
            self.settings.log.level = level.clone();
        }
        let outcome = if restarts.is_empty() { "applied" } else { "needs_restart" };
        counter!("dtu_config_reloads_total", "outcome" => outcome).increment(1);
        let done = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
        for key in &restarts {
            let line = read.document.as_ref().map_or(0, |document| document.line_of(key));
            log::warn(format_args!("{}: line {line}: {key}: it needs a restart to change", self.source));
        }
        log::say(format_args!("reloaded from {}: {done}", self.source));
    }

    /// The keys that have another value than at the start, and stay as they are.
    fn restarts(&self, read: &Read) -> Vec<String> {
        let Some(document) = &read.document else { return Vec::new() };
        let now = document.keys();
        let differs = |key: &&String| self.keys.get(*key) != now.get(*key);
        let mut changed: Vec<String> = self.keys.keys().chain(now.keys()).filter(differs).cloned().collect();
        changed.sort();
        changed.dedup();
        changed.retain(|key| !self.is_reloaded(key, read) && !self.settings.is_same(key, &read.settings));
        changed
    }

    /// Whether what a key says is in force after a reload.
    fn is_reloaded(&self, key: &str, read: &Read) -> bool {
        match key {
            "log.level" => return true,
            // Whether one is asked for at all stays as it is.
            "http.token_file" => {
                return self.settings.http.token_file.is_some() && read.settings.http.token_file.is_some();
            }
            _ => {}
        }
        // A listener keeps to whether it has keys and TLS at all.
        let credentials = read.plan.natives.iter().filter_map(|plan| {
            let running = self.listeners.iter().find(|running| running.is(plan))?;
            Some((&plan.key, running.credentials.has_the_same_as(&plan.credentials)))
        });
        let mut credentials =
            credentials.filter_map(|(listener, same)| Some((key.strip_prefix(listener.as_str())?, same)));
        credentials.any(|(name, (keys, tls))| match name {
            ".keys" => keys,
            ".tls.cert" | ".tls.key" | ".tls.client_ca" => tls,
            _ => false,
        })
    }
}

impl Credentials {
    /// Whether keys are there or not as in `other`, and the same for TLS and for the certificates of devices.
    fn has_the_same_as(&self, other: &Self) -> (bool, bool) {
        let is_mutual = |credentials: &Self| credentials.tls.as_ref().map(ServerTls::is_mutual);
        (self.keys.is_some() == other.keys.is_some(), is_mutual(self) == is_mutual(other))
    }

    /// Takes over what `newer` has, and says what that is.
    fn replace(&self, newer: &Self) -> Vec<String> {
        let mut done = Vec::new();
        if let (Some(running), Some(newer)) = (&self.keys, &newer.keys) {
            running.replace(newer);
            done.push(match running.len() {
                1 => "1 key".to_owned(),
                count => format!("{count} keys"),
            });
        }
        if let (Some(running), Some(newer)) = (&self.tls, &newer.tls)
            && running.is_mutual() == newer.is_mutual()
        {
            running.replace(newer);
            done.push("the certificate".to_owned());
        }
        done
    }
}
