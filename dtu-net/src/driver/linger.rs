//! How a socket is left: a socket closed over unread bytes resets the connection, and with it what the peer has not read.

use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// Ends the sending side and waits for the peer to end its own, for at most `limit`.
pub(crate) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, limit: Duration) {
    let farewell = async {
        if poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await.is_err() {
            return;
        }
        let mut rest = [0; 256];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    };
    // Out of time means that the peer does not close; the socket is dropped all the same.
    let _out_of_time = timeout(limit, farewell).await;
}
