//! TLS to a broker, by the provider that the devices' listeners have.

use super::settings::MqttTls;
use anyhow::{Context, bail, ensure};
use rumqttc::tokio_rustls::rustls::crypto::ring;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rumqttc::{TlsConfiguration, Transport};
use std::path::Path;
use std::sync::Arc;

/// What carries MQTT over TLS 1.2 or 1.3.
///
/// # Errors
///
/// A file that cannot be read or holds nothing of use.
pub(super) fn transport(files: Option<&MqttTls>) -> anyhow::Result<Transport> {
    let mut roots = RootCertStore::empty();
    match files.and_then(|files| files.ca.as_deref()) {
        Some(path) => {
            for certificate in certificates("ca", path)? {
                roots.add(certificate).with_context(|| format!("ca {}: not a certificate", path.display()))?;
            }
        }
        None => {
            let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(taken > 0, "the system trusts no certificates; give tls.ca");
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the ring provider has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let config = match files.map(|files| (&files.cert, &files.key)) {
        Some((Some(cert), Some(key))) => {
            let private =
                PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot use key {}", key.display()))?;
            let chain = certificates("cert", cert)?;
            let what = || format!("cert {} and key {} do not go together", cert.display(), key.display());
            builder.with_client_auth_cert(chain, private).with_context(what)?
        }
        None | Some((None, None)) => builder.with_no_client_auth(),
        Some((Some(_), None) | (None, Some(_))) => bail!("cert and key go together"),
    };
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let what = || format!("cannot use {key} {}", path.display());
    let found =
        CertificateDer::pem_file_iter(path).with_context(what)?.collect::<Result<Vec<_>, _>>().with_context(what)?;
    ensure!(!found.is_empty(), "{key} {}: there is no certificate in it", path.display());
    Ok(found)
}
