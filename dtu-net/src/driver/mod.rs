//! Machines on TCP, by tokio: a [`TcpServer`] that accepts devices, and a [`TcpClient`] that is one.
//!
//! One task owns a connection: the socket, the machine and one timer. It never waits for a read or a write to be
//! *complete*, so a peer that reads nothing or sends half a frame holds up nobody. Events go to the application through
//! a bounded channel; while one cannot be handed over, nothing is read from that socket.
//!
//! # Examples
//!
//! A server that acknowledges what it has printed:
//! ```no_run
//! use dtu_net::driver::{ServerConfig, ServerEvent, TcpServer};
//! use dtu_net::Event;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn run() -> std::io::Result<()> {
//! let mut server = TcpServer::bind("127.0.0.1:55125".parse().unwrap(), ServerConfig::default(), CancellationToken::new())?;
//! while let Some(event) = server.next_event().await {
//!     if let ServerEvent::Link { device: Some(device), event: Event::Data { seq, body, .. }, session, .. } = event {
//!         println!("{device} sent {body:?}");
//!         session.commit(seq.wrapping_add(1));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod accept;
pub mod client;
mod connection;
pub mod server;
mod session;

pub use client::{ClientConfig, ConnectError, TcpClient};
pub use server::{Admission, ServerConfig, ServerEvent, TcpServer};
pub use session::Session;

use std::time::Instant;

/// The only place that reads the clock: tokio's, which a test can pause.
#[expect(clippy::disallowed_methods, reason = "a driver is what gives the machines their time")]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A random id for a stream that begins; never 0, which stands for "none".
fn random_stream() -> Result<u64, std::io::Error> {
    let id = getrandom::u64()?;
    Ok(id.max(1))
}
