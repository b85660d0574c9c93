//! A server that prints what devices send and acknowledges it after that:
//!
//! ```sh
//! cargo run -p dtu-net --example server
//! ```

use dtu_net::Received;
use dtu_net::driver::{Server, ServerConfig, Session};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = "127.0.0.1:55125".parse().expect("it is an address");
    let mut server = Server::bind(addr, ServerConfig::default(), CancellationToken::new())?;
    println!("listening on {}", server.local_addr());
    // A device that comes again goes on in the session it has, so each is accepted once.
    while let Some(session) = server.accept().await {
        tokio::spawn(serve(session));
    }
    Ok(())
}

async fn serve(session: Session) {
    while let Some(received) = session.recv().await {
        match &received {
            Received::Data { stream, seq, channel, body } => {
                // (device, stream, seq) is the key by which a store drops a repeat.
                println!("{} {stream:x}/{seq} channel {channel}: {body:?}", session.device());
            }
            Received::Skip { from, next, .. } => println!("{}: {from}..{next} will not come", session.device()),
        }
        // From here on it is ours: the device may forget it.
        if let Err(error) = session.commit(received.mark()) {
            println!("{}: {error}", session.device());
        }
    }
    println!("{}: {:?}", session.device(), session.closed().await.cause);
}
