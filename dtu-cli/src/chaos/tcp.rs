//! The TCP proxy.

mod connection;
mod pipe;

use super::proxy::Setup;
use super::schedule::Farewell;
use connection::{Connection, say};
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// The most connections at a time, half-open ones included; who comes beyond is reset.
pub(super) const MAX_CONNECTIONS: usize = 16_384;

/// Connections that the system queues until they are accepted: a fleet comes all at once.
const BACKLOG: u32 = 1024;

/// How long the upstream has to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The rest after a failed accept, which mostly means too many open files: trying on at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Starts a proxy; returns the address that it listens on.
pub(super) fn start(listen: SocketAddr, setup: Setup) -> io::Result<SocketAddr> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(BACKLOG)?;
    let local_addr = listener.local_addr()?;
    let tasks = setup.tasks.clone();
    tasks.spawn(accept(listener, setup));
    Ok(local_addr)
}

/// Takes the connections in.
async fn accept(listener: TcpListener, setup: Setup) {
    let links = &setup.counters.links;
    let mut number = 0;
    while let Some(accepted) = setup.cancel.run_until_cancelled(listener.accept()).await {
        match accepted {
            // This task is one of them.
            Ok((client, _)) if setup.tasks.len() > MAX_CONNECTIONS => {
                links.turned_away.add(1);
                say(Farewell::Reset, client).await;
            }
            Ok((client, _)) => {
                number += 1;
                links.connections.add(1);
                setup.tasks.spawn(carry(number, client, setup.clone()));
            }
            Err(_) => {
                links.accept_failed.add(1);
                setup.cancel.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
}

/// Connects to the upstream and carries the connection.
async fn carry(number: u64, client: TcpStream, setup: Setup) {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(&*setup.upstream));
    match setup.cancel.run_until_cancelled(connected).await {
        Some(Ok(Ok(upstream))) => {
            // Bytes wait by the plan, not for the next ones. It fails only on a socket that is gone already.
            let _gone = client.set_nodelay(true).and_then(|()| upstream.set_nodelay(true));
            Connection { number, client, upstream, setup }.run().await;
        }
        Some(Ok(Err(_)) | Err(_)) => {
            setup.counters.links.refused.add(1);
            say(Farewell::Reset, client).await;
        }
        None => say(Farewell::Finish, client).await,
    }
}

#[cfg(test)]
mod tests;
