//! The driver for units without a protocol of their own, on real loopback sockets. Nothing here waits by the clock, but where a
//! deadline itself is tested, on tokio's paused one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod door;
#[path = "../line/rtu.rs"]
mod rtu;
mod session;

use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::driver::RefusedEvent;
use dtu_net::driver::transparent::{TransparentConfig, TransparentServer, TransparentSession, UnitEvent};
use dtu_net::line::{Matcher, Request};
use dtu_net::transparent::ProfileSpec;
use dtu_net::{Epoch, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(3600);

fn spec() -> ProfileSpec {
    ProfileSpec::new("modbus_rtu", "REG{id:digit*4};")
}

fn config(spec: &ProfileSpec) -> TransparentConfig {
    TransparentConfig::new(spec.build().unwrap())
}

fn serve(config: TransparentConfig) -> TransparentServer {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    TransparentServer::bind(loopback, config, CancellationToken::new()).unwrap()
}

/// A unit that says these bytes first.
async fn unit(server: &TransparentServer, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    stream.read_exact(&mut came).await.unwrap();
    assert_eq!(came, bytes);
}

/// Whether the server has ended the connection.
async fn is_over(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}

fn asking(bytes: &[u8]) -> Request {
    Request::new(bytes, Matcher::modbus_rtu(bytes).unwrap()).timeout(LONG).deadline(LONG)
}

/// The next connection that was not let in.
async fn next_refused(events: &mut broadcast::Receiver<UnitEvent>) -> RefusedEvent {
    loop {
        if let UnitEvent::Refused(refused) = events.recv().await.unwrap() {
            return refused;
        }
    }
}

/// Waits until the session is in this state, on this connection.
async fn reach(session: &TransparentSession, state: State, epoch: u32) {
    let mut watch = session.watch();
    let number = |epoch: Epoch| epoch.number();
    while (session.state().state, number(session.state().epoch)) != (state, epoch) {
        watch.changed().await;
    }
}
