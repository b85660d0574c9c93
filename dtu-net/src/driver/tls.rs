//! TLS 1.2 and 1.3 under a link, by rustls with the ring provider: [`ServerTls`] and [`ClientTls`] turn a connected
//! stream into a [`TlsStream`], which reads and writes like one.
//!
//! # What protects what
//!
//! | | TLS | mutual TLS | CHALLENGE and PROOF |
//! |---|---|---|---|
//! | nobody on the way reads the bytes | yes | yes | no |
//! | nobody on the way changes or adds bytes unseen | yes | yes | no |
//! | the device knows that it talks to its server | yes | yes | no |
//! | the server knows that a device of the fleet's CA talks | no | yes | no |
//! | the server knows that the device holds the key of the id it claims | no | no | yes |
//!
//! - A proof ([`auth`](crate::auth)) is not bound to the connection. Without TLS a man in the middle passes the challenge and
//!   the proof on, and from then on speaks for either side. With TLS he would need the server's private key, or a device
//!   that checks no names.
//! - With mutual TLS alone the device id is still the device's own claim: any device of the CA can claim any id. Either
//!   ask for a proof as well, or compare the id with [`peer_names`].
//! - Revocation is not checked, neither by list nor by OCSP. A device that must stay out is taken out of the key store, or
//!   refused by its name.
//! - Certificates are judged by the system's clock. A device whose clock begins in 1970 refuses every server.
//!
//! # Bounds
//!
//! rustls holds, for each connection, at most [`SEND_BUFFER`] bytes that wait to leave, 16 KiB that wait to be read, and one
//! record (18 KiB) that still comes; during the handshake a message of at most 64 KiB. An idle
//! connection costs about 7.5 KiB, 4 KiB of it a read buffer (measured with rustls 0.23.46 on x86-64). Neither side keeps sessions or tickets: each connection is a full handshake, so the server's
//! memory does not grow with the devices that have been there, and a certificate is judged each time. The handshake has
//! no time limit of its own; the caller sets one.
//!
//! # Reading and writing
//!
//! As with every TLS stream, bytes that were written may still be in rustls until the stream is flushed, and a peer that
//! ends the connection without saying so in TLS shows as [`io::ErrorKind::UnexpectedEof`]: the stream was cut, and what
//! came before it is whole.
//!
//! In TLS 1.3 the client is done before the server has judged the client's certificate: to a device that the server does
//! not take, [`ClientTls::connect`] succeeds, and its first read fails.

use core::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use tokio_rustls::TlsStream;

/// The encrypted bytes of a connection that may wait to leave, and the plain ones that may wait for the handshake: about
/// one record of the longest. More is refused until some have left, so what waits is in the link, which has its own bound.
pub const SEND_BUFFER: usize = 16 * 1024;

const VERSIONS: &str = "the ring provider has cipher suites for TLS 1.2 and 1.3";

/// A certificate chain, the peer's own certificate first, and the private key that belongs to it. Both are PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificates.
    pub certificates: &'a [u8],
    /// The key: PKCS#8, PKCS#1 (RSA) or SEC1 (elliptic curve), not encrypted.
    pub key: &'a [u8],
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// The server's side of TLS. A clone shares everything, and a [`replace`](Self::replace) is one for all clones.
#[derive(Clone)]
pub struct ServerTls(Arc<RwLock<Serving>>);

/// What a server shows and asks for at the moment.
#[derive(Clone)]
struct Serving {
    acceptor: TlsAcceptor,
    mutual: bool,
}

