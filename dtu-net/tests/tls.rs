//! TLS over a stream in memory, with certificates made for each test.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use dtu_net::driver::tls::{ClientTls, Identity, Input, SEND_BUFFER, ServerTls, TlsError, TlsStream, peer_names};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, HandshakeKind, RootCertStore, ServerConfig,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Bytes that the stream in memory holds in each direction; less than a handshake, so that writes wait.
const PIPE: usize = 512;

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with these DNS names and URIs, and its key.
    fn issue(&self, names: &[&str], uris: &[&str]) -> Issued {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI(Ia5String::try_from(*uri).unwrap())));
        let key = KeyPair::generate().unwrap();
        Issued { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

struct Issued {
    certificate: String,
    key: String,
}

impl Issued {
    fn identity(&self) -> Identity<'_> {
        Identity { certificates: self.certificate.as_bytes(), key: self.key.as_bytes() }
    }
}

type Side = io::Result<TlsStream<DuplexStream>>;

async fn shake(server: &ServerTls, client: &ClientTls) -> (Side, Side) {
    let (near, far) = duplex(PIPE);
    tokio::join!(server.accept(near), client.connect(far))
}

/// What rustls says, from inside the error of a stream.
fn reason(error: &io::Error) -> &Error {
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// Sends `bytes` from one end to the other and to the end of the stream.
async fn pass(from: &mut TlsStream<DuplexStream>, to: &mut TlsStream<DuplexStream>, bytes: &[u8]) {
    let mut came = Vec::new();
    let send = async {
        from.write_all(bytes).await.unwrap();
        from.shutdown().await.unwrap();
    };
    let (_, count) = tokio::join!(send, to.read_to_end(&mut came));
    assert_eq!(count.unwrap(), bytes.len());
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn a_device_that_trusts_the_ca_talks_to_the_server_in_both_directions() {
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();
    let (near, far) = shake(&server, &client).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(peer_names(&far), ["dtu.example"]);
    assert!(peer_names(&near).is_empty(), "the device has shown no certificate");
    let long: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    pass(&mut far, &mut near, &long).await;
    pass(&mut near, &mut far, b"set-point").await;
}

#[tokio::test]
async fn a_certificate_that_replaces_another_counts_in_every_clone_and_cuts_nobody_off() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let server = ServerTls::new(old.issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let serving = server.clone();
    let client = |ca: &Ca| ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();
    let (near, far) = shake(&serving, &client(&old)).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let roots = new.pem();
    let newer = ServerTls::new(new.issue(&["dtu.example"], &[]).identity(), Some(roots.as_bytes())).unwrap();
    assert!(!serving.is_mutual());
    server.replace(&newer);
    assert!(serving.is_mutual());
    assert!(shake(&serving, &client(&old)).await.1.is_err());
    let device = new.issue(&["meter-7.example"], &[]);
    let client = ClientTls::new(roots.as_bytes(), "dtu.example", Some(device.identity())).unwrap();
    assert!(shake(&serving, &client).await.0.is_ok());
    pass(&mut far, &mut near, b"as before").await;
    // One that replaces itself stays as it is.
    server.replace(&server);
    assert!(server.is_mutual());
}

#[tokio::test]
async fn a_server_is_known_by_its_address_as_well() {
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["192.0.2.7"], &[]).identity(), None).unwrap();
    let client = |name| ClientTls::new(ca.pem().as_bytes(), name, None).unwrap();
    assert!(shake(&server, &client("192.0.2.7")).await.1.is_ok());
    assert!(shake(&server, &client("192.0.2.8")).await.1.is_err());
}

#[tokio::test]
async fn a_server_of_an_unknown_ca_is_refused_also_when_the_ca_has_the_name_of_the_known_one() {
    let known = Ca::new("known");
    let client = ClientTls::new(known.pem().as_bytes(), "dtu.example", None).unwrap();
    for (name, expected) in [("unknown", CertificateError::UnknownIssuer), ("known", CertificateError::BadSignature)] {
        let server = ServerTls::new(Ca::new(name).issue(&["dtu.example"], &[]).identity(), None).unwrap();
        let (near, far) = shake(&server, &client).await;
        assert_eq!(*reason(&far.unwrap_err()), Error::InvalidCertificate(expected));
        assert!(matches!(reason(&near.unwrap_err()), Error::AlertReceived(_)), "the server is told");
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "gateway.example", None).unwrap();
    let (near, far) = shake(&server, &client).await;
    let error = far.unwrap_err();
    assert!(
        matches!(reason(&error), Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })),
        "{error}"
    );
    assert!(near.is_err());
}

