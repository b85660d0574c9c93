//! Links on sockets, by tokio: a [`Server`] that accepts devices, and a [`Client`] that is one, on TCP, TLS and UDP.
//!
//! One task owns a connection: the socket and one timer; the machine is shared with the [`Session`]s in the application's
//! hands, behind a lock that is never held across a wait. The task never waits for a read or a write to be *complete*, so
//! a peer that reads nothing or sends half a frame holds up nobody. While the application is behind with what it received,
//! nothing is read from that socket.
//!
//! # Examples
//!
//! A server that acknowledges what it has printed:
//! ```no_run
//! use dtu_net::Received;
//! use dtu_net::driver::{Server, ServerConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn run() -> std::io::Result<()> {
//! let addr = "127.0.0.1:55125".parse().unwrap();
//! let mut server = Server::bind(addr, ServerConfig::default(), CancellationToken::new())?;
//! while let Some(session) = server.accept().await {
//!     tokio::spawn(async move {
//!         while let Some(received) = session.recv().await {
//!             if let Received::Data { body, .. } = &received {
//!                 println!("{} sent {body:?}", session.device());
//!             }
//!             // It was received on this stream, so only a device that has forgotten it meanwhile makes this an error.
//!             let _forgotten = session.commit(received.mark());
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod accept;
mod carriage;
pub mod client;
mod dial;
mod endpoints;
mod entrance;
mod front;
mod hub;
mod last;
mod linger;
mod own_streams;
mod peer;
mod receipts;
mod reception;
mod registry;
pub mod resolve;
pub(crate) mod retry;
mod rota;
pub mod server;
mod session;
mod share;
mod shared;
pub mod tap;
#[cfg(feature = "tls")]
pub mod tls;
mod totals;
pub mod transparent;
mod turns;
mod udp;
mod waiters;
mod way;

pub use client::{Client, ClientConfig};
pub use dial::DialError;
pub use endpoints::{Endpoint, Endpoints, Target};
pub use entrance::{Bound, TurnedAway};
pub use hub::{LinkEvent, RefusedEvent};
pub use registry::Flapping;
pub use server::{Admission, InvalidServer, Listen, Server, ServerConfig, ServerCounters};
pub use session::{Receipt, Session, StateWatch};
pub use udp::drops::{DropCause, DroppedEvent};

use std::io;
use std::time::Instant;

/// The only place that reads the clock: tokio's, which a test can pause.
#[expect(clippy::disallowed_methods, reason = "a driver is what gives the machines their time")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A random id for a stream that begins; never 0, which stands for "none".
fn random_stream() -> io::Result<u64> {
    let id = getrandom::u64()?;
    Ok(id.max(1))
}
