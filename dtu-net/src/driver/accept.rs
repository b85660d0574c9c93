//! A listening socket that a fleet which comes back at once does not overrun.

use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::time::Duration;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
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
    // Small frames leave at once. Linux hands this on to what is accepted. A socket that refuses the wish is slower, not wrong.
    #[cfg(target_os = "linux")]
    let _slower = socket.set_nodelay(true);
    socket.bind(addr)?;
    socket.listen(backlog)
}

/// Accepts one connection; the error is the machine's, and its pause is over already.
pub(super) async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                #[cfg(not(target_os = "linux"))]
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

/// Gives a connection back that has its turn. One whose peer went without a byte is among them: there is nothing to be done for
/// it, and its first read tells what it was.
///
/// # Errors
///
/// `UnexpectedEof` when its peer has gone meanwhile, and had said something: while it waited in the system's queue or for its turn,
/// it gave up, and whatever is done for it is in vain.
pub(super) fn still_there(socket: TcpStream) -> io::Result<TcpStream> {
    //= spec/session.md#S-39
    if is_gone(&socket)? && has_spoken(&socket) { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(socket) }
}

/// Whether something is there to be read, or the connection broke, which ends nothing in order.
fn has_spoken(socket: &TcpStream) -> bool {
    !matches!(SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]), Ok(0))
}

/// Whether the peer has ended its side or the whole connection. What the runtime knows of a socket says nothing before the
/// first event.
#[cfg(target_os = "linux")]
fn is_gone(socket: &TcpStream) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut state = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut state, Some(&Timespec::default()))?;
    let [state] = state;
    Ok(state.revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR))
}

/// Other systems tell it with the first read.
#[cfg(not(target_os = "linux"))]
fn is_gone(_: &TcpStream) -> io::Result<bool> {
    Ok(false)
}

/// Says a last word to a peer that has not been listened to, as far as the empty buffer of its socket takes it, and hangs up.
pub(super) fn turn_away(socket: &TcpStream, word: &[u8]) {
    // Whatever the runtime knows of the socket: its buffer is empty.
    let socket = SockRef::from(socket);
    let _not_sent = socket.send(word);
    let _not_connected = socket.shutdown(Shutdown::Write);
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
