//! Which address the datagrams of a session go to. A source address is easily forged, so a new one is used only after it
//! has echoed a nonce (`spec/session.md`, S-24).
//!
//! ```text
//!   REGISTER, no key asked ──> Unproven ── PONG with the nonce ──> Proven ── datagram from elsewhere ──> PING there
//!   PROOF ───────────────────────────────────────────────────────────^ ^                                   │
//!                                                                      └──── PONG with the nonce ──────────┘
//! ```

use core::net::SocketAddr;
use core::time::Duration;
use dtu_proto::Message;
use dtu_proto::message::Resume;
use std::time::Instant;

/// The least time between two PINGs to addresses that have proved nothing.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Path {
    address: SocketAddr,
    /// The address has answered something that only it has seen.
    proven: bool,
    /// One answer to a REGISTER may leave to an address that has proved nothing.
    answer_due: bool,
    probe: Option<Probe>,
    /// The REGISTER of the connection, as long as nothing else has come on it: its WELCOME may be lost.
    opening: Option<Resume>,
}

#[derive(Debug)]
struct Probe {
    address: SocketAddr,
    nonce: u64,
    /// When the last PING became due.
    last: Instant,
    due: bool,
}

impl Path {
    /// The device at `address` has proved that it receives there.
    pub(super) const fn proven(address: SocketAddr, opening: Resume) -> Self {
        Self { address, proven: true, answer_due: false, probe: None, opening: Some(opening) }
    }

    /// Somebody has sent a REGISTER that seems to come from `address`: it gets the answer, and a PING with `nonce`.
    pub(super) const fn unproven(address: SocketAddr, opening: Resume, nonce: u64, now: Instant) -> Self {
        let probe = Probe { address, nonce, last: now, due: true };
        Self { address, proven: false, answer_due: true, probe: Some(probe), opening: Some(opening) }
    }

    /// Where datagrams go.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether everything may be sent there.
    pub(super) const fn is_proven(&self) -> bool {
        self.proven
    }

    /// Takes the source of a datagram that opens nothing, and returns whether its message counts. One from another address
    /// than the session's does not, but for the PONG by which it becomes the session's. `nonce` draws a random number;
    /// without one nobody is asked.
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &Message<'_>,
        nonce: impl FnOnce() -> Option<u64>,
    ) -> bool {
        //= spec/session.md#S-24
        let answered = |probe: &Probe| {
            probe.address == from && matches!(message, Message::Pong { nonce } if *nonce == probe.nonce)
        };
        if self.probe.as_ref().is_some_and(answered) {
            (self.address, self.proven, self.probe) = (from, true, None);
        } else if !(self.proven && from == self.address) {
            self.ask(now, from, nonce);
        }
        let counts = from == self.address;
        if counts {
            self.opening = None;
        }
        counts
    }

    /// The nonce of an address stays the same while it is asked again: its answer may take longer than that.
    fn ask(&mut self, now: Instant, address: SocketAddr, nonce: impl FnOnce() -> Option<u64>) {
        match &mut self.probe {
            Some(probe) if now < probe.last + PROBE_EVERY => {}
            Some(probe) if probe.address == address => (probe.last, probe.due) = (now, true),
            _ => self.probe = nonce().map(|nonce| Probe { address, nonce, last: now, due: true }),
        }
    }

    /// Whether a REGISTER with these fields, or with none a PROOF, is the one that opened this connection once more: then
    /// its WELCOME is due again.
    pub(super) fn reopened(&mut self, from: SocketAddr, resume: Option<&Resume>) -> bool {
        let again = |opening: &Resume| resume.is_none_or(|resume| resume == opening);
        let reopened = from == self.address && self.opening.as_ref().is_some_and(again);
        self.answer_due |= reopened && !self.proven;
        reopened
    }

    /// Whether the answer to a REGISTER may leave although the address has proved nothing.
    pub(super) const fn is_answer_due(&self) -> bool {
        self.answer_due
    }

    /// It has left.
    pub(super) const fn answered(&mut self) {
        self.answer_due = false;
    }

    /// Where a PING is due, and its nonce.
    pub(super) fn take_probe(&mut self) -> Option<(SocketAddr, u64)> {
        let probe = self.probe.as_mut().filter(|probe| probe.due)?;
        probe.due = false;
        Some((probe.address, probe.nonce))
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
