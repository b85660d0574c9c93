//! A listening socket that a fleet which comes back at once does not overrun.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

/// Connections that may wait to be accepted. `TcpListener::bind` asks for 128, and what comes beyond loses its SYN and
/// waits over a second; the system caps the number (`net.core.somaxconn`).
pub(super) const BACKLOG: u32 = 4096;

/// How long to wait after an `accept` that failed for want of descriptors or memory: the connection stays in the queue,
/// and asking again at once would ask for ever.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds and listens. `receive_buffer` is the system's buffer of each connection, in bytes.
pub(super) fn listen(addr: SocketAddr, backlog: u32, receive_buffer: Option<u32>) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again gets its port although old connections still time out; two at once do not.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(addr)?;
    socket.listen(backlog)
}

/// Accepts one connection; the error is the machine's, and its pause is over already.
pub(super) async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Small frames leave at once. A socket that refuses the wish is slower, not wrong.
                let _slower = socket.set_nodelay(true);
                return Ok((socket, peer));
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                sleep(PAUSE).await;
                return Err(error);
            }
        }
    }
}

/// Whether the error concerns only a connection that was gone before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
