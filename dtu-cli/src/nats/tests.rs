//! Connections, to a real server and to what is none.

use super::nats_server::NatsServer;
use super::*;
use core::net::SocketAddr;
use tokio::io::AsyncWriteExt;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(addr: &str, more: &str) -> NatsSettings {
    toml::from_str(&format!("servers = ['{addr}']\n{more}")).unwrap()
}

/// A server that says this to everybody, and hangs up.
async fn babbler(says: &'static [u8]) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _gone = stream.write_all(says).await;
        }
    });
    addr
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_found_when_it_comes() {
    let Some(mut server) = NatsServer::prepare("") else { return };
    let connection = Connection::open(&settings(&server.addr(), ""), "gw", "test").await.unwrap();
    let why = connection.up(Duration::from_millis(700)).await.unwrap_err();
    assert!(why.starts_with("NATS is not reached: ") && why.contains(&server.addr()), "{why}");
    assert!(!connection.is_up());
    let starting = tokio::task::spawn_blocking(move || {
        server.up();
        server
    });
    let _server = starting.await.unwrap();
    connection.up(PATIENCE).await.unwrap();
}

/// What the log has.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_connection_that_is_not_needed_any_more_is_closed_without_a_warning() {
    let Some(server) = NatsServer::start() else { return };
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let connection = Connection::open(&settings(&server.addr(), ""), "gw", "test").await.unwrap();
    connection.up(PATIENCE).await.unwrap();
    let mut link = connection.link.clone();
    drop(connection);
    timeout(PATIENCE, link.wait_for(|link| !link.is_up)).await.unwrap().unwrap();
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("NATS is connected") && !said.contains("WARN"), "{said}");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_told_and_made_again() {
    let Some(server) = NatsServer::start() else { return };
    let connection = Connection::open(&settings(&server.addr(), ""), "gw", "test").await.unwrap();
    connection.up(PATIENCE).await.unwrap();
    let epoch = connection.epoch();
    let (mut server, lost) = (server, connection.lost(epoch));
    let restarted = tokio::task::spawn_blocking(move || {
        server.kill();
        server.up();
        server
    });
    timeout(PATIENCE, lost).await.unwrap();
    let _server = restarted.await.unwrap();
    let mut link = connection.link.clone();
    timeout(PATIENCE, link.wait_for(|link| link.is_up && link.epoch > epoch)).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_talks_nonsense_is_no_server_and_is_not_hammered() {
    for says in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\0\xFF\xFE\x80\r\n\r\n\r\n",
        b"INFO {\"server_id\":7}\r\n",
        b"INFO {}\r\nMSG a 1 99999999999999999999\r\n",
        b"PONG\r\n",
        b"",
    ] {
        let addr = babbler(says).await;
        let connection = Connection::open(&settings(&addr.to_string(), ""), "gw", "test").await.unwrap();
        let why = connection.up(Duration::from_millis(800)).await.unwrap_err();
        assert!(why.starts_with("NATS is not reached: "), "{why}");
        assert!(!connection.is_up(), "{says:?}");
    }
}

#[tokio::test]
async fn delays_grow_although_the_server_accepts_each_time() {
    let (state, _link) = watch::channel(Link::default());
    let watched = Watched { purpose: "test", state, pace: Mutex::new(Pace::new(7)) };
    assert_eq!(watched.delay(), Duration::ZERO, "the first attempt");
    for attempts in 1..=10 {
        watched.handle_event(&Event::Connected);
        watched.handle_event(&Event::Disconnected);
        let delay = watched.delay();
        assert!(RECONNECT.floor() <= delay && delay <= RECONNECT.cap());
        assert_eq!(watched.pace.lock().unwrap().delays.attempts(), attempts);
    }
}

#[tokio::test]
async fn wrong_passwords_are_told_as_such_and_right_ones_let_in() {
    let Some(server) = NatsServer::start_with("authorization { user: gateway, password: secret }") else { return };
    let file = server.directory().join("password");
    let text = format!("user = 'gateway'\npassword_file = '{}'", file.display());
    for (password, is_right) in [("wrong", false), ("secret\n", true)] {
        std::fs::write(&file, password).unwrap();
        let connection = Connection::open(&settings(&server.addr(), &text), "gw", "test").await.unwrap();
        if is_right {
            connection.up(PATIENCE).await.unwrap();
            continue;
        }
        let why = connection.up(Duration::from_secs(2)).await.unwrap_err();
        assert!(why.to_lowercase().contains("authorization violation"), "{why}");
    }
}

#[tokio::test]
async fn tls_holds_the_server_to_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for name in ["one", "other"] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let more = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", path("one.pem"), path("one.key"));
    let Some(server) = NatsServer::start_with(&more) else { return };
    let addr = server.addr().replace("127.0.0.1", "localhost");
    let with = |ca: &str| settings(&addr, &format!("tls = {{ ca = '{}' }}", path(ca)));
    let connection = Connection::open(&with("one.pem"), "gw", "test").await.unwrap();
    connection.up(PATIENCE).await.unwrap();
    let connection = Connection::open(&with("other.pem"), "gw", "test").await.unwrap();
    let why = connection.up(Duration::from_secs(2)).await.unwrap_err();
    assert!(why.to_lowercase().contains("certificate"), "{why}");
}
