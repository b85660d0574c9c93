//! Links between data transfer units (DTUs) and servers.
//!
//! The machine is [`Link`], one end of one connection in the role of a [`Server`] or a [`Device`]: bytes and the time go
//! in, bytes and [`Event`]s come out. It opens no socket, reads no clock and draws no random number, so a test can be all
//! three. `driver`, under the feature `tokio` (on by default), runs machines on TCP.
//!
//! The link is thin: accept, identify, session, with a deadline and a bound for everything. A connection that breaks ends the
//! session; what was not acknowledged is told, not sent again.
//!
//! | part | rule |
//! |---|---|
//! | identification | REGISTER within 10 s and 4096 bytes, and the first message, or REFUSE |
//! | numbers | DATA is delivered once, in ascending order. Where one was damaged on the way, the next says how many are missing, and no ACK passes the gap |
//! | ACK | goes out when the application commits, never on arrival |
//! | heartbeat | a device that hears nothing for the announced time sends PING, and ends the link after three without an answer; a server waits twice the announced time. Every byte received is life |
//! | window | a sender has no more DATA without ACK than announced; a window that stays full for 60 s ends the link |
//! | dirt | skipped, reported with its cause, and no reason to end a registered link |

mod device;
#[cfg(feature = "tokio")]
pub mod driver;
mod error;
mod event;
pub mod limits;
pub mod link;
mod numbers;
mod server;
mod state;
#[cfg(test)]
mod testing;

pub use device::Device;
pub use error::{CommitAhead, Ended, SendError, SkipCause, Violation};
pub use event::{Event, LinkCounters, Registration, Timer};
pub use limits::Limits;
pub use link::Link;
pub use server::Server;
