//! The drivers on real loopback sockets.
#![cfg(feature = "tokio")]

use core::time::Duration;
use dtu_net::driver::{Client, ClientConfig, Server, ServerConfig, Target};
use dtu_net::{DeviceConfig, Outcome, Outgoing, Received, State};
use tokio_util::sync::CancellationToken;

fn loopback() -> core::net::SocketAddr {
    core::net::SocketAddr::from((core::net::Ipv4Addr::LOCALHOST, 0))
}

fn serve(config: ServerConfig) -> Server {
    Server::bind(loopback(), config, CancellationToken::new()).unwrap()
}

fn connect(server: &Server, id: &str) -> Client {
    let target = Target::Tcp(server.local_addr().to_string());
    Client::start(target, ClientConfig::new(DeviceConfig::new(id).unwrap()), CancellationToken::new()).unwrap()
}

#[tokio::test]
async fn data_goes_up_is_committed_and_acknowledged_and_data_goes_down() {
    let mut server = serve(ServerConfig::default());
    let client = connect(&server, "meter-7");
    let up = client.session().send(Outgoing::new(2, "up")).await.unwrap();
    let session = server.accept().await.unwrap();
    assert_eq!(&**session.device(), "meter-7");
    let received = session.recv().await.unwrap();
    assert!(matches!(&received, Received::Data { seq: 0, channel: 2, body, .. } if body == "up"), "{received:?}");
    let down = session.send(Outgoing::new(0, "down")).await.unwrap();
    let answer = client.session().recv().await.unwrap();
    assert!(matches!(&answer, Received::Data { seq: 0, body, .. } if body == "down"), "{answer:?}");
    assert_eq!(client.session().counters().ledger.pending, 1, "nothing is acknowledged before the commit");
    session.commit(received.mark()).unwrap();
    assert_eq!(up.await, Outcome::Acked);
    client.session().commit(answer.mark()).unwrap();
    assert_eq!(down.await, Outcome::Acked);
    client.shut_down(Duration::from_secs(5)).await;
    assert_eq!(session.closed().await.state, State::Closed);
    assert_eq!(session.recv().await, None);
    server.shut_down(Duration::ZERO).await;
}
