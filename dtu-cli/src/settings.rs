//! What the gateway is told by its file, or by the flags of `dtu serve`: `dtu serve --config`.
//!
//! ```text
//!   file ── Reading ── a section at a time ──┐
//!                                            ├──> Settings ── check ──> gateway
//!   flags ───────────────────────────────────┘
//! ```
//!
//! Every section is a struct in the module of the part that it sets. What is wrong is collected, so that one run tells it all.

mod address;
mod document;
mod gateway;
mod limits;
mod listener;
mod log;
mod mistake;
mod sink;
pub(crate) mod units;

pub(crate) use address::Address;
pub(crate) use document::Document;
pub(crate) use gateway::GatewaySettings;
pub(crate) use limits::LimitSettings;
pub(crate) use listener::{Listener, NativeListener, TlsFiles, TransparentListener, Way};
pub(crate) use log::{Format, Level, LogSettings};
pub(crate) use mistake::Mistakes;
pub(crate) use sink::{SinkKind, SinkSettings};

use crate::capture::CaptureSettings;
use address::Taken;
use document::Reading;
use std::fs;
use std::path::Path;

/// The longest file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// A file with everything in it, for `dtu config example`.
pub(crate) const EXAMPLE: &str = include_str!("settings/example.toml");

/// All that can be set.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Settings {
    pub(crate) gateway: GatewaySettings,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: LimitSettings,
    /// None at all means stdout.
    pub(crate) sinks: Vec<SinkSettings>,
    /// None, when nothing is to be captured.
    pub(crate) capture: Option<CaptureSettings>,
    pub(crate) log: LogSettings,
}

/// The sections of a file.
const SECTIONS: [&str; 6] = ["gateway", "listener", "limits", "sink", "capture", "log"];

impl Settings {
    /// Reads a file. Paths in it are relative to it.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, as far as one mistake does not hide another.
    pub(crate) fn read(file: &Path) -> Result<(Self, Document), Mistakes> {
        let text = text(file).map_err(Mistakes::one)?;
        Self::parse(&text, file.parent().unwrap_or(Path::new("")))
    }

    fn parse(text: &str, base: &Path) -> Result<(Self, Document), Mistakes> {
        let mut reading = Reading::parse(text)?;
        let mut mistakes = reading.unknown(&SECTIONS);
        let mut settings = Self {
            gateway: reading.section("gateway", &mut mistakes),
            listeners: listener::read(&mut reading, &mut mistakes),
            limits: reading.section("limits", &mut mistakes),
            sinks: sink::read(&mut reading, &mut mistakes),
            capture: reading.optional("capture", &mut mistakes),
            log: reading.section("log", &mut mistakes),
        };
        settings.check(&mut mistakes);
        settings.relative_to(base);
        let document = Document::new(text);
        document.place(&mut mistakes);
        mistakes.or(()).map(|()| (settings, document))
    }

    /// What no section can see alone, and what is no matter of form.
    fn check(&self, mistakes: &mut Mistakes) {
        let mut taken = Taken::default();
        self.gateway.check(&mut taken, mistakes);
        for listener in &self.listeners {
            listener.check(&mut taken, mistakes);
        }
        self.limits.check(mistakes);
        sink::check(&self.sinks, mistakes);
        if let Some((key, text)) = self.capture.as_ref().and_then(CaptureSettings::mistake) {
            mistakes.add(format!("capture.{key}"), text);
        }
    }

    /// Whether the section of a key comes to the same in both, as when a default is written out.
    pub(crate) fn is_same(&self, key: &str, other: &Self) -> bool {
        match key.split(['.', '[']).next().unwrap_or_default() {
            "gateway" => self.gateway == other.gateway,
            "listener" => self.listeners == other.listeners,
            "limits" => self.limits == other.limits,
            "sink" => self.sinks == other.sinks,
            "capture" => self.capture == other.capture,
            "log" => self.log == other.log,
            _ => false,
        }
    }

    fn relative_to(&mut self, base: &Path) {
        for listener in &mut self.listeners {
            listener.relative_to(base);
        }
        for sink in &mut self.sinks {
            sink.relative_to(base);
        }
        if let Some(capture) = &mut self.capture {
            capture.relative_to(base);
        }
    }
}

fn text(file: &Path) -> Result<String, String> {
    let length = fs::metadata(file).map_err(|error| format!("cannot read it: {error}"))?.len();
    if length > FILE_MAX {
        return Err(format!("it has {length} bytes, and at most {FILE_MAX} are read"));
    }
    fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))
}

#[cfg(test)]
mod tests;
