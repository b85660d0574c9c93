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
use crate::cluster::ClusterSettings;
use crate::fleet::RequestSettings;
use crate::http::HttpSettings;
use crate::nats::NatsSettings;
use address::{Protocol, Taken};
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
    /// The NATS of sinks and of the cluster.
    pub(crate) nats: Option<NatsSettings>,
    /// None, when this gateway has its fleet for itself.
    pub(crate) cluster: Option<ClusterSettings>,
    pub(crate) requests: RequestSettings,
    pub(crate) http: HttpSettings,
    pub(crate) log: LogSettings,
}

/// The sections of a file.
const SECTIONS: [&str; 10] =
    ["gateway", "listener", "limits", "sink", "nats", "cluster", "requests", "http", "capture", "log"];

impl Settings {
    /// Reads a file. Paths in it are relative to it. With it comes all that is wrong, as far as one mistake does not hide another;
    /// what is wrong has its default.
    ///
    /// # Errors
    ///
    /// What makes it no TOML, or no file.
    pub(crate) fn read(file: &Path) -> Result<(Self, Document, Mistakes), Mistakes> {
        let text = text(file).map_err(Mistakes::one)?;
        Self::parse(&text, file.parent().unwrap_or(Path::new("")))
    }

    fn parse(text: &str, base: &Path) -> Result<(Self, Document, Mistakes), Mistakes> {
        let mut reading = Reading::parse(text)?;
        let mut mistakes = reading.unknown(&SECTIONS);
        let mut settings = Self {
            gateway: reading.section("gateway", &mut mistakes),
            listeners: listener::read(&mut reading, &mut mistakes),
            limits: reading.section("limits", &mut mistakes),
            sinks: sink::read(&mut reading, &mut mistakes),
            capture: reading.optional("capture", &mut mistakes),
            nats: reading.optional("nats", &mut mistakes),
            cluster: reading.optional("cluster", &mut mistakes),
            requests: reading.section("requests", &mut mistakes),
            http: reading.section("http", &mut mistakes),
            log: reading.section("log", &mut mistakes),
        };
        settings.relative_to(base);
        settings.check(&mut mistakes);
        Ok((settings, Document::new(text), mistakes))
    }

    /// What no section can see alone, and what is no matter of form.
    fn check(&self, mistakes: &mut Mistakes) {
        let mut taken = Taken::default();
        self.gateway.check(&mut taken, mistakes);
        for listener in &self.listeners {
            listener.check(&mut taken, mistakes);
        }
        self.limits.check(mistakes);
        sink::check(&self.sinks, self.nats.as_ref(), mistakes);
        if let Some(cluster) = &self.cluster {
            if let Err(error) = cluster.check() {
                mistakes.add_said("cluster", &format!("{error:#}"));
            }
            if self.nats.is_none() {
                mistakes.add("cluster", "it needs the section [nats], as servers = [\"nats://127.0.0.1:4222\"]");
            }
        }
        if let Some(listen) = self.http.listen {
            taken.take(Protocol::Tcp, listen, "http.listen".to_owned(), mistakes);
        }
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
            "nats" => self.nats == other.nats,
            "cluster" => self.cluster == other.cluster,
            "requests" => self.requests == other.requests,
            "http" => self.http == other.http,
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
        if let Some(nats) = &mut self.nats {
            let tls = &mut nats.tls;
            let files = [
                &mut nats.password_file,
                &mut nats.token_file,
                &mut nats.credentials_file,
                &mut tls.ca,
                &mut tls.cert,
                &mut tls.key,
            ];
            for path in files.into_iter().flatten() {
                *path = base.join(&*path);
            }
        }
        self.requests.relative_to(base);
        self.http.relative_to(base);
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