#[tokio::test]
async fn mutual_tls_takes_a_device_of_its_ca_and_reads_the_names_in_its_certificate() {
    let (ca, fleet) = (Ca::new("servers"), Ca::new("fleet"));
    let roots = fleet.pem();
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), Some(roots.as_bytes())).unwrap();
    let device = fleet.issue(&["meter-7.fleet.example", "*.fleet.example"], &["urn:imei:867584030001234"]);
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", Some(device.identity())).unwrap();
    let (near, far) = shake(&server, &client).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(peer_names(&near), ["meter-7.fleet.example", "*.fleet.example", "urn:imei:867584030001234"]);
    pass(&mut far, &mut near, b"reading").await;
}

#[tokio::test]
async fn mutual_tls_refuses_a_device_without_a_certificate_and_the_device_learns_it_when_it_reads() {
    let (ca, fleet) = (Ca::new("servers"), Ca::new("fleet"));
    let roots = fleet.pem();
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), Some(roots.as_bytes())).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();
    let (near, far) = shake(&server, &client).await;
    assert_eq!(*reason(&near.unwrap_err()), Error::NoCertificatesPresented);
    let error = far.unwrap().read_u8().await.unwrap_err();
    assert_eq!(*reason(&error), Error::AlertReceived(AlertDescription::CertificateRequired));
}

#[tokio::test]
async fn mutual_tls_refuses_a_device_of_another_ca() {
    let (ca, fleet) = (Ca::new("servers"), Ca::new("fleet"));
    let roots = fleet.pem();
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), Some(roots.as_bytes())).unwrap();
    // The server's own CA is not the fleet's.
    let stranger = ca.issue(&["meter-7"], &[]);
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", Some(stranger.identity())).unwrap();
    let (near, far) = shake(&server, &client).await;
    assert_eq!(*reason(&near.unwrap_err()), Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert!(far.unwrap().read_u8().await.is_err());
}

