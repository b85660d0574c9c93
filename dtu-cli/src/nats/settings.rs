//! The section `[nats]`.

use anyhow::{Context, bail, ensure};
use async_nats::{ConnectOptions, ServerAddr};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The most servers that a list may have.
const SERVERS_MAX: usize = 16;

/// The longest file with a password, a token or credentials, in bytes.
const SECRET_MAX: u64 = 64 * 1024;

/// How NATS is reached. At most one of `user`, `token_file` and `credentials_file` says who this is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsSettings {
    /// Servers of one NATS cluster: `host`, `host:port`, `nats://host:port`, or `tls://host:port` to insist on TLS.
    pub(crate) servers: Vec<String>,
    /// What the connections are called at the server; the gateway's id and their purpose unless set.
    pub(crate) name: Option<String>,
    /// The user, with its password in `password_file`.
    pub(crate) user: Option<String>,
    /// A file with the password of `user`, and nothing else.
    pub(crate) password_file: Option<PathBuf>,
    /// A file with the token, and nothing else.
    pub(crate) token_file: Option<PathBuf>,
    /// A file of credentials, as `nsc` writes it: a JWT and the seed of its key.
    pub(crate) credentials_file: Option<PathBuf>,
    /// TLS, wherever the server does not ask for it by itself.
    #[serde(default)]
    pub(crate) tls: TlsSettings,
}

/// The files of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// Whether a server without TLS is refused; with `ca` it always is.
    #[serde(default)]
    pub(crate) required: bool,
    /// Who may issue the server's certificate, in PEM; those of the system unless set.
    pub(crate) ca: Option<PathBuf>,
    /// The gateway's own certificate and its chain, in PEM.
    pub(crate) cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    pub(crate) key: Option<PathBuf>,
}

impl NatsSettings {
    /// Judges all that can be judged without a server.
    ///
    /// # Errors
    /// One line: the key, and what is wrong with it.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.addresses()?;
        self.options().map(drop)
    }

    pub(super) fn addresses(&self) -> anyhow::Result<Vec<ServerAddr>> {
        ensure!(!self.servers.is_empty(), "nats.servers: there has to be one at least");
        ensure!(self.servers.len() <= SERVERS_MAX, "nats.servers: there may be {SERVERS_MAX} at most");
        self.servers.iter().map(|server| address(server)).collect()
    }

    /// The options of the client that these settings decide.
    pub(super) fn options(&self) -> anyhow::Result<ConnectOptions> {
        let mut options = ConnectOptions::new();
        match (&self.user, &self.password_file, &self.token_file, &self.credentials_file) {
            (None, None, None, None) => {}
            (Some(user), Some(file), None, None) => {
                options = options.user_and_password(user.clone(), secret("nats.password_file", file)?);
            }
            (None, None, Some(file), None) => options = options.token(secret("nats.token_file", file)?),
            (None, None, None, Some(file)) => {
                let text = secret("nats.credentials_file", file)?;
                let wrong = || format!("nats.credentials_file: {} has no credentials", file.display());
                options = options.credentials(&text).with_context(wrong)?;
            }
            (Some(_), None, None, None) => bail!("nats.user: it needs `password_file`"),
            (None, Some(_), _, _) => bail!("nats.password_file: it needs `user`"),
            _ => bail!("nats: of `user`, `token_file` and `credentials_file` there may be one"),
        }
        let TlsSettings { required, ca, cert, key } = &self.tls;
        if let Some(ca) = ca {
            readable("nats.tls.ca", ca)?;
            options = options.add_root_certificates(ca.clone());
        }
        options = match (cert, key) {
            (Some(cert), Some(key)) => {
                readable("nats.tls.cert", cert)?;
                readable("nats.tls.key", key)?;
                options.add_client_certificate(cert.clone(), key.clone())
            }
            (None, None) => options,
            (Some(_), None) => bail!("nats.tls.cert: it needs `key`"),
            (None, Some(_)) => bail!("nats.tls.key: it needs `cert`"),
        };
        Ok(options.require_tls(*required || ca.is_some()))
    }
}

fn address(server: &str) -> anyhow::Result<ServerAddr> {
    let wrong = || format!("nats.servers: `{server}` has to be HOST, HOST:PORT, nats://HOST:PORT or tls://HOST:PORT");
    let addr: ServerAddr = server.parse().with_context(wrong)?;
    ensure!(matches!(addr.scheme(), "nats" | "tls") && !addr.host().is_empty(), wrong());
    // What is in the URL is shown in messages, and to whoever may read the settings.
    ensure!(!server.contains('@'), "nats.servers: users and passwords go into `user` and `password_file`");
    Ok(addr)
}

/// What stands in a file, without the line's end.
fn secret(key: &'static str, path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("{key}: cannot read {}", path.display());
    let length = fs::metadata(path).with_context(cannot)?.len();
    ensure!(length <= SECRET_MAX, "{key}: {} has {length} bytes; there may be {SECRET_MAX}", path.display());
    let text = fs::read_to_string(path).with_context(cannot)?;
    let text = text.trim_end_matches(['\r', '\n']);
    ensure!(!text.is_empty(), "{key}: {} is empty", path.display());
    Ok(text.to_owned())
}

fn readable(key: &'static str, path: &Path) -> anyhow::Result<()> {
    fs::File::open(path).map(drop).with_context(|| format!("{key}: cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match toml::from_str::<NatsSettings>(text) {
            Ok(settings) => settings.check().map_or_else(|error| format!("{error:#}"), |()| "fine".to_owned()),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let [full, empty] = ["full", "empty"].map(|name| directory.path().join(name));
        fs::write(&full, "secret\n").unwrap();
        fs::write(&empty, "\n").unwrap();
        let [full, empty] = [full, empty].map(|path| path.to_str().unwrap().to_owned());
        let cases = [
            ("servers = ['a.example', 'b:4223', 'nats://[::1]:1', 'tls://c']".to_owned(), "fine"),
            (format!("servers = ['a']\nuser = 'u'\npassword_file = '{full}'"), "fine"),
            (format!("servers = ['a']\ntoken_file = '{full}'\ntls = {{ required = true }}"), "fine"),
            ("servers = []".to_owned(), "nats.servers: "),
            ("servers = ['http://a']".to_owned(), "nats.servers: `http://a` has to be"),
            ("servers = ['a b']".to_owned(), "nats.servers: `a b` has to be"),
            ("servers = ['u:p@a']".to_owned(), "nats.servers: users and passwords go into"),
            ("servers = ['a']\nuser = 'u'".to_owned(), "nats.user: it needs"),
            (format!("servers = ['a']\npassword_file = '{full}'"), "nats.password_file: it needs"),
            (format!("servers = ['a']\ntoken_file = '{full}'\ncredentials_file = '{full}'"), "nats: of `user`"),
            (format!("servers = ['a']\ntoken_file = '{empty}'"), "nats.token_file: "),
            ("servers = ['a']\ntoken_file = '/nowhere'".to_owned(), "nats.token_file: cannot read /nowhere"),
            (format!("servers = ['a']\ncredentials_file = '{full}'"), "nats.credentials_file: "),
            ("servers = ['a']\ntls = { ca = '/nowhere' }".to_owned(), "nats.tls.ca: cannot read"),
            (format!("servers = ['a']\ntls = {{ cert = '{full}' }}"), "nats.tls.cert: it needs"),
            ("servers = ['a']\ncolour = 1".to_owned(), "unknown field `colour`"),
        ];
        for (text, expected) in cases {
            let said = said(&text);
            assert!(said.starts_with(expected) && !said.contains("secret"), "{said:?} for {text}");
        }
    }
}
