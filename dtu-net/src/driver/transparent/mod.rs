//! Units without a protocol of their own, on TCP: a [`TransparentServer`] that accepts them by a
//! [`Profile`](crate::transparent::Profile), and a [`TransparentSession`] for each.
//!
//! As with native devices, one task owns a connection, nothing of it is awaited where others are accepted, and a session outlives its
//! connections. What a [`Session`](super::Session) promises and this one cannot is left out: nothing is acknowledged, nothing is
//! sent again for want of it, and what came while nobody took it makes room for what is newer.
//!
//! | of a native session | here |
//! |---|---|
//! | `send` → `Receipt` → acked | `send` → [`Ticket`] → sent: it has left |
//! | | `request` → reply, matched by what is on the line |
//! | `recv` → DATA, each once | `recv` → frames that nobody asked for, the newest of them |
//! | `commit` | none |
//! | resume | the session and its queue go on; a request on the line is repeated or gone |
//! | `close`, `closed`, `state`, `watch`, `counters` | the same |
//!
//! # Examples
//!
//! Reads two registers of each unit that connects:
//! ```no_run
//! use dtu_net::driver::transparent::{TransparentConfig, TransparentServer};
//! use dtu_net::line::{Matcher, Request};
//! use dtu_net::transparent::ProfileSpec;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let profile = ProfileSpec::new("modbus_rtu", r"REG:{id:digit*11}\r\n").build()?;
//! let addr = "0.0.0.0:55126".parse()?;
//! let mut server = TransparentServer::bind(addr, TransparentConfig::new(profile), CancellationToken::new())?;
//! while let Some(session) = server.accept().await {
//!     tokio::spawn(async move {
//!         let read = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
//!         let matcher = Matcher::modbus_rtu(&read).expect("it is a request");
//!         match session.request(Request::new(read, matcher)).await {
//!             Ok(reply) => println!("{}: {:?}", session.device(), reply.frame.payload()),
//!             Err(unanswered) => eprintln!("{}: {unanswered}", session.device()),
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod carriage;
mod connection;
mod hub;
mod registry;
mod server;
mod session;
mod shared;

pub use hub::UnitEvent;
pub use server::{Known, TransparentConfig, TransparentCount, TransparentServer};
pub use session::{Ticket, TransparentSession, TransparentWatch, Unanswered};
