//! Which of a name's addresses is tried when, until one of them connects: "happy eyeballs" (RFC 8305). Facts in, work out; no
//! socket and no clock.
//!
//! ```text
//!  0 ms    250       500       750
//!  |---- IPv6 a, black hole -------------------------------  dropped when d connects
//!          |-- IPv4 b, refused at 260 ms: the next begins at once
//!            |---- IPv6 c, black hole ---------------------  dropped
//!                      |-- IPv4 d, connects
//! ```
//!
//! So an address that swallows everything costs [`ATTEMPT_DELAY`], whatever the timeout of the dial is.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// How long the newest attempt has to itself before the next begins (RFC 8305, section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of a name that are tried in one dial; more are left out. Started one after another they take 4 s, which
/// leaves time for the last of them within [`CONNECT`](crate::limits::CONNECT).
pub const ADDRESSES_MAX: usize = 16;

/// One dial: its addresses, and when which is tried.
///
/// # Examples
///
/// ```
/// use dtu_net::dial::{ATTEMPT_DELAY, Race};
/// use std::time::Instant;
///
/// let six = "[2001:db8::1]:55125".parse().unwrap();
/// let four = "192.0.2.1:55125".parse().unwrap();
/// let mut now = Instant::now();
/// let mut race = Race::new([six, four], now);
/// let (first, address) = race.poll_attempt(now).expect("the first begins at once");
/// assert_eq!((address, race.poll_attempt(now)), (six, None));
///
/// now += ATTEMPT_DELAY;
/// assert_eq!(race.poll_timeout(), Some(now));
/// let (second, address) = race.poll_attempt(now).expect("the first has not connected");
/// assert_eq!(address, four);
/// race.handle_failed(second, now);
/// race.handle_failed(first, now);
/// assert!(race.is_lost());
/// ```
#[derive(Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    /// Attempts that have begun.
    begun: usize,
    /// Attempts that have begun and not failed.
    running: usize,
    /// When the next may begin.
    next: Instant,
}

/// The number of an attempt in its [`Race`], from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(usize);

impl Race {
    /// A race among `addresses`, in their order but for the families, which take turns, beginning with that of the first
    /// one. Of more than [`ADDRESSES_MAX`] the last in that order are left out.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>, now: Instant) -> Self {
        let mut waiting = interleaved(addresses);
        waiting.truncate(ADDRESSES_MAX);
        Self { waiting, begun: 0, running: 0, next: now }
    }

    /// The address that is to be tried now, besides those that are being tried already.
    #[must_use]
    pub fn poll_attempt(&mut self, now: Instant) -> Option<(Attempt, SocketAddr)> {
        if now < self.next {
            return None;
        }
        let address = self.waiting.pop_front()?;
        let attempt = Attempt(self.begun);
        self.begun += 1;
        self.running += 1;
        self.next = now + ATTEMPT_DELAY;
        Some((attempt, address))
    }

    /// Takes the failure of an attempt. When it is the newest, the next begins at once.
    pub fn handle_failed(&mut self, attempt: Attempt, now: Instant) {
        self.running = self.running.saturating_sub(1);
        if attempt.0 + 1 == self.begun {
            self.next = now;
        }
    }

    /// When [`poll_attempt`](Self::poll_attempt) wants to be called next; `None` when every address has been tried.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Whether every address has failed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }
}

/// The families take turns. An address that stands there twice is tried once.
fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut of_first, mut others) = (VecDeque::new(), VecDeque::new());
    let mut first = None;
    for address in addresses {
        let is_of_first = *first.get_or_insert(address.is_ipv4()) == address.is_ipv4();
        let family = if is_of_first { &mut of_first } else { &mut others };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut all = VecDeque::with_capacity(of_first.len() + others.len());
    while !(of_first.is_empty() && others.is_empty()) {
        all.extend(of_first.pop_front());
        all.extend(others.pop_front());
    }
    all
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
