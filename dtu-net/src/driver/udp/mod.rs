//! Links on datagrams: one frame each, which the network may lose, double and overtake.
//!
//! | side | tasks | sockets |
//! |---|---|---|
//! | device | the one of its connection ([`client`]) | one for each connection, connected to the server |
//! | server | one that receives ([`server`]), one that sends for each session ([`sender`]) | one |
//!
//! Spec: `spec/session.md`, "UDP binding".

pub(super) mod client;
pub(super) mod drops;
mod path;
mod seats;
mod sender;
pub(super) mod server;

use core::cell::RefCell;
use core::net::SocketAddr;

/// The longest UDP payload there is, and a byte more would be one of 16 bits too many.
const RECEIVE: usize = 65_535;

/// Errors in a row from a socket, without a datagram or a pause between them, after which it is taken for broken. What the
/// network says (ICMP) comes once for each datagram sent.
const ERRORS_IN_A_ROW: u32 = 64;

thread_local! {
    /// Where a datagram lies while it is handled: no connection holds a buffer for it.
    static IN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Where one is put together; only what the socket does not take is kept.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A datagram that the socket did not take yet, and where it goes.
#[derive(Debug)]
struct Unsent {
    bytes: Box<[u8]>,
    to: SocketAddr,
}
