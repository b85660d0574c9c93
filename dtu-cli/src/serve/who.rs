//! Who may in: keys and certificates.

use anyhow::Context;
use dtu_net::driver::ServerConfig;
use dtu_net::driver::tls::{Identity, ServerTls};
use dtu_net::keys::FileKeys;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who may in")]
pub(super) struct WhoMayIn {
    /// The keys of the devices, one a line: the key in hex, a blank, the device id. Every device has to prove that it has
    /// its key.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The server's certificate and its chain, in PEM. With it connections are TLS.
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Devices have to show a certificate that one of these has issued. It does not say which device it is: for that
    /// there is --keys.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl WhoMayIn {
    /// Sets keys and certificates, and says on stderr what is unsafe about them.
    pub(super) fn apply(&self, config: &mut ServerConfig, datagrams: bool) -> anyhow::Result<()> {
        if let Some(path) = &self.keys {
            let keys = FileKeys::open(path).with_context(|| format!("cannot use --keys {}", path.display()))?;
            if keys.is_exposed() {
                let path = path.display();
                eprintln!("dtu: warning: others can read or change the keys in {path}; chmod o= {path}");
            }
            if keys.is_empty() {
                eprintln!("dtu: warning: there is no key in {}, so no device will be let in", path.display());
            }
            config.keys = Some(Arc::new(keys));
        }
        if let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let what = || format!("cannot use --tls-cert {} and --tls-key {}", certificates.display(), key.display());
            let client_ca = self.tls_client_ca.as_deref().map(|path| read("--tls-client-ca", path)).transpose()?;
            let (certificates, key) = (read("--tls-cert", certificates)?, read("--tls-key", key)?);
            let identity = Identity { certificates: &certificates, key: &key };
            config.tls = Some(ServerTls::new(identity, client_ca.as_deref()).with_context(what)?);
        }
        // A certificate counts for nothing on datagrams.
        if config.is_open() || datagrams && config.keys.is_none() {
            eprintln!(
                "dtu: warning: this server is open: whoever knows a device id can be that device; --keys FILE asks for \
                 a proof"
            );
        }
        Ok(())
    }
}

fn read(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {flag} {}", path.display()))
}
