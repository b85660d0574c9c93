//! Sessions over TLS, with certificates made for each test.

use crate::{LONG, device, expect_numbers, loopback, next_refused, numbered, reach, serve};
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::auth::Key;
use dtu_net::driver::tls::{ClientTls, Identity, ServerTls};
use dtu_net::driver::{Client, ClientConfig, Endpoints, Server, ServerConfig, Target};
use dtu_net::{Cause, DeviceConfig, Outcome, State};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const NAME: &str = "dtu.example";

struct Pki {
    ca: String,
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap().pem();
        Self { ca: ca.pem(), certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> ServerTls {
        let identity = Identity { certificates: self.certificate.as_bytes(), key: self.key.as_bytes() };
        ServerTls::new(identity, None).unwrap()
    }

    fn dial(&self, addr: SocketAddr, device: DeviceConfig) -> Client {
        let tls = ClientTls::new(self.ca.as_bytes(), NAME, None).unwrap();
        let target = Target::Tls(addr.to_string(), tls);
        Client::start(target, ClientConfig::new(device), CancellationToken::new()).unwrap()
    }
}

#[tokio::test]
async fn a_primary_on_tls_is_gone_back_to_only_when_its_tls_answers() {
    let pki = Pki::new();
    // Something listens on the port of the primary that speaks no TLS: a connect alone would take it for healthy.
    let mute = TcpListener::bind(loopback()).await.unwrap();
    let addr = mute.local_addr().unwrap();
    let mut backup = serve(ServerConfig::default());
    let tls = ClientTls::new(pki.ca.as_bytes(), NAME, None).unwrap();
    let targets = [Target::Tls(addr.to_string(), tls), Target::Tcp(backup.local_addr().to_string())];
    let endpoints = Endpoints::in_order(targets).unwrap();
    let client = Client::start(endpoints, crate::failover::config(device("m")), CancellationToken::new()).unwrap();
    // The first is the device itself, and the probes take twice as long as the hold at least.
    for _ in 0..9 {
        drop(mute.accept().await.unwrap());
    }
    drop(mute);
    let at_backup = backup.accept().await.unwrap();
    reach(client.session(), State::Connected).await;
    assert_eq!(at_backup.counters().connected, 1);
    let mut config = ServerConfig::default();
    config.tls = Some(pki.server());
    let mut primary = Server::bind(addr, config, CancellationToken::new()).unwrap();
    let session = primary.accept().await.unwrap();
    drop(client.session().send(numbered(0)).await.unwrap());
    expect_numbers(&session, 0, 1).await;
}

fn keyed(id: &str, byte: u8) -> DeviceConfig {
    let mut config = device(id);
    config.key = Some(Key::new(&[byte; 32]).unwrap());
    config
}

#[tokio::test]
async fn data_goes_both_ways_over_tls_with_keys_and_the_end_is_told() {
    const COUNT: u32 = 2_000;
    let pki = Pki::new();
    let mut config = ServerConfig::default();
    config.tls = Some(pki.server());
    config.keys = Some(Arc::new(HashMap::from([("m".to_owned(), Key::new(&[1; 32]).unwrap())])));
    let mut server = serve(config);
    let client = pki.dial(server.local_addr(), keyed("m", 1));
    let session = server.accept().await.unwrap();
    let up = async {
        let mut last = None;
        for number in 0..COUNT {
            last = Some(client.session().send(numbered(number)).await.unwrap());
        }
        assert_eq!(last.unwrap().await, Outcome::Acked);
    };
    let down = async {
        for number in 0..COUNT {
            drop(session.send(numbered(number)).await.unwrap());
        }
    };
    tokio::join!(up, down, expect_numbers(&session, 0, COUNT), expect_numbers(client.session(), 0, COUNT));
    client.shut_down(LONG).await;
    assert_eq!(session.closed().await.cause, Some(Cause::PeerClosed(dtu_proto::message::CloseCode::DONE)));
    server.shut_down(Duration::ZERO).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_refused_over_tls_as_well() {
    let pki = Pki::new();
    let mut config = ServerConfig::default();
    config.tls = Some(pki.server());
    config.keys = Some(Arc::new(HashMap::from([("m".to_owned(), Key::new(&[1; 32]).unwrap())])));
    let server = serve(config);
    let mut events = server.events();
    let _client = pki.dial(server.local_addr(), keyed("m", 2));
    assert_eq!(next_refused(&mut events).await.cause, Cause::WrongProof);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_no_tls_or_nothing_at_all_is_let_go() {
    let pki = Pki::new();
    let mut config = ServerConfig::default();
    config.tls = Some(pki.server());
    let server = serve(config);
    let mut events = server.events();
    let plain = crate::dial(server.local_addr(), device("m"));
    let cause = next_refused(&mut events).await.cause;
    assert_eq!(cause, Cause::Transport(std::io::ErrorKind::InvalidData));
    plain.shut_down(Duration::ZERO).await;
    let _silent = TcpStream::connect(server.local_addr()).await.unwrap();
    // The plain one may have come once more before it ended.
    let mut cause = next_refused(&mut events).await.cause;
    while matches!(cause, Cause::Transport(_)) {
        cause = next_refused(&mut events).await.cause;
    }
    assert_eq!(cause, Cause::NotIdentified { limit: Duration::from_secs(10) });
}

#[tokio::test]
async fn a_connection_that_is_cut_without_close_notify_is_a_loss_and_the_session_goes_on() {
    let pki = Pki::new();
    let mut config = ServerConfig::default();
    config.tls = Some(pki.server());
    let mut server = serve(config);
    let relay = crate::relay::Relay::to(server.local_addr()).await;
    let client = pki.dial(relay.addr, device("m"));
    let session = server.accept().await.unwrap();
    let receipt = client.session().send(numbered(0)).await.unwrap();
    expect_numbers(&session, 0, 1).await;
    assert_eq!(receipt.await, Outcome::Acked);
    // A watch may miss a state that lasts a millisecond.
    let mut events = client.events();
    relay.cut(crate::relay::Cut::Whole);
    let lost = Some(crate::failover::cause(&mut events).await);
    assert!(
        matches!(lost, Some(Cause::Transport(std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset))),
        "{lost:?}"
    );
    let receipt = client.session().send(numbered(1)).await.unwrap();
    expect_numbers(&session, 1, 2).await;
    assert_eq!(receipt.await, Outcome::Acked);
    reach(&session, State::Connected).await;
    assert_eq!(session.counters().connected, 2);
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_believed() {
    let (pki, other) = (Pki::new(), Pki::new());
    let mut config = ServerConfig::default();
    config.tls = Some(other.server());
    let server = dtu_net::driver::Server::bind(loopback(), config, CancellationToken::new()).unwrap();
    let client = pki.dial(server.local_addr(), device("m"));
    let mut watch = client.session().watch();
    let lost = loop {
        let change = watch.changed().await;
        if change.state == State::Disconnected {
            break change.cause;
        }
    };
    assert_eq!(lost, Some(Cause::Transport(std::io::ErrorKind::InvalidData)));
}
