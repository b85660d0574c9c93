//! Links between data transfer units (DTUs) and servers that stay alive, and sessions that lose nothing.
//!
//! The machine is [`Link`], one end in the role of a [`Server`] or a [`Device`], over as many connections as it takes: bytes
//! and the time go in, bytes and [`Event`]s come out. It opens no socket, reads no clock and draws no random number, so a
//! test can be all three. `driver`, under the feature `tokio` (on by default), runs links on TCP, TLS and UDP.
//!
//! | part | rule |
//! |---|---|
//! | identification | REGISTER within 10 s and 4096 bytes, and a proof of the key when the server asks, or REFUSE |
//! | numbers | DATA is delivered in order, each number once. What was not acknowledged is sent again on the next connection |
//! | ACK | goes out when the application commits, never on arrival |
//! | ledger | every DATA handed to `send` ends in one outcome: acked, expired, refused, abandoned |
//! | heartbeat | a device that hears nothing for the announced time sends PING, and ends the connection after three without an answer; a server waits twice the announced time. Every byte received is life |
//! | reconnect | by [`backoff`], which begins anew only after the server has answered and the connection was stable |
//! | dirt | skipped, reported with its cause; where it took DATA with it, that is sent again |

pub mod adaptive;
pub mod auth;
pub mod backoff;
pub mod breaker;
mod byte_stream;
pub mod controller;
mod device;
pub mod dial;
pub mod door;
#[cfg(feature = "tokio")]
pub mod driver;
pub mod early;
mod error;
mod event;
pub mod failover;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod heartbeat;
mod inbox;
pub mod keys;
pub mod limits;
pub mod line;
pub mod link;
mod numbers;
mod outbox;
pub mod policy;
mod pongs;
pub mod retry;
mod role;
pub mod rtt;
mod sending;
mod server;
mod state;
mod step;
pub mod store;
pub mod transparent;
mod wire;

pub use device::{Device, DeviceConfig};
pub use error::{Cause, CommitError, SendError, SkipCause, Violation};
pub use event::{Epoch, Event, Ledger, LinkCounters, Mark, Outcome, Received, Resumption, State, StateChange, Timer};
pub use handshake::{Handshake, HandshakeEvent, Registration};
pub use limits::Limits;
pub use link::Link;
pub use outbox::Outgoing;
pub use server::Server;
pub use wire::Carrier;

/// Compiles the README's examples.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../../README.md")]
struct Readme;
