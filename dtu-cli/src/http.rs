//! The HTTP API of the gateway, its metrics, and the page.
//!
//! ```text
//!   accept (bounded) ── hyper, with times and sizes bounded ── guard (token, host, origin) ── routes ── Fleet, Health, Status
//! ```

mod accept;
mod counters;
mod devices;
mod error;
mod events;
mod guard;
mod json;
mod metrics;
mod openapi;
mod page;
mod probes;
mod requests;
mod routes;
mod stall;
mod token;

pub(crate) use Shared as Api;
pub(crate) use counters::Status;
pub(crate) use metrics::install as install_metrics;

use crate::fleet::Fleet;
use crate::health::Health;
use crate::log;
use crate::request::ask::{Answer, Ask};
use crate::settings::{Address, Mistakes};
use ::metrics_exporter_prometheus::PrometheusHandle;
use anyhow::Context;
use core::net::SocketAddr;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use token::Token;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The HTTP API: `[http]` of the settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpSettings {
    /// The address to listen on; none, no HTTP. Without a token it has to be one of this machine alone, as 127.0.0.1:55180.
    pub(crate) listen: Option<Address>,
    /// A file with the token that requests have to show, on its first line. Read again on reload.
    pub(crate) token_file: Option<PathBuf>,
    /// Connections at a time; the next ones wait.
    pub(crate) max_connections: usize,
    /// Streams of events at a time; one more is refused.
    pub(crate) max_streams: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: None, token_file: None, max_connections: 512, max_streams: 64 }
    }
}

/// The HTTP API by flags.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// The address of the HTTP API and the page, as 127.0.0.1:55180; port 0 takes a free one, which is told on stderr. Without a
    /// token it has to be one of this machine alone.
    #[arg(long, value_name = "ADDR", value_parser = crate::address::to_listen_on)]
    http: Option<SocketAddr>,
    /// A file with the token that requests have to show: Authorization: Bearer TOKEN.
    #[arg(long, value_name = "FILE", requires = "http")]
    http_token_file: Option<PathBuf>,
}

impl HttpSettings {
    /// What cannot be.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        if self.max_connections == 0 {
            mistakes.add("http.max_connections", "0 leaves no connection");
        }
        if let Err(error) = Token::load(self.token_file.as_deref()) {
            mistakes.add("http.token_file", format!("{error:#}"));
        }
        if let Some(Address(addr)) = self.listen.filter(|addr| self.token_file.is_none() && !addr.0.ip().is_loopback())
        {
            let text = format!(
                "HTTP on {addr}: others could reach it, and there is no token; give one (token_file, --http-token-file), or \
                 listen on 127.0.0.1"
            );
            mistakes.add("http.listen", text);
        }
    }

    pub(crate) fn relative_to(&mut self, base: &Path) {
        self.token_file = self.token_file.take().map(|path| base.join(path));
    }
}

impl HttpArgs {
    pub(crate) fn settings(&self) -> HttpSettings {
        HttpSettings {
            listen: self.http.map(Address),
            token_file: self.http_token_file.clone(),
            ..HttpSettings::default()
        }
    }
}

/// What the routes share.
pub(crate) struct Shared {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) health: Arc<Health>,
    pub(crate) status: Arc<Status>,
    metrics: PrometheusHandle,
    token: Token,
    streams: Arc<Semaphore>,
    /// Streams end then.
    ended: CancellationToken,
}

/// The API, which listens.
pub(crate) struct Http {
    listener: TcpListener,
    local_addr: SocketAddr,
    max_connections: usize,
    shared: Arc<Shared>,
}

impl Http {
    /// Listens, where it is wanted.
    ///
    /// # Errors
    /// The address, or the token.
    pub(crate) async fn bind(
        settings: &HttpSettings,
        metrics: PrometheusHandle,
        fleet: Arc<Fleet>,
        health: Arc<Health>,
        status: Arc<Status>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(Address(addr)) = settings.listen else { return Ok(None) };
        let token = Token::load(settings.token_file.as_deref())?;
        if let Some(warning) = token.warning() {
            log::warn(warning);
        }
        let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr} for HTTP"))?;
        let local_addr = listener.local_addr().context("the HTTP socket has no address")?;
        let streams = Arc::new(Semaphore::new(settings.max_streams.min(Semaphore::MAX_PERMITS)));
        let shared = Shared { fleet, health, status, metrics, token, streams, ended: CancellationToken::new() };
        let max_connections = settings.max_connections.min(Semaphore::MAX_PERMITS);
        Ok(Some(Self { listener, local_addr, max_connections, shared: Arc::new(shared) }))
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A hand to read the token again by, while it runs.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Answers until `ended`.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let routes = routes::router(Arc::clone(&self.shared));
        let upkeep = metrics::upkeep(self.shared.metrics.clone());
        tokio::select! {
            never = accept::accept(self.listener, routes, self.max_connections) => match never {},
            never = upkeep => match never {},
            () = ended.cancelled() => {}
        }
        self.shared.ended.cancel();
    }
}

impl Shared {
    /// Asks a device, wherever it is.
    async fn ask(&self, ask: &Ask) -> Answer {
        self.fleet.ask(ask).await
    }

    /// Takes the token in the file at `path`, and says whether it does. What is wrong with it leaves the old token.
    ///
    /// # Errors
    /// The file.
    pub(crate) fn reload(&self, path: Option<&Path>) -> anyhow::Result<bool> {
        self.token.reload(path)
    }
}
