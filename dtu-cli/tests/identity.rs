//! Who may in: keys and certificates, with `dtu serve` and `dtu connect` as processes.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::Write;
use std::path::Path;
use support::{Serve, connect, write_private};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "101112131415161718191a1b1c1d1e1f";

/// Sends one piece with these flags, and expects that the server prints and acknowledges it.
fn gets_in(serve: &Serve, args: &[&str]) {
    let mut device = connect(&serve.addr, &[&["--id", "meter 7", "--once"], args].concat());
    device.stdin().write_all(b"x").unwrap();
    let books = device.succeeds();
    assert!(books.starts_with("sent 1: acked 1,"), "{books}");
    assert_eq!(serve.event_of("data")["device"], "meter 7");
}

/// Tries with these flags, and returns what the device says at its end.
fn stays_out(serve: &Serve, args: &[&str]) -> String {
    let mut device = connect(&serve.addr, &[&["--once"], args].concat());
    // It may be gone before it reads.
    let _gone = device.stdin().write_all(b"x");
    let [_, error] = device.fails();
    error
}

#[test]
fn with_keys_only_the_right_one_gets_in() {
    let directory = tempfile::tempdir().unwrap();
    let keys = write_private(directory.path(), "keys", &format!("# two\n{KEY} meter 7\n{OTHER} meter 8\n"));
    let key = write_private(directory.path(), "key", &format!("{KEY}\n"));
    let serve = Serve::start(&["--keys", &keys]);
    assert!(serve.warnings.is_empty(), "{:?}", serve.warnings);
    gets_in(&serve, &["--key-file", &key]);
    gets_in(&serve, &["--key", KEY]);
    for (id, key, cause) in [("meter 7", OTHER, "wrong_proof"), ("meter 9", KEY, "unknown_device")] {
        let error = stays_out(&serve, &["--id", id, "--key", key]);
        assert!(error.contains("not authorized"), "{error}");
        let refused = serve.event_of("refused");
        assert_eq!((&refused["cause"], &refused["device"]), (&cause.into(), &id.into()));
    }
    let error = stays_out(&serve, &["--id", "meter 7"]);
    assert!(error.contains("the server asks for a proof and there is no key"), "{error}");
    assert_eq!(serve.event_of("refused")["device"], "meter 7");
}

#[test]
fn keys_that_others_can_read_are_warned_of_on_both_sides() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str, text: &str| {
        let path = write_private(directory.path(), name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    let (keys, key) = (open("keys", &format!("{KEY} m\n")), open("key", KEY));
    let serve = Serve::start(&["--keys", &keys]);
    assert!(
        matches!(&serve.warnings[..], [line] if line.contains("others can read or change")),
        "{:?}",
        serve.warnings
    );
    let device = connect(&serve.addr, &["--id", "m", "--key-file", &key, "--drain", "0"]);
    device.says("others can read or change");
}

#[test]
fn a_key_file_with_a_bad_line_is_refused_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let keys = write_private(directory.path(), "keys", &format!("{KEY} a\nzz b\n"));
    let mut command = support::dtu(&["serve", "--listen", "127.0.0.1:0", "--keys", &keys]);
    support::fails_with_one_line(&mut command, "line 2: ");
}

/// A certificate authority with files in a directory.
struct Ca<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: &'a Path,
    pem: String,
}

impl<'a> Ca<'a> {
    fn new(directory: &'a Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = write_private(directory, name, &issuer.pem());
        Self { issuer, directory, pem }
    }

    /// The files of a certificate and of its key.
    fn issue(&self, name: &str) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        [
            write_private(self.directory, &format!("{name}.pem"), &certificate),
            write_private(self.directory, &format!("{name}.key"), &key.serialize_pem()),
        ]
    }
}

#[test]
fn over_tls_a_device_takes_only_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new(directory.path(), "ca"), Ca::new(directory.path(), "other"));
    let [certificate, key] = ca.issue("gateway.example");
    let serve = Serve::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    assert!(matches!(&serve.warnings[..], [line] if line.contains("this server is open")), "{:?}", serve.warnings);
    gets_in(&serve, &["--tls", "--tls-ca", &ca.pem, "--tls-name", "gateway.example"]);
    for args in [
        &["--tls", "--tls-ca", &other.pem, "--tls-name", "gateway.example"][..],
        &["--tls", "--tls-ca", &ca.pem, "--tls-name", "elsewhere.example"],
        // The address is not in the certificate either.
        &["--tls", "--tls-ca", &ca.pem],
    ] {
        let error = stays_out(&serve, &[&["--id", "m"], args].concat());
        assert!(error.contains("the transport broke"), "{error}");
        assert_eq!(serve.event_of("refused")["cause"], "transport");
    }
    // Without TLS the server understands nothing.
    stays_out(&serve, &["--id", "m"]);
    assert_eq!(serve.event_of("refused")["cause"], "transport");
}

#[test]
fn with_mutual_tls_a_device_shows_a_certificate_and_the_server_is_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new(directory.path(), "ca"), Ca::new(directory.path(), "other"));
    let [certificate, key] = ca.issue("127.0.0.1");
    let serve = Serve::start(&["--tls-cert", &certificate, "--tls-key", &key, "--tls-client-ca", &ca.pem]);
    assert!(serve.warnings.is_empty(), "{:?}", serve.warnings);
    let [own, own_key] = ca.issue("meter-7");
    let [foreign, foreign_key] = other.issue("foreign");
    let tls = ["--tls", "--tls-ca", &ca.pem];
    gets_in(&serve, &[&tls[..], &["--tls-cert", &own, "--tls-key", &own_key]].concat());
    for args in [&["--id", "m"][..], &["--id", "m", "--tls-cert", &foreign, "--tls-key", &foreign_key]] {
        let error = stays_out(&serve, &[&tls[..], args].concat());
        assert!(error.contains("--once"), "{error}");
        assert_eq!(serve.event_of("refused")["cause"], "transport");
    }
}

#[test]
fn certificates_and_keys_that_do_not_belong_together_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Ca::new(directory.path(), "ca");
    let ([certificate, _], [_, key]) = (ca.issue("a"), ca.issue("b"));
    let args = ["serve", "--listen", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
    support::fails_with_one_line(&mut support::dtu(&args), "not the key of the first certificate");
}
