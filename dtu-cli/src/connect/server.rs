//! Which server, and how the device proves who it is.

use anyhow::{Context, bail};
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::driver::tls::{ClientTls, Identity};
use dtu_net::driver::{Endpoints, Target};
use dtu_net::failover::{FailBack, FailoverError, PROBE_EVERY};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The longest --failback, in seconds: a day.
const MAX_FAIL_BACK: u64 = 24 * 60 * 60;

/// How many probes a server has to answer at least before a device goes back to it.
const PROBES_IN_HOLD: u32 = 5;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Transport and identity")]
pub(super) struct ServerArgs {
    /// UDP instead of TCP.
    #[arg(long, conflicts_with = "tls")]
    udp: bool,
    /// TLS on TCP.
    #[arg(long, requires = "tls_ca")]
    tls: bool,
    /// The server has to show a certificate that one of these has issued, in PEM; the system's own are not used.
    #[arg(long, value_name = "PEM", requires = "tls")]
    tls_ca: Option<PathBuf>,
    /// The name that has to be in the server's certificate; by default the HOST that is dialled, of each server
    /// its own.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// The device's own certificate and its chain, for a server that asks for it, in PEM.
    #[arg(long, value_name = "PEM", requires = "tls", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The device's key in hex. Other users of this machine see it in the list of processes: prefer --key-file.
    #[arg(long, value_name = "HEX", conflicts_with = "key_file")]
    key: Option<String>,
    /// A file with the device's key in hex, and nothing else.
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

impl ServerArgs {
    /// The longest datagram, when it is datagrams that go out.
    pub(super) fn max_datagram(&self) -> Option<u16> {
        self.udp.then_some(dtu_net::limits::MAX_DATAGRAM)
    }

    /// Where to dial, the first of `addrs` before all others.
    pub(super) fn endpoints(&self, addrs: &Addrs) -> anyhow::Result<Endpoints> {
        let targets: Vec<_> = addrs.0.iter().map(|addr| self.target(addr)).collect::<Result<_, _>>()?;
        Endpoints::in_order(targets).context("cannot use the servers")
    }

    fn target(&self, addr: &str) -> anyhow::Result<Target> {
        if self.udp {
            return Ok(Target::Udp(addr.to_owned()));
        }
        let Some(ca) = &self.tls_ca else { return Ok(Target::Tcp(addr.to_owned())) };
        let roots = read("--tls-ca", ca)?;
        let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host).trim_matches(['[', ']']);
        let name = self.tls_name.as_deref().unwrap_or(host);
        let own = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Some((read("--tls-cert", certificates)?, read("--tls-key", key)?)),
            _ => None,
        };
        let identity = own.as_ref().map(|(certificates, key)| Identity { certificates, key });
        let tls = ClientTls::new(&roots, name, identity).context("cannot use the --tls-* files")?;
        Ok(Target::Tls(addr.to_owned(), tls))
    }

    /// The device's key, when there is one. Says on stderr when others can read it.
    pub(super) fn key(&self) -> anyhow::Result<Option<Key>> {
        if let Some(key) = &self.key {
            return Ok(Some(Key::from_hex(key).context("cannot use --key")?));
        }
        let Some(path) = &self.key_file else { return Ok(None) };
        let text = String::from_utf8(read("--key-file", path)?);
        let key = text.context("it is not text").and_then(|text| Ok(Key::from_hex(text.trim_ascii())?));
        let key = key.with_context(|| format!("cannot use --key-file {}", path.display()))?;
        if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0) {
            let path = path.display();
            eprintln!("dtu: warning: others can read or change the key in {path}; chmod o= {path}");
        }
        Ok(Some(key))
    }
}

/// The servers, the first one before all others; at least one.
#[derive(Debug, Clone)]
pub(super) struct Addrs(Vec<String>);

impl Addrs {
    /// The server of this number.
    pub(super) fn of(&self, endpoint: usize) -> &str {
        self.0.get(endpoint).map_or("", String::as_str)
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }
}

/// Judges the form only: a name is looked up at each try.
pub(super) fn addrs(text: &str) -> anyhow::Result<Addrs> {
    let addrs: Vec<_> = text.split(',').map(crate::address::parse).collect::<Result<_, _>>()?;
    // The same of all of them, so it does not matter here what is spoken there.
    match Endpoints::in_order(addrs.iter().cloned().map(Target::Tcp)) {
        Ok(_) => Ok(Addrs(addrs)),
        Err(FailoverError::Duplicate { endpoint, .. }) => bail!("`{}` stands there twice", addrs[endpoint]),
        Err(error) => Err(error.into()),
    }
}

/// When a device goes back to a better server; `None` is never.
#[derive(Debug, Clone, Copy)]
pub(super) struct WhenBack(pub(super) Option<FailBack>);

/// After how long a device goes back to a better server: seconds, or never.
pub(super) fn when_back(text: &str) -> anyhow::Result<WhenBack> {
    if text == "never" {
        return Ok(WhenBack(None));
    }
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_FAIL_BACK).contains(seconds));
    let hold = Duration::from_secs(seconds.with_context(|| format!("it has to be 1 to {MAX_FAIL_BACK}, or never"))?);
    let probe_every = (hold / PROBES_IN_HOLD).clamp(Duration::from_secs(1), PROBE_EVERY);
    Ok(WhenBack(Some(FailBack { hold, spread: hold, probe_every })))
}

fn read(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {flag} {}", path.display()))
}