#[tokio::test]
async fn a_stream_that_is_cut_is_told_from_one_that_ended() {
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();

    let (near, far) = shake(&server, &client).await;
    drop(far.unwrap());
    assert_eq!(near.unwrap().read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let (near, far) = shake(&server, &client).await;
    far.unwrap().shutdown().await.unwrap();
    assert_eq!(near.unwrap().read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn no_tls_at_all_is_refused() {
    let server = ServerTls::new(Ca::new("ca").issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let (near, mut far) = duplex(PIPE);
    far.write_all(b"\xd7\x55\x00\x00\xff\xff a frame without TLS").await.unwrap();
    let error = server.accept(near).await.unwrap_err();
    assert!(matches!(reason(&error), Error::InvalidMessage(_)), "{error}");
}

/// Connects twice and says how the second handshake went.
async fn second_handshake(
    accept: impl AsyncFn(DuplexStream) -> Side,
    connect: impl AsyncFn(DuplexStream) -> Side,
) -> HandshakeKind {
    let mut kind = None;
    for _ in 0..2 {
        let (near, far) = duplex(PIPE);
        let (near, far) = tokio::join!(accept(near), connect(far));
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        kind = near.get_ref().1.handshake_kind();
        // A ticket comes in front of the first bytes of the server.
        pass(&mut near, &mut far, b"welcome").await;
    }
    kind.unwrap()
}

#[tokio::test]
async fn neither_side_resumes_a_session_also_when_the_other_would() {
    let ca = Ca::new("ca");
    let issued = ca.issue(&["dtu.example"], &[]);
    let server = ServerTls::new(issued.identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();

    let provider = Arc::new(ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let other = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let other = other.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let resuming_server = TlsAcceptor::from(Arc::new(other));
    let resuming_server = async |stream| Ok(resuming_server.accept(stream).await?.into());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let other = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let resuming_client = TlsConnector::from(Arc::new(other.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from("dtu.example").unwrap();
    let resuming_client = async |stream| Ok(resuming_client.connect(name.clone(), stream).await?.into());

    assert_eq!(second_handshake(&resuming_server, &resuming_client).await, HandshakeKind::Resumed);
    assert_eq!(
        second_handshake(async |stream| server.accept(stream).await, &resuming_client).await,
        HandshakeKind::Full
    );
    assert_eq!(
        second_handshake(&resuming_server, async |stream| client.connect(stream).await).await,
        HandshakeKind::Full
    );
}

#[tokio::test]
async fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["dtu.example"], &[]).identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "dtu.example", None).unwrap();
    let (near, far) = shake(&server, &client).await;
    for writer in &mut [near.unwrap(), far.unwrap()] {
        let mut taken = 0;
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(count) = Pin::new(&mut *writer).poll_write(&mut context, &[0; 1000]) {
            taken += count.unwrap();
            assert!(taken <= SEND_BUFFER + PIPE, "{taken} bytes are taken");
        }
        assert!(taken > SEND_BUFFER / 2, "only {taken} bytes are taken");
    }
}

#[test]
fn a_driver_can_spawn_both_handshakes_and_what_comes_of_them() {
    fn spawnable<F: Future<Output = io::Result<S>> + Send, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(_: F) {}
    let ca = Ca::new("ca");
    let server = ServerTls::new(ca.issue(&["a"], &[]).identity(), None).unwrap();
    let client = ClientTls::new(ca.pem().as_bytes(), "a", None).unwrap();
    let (near, far) = duplex(PIPE);
    spawnable(server.accept(near));
    spawnable(client.connect(far));
}

#[test]
fn each_bad_input_is_named() {
    let ca = Ca::new("ca");
    let (good, other) = (ca.issue(&["a"], &[]), ca.issue(&["b"], &[]));
    let roots = ca.pem();
    let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
    let of = |certificates: &str, key: &str| {
        let identity = Identity { certificates: certificates.as_bytes(), key: key.as_bytes() };
        let server = ServerTls::new(identity, None).unwrap_err().to_string();
        let client = ClientTls::new(roots.as_bytes(), "a", Some(identity)).unwrap_err().to_string();
        assert_eq!(server, client, "both sides judge alike");
        server
    };

    assert_eq!(of("", &good.key), "certificate chain: no certificate in it");
    assert_eq!(of(&good.key, &good.key), "certificate chain: no certificate in it");
    assert!(of(&cut(&good.certificate), &good.key).starts_with("certificate chain: damaged PEM: "));
    assert_eq!(of(&good.certificate, ""), "private key: no key in it that is not encrypted");
    assert_eq!(of(&good.certificate, &good.certificate), "private key: no key in it that is not encrypted");
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(of(&good.certificate, &encrypted), "private key: no key in it that is not encrypted");
    assert!(of(&good.certificate, &cut(&good.key)).starts_with("private key: damaged PEM: "));
    assert_eq!(of(&good.certificate, &[&*good.key, &other.key].concat()), "private key: more than one key in it");
    assert_eq!(
        of(&good.certificate, &other.key),
        "private key: not the key of the first certificate of the certificate chain"
    );
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(of(not_der, &good.key).starts_with("certificate chain: "));
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(of(&good.certificate, no_key).starts_with("private key: "));

    for (pem, is_expected) in [
        ("", (|error| matches!(error, TlsError::NoCertificate { .. })) as fn(&TlsError) -> bool),
        (&cut(&roots), |error| matches!(error, TlsError::Pem { .. })),
        (not_der, |error| matches!(error, TlsError::Rejected { .. })),
    ] {
        let server = ServerTls::new(good.identity(), Some(pem.as_bytes())).unwrap_err();
        assert!(is_expected(&server) && server.to_string().starts_with("client CA: "), "{server}");
        let client = ClientTls::new(pem.as_bytes(), "a", None).unwrap_err();
        assert!(is_expected(&client) && client.to_string().starts_with("server CA: "), "{client}");
    }
    for name in ["", "a b", "256.1.1.1", "dtu.example:443"] {
        assert!(matches!(ClientTls::new(roots.as_bytes(), name, None), Err(TlsError::ServerName)), "{name:?}");
    }
}

#[test]
fn certificate_and_key_may_stand_in_one_file() {
    let issued = Ca::new("ca").issue(&["a"], &[]);
    let both = [issued.key.as_str(), &issued.certificate].concat();
    ServerTls::new(Identity { certificates: both.as_bytes(), key: both.as_bytes() }, None).unwrap();
}

#[test]
fn nothing_of_a_key_is_in_a_debug_text() {
    let ca = Ca::new("ca");
    let issued = ca.issue(&["a"], &[]);
    assert_eq!(format!("{:?}", issued.identity()), "Identity(..)");
    assert_eq!(format!("{:?}", ServerTls::new(issued.identity(), None).unwrap()), "ServerTls { .. }");
    let client = ClientTls::new(ca.pem().as_bytes(), "a", Some(issued.identity())).unwrap();
    assert_eq!(format!("{client:?}"), "ClientTls { server_name: DnsName(\"a\"), .. }");
    assert_eq!(Input::ClientRoots.to_string(), "client CA");
}
