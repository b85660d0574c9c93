//! The longest heartbeat that a path's NAT allows, found by trying. Opt-in: [`DeviceConfig::adaptive`](crate::DeviceConfig::adaptive).
//!
//! A NAT forgets a connection on which nothing was said for a while, and says nothing about it: the next PING is lost. How
//! long the while is differs by network, from half a minute to hours. A device that knows it asks just often enough.
//!
//! | what it sees | what it learns |
//! |---|---|
//! | a byte from the server after `T` without a byte in either direction | the NAT keeps `T`: `good` |
//! | no answer to what it said after `T`, and the first try to connect again succeeds | `T` is too long: `bad` |
//! | the same, and `T` was known to be good; or a reset instead of no answer; or it took more than 5 s | a doubt; the second in a row counts |
//! | no answer, and the first try to connect again fails | nothing: the network was away |
//! | anything on datagrams | nothing: there each PING makes a new mapping, and the server follows it |
//!
//! The next interval follows from `good` and `bad` alone:
//!
//! ```text
//!   nothing is known          start
//!   good, no bad              step × good, until the ceiling is reached
//!   good and bad              their geometric mean, until they are no more than RESOLUTION apart
//!   close enough              margin × good; after `retry` once more the value of bad
//! ```
//!
//! The ceiling is the heartbeat that the server announced, or [`AdaptiveOptions::maximum`] where that is shorter. So a dead
//! server is found no later than without: the bound of [`Limits::device_silence`](crate::Limits::device_silence) holds.

mod evidence;
mod link;
mod memory;
mod options;
mod search;

pub(crate) use evidence::Adaptive;
pub use memory::{Learned, NETWORKS, Network};
pub use options::{
    AdaptiveError, AdaptiveHeartbeat, AdaptiveOptions, FLOOR, MARGIN, MARGIN_LEAST, MAXIMUM, RETRY, START, STEP,
    STEP_MOST, TRIAL_TIMEOUT,
};
pub use search::RESOLUTION;