impl ServerTls {
    /// A server that shows `identity`. With `client_roots`, certificates in PEM, every device must show a certificate
    /// that one of them has issued (mutual TLS).
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the input.
    pub fn new(identity: Identity<'_>, client_roots: Option<&[u8]>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().expect(VERSIONS);
        let builder = match client_roots {
            None => builder.with_no_client_auth(),
            Some(pem) => builder.with_client_cert_verifier(client_verifier(pem, provider)?),
        };
        let (certificates, key) = identity.read()?;
        let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::identity)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let serving = Serving { acceptor: Arc::new(config).into(), mutual: client_roots.is_some() };
        Ok(Self(Arc::new(RwLock::new(serving))))
    }

    /// Shows and asks for what `newer` does from now on, in every clone: a certificate that was issued anew, other client
    /// roots. A handshake that has begun ends as it began, and connections that are there stay.
    pub fn replace(&self, newer: &Self) {
        let serving = newer.serving();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = serving;
    }

    /// Whether a device has to show a certificate.
    #[must_use]
    pub fn is_mutual(&self) -> bool {
        self.serving().mutual
    }

    /// The lock is held for a copy or a swap, and nothing panics under it.
    fn serving(&self) -> Serving {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does the handshake with a device that has connected.
    ///
    /// # Errors
    ///
    /// The transport's, or [`io::ErrorKind::InvalidData`] around a [`rustls::Error`] when the two do not come to terms.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let Serving { acceptor, .. } = self.serving();
        let stream = acceptor.accept_with(stream, |connection| connection.set_buffer_limit(Some(SEND_BUFFER)));
        Ok(stream.await?.into())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// The device's side of TLS. A clone shares everything.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl ClientTls {
    /// A device that takes a server whose certificate one of `roots`, certificates in PEM, has issued for `server_name`,
    /// a DNS name or an IP address. The system's own roots are not used. With an `identity` it shows that to a server
    /// that asks (mutual TLS).
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the input.
    pub fn new(roots: &[u8], server_name: &str, identity: Option<Identity<'_>>) -> Result<Self, TlsError> {
        let server_name = ServerName::try_from(server_name).map_err(|_| TlsError::ServerName)?.to_owned();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect(VERSIONS);
        let builder = builder.with_root_certificates(read_roots(roots, Input::ServerRoots)?);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (certificates, key) = identity.read()?;
                builder.with_client_auth_cert(certificates, key).map_err(TlsError::identity)?
            }
        };
        config.resumption = Resumption::disabled();
        Ok(Self { connector: Arc::new(config).into(), server_name })
    }

    /// Does the handshake with a server that was dialled.
    ///
    /// # Errors
    ///
    /// The transport's, or [`io::ErrorKind::InvalidData`] around a [`rustls::Error`] when the two do not come to terms.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let name = self.server_name.clone();
        let stream =
            self.connector.connect_with(name, stream, |connection| connection.set_buffer_limit(Some(SEND_BUFFER)));
        Ok(stream.await?.into())
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The names in the certificate that the peer has shown and the handshake has checked: DNS names and URIs of the subject
/// alternative name, in their order; the common name is not read. Empty for a peer without a certificate.
///
/// They are texts to compare with as a whole, byte by byte: a `*` means itself here. A text of digits only is no DNS name;
/// for a device whose id is an IMEI the certificate says it in a URI, as `urn:imei:867584030001234` for example.
#[must_use]
pub fn peer_names<S>(stream: &TlsStream<S>) -> Vec<String> {
    let (_, connection) = stream.get_ref();
    let Some(own) = connection.peer_certificates().and_then(<[_]>::first) else { return Vec::new() };
    // It was parsed once already, in the handshake, by the same library.
    let Ok(certificate) = webpki::EndEntityCert::try_from(own) else { return Vec::new() };
    certificate.valid_dns_names().chain(certificate.valid_uri_names()).map(str::to_owned).collect()
}

fn client_verifier(
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let roots = Arc::new(read_roots(pem, Input::ClientRoots)?);
    // The other error is about revocation lists, and there are none.
    let none = |_| TlsError::NoCertificate { input: Input::ClientRoots };
    WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(none)
}

fn read_roots(pem: &[u8], input: Input) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(pem, input)? {
        roots.add(certificate).map_err(|error| TlsError::Rejected { input, error })?;
    }
    Ok(roots)
}

fn read_certificates(pem: &[u8], input: Input) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| TlsError::Pem { input, error })?;
    if certificates.is_empty() { Err(TlsError::NoCertificate { input }) } else { Ok(certificates) }
}

impl Identity<'_> {
    fn read(self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let certificates = read_certificates(self.certificates, Input::Certificates)?;
        let mut keys = PrivateKeyDer::pem_slice_iter(self.key);
        let key = keys.next().ok_or(TlsError::NoKey)?.map_err(|error| TlsError::Pem { input: Input::Key, error })?;
        if keys.next().is_some() {
            return Err(TlsError::SecondKey);
        }
        Ok((certificates, key))
    }
}

/// What a [`TlsError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The certificates of an [`Identity`].
    Certificates,
    /// The key of an [`Identity`].
    Key,
    /// The certificates by which a server judges devices.
    ClientRoots,
    /// The certificates by which a device judges its server.
    ServerRoots,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "certificate chain",
            Self::Key => "private key",
            Self::ClientRoots => "client CA",
            Self::ServerRoots => "server CA",
        })
    }
}

/// Why there is no [`ServerTls`] or [`ClientTls`].
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// An input is damaged PEM.
    Pem {
        /// Which.
        input: Input,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// There is no certificate in an input.
    NoCertificate {
        /// Which.
        input: Input,
    },
    /// There is no private key in the input that should have it, or only an encrypted one.
    NoKey,
    /// There is more than one private key in that input, or damaged PEM behind the first.
    SecondKey,
    /// The private key is not the one of the first certificate.
    KeyMismatch,
    /// The PEM is whole and what is in it cannot be used.
    Rejected {
        /// Which input.
        input: Input,
        /// What rustls says about it.
        error: rustls::Error,
    },
    /// The server's name is neither a DNS name nor an IP address.
    ServerName,
}

impl TlsError {
    /// What rustls says of a chain and a key together.
    fn identity(error: rustls::Error) -> Self {
        if let rustls::Error::InconsistentKeys(_) = error {
            return Self::KeyMismatch;
        }
        let is_certificate = matches!(error, rustls::Error::InvalidCertificate(_));
        Self::Rejected { input: if is_certificate { Input::Certificates } else { Input::Key }, error }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { input, error } => write!(f, "{input}: damaged PEM: {error}"),
            Self::NoCertificate { input } => write!(f, "{input}: no certificate in it"),
            Self::NoKey => write!(f, "{}: no key in it that is not encrypted", Input::Key),
            Self::SecondKey => write!(f, "{}: more than one key in it", Input::Key),
            Self::KeyMismatch => {
                write!(f, "{}: not the key of the first certificate of the {}", Input::Key, Input::Certificates)
            }
            Self::Rejected { input, error } => write!(f, "{input}: {error}"),
            Self::ServerName => f.write_str("the server's name is neither a DNS name nor an IP address"),
        }
    }
}

impl core::error::Error for TlsError {}
