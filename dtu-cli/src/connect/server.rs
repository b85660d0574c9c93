//! Which server, and how the device proves who it is.

use anyhow::{Context, ensure};
use dtu_net::auth::Key;
use dtu_net::driver::Target;
use dtu_net::driver::tls::{ClientTls, Identity};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
    /// The name that has to be in the server's certificate; by default the HOST that is dialled.
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

    /// Where to dial, `addr` being HOST:PORT.
    pub(super) fn target(&self, addr: &str) -> anyhow::Result<Target> {
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

/// Judges the form only: a name is looked up at each try.
pub(super) fn host_and_port(text: &str) -> anyhow::Result<String> {
    let (host, port) = text.rsplit_once(':').context("it has to be HOST:PORT")?;
    ensure!(!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0), "it has to be HOST:PORT");
    Ok(text.to_owned())
}

fn read(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {flag} {}", path.display()))
}
